"""How long a running statistic remembers: half-life, weight left."""

import math

from normexp.theory.bounds import momentum_of, within

NEARLY = 1e-12
"""Relative rounding below which a number of updates counts as whole."""


def half_life(momentum: float | None) -> float | None:
    """Updates after which a batch's weight in the running statistics has halved.

    ln 2 / −ln(1 − a), not rounded; 0 for momentum 1, None where it never halves: momentum 0, and
    None, the cumulative mean.

    Raises:
        UsageError: the momentum lies outside [0, 1].
    """
    if momentum is None or momentum_of(momentum) == 0:
        return None
    return 0.0 if momentum == 1 else math.log(2) / -math.log1p(-momentum)


def weight_left(momentum: float, updates: float) -> float:
    """The initial value's weight after so many updates: (1 − a)^t.

    From `r_t = q^t·r_0 + a·Σ q^(t−i)·s_i`. Dimensionless; 1 for a = 0 or t = 0, 0 for a = 1 or
    t = ∞ else. What is left of a batch's weight after t more updates is the same.

    Raises:
        UsageError: the momentum lies outside [0, 1], or the number of updates is negative.
    """
    if updates != math.inf:
        within("number of updates", updates)
    if momentum_of(momentum) == 0 or updates == 0:
        return 1.0
    return 0.0 if momentum == 1 else math.exp(updates * math.log1p(-momentum))


def weight_gone(momentum: float, updates: float) -> float:
    """The weight of all batches together after so many updates: 1 − (1 − a)^t.

    Exact to rounding where a·t is tiny, which `1 − weight_left` is not.

    Raises:
        UsageError: the momentum lies outside [0, 1], or the number of updates is negative.
    """
    if updates != math.inf:
        within("number of updates", updates)
    if momentum_of(momentum) == 0 or updates == 0:
        return 0.0
    return 1.0 if momentum == 1 else -math.expm1(updates * math.log1p(-momentum))


def noise_factor(momentum: float) -> float:
    """Standard deviation of the running statistic over that of one batch's: √(a / (2 − a)).

    Of independent batches, in the long run: 0 for a = 0, 1 for a = 1. `theory.noise` knows batches
    drawn without replacement, and what has not settled yet.

    Raises:
        UsageError: the momentum lies outside [0, 1].
    """
    return math.sqrt(momentum_of(momentum) / (2 - momentum))
