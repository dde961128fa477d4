"""Figures as sentences say them: three digits, and no line ends between a figure and its unit."""

import math
import re

from normexp.console.words import MOST_PLACES, MOST_PLAIN, NOTHING

TIGHT = "\u00a0"
"""A space that no line ends at."""

_UNIT = re.compile(r"(?<=\d) (?=[%σ±])|(?<=±) (?=\d)")


def short(value: float) -> str:
    """Three significant digits, no exponent where a person would write none."""
    if math.isnan(value):
        return NOTHING
    if not math.isfinite(value) or (value and not 10**-MOST_PLACES <= abs(value) < MOST_PLAIN):
        return f"{value:.3g}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004


def percent(share: float | None) -> str:
    """`12 %`; what is not all or nothing is not rounded to it."""
    if share is None or math.isnan(share):
        return NOTHING
    if 0 < share < 0.01:  # noqa: PLR2004
        return f"under 1{TIGHT}%"
    if 0.99 < share < 1:  # noqa: PLR2004
        return f"over 99{TIGHT}%"
    return f"{100 * share:.0f}{TIGHT}%"


def tight(text: str) -> str:
    """A text whose figures stay with their units."""
    return _UNIT.sub(TIGHT, text)
