"""The best momentum of a short training: initial value against noise."""

import math

from normexp.theory.bounds import whole, within
from normexp.theory.memory import weight_left
from normexp.theory.minimum import least
from normexp.theory.noise import independent


def squared_error(momentum: float, updates: int, initial_error: float, variance: float) -> float:
    """Expected squared error without drift: q^(2T)·b² + v·a/(2 − a)·(1 − q^(2T)).

    Of independent batches; `theory.budget` knows the others, and drift.

    Args:
        momentum: in [0, 1].
        updates: T.
        initial_error: b, the initial value's distance from the truth.
        variance: v of one batch's statistic, in squared units of b.

    Raises:
        UsageError: an argument is out of bounds.
    """
    left = weight_left(momentum, updates) * within("initial error", initial_error, -math.inf)
    return left**2 + independent(momentum, updates, variance)


def best_for_updates(updates: int, initial_error: float, variance: float) -> float:
    """The momentum with the least `squared_error` after so many updates, found numerically.

    0 where the initial value is exact, 1 without noise. Arguments and errors as `squared_error`.
    """
    whole("number of updates", updates)
    return least(
        lambda momentum: squared_error(momentum, updates, initial_error, variance),
        min(1e-6, 1e-3 / updates),
    )
