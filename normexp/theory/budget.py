"""The expected error of a running mean by cause, and the momentum where it is least.

Evaluation comes after the optimizer step, one step later than the last batch: even momentum 1 lags.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from normexp.theory.memory import momentum_of, weight_gone, weight_left
from normexp.theory.setting import Setting, noise_variance

POINTS = 400
"""Momenta tried before the best of them is refined."""

GOLDEN = (math.sqrt(5) - 1) / 2

SECTIONS = 60
"""Golden sections: each leaves 0.618 of the interval."""

EQUAL = 1e-9
"""Relative difference of errors that counts as none: with small momenta, terms cancel."""


@dataclass(frozen=True)
class Budget:
    """The error of a running mean at evaluation by cause, in σ.

    Attributes:
        initial: what is left of the initial value's error.
        drift: lag behind a truth that moves steadily; against the direction of the drift.
        walk: standard deviation of the lag behind random steps.
        noise: standard deviation of the sampling noise.
    """

    initial: float
    drift: float
    walk: float
    noise: float

    @property
    def squares(self) -> dict[str, float]:
        """The expected squared error by cause; random steps are drift."""
        return {
            "initial": self.initial**2,
            "drift": self.drift**2 + self.walk**2,
            "noise": self.noise**2,
        }

    @property
    def squared(self) -> float:
        """The expected squared error."""
        return sum(self.squares.values())

    @property
    def error(self) -> float:
        """The root of the expected squared error."""
        return math.sqrt(self.squared)

    @property
    def shares(self) -> dict[str, float]:
        """Each cause's part of the expected squared error; all 0 if there is no error."""
        whole = self.squared
        return {name: each / whole if whole else 0.0 for name, each in self.squares.items()}


def budget(setting: Setting, momentum: float, *, debiased: bool = False) -> Budget:
    """The expected error of the running mean after the setting's updates.

    Args:
        setting: the training.
        momentum: in [0, 1].
        debiased: take the initial value out and let the batches' weights sum to 1; with momentum 0
            that is the cumulative mean.

    Raises:
        UsageError: the momentum lies outside [0, 1].
    """
    updates, drift, walk = setting.updates, setting.drift_per_step, setting.walk_per_step
    if momentum_of(momentum) == 0 and debiased:
        return Budget(
            initial=0.0,
            drift=-drift * (updates + 1) / 2,
            walk=walk * math.sqrt((updates + 1) * (2 * updates + 1) / (6 * updates)),
            noise=math.sqrt(noise_variance(setting, None)),
        )
    weight = weight_gone(momentum, updates) if debiased else 1.0
    left = 0.0 if debiased else weight_left(momentum, updates)
    return Budget(
        initial=left * setting.initial_error,
        drift=-drift * _lag(momentum, updates) / weight,
        walk=walk * math.sqrt(_walk_variance(momentum, updates)) / weight,
        noise=math.sqrt(noise_variance(setting, momentum)) / weight if momentum else 0.0,
    )


def best_momentum(setting: Setting, *, debiased: bool = False) -> float:
    """The momentum in [0, 1] with the least expected squared error, found numerically.

    0 where the initial value is exact and nothing moves; debiased, 0 is the cumulative mean.
    """
    return least(
        lambda momentum: budget(setting, momentum, debiased=debiased).squared,
        min(1e-6, 1e-3 / setting.updates),
    )


def least(cost: Callable[[float], float], smallest: float) -> float:
    """The momentum in [0, 1] with the least cost, by a logarithmic grid and golden sections.

    The grid finds the valley where there is more than one; 0 and 1 are candidates, and are named
    first where costs are equal.

    Args:
        cost: of a momentum.
        smallest: positive momentum of the grid, so small that it costs as much as 0.
    """
    low = math.log(smallest)
    grid = [low * (1 - i / (POINTS - 1)) for i in range(POINTS)]
    costs = [cost(math.exp(each)) for each in grid]
    best = costs.index(min(costs))
    left, right = grid[max(best - 1, 0)], grid[min(best + 1, POINTS - 1)]
    for _ in range(SECTIONS):
        width = GOLDEN * (right - left)
        if cost(math.exp(right - width)) <= cost(math.exp(left + width)):
            right = left + width
        else:
            left = right - width
    candidates = (0.0, 1.0, math.exp(grid[best]), math.exp((left + right) / 2))
    found = {each: cost(each) for each in candidates}
    lowest = min(found.values())
    return next(each for each, value in found.items() if value <= lowest * (1 + EQUAL))


def _lag(momentum: float, updates: float) -> float:
    """Steps by which the batches' weights lag a steady drift: (1 − q^t·(1 + a·t))/a.

    `a·Σ q^j·(j + 1)` over the t newest batches; the initial value's share is in `initial`. 1/a in
    the long run, 0 for a = 0, 1 for a = 1.
    """
    if momentum == 0:
        return 0.0
    if momentum == 1:
        return 1.0
    return -math.expm1(updates * math.log1p(-momentum) + math.log1p(updates * momentum)) / momentum


def _walk_variance(momentum: float, updates: float) -> float:
    """Variance of the lag behind a random walk of unit steps: 1/(a·(2 − a)) in the long run.

    After t updates `(1 − q^(2t))/(a(2 − a)) − 2·q^t·(1 − q^t)/a + t·q^(2t)`; 0 for a = 0.
    """
    if momentum == 0:
        return 0.0
    left, gone = weight_left(momentum, updates), weight_gone(momentum, updates)
    recent = gone * (1 + left) / (momentum * (2 - momentum))
    return max(0.0, recent - 2 * left * gone / momentum + updates * left**2)
