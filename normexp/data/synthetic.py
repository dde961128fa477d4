"""Data drawn from a formula."""

import torch

from normexp.config.data import Drift, Quadratic, RandomLabels
from normexp.data.dataset import Dataset
from normexp.rng import stream


def draw_quadratic(config: Quadratic, seed: int) -> Dataset:
    """S1's noisy parabola, x and y [1, points].

    x is evenly spaced on [low, high], ends included; y = x² − 5 + N(0, noise_std). Training and
    test noise are streams of their own.
    """
    x, y = _points(config, config.train_size, stream(seed, "data", "train"))
    return Dataset(x, y, *_points(config, config.test_size, stream(seed, "data", "test")))


def _points(
    config: Quadratic, points: int, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.linspace(config.low, config.high, points, dtype=torch.float64)
    noise = torch.empty(points, dtype=torch.float64).normal_(generator=rng)
    return x[None], (x**2 - 5 + config.noise_std * noise)[None]


def draw_random_labels(config: RandomLabels, seed: int) -> Dataset:
    """S0's classifier, x [features, examples] of N(0, I); the test set is the training set."""
    rng = stream(seed, "data", "train")
    x = _normal((config.features, config.train_size), rng)
    y = torch.randint(config.classes, (config.train_size,), generator=rng)
    return Dataset(x, y, x, y)


def draw_drift(config: Drift, seed: int, steps: int) -> Dataset:
    """A parabola of a mean in data that move, x [features, examples]; see `Drift`.

    The shift after t steps is rate·t, or a random walk's; batch t + 1 is drawn there, and so is
    what an evaluation after t steps is tested on.
    """
    x, y = _moving(config, config.train_size, stream(seed, "data", "train"))
    test = _moving(config, config.test_size, stream(seed, "data", "test"))
    if config.motion == "linear":
        shift = torch.arange(steps + 1, dtype=torch.float64).expand(config.features, -1)
    else:
        # Whole multiples of 16, PyTorch's vector: else the last numbers change with the length,
        # and seeds would not be paired between trainings of other lengths.
        whole = (-(-steps // 16) * 16, config.features)
        walk = _normal(whole, stream(seed, "data", "drift"))[:steps].cumsum(0).T
        shift = torch.nn.functional.pad(walk, (1, 0))
    return Dataset(x, y, *test, shift=config.rate * shift)


def _moving(
    config: Drift, examples: int, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    z = _normal((config.features, examples), rng)
    noise = _normal((1, examples), rng)
    signal = z.sum(0, keepdim=True) / config.features**0.5
    return z, signal**2 - 1 + config.noise_std * noise


def _normal(shape: tuple[int, ...], rng: torch.Generator) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.float64).normal_(generator=rng)
