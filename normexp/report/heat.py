"""Heat maps: a metric over the two axes of a study that say most, momentum first."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from normexp.config.field import spell
from normexp.console.words import NOTHING, SKEWED_NOTE, counted, heading, interval, number
from normexp.report.figure import Drawn, Figure, LeftOut, Table
from normexp.report.grid import Map, Square, axes_of, map_of, sign
from normexp.report.naming import arm_name
from normexp.report.series import WIDTH
from normexp.report.source import MOMENTUM, SOURCE, Source
from normexp.report.style import GRID, INK, SOFT

if TYPE_CHECKING:
    import altair as alt

    from normexp.report.figure import Chart

TITLE = "Heat map"

CELL = 34
"""Height of a cell, in pixels."""

PANEL = 330
"""Width of one map of several, in pixels."""

MARGIN = 60
"""What axes take of a map's width, in pixels."""

STAR = "★ "

DIGIT = 7.2
"""Width of a character in a cell, in pixels."""

SPAN = 1000.0
"""Times the best loss from which on colours no longer differ."""

DARK, BRIGHT = "#10151a", "#ffffff"
"""Words on bright and on dark cells, by light and dark alike: cells keep their colours."""

SCHEME: Literal["viridis"] = "viridis"


def heat(source: Source) -> Drawn:
    """Test loss, and accuracy of labels, over two axes."""
    wanted = ["test_loss", *(["test_accuracy"] if source.on_labels else [])]
    axes = axes_of(source)
    if axes is None:
        return [LeftOut(TITLE, "no two fields have two values each that go together")]
    found = [(metric, map_of(source, axes, metric)) for metric in wanted]
    return [
        _figure(made, metric)
        if made.best(metric)
        else LeftOut(TITLE, f"no run has a finite {metric.replace('_', ' ')}")
        for metric, made in found
    ]


def _figure(made: Map, metric: str) -> Figure:
    what = metric.replace("_", " ")
    across, up = (_title(path) for path in made.axes[:2])
    panels = len(made.values(2))
    each = f", one for each {_title(made.axes[2])}" if panels > 1 else ""
    return Figure(
        name="heat-map" if metric == "test_loss" else "heat-map-accuracy",
        title=f"{what.capitalize()} by {across} and {up}",
        sentence=_sentence(made, metric),
        description=f"{counted(panels, 'heat map')}{each}: mean {what} by {across}, to the right, "
        f"and {up}, upwards; {len(made.values(0))} by {len(made.values(1))} cells, the better the "
        "brighter, the best with a frame and a star.",
        chart=_chart(made, metric),
        table=_table(made, metric),
        note=_note(made, metric),
    )


def _title(path: str) -> str:
    return heading(path, keras=False).replace("\n", " ")


def _place(made: Map, square: Square) -> str:
    """Where a square is, in words."""
    values = zip(made.axes, (square.x, square.y, square.panel), strict=False)
    return ", ".join(f"{_title(path)} {_spelled(path, value)}" for path, value in values)


def _spelled(path: str, value: Any) -> str:  # noqa: ANN401
    if path == MOMENTUM:
        return "cumulative" if value is None else f"{value:g}"
    return NOTHING if value is None else spell(value)


def _sentence(made: Map, metric: str) -> str:
    best = made.best(metric)
    assert best is not None  # noqa: S101  the caller has looked
    assert best.arm is not None  # noqa: S101
    known = [each for each in made.squares if math.isfinite(each.mean(metric))]
    worst = max(known, key=lambda each: sign(metric) * each.mean(metric))
    what = metric.replace("_", " ")
    text = f"Best is {_place(made, best)}: {what} {interval(best.arm.estimates[metric])}"
    low, high = best.mean(metric), worst.mean(metric)
    if worst is best:
        return text + "; nothing else is known."
    if sign(metric) > 0 and low > 0:
        return f"{text}. Worst is {_place(made, worst)}, {number(high / low)} times as high."
    return f"{text}. Worst is {_place(made, worst)}: {number(high)}."


def _note(made: Map, metric: str) -> str:
    log = sign(metric) > 0
    scale = "Colours are on a logarithmic scale. " if log else ""
    parts = [f"Means over seeds. {scale}A dash is a cell without a run. {SKEWED_NOTE}"]
    if made.rest:
        fields = ", ".join(_title(path) for path in made.rest)
        parts.append(f"Of arms that differ in {fields} a cell shows the best.")
    diverged = sum(each.arm is not None and not each.arm.n for each in made.squares)
    if diverged:
        parts.append(f"In {counted(diverged, 'cell')} every run diverged.")
    if MOMENTUM in made.axes:
        parts.append("Under each momentum stands Keras's, 1 − a; 1/t is the cumulative mean.")
    return " ".join(parts)


def _table(made: Map, metric: str) -> Table:
    best = made.best(metric)
    known = [each for each in made.squares if each.arm is not None]
    titles = [_title(path) for path in made.axes]
    rest = ("best of",) if made.rest else ()
    rows = tuple(
        (
            *(_spelled(path, value) for path, value in
              zip(made.axes, (each.x, each.y, each.panel), strict=False)),
            _value(each, metric),
            f"{each.arm.n}" if each.arm else NOTHING,
            *((f"{each.among}: {each.name}",) if made.rest else ()),
            "best" if each is best else "",
        )
        for each in known
    )  # fmt: skip
    return Table((*titles, metric.replace("_", " "), "seeds", *rest, ""), rows)


def _value(square: Square, metric: str) -> str:
    if square.arm is None:
        return NOTHING
    if not square.arm.n:
        return "diverged"
    found = square.arm.estimates.get(metric)  # accuracy is of labels only
    return interval(found) if found else NOTHING


def _chart(made: Map, metric: str) -> "Chart":
    import altair as alt

    panels = made.values(2)
    several = len(panels) > 1
    width = PANEL if several else WIDTH
    rows = _rows(made, metric)
    scale = _scale(rows, metric)
    need = max(len(row["text"]) for row in rows) * DIGIT * len(made.values(0))
    if need > width - MARGIN:  # the frame alone says which is best
        rows = [{**row, "text": row["text"].removeprefix(STAR)} for row in rows]
        need = max(len(row["text"]) for row in rows) * DIGIT * len(made.values(0))
    for row in rows:
        row["words"] = DARK if _share(row.get("value"), scale) > 0.5 else BRIGHT  # noqa: PLR2004
    layers = _layers(made, metric, scale, need)
    height = CELL * len(made.values(1))
    data = alt.InlineData(values=rows)
    if not several:
        return alt.layer(*layers, data=data, width=width, height=height)
    facet = alt.Facet("panel:N", title=None, sort=[_named(made, panel) for panel in panels])
    shown = alt.layer(*layers).properties(width=width - MARGIN, height=height)
    return shown.facet(facet, data=data, columns=2)


def _named(made: Map, panel: Any) -> str:  # noqa: ANN401
    if len(made.axes) < 3:  # noqa: PLR2004
        return ""
    path = made.axes[2]
    if path == SOURCE:
        return f"{panel}"
    if path == "norm.estimator" or panel is None:
        return f"{_title(path)} {_spelled(path, panel)}"
    return arm_name({path: panel}, [path])


def _rows(made: Map, metric: str) -> list[dict[str, Any]]:
    best, rows = made.best(metric), []
    for each in made.squares:
        mean, arm = each.mean(metric), each.arm
        row: dict[str, Any] = {
            "x": _label(made.axes[0], each.x),
            "y": _label(made.axes[1], each.y),
            "panel": _named(made, each.panel),
            "text": NOTHING,
            "what": "nothing",
        }
        if arm is not None:
            row |= {"arm": each.name, "n": arm.n, "said": _value(each, metric)}
            row["text"] = "div." if not arm.n else NOTHING
        if math.isfinite(mean) and (mean > 0 or sign(metric) < 0):
            star = STAR if each is best else ""
            row |= {"value": float(f"{mean:.5g}"), "text": f"{star}{_brief(mean)}"}
            row["what"] = "best" if each is best else "value"
        rows.append(row)
    return rows


def _brief(value: float) -> str:
    """Three digits, which is what a cell has room for."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e5 else f"{value:.3g}"  # noqa: PLR2004


def _label(path: str, value: Any) -> str:  # noqa: ANN401
    """A value on an axis; a momentum with Keras's below it."""
    if path == MOMENTUM and value is not None:
        return f"{value:g}|{1 - value:.6g}"
    if path == MOMENTUM:
        return "1/t"
    return _spelled(path, value)


def _scale(rows: Sequence[dict[str, Any]], metric: str) -> tuple[float, float, bool]:
    """Ends of the colours, and whether they are logarithmic."""
    known = [row["value"] for row in rows if "value" in row]
    if sign(metric) < 0:
        return min(known), max(known), False
    low = min(known)
    return low, max(min(max(known), low * SPAN), low * 1.0001), True


def _share(value: float | None, scale: tuple[float, float, bool]) -> float:
    """How bright a cell is, from 0 to 1."""
    low, high, log = scale
    if value is None or low == high:
        return 1.0
    if log:
        return 1 - min(1.0, math.log(value / low) / math.log(high / low))
    return (value - low) / (high - low)


def _layers(
    made: Map, metric: str, scale: tuple[float, float, bool], need: float
) -> "list[alt.Chart]":
    import altair as alt

    low, high, log = scale
    title = metric.replace("_", " ")
    x = _position(alt.X, "x", made, 0)
    y = _position(alt.Y, "y", made, 1)
    kind: Any = "log" if log else "linear"
    colors = alt.Scale(type=kind, domain=[low, high], scheme=SCHEME, reverse=log, clamp=True)
    legend = alt.Legend(title=title, orient="top", gradientLength=200, format=",.3~r", tickCount=3)
    tips = [
        *(
            alt.Tooltip(f"{name}:N", title=_title(path).replace("momentum", "momentum | Keras"))
            for name, path in zip(("x", "y"), made.axes, strict=False)
        ),
        alt.Tooltip("said:N", title=title),
        alt.Tooltip("n:Q", title="seeds"),
        alt.Tooltip("arm:N"),
    ]
    known = "datum.what !== 'nothing'"
    cells = alt.Chart().encode(x=x, y=y)
    empty = cells.transform_filter("datum.what === 'nothing'")
    layers = [
        cells.transform_filter(known)
        .mark_rect(stroke=None)
        .encode(color=alt.Color("value:Q", scale=colors, legend=legend), tooltip=tips),
        empty.mark_rect(fill="transparent", stroke=GRID, strokeDash=[3, 3]).encode(tooltip=tips),
        empty.mark_text(fill=SOFT).encode(text="text:N"),
        cells.transform_filter("datum.what === 'best'")
        .mark_rect(filled=False, stroke=INK, strokeWidth=5)
        .encode(tooltip=tips),
        cells.transform_filter("datum.what === 'best'")
        .mark_rect(filled=False, stroke=DARK, strokeWidth=3)
        .encode(tooltip=tips),
    ]
    wide = "child_width" if len(made.values(2)) > 1 else "width"  # as Vega-Lite calls a panel's
    fits = alt.ExprRef(expr=f"{wide} >= {need:.0f} ? 1 : 0")  # a page's chart may be narrow
    text = cells.transform_filter(known).mark_text(opacity=fits)
    words = alt.Fill("words:N", scale=None, legend=None)
    return [*layers, text.encode(text="text:N", fill=words, tooltip=tips)]


def _position(kind: Any, name: str, made: Map, axis: int) -> Any:  # noqa: ANN401  X and Y alike
    import altair as alt

    path = made.axes[axis]
    labels = [_label(path, value) for value in made.values(axis)]
    title = _title(path)
    if path == MOMENTUM:
        title = "momentum (below it Keras's)" if name == "x" else "momentum · Keras's"
    split = "split(datum.label, '|')" if name == "x" else "replace(datum.label, '|', ' · ')"
    return kind(
        f"{name}:N",
        sort=labels if name == "x" else labels[::-1],
        title=title,
        scale=alt.Scale(paddingInner=0.04, paddingOuter=0),
        axis=alt.Axis(
            labelExpr=split, labelAngle=0, labelOverlap=len(labels) > 12,  # noqa: PLR2004
            ticks=False, domain=False, grid=False,
        ),
    )  # fmt: skip
