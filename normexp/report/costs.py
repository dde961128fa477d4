"""How what momenta cost is drawn: excess loss, a line for everything that differs otherwise."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from normexp.report.axes import momenta, values
from normexp.report.cells import Cell
from normexp.report.curve import EXCESS, Frame, Rows, cut, rows_of, tips
from normexp.report.series import HEIGHT, WIDTH
from normexp.report.style import INK, SOFT, Palette, zoom

if TYPE_CHECKING:
    import altair as alt

    from normexp.report.figure import Chart

MOST_INTERVALS = 3
"""Lines in one chart whose intervals can be told apart."""


def costs(found: Sequence[Cell]) -> "Chart":
    """Excess loss by momentum, a line a cell, both axes logarithmic; predicted costs dashed."""
    import altair as alt

    axis = momenta(found, narrow=False)
    rows = [
        row
        for cell in found
        for row in rows_of(cell, axis, EXCESS)
        if row["what"] in ("point", "course", "best", "aside")
    ]
    shown = [row for row in rows if row["what"] == "point"]
    log = any(row["y"] > 0 for row in shown)
    low, high = _positive(shown) if log else values(shown, log=False)
    frame = Frame(axis, low, high, log, "excess loss", narrow=False)
    rows = [_lifted(cut(row, frame), frame) for row in _once(rows)]
    layers = _lines(found, frame)
    data = alt.InlineData(values=[{**row, "where": row["cell"] or "measured"} for row in rows])
    made: Chart = alt.layer(*layers, data=data, width=WIDTH, height=HEIGHT).resolve_axis(
        x="independent"
    )
    return made


def _once(rows: Rows) -> Rows:
    """The rows with a single label of the cumulative mean, which all lines have at one place."""
    aside = [row for row in rows if row["what"] == "aside"]
    return [row for row in rows if row["what"] != "aside" or row is aside[0]]


def _lifted(row: dict[str, Any], frame: Frame) -> dict[str, Any]:
    """What a logarithmic axis cannot have stands at its lower end."""
    return {**row, "y": max(row["y"], frame.bottom)} if frame.log else row


def _positive(rows: Rows) -> tuple[float, float]:
    """A logarithmic axis for means of which some may be below zero."""
    means = [row["y"] for row in rows if row["y"] > 0]
    tops = [row["high"] for row in rows if row.get("high", 0) > 0]
    return min(means) / 2, max([*means, *tops]) * 1.2


def _lines(found: Sequence[Cell], frame: Frame) -> "list[alt.Chart]":
    import altair as alt

    names = [each.name or "measured" for each in found]
    palette = Palette(tuple(names))
    looks = palette.looks()
    legend = alt.Legend(title=None, orient="top", columns=2) if len(found) > 1 else None

    def by(look: str) -> alt.Scale:
        return alt.Scale(domain=names, range=[looks[name][look] for name in names])

    color = alt.Color("where:N", scale=by("color"), legend=legend, sort=names)
    shape = alt.Shape("where:N", scale=by("shape"), legend=legend, sort=names)
    x, point = frame.axis.x(), frame.of("point")
    line = point.transform_filter("datum.momentum !== 'cumulative'").mark_line(clip=True)
    bars = point.mark_rule(opacity=0.3, strokeWidth=3, clip=True)
    bars = bars.encode(x=x, y=frame.y("shown"), y2="high:Q", color=color)
    intervals = [bars] if len(found) <= MOST_INTERVALS else []
    return [
        frame.of("course")
        .mark_line(strokeWidth=1.5, strokeDash=[2, 2], opacity=0.8, clip=True)
        .encode(x=frame.axis.x(side="top", keras=True), y=frame.y(), color=color),
        *intervals,
        line.encode(x=frame.axis.x(side="bottom"), y=frame.y(), color=color),
        point.mark_point(filled=True, opacity=1, size=60, clip=True)
        .encode(x=x, y=frame.y(), color=color, shape=shape,
                tooltip=[alt.Tooltip("where:N"), *tips(frame)])
        .add_params(zoom()),
        frame.of("best")
        .mark_point(color=INK, filled=False, size=240, strokeWidth=2, opacity=1, clip=True)
        .encode(x=x, y=frame.y(), tooltip=tips(frame)),
        *(
            frame.of("aside").mark_text(align="left", dx=9, clip=True, fill=SOFT)
            .encode(x=x, y=frame.y(), text="label:N"),
        ),
    ]  # fmt: skip
