"""A momentum, in both conventions, and the memory that it gives: half-life, weights left."""

import math
from decimal import Decimal

from normexp.errors import UsageError


def within(
    name: str, value: float, low: float = 0.0, high: float = math.inf, *, above: bool = False
) -> float:
    """Return the value if it is a finite number from `low` to `high`; beyond `low` if `above`.

    Raises:
        UsageError: it is not.
    """
    if math.isfinite(value) and low <= value <= high and not (above and value == low):
        return value
    bounds = [f"{'more than' if above else 'at least'} {low:g}"] if low > -math.inf else []
    bounds += [f"at most {high:g}"] if high < math.inf else []
    allowed = f"a number, {' and '.join(bounds)}" if bounds else "a finite number"
    raise UsageError(f"{name} is {value:g}; it must be {allowed}")


def momentum_of(value: float) -> float:
    """Return a momentum: the weight of the newest batch, from 0 to 1.

    Raises:
        UsageError: it lies outside [0, 1], where running statistics grow without bound.
    """
    return within("momentum", value, 0.0, 1.0)


def turned(momentum: float) -> float:
    """1 − momentum: the weight of the new batch from that of the old value, and back.

    In decimals as they are written: 1 − 0.9 is 0.09999999999999998 in binary, and would be another
    run than 0.1.
    """
    return float(1 - Decimal(repr(float(momentum))))


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

    Also what is left of a batch's weight after t more updates.

    Raises:
        UsageError: the momentum lies outside [0, 1], or the number of updates is negative.
    """
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
    within("number of updates", updates)
    if momentum_of(momentum) == 0 or updates == 0:
        return 0.0
    return 1.0 if momentum == 1 else -math.expm1(updates * math.log1p(-momentum))


def noise_factor(momentum: float) -> float:
    """Standard deviation of the running mean over that of one batch's mean: √(a / (2 − a)).

    Of independent batches in the long run: 0 for a = 0, 1 for a = 1.

    Raises:
        UsageError: the momentum lies outside [0, 1].
    """
    return math.sqrt(momentum_of(momentum) / (2 - momentum))
