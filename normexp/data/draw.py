"""Which configuration draws or reads which data."""

import numpy as np
import torch

from normexp.config.batches import total_steps
from normexp.config.data import Arrays, Cifar10, Digits, Drift, Quadratic, RandomLabels
from normexp.config.model import Mlp
from normexp.config.norm import BatchKind
from normexp.config.schema import RunConfig
from normexp.data.dataset import Dataset
from normexp.data.files import read_arrays, read_cifar10
from normexp.data.images import read_digits, standardised
from normexp.data.synthetic import draw_drift, draw_quadratic, draw_random_labels
from normexp.rng import stream


def draw(config: RunConfig) -> Dataset:
    """The data of a run, in its dtype and in its model's layout.

    Numbers are drawn in float64 whatever the dtype, so that a seed means the same in both.
    """
    dtype = getattr(torch, config.train.dtype)
    parts = _draw(config, dtype)
    if isinstance(config.model, Mlp):
        parts = parts.as_vectors()
        if config.model.input_norm and not isinstance(config.norm, BatchKind):
            parts = parts.standardised()
    return parts.to(dtype)


def _draw(config: RunConfig, dtype: torch.dtype) -> Dataset:
    data, seed = config.data, config.seed
    if isinstance(data, Quadratic):
        return draw_quadratic(data, seed)
    if isinstance(data, RandomLabels):
        return draw_random_labels(data, seed)
    if isinstance(data, Drift):
        return draw_drift(data, seed, total_steps(config))
    if isinstance(data, Arrays):
        return _arrays(data, seed)
    return _images(data, seed, dtype)


def _images(data: Digits | Cifar10, seed: int, dtype: torch.dtype) -> Dataset:
    if isinstance(data, Digits):
        x, y = read_digits()
        train, test = _split(len(x), data.train_size, data.test_size, seed)
        x, y, test_x, test_y = x[train], y[train], x[test], y[test]
    else:
        (x, y), (test_x, test_y) = read_cifar10(data)
        train, _ = _split(len(x), data.train_size, 0, seed, in_order=data.order == "file")
        x, y, test_x, test_y = (
            x[train],
            y[train],
            test_x[: data.test_size],
            test_y[: data.test_size],
        )
    answers = (torch.from_numpy(part) for part in (y, test_y))
    images = standardised(x, test_x, dtype)
    return Dataset.of_examples(images[0], next(answers), images[1], next(answers))


def _arrays(data: Arrays, seed: int) -> Dataset:
    x, y, test_x, test_y = read_arrays(data)
    train_size, test_size = data.train_size or 0, data.test_size or 0
    in_order = data.order == "file"
    if test_x is None or test_y is None:
        train, test = _split(len(x), train_size, test_size, seed, in_order=in_order)
        parts = (x[train], y[train], x[test], y[test])
    else:
        train, _ = _split(len(x), train_size, 0, seed, in_order=in_order)
        parts = (x[train], y[train], test_x[:test_size], test_y[:test_size])
    return Dataset.of_examples(*(torch.from_numpy(part) for part in parts))


def _split(
    there: int, train: int, test: int, seed: int, *, in_order: bool = False
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Which examples are for training and which for testing, drawn by the seed.

    In the file's order, the first ones and the last ones.
    """
    if in_order:
        return np.arange(train), np.arange(there - test, there)
    order = torch.randperm(there, generator=stream(seed, "data", "split")).numpy()
    return order[:train], order[train : train + test]
