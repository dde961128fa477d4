"""Data sets, drawn or read for one seed, features first."""

import gzip
from functools import cache
from importlib.metadata import distribution
from typing import Any, NamedTuple

import numpy as np
import torch

from normexp.config.data import Arrays, Cifar10, Digits, Drift, Loop, Quadratic, RandomLabels
from normexp.config.network import Mlp
from normexp.config.norm import BatchKind
from normexp.config.schema import RunConfig, total_steps
from normexp.data.files import read_arrays, read_cifar10
from normexp.rng import stream

VECTORS = 2
"""Dimensions of one network's x where an example is a vector; images have four."""

DIGITS = "sklearn/datasets/data/digits.csv.gz"
"""The file that `sklearn.datasets.load_digits` reads; importing that takes a second."""

Array = np.ndarray[Any, Any]


class Units(NamedTuple):
    """Units of standardised inputs, both [features, 1]."""

    mean: torch.Tensor
    std: torch.Tensor


class Dataset(NamedTuple):
    """One network's training and test set.

    Vectors have their examples last, images first. Labels are whole numbers, targets are not.
    """

    x: torch.Tensor  # [features, examples], or [examples, channels, height, width]
    y: torch.Tensor  # labels [examples], or targets [outputs, examples]
    test_x: torch.Tensor  # as x
    test_y: torch.Tensor  # as y
    shift: torch.Tensor | None = None  # [features, steps + 1], added to x after so many steps
    units: Units | None = None  # of standardised vectors

    def to(self, dtype: torch.dtype | None = None, device: torch.device | None = None) -> "Dataset":
        """Return the same numbers in another dtype (labels keep theirs) or on another device."""

        def cast(part: torch.Tensor) -> torch.Tensor:
            return part.to(device, dtype if part.is_floating_point() else None)

        shift = None if self.shift is None else cast(self.shift)
        units = None if self.units is None else Units(*map(cast, self.units))
        x, y, test_x, test_y = map(cast, self[:4])
        return Dataset(x, y, test_x, test_y, shift, units)


def draw(config: RunConfig) -> Dataset:
    """Return the data of a run, in its dtype and in its model's layout.

    Numbers are drawn in float64 whatever the dtype, so that a seed means the same in both.
    """
    data, seed, dtype = config.data, config.seed, getattr(torch, config.train.dtype)
    if isinstance(data, Quadratic):
        found = _quadratic(data, seed)
    elif isinstance(data, RandomLabels):
        found = _random_labels(data, seed)
    elif isinstance(data, Drift):
        found = _drift(data, seed, total_steps(config))
    else:
        assert not isinstance(data, Loop)  # noqa: S101  see `normexp.study.check`
        found = _read(data, seed, dtype)
    if isinstance(config.model, Mlp):
        found = found._replace(x=_as_vectors(found.x), test_x=_as_vectors(found.test_x))
        if config.model.input_norm and not isinstance(config.norm, BatchKind):
            found = _standardised(found)
    return found.to(dtype)


def _quadratic(config: Quadratic, seed: int) -> Dataset:
    """S1's noisy parabola, x and y [1, points].

    x is evenly spaced on [low, high], ends included; y = x² − 5 + N(0, noise_std). Training and
    test noise are streams of their own.
    """

    def points(number: int, purpose: str) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.linspace(config.low, config.high, number, dtype=torch.float64)
        noise = _normal((number,), stream(seed, "data", purpose))
        return x[None], (x**2 - 5 + config.noise_std * noise)[None]

    return Dataset(*points(config.train_size, "train"), *points(config.test_size, "test"))


def _random_labels(config: RandomLabels, seed: int) -> Dataset:
    """S0's classifier, x [features, examples] of N(0, I); the test set is the training set."""
    rng = stream(seed, "data", "train")
    x = _normal((config.features, config.train_size), rng)
    y = torch.randint(config.classes, (config.train_size,), generator=rng)
    return Dataset(x, y, x, y)


def _drift(config: Drift, seed: int, steps: int) -> Dataset:
    """A parabola of a mean in data that move, x [features, examples]; see `Drift`.

    The shift after t steps is rate·t, or a random walk's; batch t + 1 is drawn there, and so is
    the test set of an evaluation after t steps.
    """

    def examples(number: int, purpose: str) -> tuple[torch.Tensor, torch.Tensor]:
        rng = stream(seed, "data", purpose)
        z, noise = _normal((config.features, number), rng), _normal((1, number), rng)
        signal = z.sum(0, keepdim=True) / config.features**0.5
        return z, signal**2 - 1 + config.noise_std * noise

    if config.motion == "linear":
        shift = torch.arange(steps + 1, dtype=torch.float64).expand(config.features, -1)
    else:
        # Whole multiples of 16, PyTorch's vector: else the last numbers change with the length,
        # and seeds would not be paired between trainings of other lengths.
        whole = (-(-steps // 16) * 16, config.features)
        walk = _normal(whole, stream(seed, "data", "drift"))[:steps].cumsum(0).T
        shift = torch.nn.functional.pad(walk, (1, 0))
    return Dataset(
        *examples(config.train_size, "train"),
        *examples(config.test_size, "test"),
        shift=config.rate * shift,
    )


def _normal(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.float64).normal_(generator=rng)


def _read(data: Digits | Cifar10 | Arrays, seed: int, dtype: torch.dtype) -> Dataset:
    """Examples of a file, in an order drawn by the seed or in the file's own.

    Training examples are the first; test examples are the first of the file's own test set, or
    those that come next, or the last ones in the file's order.
    """
    test_x, test_y = None, None
    if isinstance(data, Digits):
        x, y = read_digits()
    elif isinstance(data, Cifar10):
        (x, y), (test_x, test_y) = read_cifar10(data)
    else:
        x, y, test_x, test_y = read_arrays(data)
    there, train_size, test_size = len(x), data.train_size or 0, data.test_size or 0
    if not isinstance(data, Digits) and data.order == "file":
        train, test = np.arange(train_size), np.arange(there - test_size, there)
    else:
        order = torch.randperm(there, generator=stream(seed, "data", "split")).numpy()
        train, test = order[:train_size], order[train_size : train_size + test_size]
    if test_x is None or test_y is None:
        test_x, test_y = x[test], y[test]
    x, test_x = x[train], test_x[:test_size]
    images = [torch.from_numpy(part) for part in (x, test_x)]
    if not isinstance(data, Arrays):
        images = _standardised_images(x, test_x, dtype)
    answers = [torch.from_numpy(part) for part in (y[train], test_y[:test_size])]
    of_x, of_test_x, of_y, of_test_y = map(_examples_last, (*images, *answers))
    return Dataset(of_x, of_y, of_test_x, of_test_y)


@cache
def read_digits() -> tuple[Array, Array]:
    """Return scikit-learn's digits: images [1797, 1, 8, 8] from 0 to 16, and labels."""
    place = distribution("scikit-learn").locate_file(DIGITS)
    with gzip.open(str(place)) as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
    return table[:, :-1].reshape(-1, 1, 8, 8).astype(np.uint8), table[:, -1]


def _standardised_images(x: Array, test_x: Array, dtype: torch.dtype) -> list[torch.Tensor]:
    """Images of bytes in units of the training set's mean and standard deviation, per channel."""
    moments = [_moments(x[:, channel]) for channel in range(x.shape[1])]
    center, scale = (
        torch.tensor(part, dtype=dtype).view(-1, 1, 1) for part in zip(*moments, strict=True)
    )
    images = (torch.from_numpy(part).to(dtype) for part in (x, test_x))
    return [each.sub_(center).div_(scale) for each in images]


def _moments(values: Array) -> tuple[float, float]:
    """Mean and standard deviation of bytes, from how often each occurs: no copy of them all."""
    some = np.array_split(values, len(values) // 1000 + 1)
    counts = sum(np.bincount(part.ravel(), minlength=256) for part in some)
    levels = np.arange(256)
    mean = float(counts @ levels) / values.size
    return mean, float(counts @ (levels - mean) ** 2 / values.size) ** 0.5


def _examples_last(values: torch.Tensor) -> torch.Tensor:
    """Vectors [examples, features] with their examples last; all else as it is."""
    return values.T.contiguous() if values.dim() == VECTORS else values


def _as_vectors(x: torch.Tensor) -> torch.Tensor:
    """Images [examples, channels, height, width] as vectors [features, examples]."""
    return x if x.dim() == VECTORS else x.flatten(1).T.contiguous()


def _standardised(data: Dataset) -> Dataset:
    """Vectors in units of the training set's mean and standard deviation, per feature.

    A feature that never changes stays at 0.
    """
    std, mean = torch.std_mean(data.x, 1, keepdim=True)
    std = torch.where(std > 0, std, 1)
    return data._replace(
        x=(data.x - mean) / std,
        test_x=(data.test_x - mean) / std,
        shift=None if data.shift is None else data.shift / std,
        units=Units(mean, std),
    )
