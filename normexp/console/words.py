"""Numbers and names as a person reads them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from normexp.analysis import Estimate
from normexp.config.field import spell
from normexp.config.norm_fields import WITHOUT_MOMENTUM
from normexp.config.schema import FRAMEWORK, IDENTITY_GROUPS

NOTHING = "–"

MOST_PLACES = 4
"""Decimal places beyond which a number gets an exponent."""

SKEWED = "~"
SKEWED_NOTE = "~: seeds are skewed, and the interval is too short, mostly above."

MOST_PLAIN = 1e6
"""The number from which on it gets one too."""


def heading(path: str, *, keras: bool = True) -> str:
    """A column's name for a field: the group for its kind, the field's own name otherwise."""
    group, _, field = path.rpartition(".")
    if path == "norm.momentum":
        return "momentum\n(keras)" if keras else "momentum"
    if path == "optim.momentum":
        return "optim\nmomentum"
    if path == FRAMEWORK:
        return "framework"
    name = group if field == "kind" and group in IDENTITY_GROUPS else field
    return name.replace("_", "\n")


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`, `2 trajectories`."""
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def field_value(path: str, values: Mapping[str, Any], *, keras: bool = True) -> str:
    """A field's value, a dash where there is no such field; a momentum in both conventions."""
    if path not in values:
        return NOTHING
    new = values[path]
    if path == "norm.estimator" and new == "ema" and values.get("norm.momentum", 0) is None:
        return "cumulative"
    if path != "norm.momentum":
        return spell(new)
    if new is None:
        return NOTHING if values.get("norm.estimator") in WITHOUT_MOMENTUM else "cumulative"
    return f"{new:g} ({1 - new:g})" if keras else f"{new:g}"


def listed(values: Sequence[Any], most: int = 8) -> str:
    """All values, or the first ones, the last, and how many there are."""
    spelled = [spell(value) for value in values]
    if len(spelled) > most:
        return f"{', '.join(spelled[:3])}, ..., {spelled[-1]} ({len(spelled)})"
    return ", ".join(spelled)


def interval(estimate: Estimate) -> str:
    """The mean to the digits that its interval leaves it, two of the interval's; ~ if skewed."""
    mean, half, sign = estimate.mean, estimate.half_width, SKEWED * estimate.is_skewed
    if not math.isfinite(half):
        return number(mean)
    places = 1 - math.floor(math.log10(half)) if half else MOST_PLACES
    if mean:  # one place more where else a single digit of the mean would be left
        wanted = 1 - math.floor(math.log10(abs(mean)))
        places = max(places, min(wanted, places + 1, MOST_PLACES))
    if places > MOST_PLACES or half >= MOST_PLAIN:
        return f"{mean:.3g} ± {half:.2g}{sign}"
    return f"{mean:.{max(0, places)}f} ± {half:.{max(0, places)}f}{sign}"


def number(value: float) -> str:
    """Four significant digits, no exponent where a person would write none."""
    if math.isnan(value):
        return NOTHING
    if not math.isfinite(value) or (value and not 10**-MOST_PLACES <= abs(value) < MOST_PLAIN):
        return f"{value:.3g}"
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, 4 - whole)}f}"


def cell(value: Any) -> str:  # noqa: ANN401
    """Any value in a table."""
    if value is None:
        return NOTHING
    return number(value) if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """`2.3 s`, or `3 min 20 s`."""
    if seconds < 60:  # noqa: PLR2004  a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
