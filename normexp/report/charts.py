"""The few charts that figures are made of, built from frames: bands, intervals and maps.

A frame has `mean`, `low`, `high` and `n` over seeds, as `means` gives them; missing intervals are
not drawn. A faceted chart has one set of data, so kinds of rows are told apart by `what`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from normexp.console.words import ticks
from normexp.insight.arms import half_width
from normexp.report.style import ARM, GRID, INK, PAPER, SOFT, Palette, hidden, switchable, zoom

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from normexp.report.figure import Chart

    Layers = tuple[list[alt.Chart], list[alt.Chart]]
    Extra = Callable[[Callable[[str], alt.Chart]], Layers]

Options = dict[str, Any]

WIDTH, HEIGHT = 680, 320
"""Of a chart by itself, in pixels."""

FAR = 2.0
"""Intervals widen an axis by at most this factor, or span/this on a linear axis."""

TINY = 1e-300
"""Zero and less on a logarithmic axis."""

BRIGHT, DARK_INK = "#ffffff", "#10151a"
"""Words on dark and on bright cells, by light and dark alike: cells keep their colours."""


def means(frame: "pd.DataFrame", value: str, by: Sequence[str]) -> "pd.DataFrame":
    """Mean, low, high and n over seeds of a column, by others; 95 % intervals by Student's t.

    Groups without a finite value are left out; of one value there is no interval.
    """
    import numpy as np

    finite = frame[np.isfinite(frame[value].astype(float))]
    found = finite.groupby(list(by), observed=True, sort=False)[value].agg(["mean", "std", "count"])
    half = half_width(found["std"], found["count"])
    found = found.assign(low=found["mean"] - half, high=found["mean"] + half)
    return found.rename(columns={"count": "n"}).drop(columns="std").reset_index()


def value_axis(
    title: str,
    frame: "pd.DataFrame",
    *,
    log: bool,
    within: tuple[float, float] = (-math.inf, math.inf),
    room: float = 0.04,
) -> Options:
    """Title, scale and ticks of an axis that shows all means, and intervals as far as sensible.

    Args:
        title: of the axis.
        frame: mean, and perhaps low and high, and `reference`, another mean.
        log: whether it is logarithmic; a mean that is not above zero is not shown then.
        within: values that there can be, such as 0 to 1 of a share.
        room: share of the axis kept free at either end.
    """
    import altair as alt
    import numpy as np

    def scaled(*columns: str) -> Any:  # noqa: ANN401  an array
        there = [name for name in columns if name in frame]
        values = frame[there].to_numpy(dtype=float).ravel()
        return np.log(np.maximum(values, TINY)) if log else values

    middle = scaled("mean", "reference")
    middle = middle[np.isfinite(middle) & (not log or middle > math.log(TINY))]
    bottom, top = middle.min(), middle.max()
    far = math.log(FAR) if log else ((top - bottom) or 1.0) / FAR
    lowest, highest = np.nanmin([bottom, *scaled("low")]), np.nanmax([top, *scaled("high")])
    bottom, top = max(lowest, bottom - far), min(highest, top + far)
    margin = room * ((top - bottom) or 1.0)
    low, high = (math.exp(end) if log else float(end) for end in (bottom - margin, top + margin))
    low, high = max(low, within[0]), min(high, within[1])
    kind: Options = {"type": "log"} if log else {"zero": False}
    round_ones = ticks(low, high) if log else []
    axis: Options = {"values": round_ones} if len(round_ones) > 2 else {"tickCount": 5}  # noqa: PLR2004
    scale = alt.Scale(nice=False, domain=[low, high], **kind)
    return {"title": title, "scale": scale, "axis": alt.Axis(format=",~r", **axis)}


def count_axis(title: str, values: "pd.Series[float]") -> Options:
    """Title, scale and ticks of an axis of epochs: every whole number where there are few."""
    import altair as alt

    top = int(values.max())
    every: Options = {"values": list(range(top + 1))} if top <= 20 else {}  # noqa: PLR2004
    axis = alt.Axis(grid=False, format=",d", tickMinStep=1, **every)
    return {"title": title, "axis": axis, "scale": alt.Scale(nice=False, padding=8)}


def band_plot(  # noqa: PLR0913  the parts of a chart
    frame: "pd.DataFrame",
    palette: Palette,
    *,
    x: Options,
    y: Options,
    tips: Mapping[str, str],
    bands: bool = True,
    join: bool = True,
    facet: Options | None = None,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    extra: "Extra | None" = None,
) -> "Chart":
    """Means along an axis, an arm a line with its band, or points with intervals on one line.

    Args:
        frame: x, mean, low, high, `arm` of rows whose `what` is `point`; and others, for `extra`.
        palette: of the arms.
        x: of the axis along which they are, as `y` of the other.
        y: the same.
        tips: titles of columns that a point shows under the mouse.
        bands: whether intervals are drawn.
        join: whether each arm is a line; else all points are on one, in ink.
        facet: see `panels`, as `size`.
        size: the same.
        extra: makes layers under and over the points from those of a `what`.
    """
    import altair as alt

    frame = _on_axis(frame, y)
    size_of_marks = (50 if join else 80) if facet is None else (22 if join else 55)

    def of(what: str) -> "alt.Chart":
        return alt.Chart().transform_filter(f"datum.what === '{what}'")

    points = switchable(of("point"))
    arms = list(dict.fromkeys(frame[frame["what"] == "point"][ARM]))
    color = palette.encode("color", arms, "points" if join else "")
    value, at = alt.Y("mean:Q", **y), alt.X("x:Q", **x)
    quiet = at if join else alt.X("x:Q", scale=x["scale"], axis=None)  # one axis below is enough
    ranged = points.transform_filter("isValid(datum.high)").encode(
        quiet, alt.Y("low:Q", **y), alt.Y2("high:Q"), color
    )
    mark = points.mark_point(clip=True, opacity=1, size=size_of_marks).encode(
        quiet, value, color, palette.encode("shape", arms), tooltip=tooltips(tips)
    )
    if join:
        interval = ranged.mark_area(opacity=0.09, clip=True)
        line = points.mark_line(clip=True).encode(at, value, color, palette.encode("dash", arms))
    else:
        interval = ranged.mark_rule(opacity=0.5, strokeWidth=3, clip=True)
        line = points.transform_filter("!datum.apart").encode(at, value)
        line = line.mark_line(color=INK, strokeWidth=1.5, clip=True)
    below, above = extra(of) if extra else ([], [])
    layers = [*below, *([interval] if bands else []), line, mark.add_params(zoom()), *above]
    return panels(layers, frame, size, facet, axes="shared" if join else "independent")


def _on_axis(frame: "pd.DataFrame", axis: Options) -> "pd.DataFrame":
    """The frame with values below a logarithmic axis, such as zero, at its lower end."""
    if axis["scale"].to_dict().get("type") != "log":
        return frame
    floor = axis["scale"]["domain"][0]
    names = [name for name in ("mean", "low", "reference") if name in frame]
    return frame.assign(**{name: frame[name].clip(lower=floor) for name in names})


def panels(
    layers: "Sequence[alt.Chart]",
    frame: "pd.DataFrame",
    size: tuple[int, int],
    facet: Options | None,
    *,
    axes: Literal["shared", "independent"] = "shared",
) -> "Chart":
    """Layers as one chart of these rows, or as a panel a value of a field.

    `facet` has the field, its values in order, and how many panels are side by side; `axes` says
    whether layers and panels share their x axis.
    """
    import altair as alt

    data = alt.InlineData(values=plain(frame))
    whole = alt.layer(*layers).properties(width=size[0], height=size[1]).resolve_axis(x=axes)
    if facet is None:
        whole.data = data
        alone: Chart = whole.add_params(hidden())
        return alone
    lines = "split(replace(datum.label, ': ', ':, '), ', ')"
    header = alt.Header(labelExpr=lines, labelPadding=4, labelLimit=size[0])
    of = alt.Facet(f"{facet['field']}:N", title=None, sort=facet["sort"], header=header)
    faceted: Chart = whole.facet(facet=of, data=data, columns=facet["columns"]).resolve_axis(x=axes)
    made: Chart = faceted.add_params(hidden())
    return made


def dot_plot(
    frame: "pd.DataFrame",
    palette: Palette,
    *,
    x: Options,
    tips: Mapping[str, str],
    against: float | None = None,
) -> "Chart":
    """Means with intervals, a row a name.

    Args:
        frame: `name`, mean, low, high; `arm` where rows have colours; `reference`, another value of
            the same row; `faint` rows.
        palette: of the arms.
        x: of the axis of values.
        tips: titles of columns that a mark shows under the mouse.
        against: value of a rule over all rows.
    """
    import altair as alt

    frame, names = _on_axis(frame, x), list(frame["name"])
    long = max(map(len, names)) > 18  # noqa: PLR2004  such names stand above their rows
    look: Options = {"labelColor": INK, "ticks": False, "domain": False}
    if long:
        look |= {"labelAlign": "left", "labelOffset": -12, "labelPadding": -2, "labelLimit": 340}
    has_arms = ARM in frame
    color = palette.encode("color", names) if has_arms else alt.ColorValue(INK)
    y = alt.Y("name:N", sort=names, title=None, axis=alt.Axis(**look))
    base = alt.Chart().encode(y, color, tooltip=tooltips(tips))
    base = switchable(base) if has_arms else base
    faint = alt.condition("datum.faint", alt.value(0.45), alt.value(1.0))

    def at(name: str) -> "alt.X":
        return alt.X(f"{name}:Q", **x)

    known = base.transform_filter("isValid(datum.reference)")
    layers = [
        known.mark_bar(height=7, opacity=0.28).encode(at("reference"), alt.X2("mean:Q")),
        base.transform_filter("isValid(datum.high)")
        .mark_rule(strokeWidth=1.5, clip=True)
        .encode(at("low"), alt.X2("high:Q"), opacity=faint),
        known.mark_tick(thickness=2, size=16).encode(at("reference"), color=alt.value(SOFT)),
        base.mark_point(size=80, clip=True).encode(
            at("mean"), opacity=faint,
            shape=palette.encode("shape", names) if has_arms else alt.ShapeValue("circle"),
        ),
    ]  # fmt: skip
    if against is not None:
        rule = alt.Chart(alt.InlineData(values=[{"against": against}]))
        layers.insert(0, rule.mark_rule(strokeDash=[4, 3]).encode(at("against")))
    return panels(layers, frame, (520, (38 if long else 28) * len(names)), None)


def heat_map(  # noqa: PLR0913  the parts of a chart
    frame: "pd.DataFrame",
    *,
    x: Options,
    y: Options,
    title: str,
    log: bool,
    tips: Mapping[str, str],
    facet: Options | None = None,
) -> "Chart":
    """A cell a pair of values, the better the brighter; the best with a frame.

    Args:
        frame: x, y, `value`, `text` and whether it is the `best`.
        x: of the axis that goes right, as `y` of the one that goes up.
        y: the same.
        title: of the value.
        log: whether colours are logarithmic and small values the better ones.
        tips: titles of columns that a cell shows under the mouse.
        facet: the field, columns and order of panels.
    """
    import altair as alt

    known = frame["value"].dropna()
    low, high = float(known.min()), float(known.max())
    high = max(min(high, low * 1e3), low * 1.0001) if log else high
    middle = math.sqrt(low * high) if log else (low + high) / 2
    bright = f"datum.value {'<' if log else '>'} {middle}"
    scale = alt.Scale(type="log" if log else "linear", domain=[low, high], scheme="viridis",
                      reverse=log, clamp=True)  # fmt: skip
    legend = alt.Legend(title=title, orient="top", gradientLength=200, format=",.3~r", tickCount=3)
    width = 270 if facet else WIDTH
    need = frame["text"].map(len).max() * 7.2 * frame["x"].nunique()
    name = "child_width" if facet else "width"  # as Vega-Lite calls a panel's
    fits = alt.ExprRef(expr=f"{name} >= {need:.0f} ? 1 : 0")  # a page's chart may be narrow
    cells = alt.Chart().encode(alt.X("x:N", **x), alt.Y("y:N", **y), tooltip=tooltips(tips))
    there, none = (cells.transform_filter(f"{no}isValid(datum.value)") for no in ("", "!"))
    best = cells.transform_filter("datum.best")
    words = alt.condition(bright, alt.value(DARK_INK), alt.value(BRIGHT))
    layers = [
        there.mark_rect().encode(color=alt.Color("value:Q", scale=scale, legend=legend)),
        none.mark_rect(fill="transparent", stroke=GRID, strokeDash=[3, 3]),
        none.mark_text(fill=SOFT).encode(text="text:N"),
        best.mark_rect(filled=False, stroke=INK, strokeWidth=5),
        best.mark_rect(filled=False, stroke=DARK_INK, strokeWidth=3),
        there.mark_text(opacity=fits).encode(text="text:N", fill=words),
    ]
    return panels(layers, frame, (width, 34 * frame["y"].nunique()), facet)


def label(base: "alt.Chart", **look: Any) -> "list[alt.Chart]":  # noqa: ANN401  of a text mark
    """The column `label` as text over a rim of paper, so that no line crosses it."""
    rim = {**look, "stroke": PAPER, "strokeWidth": 4, "fill": PAPER}
    return [base.mark_text(**each).encode(text="label:N") for each in (rim, look)]


def tooltips(tips: Mapping[str, str]) -> "list[alt.Tooltip]":
    """Columns by their titles; those without a type of their own are numbers."""
    import altair as alt

    return [
        alt.Tooltip(name, title=title)
        if name.endswith(":N")
        else alt.Tooltip(f"{name}:Q", title=title, format=".4~g")
        for name, title in tips.items()
    ]


def plain(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as JSON has them: numbers to six digits, nothing where there is none."""
    return [
        {str(name): each for name, value in row.items() if (each := _plain(value)) is not None}
        for row in frame.to_dict("records")
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
