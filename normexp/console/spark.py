"""A curve in the height of a line of text, on a logarithmic scale."""

import math
from collections.abc import Iterable, Sequence

from normexp.insight.thinning import evenly

BLOCKS = "▁▂▃▄▅▆▇█"

Scale = tuple[float, float]
"""The values that the lowest and the highest block stand for."""


def scale_of(values: Iterable[float]) -> Scale | None:
    """From the least to the greatest positive finite value; None if there is none."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    return (min(known), max(known)) if known else None


def spark(values: Sequence[float], scale: Scale | None, width: int) -> str:
    """A block a value, at equal distances if there are more than fit; a blank where none is."""
    return "".join(_block(values[i], scale) for i in evenly(len(values), width))


def _block(value: float, scale: Scale | None) -> str:
    if scale is None or not math.isfinite(value):
        return " "
    low, high = scale
    if value <= low or high <= low:  # zero, too, has no logarithm
        return BLOCKS[0]
    share = math.log(value / low) / math.log(high / low)
    return BLOCKS[min(round(share * (len(BLOCKS) - 1)), len(BLOCKS) - 1)]
