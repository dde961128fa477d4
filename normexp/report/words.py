"""Numbers in sentences: three digits, and no line ends between a number and its unit."""

import math
import re

from normexp.console.words import NOTHING, number

TIGHT = "\u00a0"
"""A space that no line ends at."""

PERCENT = f"{TIGHT}%"

_UNIT = re.compile(r"(?<=\d) (?=[%σ±])|(?<=±) (?=\d)")


def short(value: float) -> str:
    """Three significant digits, no exponent where a person would write none."""
    if not math.isfinite(value) or abs(value) >= 1000:  # noqa: PLR2004
        return number(value)
    return f"{value:.3g}"


def percent(share: float | None) -> str:
    """`12 %`; a share that is not all or nothing is not rounded to it."""
    if share is None or math.isnan(share):
        return NOTHING
    if 0 < share < 0.01:  # noqa: PLR2004
        return f"under 1{PERCENT}"
    if 0.99 < share < 1:  # noqa: PLR2004
        return f"over 99{PERCENT}"
    return f"{100 * share:.0f}{PERCENT}"


def keras(momentum: float) -> str:
    """A momentum in Keras's convention: the weight of the old value."""
    return f"{1 - momentum:.10g}"


def tight(text: str) -> str:
    """A text whose numbers stay with their units."""
    return _UNIT.sub(TIGHT, text)
