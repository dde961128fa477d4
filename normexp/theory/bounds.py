"""What numbers are allowed in a formula."""

import math

from normexp.errors import UsageError


def within(
    name: str, value: float, low: float = 0.0, high: float = math.inf, *, above: bool = False
) -> float:
    """The value, if it is a number from `low` to `high`; beyond `low` if `above`.

    Raises:
        UsageError: it is not; infinity is allowed nowhere.
    """
    if math.isfinite(value) and low <= value <= high and not (above and value == low):
        return value
    bounds = [f"{'more than' if above else 'at least'} {low:g}"] if low > -math.inf else []
    bounds += [f"at most {high:g}"] if high < math.inf else []
    allowed = f"a number, {' and '.join(bounds)}" if bounds else "a finite number"
    raise UsageError(f"{name} is {value:g}; it must be {allowed}")


def whole(name: str, value: int, low: int = 1) -> int:
    """The value, if it is a whole number and at least `low`.

    Raises:
        UsageError: it is not.
    """
    if value >= low:
        return value
    raise UsageError(f"{name} is {value}; it must be a whole number, {low} or more")


def momentum_of(value: float) -> float:
    """A momentum: the weight of the newest batch, from 0 (never learns) to 1 (never remembers).

    Raises:
        UsageError: it lies outside [0, 1], where running statistics would leave all bounds.
    """
    return within("momentum", value, 0.0, 1.0)
