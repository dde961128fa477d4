"""Data sets, drawn or read for one seed, features first; and the examples of a stack.

Each data set is kept once, however many networks learn from it.
"""

import gzip
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.metadata import distribution
from typing import Any, NamedTuple

import numpy as np
import torch

from normexp.config.data import Arrays, Cifar10, Digits, Drift, Loop, Quadratic, RandomLabels
from normexp.config.network import Mlp
from normexp.config.norm import BatchKind
from normexp.config.schema import RunConfig, total_steps, train_size
from normexp.data.files import read_arrays, read_cifar10
from normexp.numerics import stream

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
        rng = stream(seed, "data", "train")  # x of N(0, I), and the test set is the training set
        x = _normal((data.features, data.train_size), rng)
        y = torch.randint(data.classes, (data.train_size,), generator=rng)
        found = Dataset(x, y, x, y)
    elif isinstance(data, Drift):
        found = _drift(data, seed, total_steps(config))
    else:
        assert not isinstance(data, Loop)  # noqa: S101  see `normexp.study.settle`
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
    x, test_x, y, test_y = x[train], test_x[:test_size], y[train], test_y[:test_size]
    images = [torch.from_numpy(part) for part in (x, test_x)]
    if not isinstance(data, Arrays):  # bytes, in units of the training set, per channel
        moments = [_moments(x[:, channel]) for channel in range(x.shape[1])]
        mean, std = (
            torch.tensor(part, dtype=dtype).view(-1, 1, 1) for part in zip(*moments, strict=True)
        )
        images = [part.to(dtype).sub_(mean).div_(std) for part in images]
    answers = [torch.from_numpy(part) for part in (y, test_y)]
    of_x, of_test_x, of_y, of_test_y = (
        each.T.contiguous() if each.dim() == VECTORS else each for each in (*images, *answers)
    )
    return Dataset(of_x, of_y, of_test_x, of_test_y)


@cache
def read_digits() -> tuple[Array, Array]:
    """Return scikit-learn's digits: images [1797, 1, 8, 8] from 0 to 16, and labels."""
    place = distribution("scikit-learn").locate_file(DIGITS)
    with gzip.open(str(place)) as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
    return table[:, :-1].reshape(-1, 1, 8, 8).astype(np.uint8), table[:, -1]


def _moments(values: Array) -> tuple[float, float]:
    """Mean and standard deviation of bytes, from how often each occurs: no copy of them all."""
    some = np.array_split(values, len(values) // 1000 + 1)
    counts = sum(np.bincount(part.ravel(), minlength=256) for part in some)
    levels = np.arange(256)
    mean = float(counts @ levels) / values.size
    return mean, float(counts @ (levels - mean) ** 2 / values.size) ** 0.5


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


MOST_NUMBERS = 2**24
"""Numbers in the batches that are gathered at a time."""

Batch = tuple[torch.Tensor, torch.Tensor]
"""x [models, features, examples] or [models, examples, channels, height, width], and y, labels
[models, examples] or targets [models, outputs, examples]."""


def orders(configs: Sequence[RunConfig], epoch: int) -> list[torch.Tensor]:
    """Return every network's order of an epoch, counted from 0: by its seed, or none."""
    size = train_size(configs[0])
    if not configs[0].train.shuffle:
        return [torch.arange(size)] * len(configs)
    return [torch.randperm(size, generator=stream(each.seed, "order", epoch)) for each in configs]


class Examples:
    """Training and test examples of some networks of one structure, `models` leading everywhere.

    With `tests_only` no training examples are kept in memory.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        *,
        tests_only: bool = False,
        device: torch.device | None = None,
    ) -> None:
        drawn: dict[object, Dataset] = {}
        for config in configs:
            key = (config.data, config.seed)
            if key not in drawn:
                whole = draw(config)
                if tests_only:
                    whole = whole._replace(x=whole.x.new_empty(0), y=whole.y.new_empty(0))
                drawn[key] = whole.to(device=device)
        self.sets = [drawn[config.data, config.seed] for config in configs]
        self._axis = 1 if self.sets[0].test_x.dim() == VECTORS else 0

    @property
    def tests(self) -> int:
        """Test examples of a network."""
        return self.sets[0].test_x.shape[self._axis]

    def batches(
        self,
        models: range,
        orders: Sequence[torch.Tensor],
        sizes: Sequence[int],
        step: int,
        *,
        still: bool = False,
    ) -> Iterator[Batch]:
        """Yield the batches of an epoch that begins after so many steps.

        If `still`, all of them as they are at that step, even where inputs drift. Gathered some
        steps at a time, as many as memory allows, since gathering costs by the call.
        """
        each = self.sets[0].x.numel() // self.sets[0].x.shape[self._axis] * len(models)
        together = max(1, MOST_NUMBERS // (each * max(sizes)))
        start = 0
        for first in range(0, len(sizes), together):
            some = list(sizes[first : first + together])
            stop = start + sum(some)
            x, y = self._gathered(models, [order[start:stop] for order in orders])
            parts = zip(
                torch.split(x, some, 1 + self._axis), torch.split(y, some, y.dim() - 1), strict=True
            )
            for later, (part, answers) in enumerate(parts, start=first):
                now = step if still else step + later
                yield self._shifted(models, part.contiguous(), now), answers.contiguous()
            start = stop

    def train(self, models: range, chosen: torch.Tensor, step: int) -> Batch:
        """Return training examples of some networks, by number, after so many steps."""
        x, y = self._gathered(models, [chosen] * len(models))
        return self._shifted(models, x, step), y

    def test(self, models: range, chosen: torch.Tensor, step: int) -> Batch:
        """Return test examples of some networks, by number, after so many steps."""
        sets = [self.sets[model] for model in models]
        chosen = chosen.to(sets[0].test_x.device)
        found = {}  # once a set, however many runs are tested on it
        for one in {id(each): each for each in sets}.values():
            x = one.test_x.index_select(self._axis, chosen)
            found[id(one)] = x, one.test_y.index_select(one.test_y.dim() - 1, chosen)
        x, y = (torch.stack(part) for part in zip(*(found[id(one)] for one in sets), strict=True))
        return self._shifted(models, x, step), y

    def raw(self, models: range, x: torch.Tensor) -> torch.Tensor:
        """Return inputs of some networks as they were before they were standardised, if so."""
        known = [each for model in models if (each := self.sets[model].units) is not None]
        if not known:
            return x
        mean, std = (torch.stack(part) for part in zip(*known, strict=True))
        return x * std + mean

    def _gathered(self, models: range, chosen: Sequence[torch.Tensor]) -> Batch:
        sets = [self.sets[model] for model in models]
        each = [(one, own.to(one.x.device)) for one, own in zip(sets, chosen, strict=True)]
        x = torch.stack([one.x.index_select(self._axis, own) for one, own in each])
        y = torch.stack([one.y.index_select(one.y.dim() - 1, own) for one, own in each])
        return x, y

    def _shifted(self, models: range, x: torch.Tensor, step: int) -> torch.Tensor:
        shifts = [self.sets[model].shift for model in models]
        known = [each[:, step, None] for each in shifts if each is not None]
        return x + torch.stack(known) if known else x
