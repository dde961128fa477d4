"""Momenta: the weight that each run's estimator gives to the next batch."""

import math
from collections.abc import Callable, Sequence

import torch

from normexp.config.norm import BatchKind, Norm

Course = Callable[[float], float]
"""How far a momentum has come to the final one, by the share of the updates that are done."""

SCHEDULES: dict[str, Course] = {
    "linear": lambda done: done,
    "cosine": lambda done: (1 - math.cos(math.pi * done)) / 2,
    "exponential": lambda done: done,  # in the logarithm
}


class Momenta:
    """The weights of the newest batches, each run's by its own momentum.

    Null is 1/t, the cumulative mean; `estimator=warmup` is max(a, 1/t); a schedule goes from the
    momentum at the first update to the final one at the last; with `copy_first` the first is 1.

    Args:
        norms: of the runs; a norm without running statistics has no weights.
        updates: in all, over which schedules extend.
    """

    def __init__(self, norms: Sequence[Norm], updates: int) -> None:
        self._updates = updates
        self._momentum = column(norms, "momentum", math.nan)
        self._final = column(norms, "final_momentum", math.nan)
        self._cumulative = self._momentum.isnan()
        self._warms_up = those(norms, "estimator", "warmup")
        self._schedules = {name: those(norms, "momentum_schedule", name) for name in SCHEDULES}
        self._copies_first = any(getattr(norm, "copy_first", False) for norm in norms)

    def weight(self, update: int) -> torch.Tensor:
        """Of the batch of an update, counted from 0, [runs, 1]."""
        if self._copies_first and not update:
            return torch.ones_like(self._momentum)
        weight = self._momentum
        for name, mask in self._schedules.items():
            if mask is not None:
                weight = torch.where(mask, self._scheduled(name, update), weight)
        if self._warms_up is not None:
            weight = torch.where(self._warms_up, weight.clamp(min=1 / (update + 1)), weight)
        return torch.where(self._cumulative, 1 / (update + 1), weight)

    def _scheduled(self, name: str, update: int) -> torch.Tensor:
        done = SCHEDULES[name](update / max(1, self._updates - 1))
        if name == "exponential":
            return self._momentum * (self._final / self._momentum) ** done
        return self._momentum + done * (self._final - self._momentum)


def column(norms: Sequence[Norm], field: str, default: float) -> torch.Tensor:
    """A field of all runs' norms, [runs, 1], with NaN for null."""
    values = [getattr(norm, field, default) if _tracks(norm) else default for norm in norms]
    numbers = [math.nan if value is None else value for value in values]
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def those(norms: Sequence[Norm], field: str, value: str) -> torch.Tensor | None:
    """Which runs' norms have this value, [runs, 1]; None if there are none."""
    found = [_tracks(norm) and getattr(norm, field, None) == value for norm in norms]
    return torch.tensor(found)[:, None] if any(found) else None


def _tracks(norm: Norm) -> bool:
    return isinstance(norm, BatchKind)
