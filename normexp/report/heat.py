"""Heat maps: a metric over the two axes of a study that say most, momentum first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normexp.analysis import Arm
from normexp.analysis.alike import in_order
from normexp.config.field import spell
from normexp.console.words import NOTHING, counted, heading, interval, number
from normexp.report.figure import Drawn, Figure, LeftOut, Table
from normexp.report.naming import arm_name
from normexp.report.series import WIDTH
from normexp.report.source import MOMENTUM, SOURCE, Source
from normexp.report.style import GRID, SOFT

if TYPE_CHECKING:
    import altair as alt

    from normexp.report.figure import Chart

TITLE = "Heat map"

FIRST = (MOMENTUM, "train.batch_size", "optim.lr", "model.width", "model.depth", "train.epochs",
         "norm.kind", "norm.placement", "norm.estimator")  # fmt: skip
"""Axes in the order in which they are chosen; then the others as the schema has them."""

MOST_VALUES = 24
"""Of an axis: more could not be read."""

MOST_PANELS = 4
"""Values of a third axis that get a map each."""

FILLED = 0.5
"""Share of a map's cells that must have runs."""

CELL = 34
"""Height of a cell, in pixels."""

PANEL = 330
"""Width of one map of several, in pixels."""

DIGIT = 8.5
"""Width of a character in a cell, in pixels."""

SPAN = 1000.0
"""Times the best loss from which on colours no longer differ."""

DARK, BRIGHT = "#10151a", "#ffffff"
"""Words on bright and on dark cells, by light and dark alike: cells keep their colours."""

SCHEME = "viridis"


@dataclass(frozen=True)
class Square:
    """What stands in a cell of a map.

    Attributes:
        x: a value of the axis that goes right.
        y: of the one that goes up.
        panel: of the third.
        arm: the best of those that have these values; None where there is none.
        name: of this arm.
        among: arms that it is the best of.
    """

    x: Any
    y: Any
    panel: Any
    arm: Arm | None
    name: str = ""
    among: int = 0

    def mean(self, metric: str) -> float:
        """Mean of a metric; NaN where nothing is known."""
        found = self.arm and self.arm.estimates.get(metric)
        return found.mean if found else math.nan


@dataclass(frozen=True)
class Map:
    """A grid of squares.

    Attributes:
        axes: the fields that go right and up, and that of the panels, if there is one.
        rest: fields that differ within a square.
        squares: all of them, panel by panel.
    """

    axes: tuple[str, ...]
    rest: tuple[str, ...]
    squares: tuple[Square, ...]

    def values(self, axis: int) -> list[Any]:
        """The values of an axis, in order."""
        of = [(each.x, each.y, each.panel)[axis] for each in self.squares]
        return list({repr(value): value for value in of}.values())

    def best(self, metric: str) -> Square | None:
        """The square with the least loss, or the largest accuracy."""
        known = [each for each in self.squares if math.isfinite(each.mean(metric))]
        return min(known, key=lambda each: _sign(metric) * each.mean(metric), default=None)


def heat(source: Source) -> Drawn:
    """Test loss, and accuracy of labels, over two axes."""
    wanted = ["test_loss", *(["test_accuracy"] if source.on_labels else [])]
    axes = _axes(source)
    if axes is None:
        return [LeftOut(TITLE, "no two fields have two values each that go together")]
    found = [(metric, _map(source, axes, metric)) for metric in wanted]
    return [
        _figure(made, metric)
        if made.best(metric)
        else LeftOut(TITLE, f"no run has a finite {metric.replace('_', ' ')}")
        for metric, made in found
    ]


def _sign(metric: str) -> int:
    return -1 if "accuracy" in metric else 1


def _axes(source: Source) -> tuple[str, ...] | None:
    """The first two fields that make a grid, and a third of few values."""
    fields = sorted(source.fields, key=lambda path: FIRST.index(path) if path in FIRST else 99)
    fields = [path for path in fields if path != SOURCE]
    for i, x in enumerate(fields):
        for y in fields[i + 1 :]:
            if _is_grid(source.arms, x, y):
                rest = [path for path in fields if path not in (x, y)]
                first = [SOURCE] if SOURCE in source.fields else []
                third = [path for path in [*first, *rest] if _is_third(source, (x, y), path)]
                return (x, y, *third[:1])
    return None


def _is_grid(arms: Sequence[Arm], x: str, y: str) -> bool:
    pairs = {
        (repr(a.values[x]), repr(a.values[y])) for a in arms if x in a.values and y in a.values
    }
    wide, high = (len({pair[i] for pair in pairs}) for i in (0, 1))
    fits = 2 <= wide <= MOST_VALUES and 2 <= high <= MOST_VALUES  # noqa: PLR2004
    return fits and len(pairs) >= FILLED * wide * high


def _is_third(source: Source, axes: tuple[str, str], path: str) -> bool:
    there = [each for each in source.arms if all(axis in each.values for axis in axes)]
    values = {repr(each.values.get(path)) for each in there}
    return 2 <= len(values) <= MOST_PANELS  # noqa: PLR2004


def _map(source: Source, axes: tuple[str, ...], metric: str) -> Map:
    x, y = axes[:2]
    grouped: dict[str, list[tuple[str, Arm]]] = {}
    kept = [
        (name, arm)
        for name, arm in zip(source.arm_names, source.arms, strict=True)
        if x in arm.values and y in arm.values
    ]
    for name, arm in kept:
        grouped.setdefault(repr([arm.values.get(path) for path in axes]), []).append((name, arm))
    ordered = [in_order(path, [arm.values.get(path) for _, arm in kept]) for path in axes]
    panels = ordered[2] if len(axes) > 2 else [None]  # noqa: PLR2004
    squares = [
        _square(across, up, panel, grouped.get(repr([across, up, panel][: len(axes)]), []), metric)
        for panel in panels
        for up in ordered[1]
        for across in ordered[0]
    ]
    differing = {
        path
        for path in source.fields
        if path not in axes
        and any(
            len({repr(arm.values.get(path)) for _, arm in members}) > 1
            for members in grouped.values()
        )
    }
    rest = tuple(path for path in source.fields if path in differing)
    return Map(axes, rest, tuple(squares))


def _square(x: Any, y: Any, panel: Any, arms: list[tuple[str, Arm]], metric: str) -> Square:  # noqa: ANN401
    if not arms:
        return Square(x, y, panel, None)

    def rank(each: tuple[str, Arm]) -> float:
        mean = each[1].estimates[metric].mean if metric in each[1].estimates else math.nan
        return _sign(metric) * mean if math.isfinite(mean) else math.inf

    name, arm = min(arms, key=rank)
    return Square(x, y, panel, arm, name, len(arms))


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
    worst = max(known, key=lambda each: _sign(metric) * each.mean(metric))
    what = metric.replace("_", " ")
    text = f"Best is {_place(made, best)}: {what} {interval(best.arm.estimates[metric])}"
    low, high = best.mean(metric), worst.mean(metric)
    if worst is best:
        return text + "; nothing else is known."
    if _sign(metric) > 0 and low > 0:
        return f"{text}. Worst is {_place(made, worst)}, {high / low:.3g} times as high."
    return f"{text}. Worst is {_place(made, worst)}: {number(high)}."


def _note(made: Map, metric: str) -> str:
    log = _sign(metric) > 0
    scale = "Colours are on a logarithmic scale. " if log else ""
    parts = [f"Means over seeds. {scale}A dash is a cell without a run."]
    if made.rest:
        fields = ", ".join(_title(path) for path in made.rest)
        parts.append(f"Of arms that differ in {fields} a cell shows the best.")
    diverged = sum(each.arm is not None and not each.arm.n for each in made.squares)
    if diverged:
        parts.append(f"In {counted(diverged, 'cell')} every run diverged.")
    if MOMENTUM in made.axes:
        parts.append("Under each momentum stands Keras's, 1 − a.")
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
    return interval(square.arm.estimates[metric]) if square.arm.n else "diverged"


def _chart(made: Map, metric: str) -> "Chart":
    import altair as alt

    panels = made.values(2)
    several = len(panels) > 1
    width = PANEL if several else WIDTH
    rows = _rows(made, metric)
    scale = _scale(rows, metric)
    room = (width - 60) / len(made.values(0))
    fits = max(len(row["text"]) for row in rows) * DIGIT <= room
    for row in rows:
        row["words"] = DARK if _share(row.get("value"), scale) > 0.5 else BRIGHT  # noqa: PLR2004
    layers = _layers(made, metric, scale, words=fits)
    height = CELL * len(made.values(1))
    data = alt.InlineData(values=rows)
    if not several:
        return alt.layer(*layers, data=data, width=width, height=height)
    facet = alt.Facet("panel:N", title=None, sort=[_named(made, panel) for panel in panels])
    shown = alt.layer(*layers).properties(width=width - 60, height=height)
    return shown.facet(facet, data=data, columns=2)


def _named(made: Map, panel: Any) -> str:  # noqa: ANN401
    if len(made.axes) < 3:  # noqa: PLR2004
        return ""
    path = made.axes[2]
    return arm_name({path: panel}, [path]) if panel is not None else f"{_title(path)} {NOTHING}"


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
        if math.isfinite(mean) and (mean > 0 or _sign(metric) < 0):
            star = "★ " if each is best else ""
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
    return _spelled(path, value)


def _scale(rows: Sequence[dict[str, Any]], metric: str) -> tuple[float, float, bool]:
    """Ends of the colours, and whether they are logarithmic."""
    known = [row["value"] for row in rows if "value" in row]
    if _sign(metric) < 0:
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
    made: Map, metric: str, scale: tuple[float, float, bool], *, words: bool
) -> "list[alt.Chart]":
    import altair as alt

    low, high, log = scale
    title = metric.replace("_", " ")
    x = _position(alt.X, "x", made, 0)
    y = _position(alt.Y, "y", made, 1)
    kind: Any = "log" if log else "linear"
    colors = alt.Scale(type=kind, domain=[low, high], scheme=SCHEME, reverse=log, clamp=True)
    legend = alt.Legend(title=title, orient="top", gradientLength=200, format=".3~s", tickCount=3)
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
        .mark_rect(filled=False, stroke=DARK, strokeWidth=3)
        .encode(tooltip=tips),
    ]
    text = cells.transform_filter(known if words else "datum.what === 'best'").mark_text()
    shown = "text:N" if words else alt.value("★")
    return [*layers, text.encode(text=shown, fill=alt.Fill("words:N", scale=None, legend=None))]


def _position(kind: Any, name: str, made: Map, axis: int) -> Any:  # noqa: ANN401  X and Y alike
    import altair as alt

    path = made.axes[axis]
    labels = [_label(path, value) for value in made.values(axis)]
    title = _title(path)
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
