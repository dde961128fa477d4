"""The axes of a momentum curve: momenta on a logarithmic one, in both conventions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normexp.report.cells import Cell
from normexp.report.style import INK

if TYPE_CHECKING:
    import altair as alt

CUMULATIVE = 1.9
"""How far left of the least momentum the cumulative mean stands, as a factor."""

TICKS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

NEAR = 0.075
"""Share of the axis that a tick's label needs."""

CUT = 1.5
"""Times below the least value where intervals are cut off on a logarithmic axis."""

BESIDE = 0.1
"""Share of the axis at either end where a word does not fit."""

DIGITS = (
    (0.3, (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)),
    (0.8, (1, 1.5, 2, 3, 4, 5, 7)),
    (2, (1, 2, 5)),
    (3, (1, 3)),
    (math.inf, (1,)),
)
"""First digits of ticks on an axis of less than so many decades."""

LONG = 18
"""Characters from which on a name takes more room beside a chart than a phone has."""

ROW, HIGH_ROW = 28, 38
"""Heights of a row, beside its name and under it."""

MOST_DECADES = 7
"""With a tick each."""

ROOM = 0.12
"""Share of the values' range, or of its logarithm, that is kept free below for words."""


@dataclass(frozen=True)
class Momenta:
    """The axis of momenta.

    Attributes:
        low: its end.
        high: its other end.
        edge: where the cumulative mean stands.
        least: momentum that is measured or best predicted.
        most: of these.
        ticks: momenta with a label.
        beside: share of the axis at either end where words in the middle would be cut off.
        narrow: whether titles are short.
    """

    low: float
    high: float
    edge: float
    least: float
    most: float
    ticks: tuple[float, ...]
    beside: float
    narrow: bool

    def x(self, *, side: str | None = None, keras: bool = False) -> "alt.X":
        """The encoding; without a side it has no axis of its own."""
        import altair as alt

        scale = alt.Scale(type="log", domain=[self.low, self.high], nice=False)
        if side is None:
            return alt.X("x:Q", scale=scale, axis=None)
        axis = alt.Axis(
            orient=side,  # type: ignore[arg-type]  # bottom or top
            values=list(self.ticks),
            grid=False,
            labelOverlap=False,
            labelFlush=False,
            labelExpr=f"format({'1 - datum.value' if keras else 'datum.value'}, '.6~g')",
            title=self._title(keras=keras),
        )
        return alt.X("x:Q", scale=scale, axis=axis)

    def _title(self, *, keras: bool) -> str:
        if self.narrow:
            return "Keras: 1 − a" if keras else "PyTorch: a"
        return (
            "Keras: weight of the old value, 1 − a"
            if keras
            else ("PyTorch: weight of the newest batch, a")
        )

    def is_left(self, momentum: float | None) -> bool:
        """Whether it is in the left half."""
        return momentum is None or momentum**2 < self.low * self.high

    def side(self, momentum: float) -> str:
        """On which side of a momentum words have room: `left`, `right`, or `middle` for both."""
        share = math.log(momentum / self.low) / math.log(self.high / self.low)
        if share < self.beside:
            return "right"
        return "left" if share > 1 - self.beside else "middle"


def _lowest(row: Mapping[str, Any], floor: float, *, log: bool) -> float:
    low: float = row.get("low", row["y"])
    return max(low, floor) if log else low


def momenta(found: Sequence[Cell], *, narrow: bool) -> Momenta:
    """The axis of these cells.

    Args:
        found: with at least two momenta each.
        narrow: whether there is room for half as many labels.
    """
    points = [each.momentum for cell in found for each in cell.points]
    measured = sorted({each for each in points if each})
    best = [each.forecast.best.momentum for each in found if each.forecast]
    least, most = (f([*measured, *(each for each in best if each)]) for f in (min, max))
    edge = least / CUMULATIVE
    low = (edge if None in points else least) / 1.25
    high = most * 1.25
    near = NEAR * (2 if narrow else 1) * math.log(high / low)
    ticks: list[float] = []
    wanted = [min(measured), max(measured), 0.1, *measured, *TICKS]
    for each in wanted:
        inside = low <= each <= high
        if inside and all(abs(math.log(each / other)) > near for other in ticks):
            ticks.append(each)
    return Momenta(
        low, high, edge, least, most, tuple(sorted(ticks)), BESIDE * (2 if narrow else 1), narrow
    )


def values(rows: Sequence[Mapping[str, Any]], *, log: bool, room: float) -> tuple[float, float]:
    """The ends of the other axis: all means and levels, and as much of intervals as is sensible."""
    floor = min(row["y"] for row in rows) / CUT
    bottom = min(_lowest(row, floor, log=log) for row in rows)
    top = max(row.get("high", row["y"]) for row in rows)
    if log:
        span = math.log(top / bottom) or 1.0
        return bottom / math.exp(room * span), top * math.exp(0.5 * room * span)
    span = (top - bottom) or 1.0
    return bottom - room * span, top + 0.5 * room * span


def positive(rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """The ends of a logarithmic axis for means of which some may be below zero."""
    means = [row["y"] for row in rows if row["y"] > 0]
    tops = [row["high"] for row in rows if row.get("high", 0) > 0]
    return min(means) / 3, max([*means, *tops]) * 1.3


def scale_of(low: float, high: float, *, log: bool) -> "tuple[alt.Scale, alt.Axis]":
    """A scale with these ends, and an axis whose ticks are as many as are read at a glance."""
    import altair as alt

    if not log:
        return alt.Scale(nice=False, zero=False, domain=[low, high]), alt.Axis(tickCount=5)
    scale = alt.Scale(type="log", nice=False, domain=[low, high])
    return scale, alt.Axis(values=_round(low, high), format=",~r")


def _round(low: float, high: float) -> list[float]:
    """The round numbers between: some of every decade, the fewer the more decades there are."""
    decades = math.log10(high / low)
    digits = next(each for most, each in DIGITS if decades < most)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    step = max(1, round(decades / MOST_DECADES))
    every = [float(f"{digit}e{each}") for each in exponents if not each % step for digit in digits]
    return [value for value in every if low <= value <= high]


def names_axis(names: Sequence[str]) -> "tuple[alt.Axis, int]":
    """An axis of names, and a chart's height for it: long names stand above their rows."""
    import altair as alt

    look: dict[str, Any] = {"labelColor": INK, "ticks": False, "domain": False}
    if max(map(len, names), default=0) <= LONG:
        return alt.Axis(**look), ROW * len(names)
    above: dict[str, Any] = {
        "labelAlign": "left",
        "labelOffset": -12,
        "labelPadding": -2,
        "labelLimit": 340,
    }
    return alt.Axis(**look, **above), HIGH_ROW * len(names)
