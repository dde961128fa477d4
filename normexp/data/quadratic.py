"""S1's regression: a noisy parabola."""

import torch

from normexp.config.schema import Quadratic
from normexp.rng import stream


def draw_quadratic(
    config: Quadratic, seed: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """x, y, test x, test y in float64, each [1, points].

    x is evenly spaced on [low, high], ends included; y = x² − 5 + N(0, noise_std). Training and
    test noise are streams of their own.
    """
    x, y = _points(config, config.train_size, stream(seed, "data", "train"))
    test_x, test_y = _points(config, config.test_size, stream(seed, "data", "test"))
    return x, y, test_x, test_y


def _points(
    config: Quadratic, points: int, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.linspace(config.low, config.high, points, dtype=torch.float64)
    noise = torch.empty(points, dtype=torch.float64).normal_(generator=rng)
    return x[None], (x**2 - 5 + config.noise_std * noise)[None]
