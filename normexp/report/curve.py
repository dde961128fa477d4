"""How momentum curves are drawn: levels, rings and rules over a logarithmic axis of momenta."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normexp.console.words import number
from normexp.report.axes import ROOM, Momenta, momenta, positive, scale_of, values
from normexp.report.cells import Cell, Point
from normexp.report.momentum_words import PERCENT, keras
from normexp.report.series import HEIGHT, WIDTH
from normexp.report.style import ARM, GRID, INK, PAPER, SOFT, Palette, hidden, switchable, zoom

if TYPE_CHECKING:
    import altair as alt

    from normexp.report.figure import Chart

MOST_PANELS = 9

PANEL, COLUMNS = (270, 190), 3
"""A panel's width and height, and how many stand side by side where there is room."""

DEFAULTS = {0.1: "PyTorch's default", 0.01: "Keras's default"}

LITTLE, HEAD = 0.03, 0.2
"""Share of an axis of accuracies below and above them, for marks and words there."""

FAR = 30.0
"""Times the largest measured value, from which on a level is not drawn."""

SIDES = (("right", "left", 5), ("middle", "center", 0), ("left", "right", -5))
"""Of a mark that its words stand on, with their alignment and distance."""

EXCESS = "excess_loss"

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Frame:
    """What all layers of a chart have in common."""

    axis: Momenta
    bottom: float
    top: float
    log: bool
    title: str
    narrow: bool

    def y(self, field: str = "y") -> "alt.Y":
        """The encoding of values."""
        import altair as alt

        scale, axis = scale_of(self.bottom, self.top, log=self.log)
        return alt.Y(f"{field}:Q", scale=scale, title=self.title, axis=axis)

    def of(self, what: str) -> "alt.Chart":
        """A layer of the rows of a kind."""
        import altair as alt

        return alt.Chart().transform_filter(f"datum.what === '{what}'")


def curve(found: Sequence[Cell], metric: str, palette: Palette) -> "Chart":
    """A metric by momentum: one chart of one cell, a panel a cell of several, all on one scale.

    Args:
        found: with at least one finite value.
        metric: `test_loss` or `excess_loss`, on a logarithmic axis, or `test_accuracy`.
        palette: of the arms, whose looks the points have.
    """
    import altair as alt

    narrow = len(found) > 1
    axis = momenta(found, narrow=narrow)
    rows = [row for cell in found for row in rows_of(cell, axis, metric)]
    frame = _frame(rows, axis, metric, narrow=narrow)
    rows = [_look(_shown(row, frame), palette) for row in rows]
    layers = [
        *([] if narrow else _defaults(frame)),
        *_levels(frame),
        *_predicted(frame),
        *_measured(frame),
        *_words(frame),
    ]
    width, height = PANEL if narrow else (WIDTH, HEIGHT)
    data = alt.InlineData(values=rows)
    if not narrow:
        single = alt.layer(*layers, data=data, width=width, height=height)
        made: Chart = single.resolve_axis(x="independent").add_params(hidden())
        return made
    facet = alt.Facet("cell:N", title=None, sort=[each.name for each in found])
    panel = alt.layer(*layers).properties(width=width, height=height)
    panels = panel.resolve_axis(x="independent").facet(
        facet, data=data, columns=min(COLUMNS, len(found))
    )
    several: Chart = panels.resolve_axis(x="independent").add_params(hidden())
    return several


def _frame(rows: Rows, axis: Momenta, metric: str, *, narrow: bool) -> Frame:
    """What the layers of these rows have in common."""
    measured = [row for row in rows if row["what"] in ("point", "level")]
    points = [row for row in measured if row["what"] == "point"]
    if metric == EXCESS:
        log = any(row["y"] > 0 for row in points)
        low, high = positive(points) if log else values(points, log=False, room=ROOM)
    else:
        log = metric == "test_loss" and all(row["y"] > 0 for row in points)
        low, high = values(measured, log=log, room=ROOM * (2 if narrow else 1))
        if metric == "test_accuracy":
            low, high = max(low, 0.0), min(high, 1.0)
            low, high = low - LITTLE * (high - low), high + HEAD * (high - low)
    return Frame(axis, low, high, log, metric.replace("_", " "), narrow=narrow)


def _look(row: dict[str, Any], palette: Palette) -> dict[str, Any]:
    """A point with its arm's colour and shape, as the legend has them; else in ink."""
    if "n" not in row:
        return row
    looks = palette.looks().get(row[ARM], {"color": INK, "shape": "circle"})
    return {**row, "color": looks["color"], "shape": looks["shape"]}


def rows_of(cell: Cell, axis: Momenta, metric: str) -> Iterator[dict[str, Any]]:
    """What is drawn of a cell, each kind under its own `what`."""
    points = [_point(each, axis, metric) for each in cell.measured(metric) if each.momentum != 0]
    best = cell.best(metric)
    yield from ({"cell": cell.name, **each} for each in points)
    for each in points:
        if best and each["momentum"] == best.words:
            label, side = f"best: {best.words}", axis.side(each["x"])
            yield {**each, "cell": cell.name, "what": "best", "label": label, "side": side}
        if each["momentum"] == "cumulative" and best and best.momentum is not None:
            yield {**each, "cell": cell.name, "what": "aside", "label": "cumulative"}
    most = max((each["y"] for each in points), default=math.inf)
    levels = {"population": cell.population(metric), "no norm": _plain(cell, metric)}
    levels = {} if metric == EXCESS else levels
    for name, level in levels.items():
        if level and math.isfinite(level.mean) and 0 < level.mean <= FAR * most:
            mean = _short(level.mean)
            label = f"{name} {number(level.mean)}"
            is_left = (name == "population") != (best is not None and axis.is_left(best.momentum))
            side = "left" if is_left else "right"
            row = {"what": "level", "cell": cell.name, "y": mean, "label": label}
            yield row | {"level": name, "side": side}
    yield from ({"cell": cell.name, **each} for each in _course(cell, axis, metric))


def _point(point: Point, axis: Momenta, metric: str) -> dict[str, Any]:
    value = point.value(metric)
    made: dict[str, Any] = {
        "what": "point",
        "x": axis.edge if point.momentum is None else point.momentum,
        "y": _short(value.mean),
        "mean": _short(value.mean),
        "momentum": point.words,
        ARM: point.name,
        "keras": "–" if point.momentum is None else keras(point.momentum),
        "n": value.n,
    }
    if math.isfinite(value.half_width):
        made["low"] = _short(value.mean - value.half_width)
        made["high"] = _short(value.mean + value.half_width)
    return made


def _course(cell: Cell, axis: Momenta, metric: str) -> Iterator[dict[str, Any]]:
    """The best momentum predicted, and of losses the predicted course."""
    if cell.forecast is None:
        return
    best = cell.forecast.best.momentum
    if best > 0:
        label = f"predicted best: {best:g}"
        side = "right" if axis.is_left(best) else "left"
        yield {"what": "rule", "x": best, "label": label, "side": side}
    level = cell.population("test_loss")
    if metric == EXCESS or (metric == "test_loss" and level and math.isfinite(level.mean)):
        base = level.mean if level and metric != EXCESS else 0.0
        for each in cell.forecast.tried:
            if axis.least <= each.momentum <= axis.most and math.isfinite(each.cost):
                yield {
                    "what": "course",
                    "x": each.momentum,
                    "y": _short(base + each.cost),
                    "momentum": f"{each.momentum:g}",
                    "keras": keras(each.momentum),
                }


def _plain(cell: Cell, metric: str) -> Any:  # noqa: ANN401  an estimate or nothing
    return cell.plain.estimates.get(metric) if cell.plain else None


def _short(value: float) -> float:
    """To the digits that a chart can show."""
    return float(f"{value:.5g}")


def _shown(row: dict[str, Any], frame: Frame) -> dict[str, Any]:
    """A row within the axis: a logarithmic one has no place for zero and less."""
    floor = frame.bottom if frame.log else -math.inf
    row = {**row, "y": max(row["y"], floor)} if "y" in row else row
    if "low" in row and row["high"] > floor:
        row["shown"] = max(row["low"], floor)
    return row


def _defaults(frame: Frame) -> "list[alt.Chart]":
    """Where the defaults of two frameworks are, for those who never typed a momentum."""
    import altair as alt

    there = [
        {"x": momentum, "label": label}
        for momentum, label in DEFAULTS.items()
        if frame.axis.low < momentum < frame.axis.high
    ]
    base = alt.Chart(alt.InlineData(values=there)).encode(x=frame.axis.x())
    text: dict[str, Any] = {"align": "left", "dx": 5, "dy": -6, "fontSize": 11}
    return [
        base.mark_rule(color=GRID, strokeWidth=1.5),
        base.mark_text(fill=SOFT, **text).encode(text="label:N", y=alt.value("height")),
    ]


def _levels(frame: Frame) -> "list[alt.Chart]":
    """What the weights are worth under the population's statistics, and what no norm gives."""
    import altair as alt

    dashes = alt.StrokeDash(
        "level:N",
        scale=alt.Scale(domain=["population", "no norm"], range=[[7, 4], [2, 3]]),
        legend=None,
    )
    rule = frame.of("level").mark_rule(color=SOFT, strokeWidth=1.5, clip=True)
    return [rule.encode(y=frame.y(), strokeDash=dashes, tooltip=[alt.Tooltip("label:N")])]


def _predicted(frame: Frame) -> "list[alt.Chart]":
    import altair as alt

    course = frame.of("course").mark_line(color=INK, strokeWidth=1.5, strokeDash=[2, 2], clip=True)
    rule = frame.of("rule").mark_rule(color=INK, strokeDash=[2, 2], strokeWidth=1.5)
    tip = [alt.Tooltip("label:N", title="by the training loss")]
    return [
        course.encode(x=frame.axis.x(side="top", keras=True), y=frame.y()),
        rule.encode(x=frame.axis.x(), tooltip=tip),
    ]


def _measured(frame: Frame) -> "list[alt.Chart]":
    import altair as alt

    x, base = frame.axis.x(), switchable(frame.of("point"))
    color, shape = (alt.Color("color:N", scale=None), alt.Shape("shape:N", scale=None))
    interval = base.transform_filter("isValid(datum.high)").mark_rule(
        opacity=0.5, strokeWidth=3, clip=True
    )
    line = base.transform_filter("datum.momentum !== 'cumulative'").mark_line(
        color=INK, strokeWidth=1.5, clip=True
    )
    point = base.mark_point(filled=True, opacity=1, size=55 if frame.narrow else 80, clip=True)
    ring = switchable(frame.of("best")).mark_point(
        color=INK, filled=False, size=190 if frame.narrow else 260, strokeWidth=2, opacity=1
    )
    return [
        line.encode(x=frame.axis.x(side="bottom"), y=frame.y()),
        interval.encode(x=x, y=frame.y("shown"), y2="high:Q", color=color),
        point.encode(x=x, y=frame.y(), color=color, shape=shape,
                     tooltip=_tips(frame)).add_params(zoom()),
        ring.encode(x=x, y=frame.y(), tooltip=_tips(frame)),
    ]  # fmt: skip


def _tips(frame: Frame) -> "list[alt.Tooltip]":
    """What a point says of itself."""
    import altair as alt

    return [
        *([alt.Tooltip("cell:N", title="where")] if frame.narrow else []),
        alt.Tooltip("momentum:N", title="momentum (PyTorch)"),
        alt.Tooltip("keras:N", title="Keras"),
        alt.Tooltip("mean:Q", title=frame.title, format=".4g"),
        alt.Tooltip("low:Q", title=f"95{PERCENT} from", format=".4g"),
        alt.Tooltip("high:Q", title="to", format=".4g"),
        alt.Tooltip("n:Q", title="seeds"),
    ]


def _words(frame: Frame) -> "list[alt.Chart]":
    """Labels, each over a rim of paper so that no line crosses them."""
    import altair as alt

    x, y = frame.axis.x(), frame.y()
    texts: list[alt.Chart] = []
    for rim in (True, False):
        look: dict[str, Any] = {"fontSize": 11 if frame.narrow else 12}
        look |= {"stroke": PAPER, "strokeWidth": 4, "fill": PAPER} if rim else {}

        def text(what: str, look: dict[str, Any] = look, **place: Any) -> "alt.Chart":  # noqa: ANN401
            found: alt.Chart = switchable(frame.of(what)).mark_text(**(look | place))
            return found.encode(text="label:N")

        soft: dict[str, Any] = {} if rim else {"fill": SOFT}
        texts += [
            *(
                text("level", align=side, dx=dx, dy=dy, clip=True, **soft)
                .transform_filter(f"datum.level === '{level}' && datum.side === '{side}'")
                .encode(x=alt.value(at), y=y)
                for level, dy in (("population", 11), ("no norm", -7))
                for side, dx, at in (("left", 4, 0), ("right", -4, "width"))
            ),
            *(
                []  # in panels the note says it
                if frame.narrow
                else [text("aside", align="left", dx=8, dy=-9).encode(x=x, y=y)]
            ),
            *(
                text("rule", align=align, dx=dx)
                .transform_filter(f"datum.side === '{side}'")
                .encode(x=x, y=alt.value(8))
                for side, align, dx in SIDES
            ),
            *(
                text("best", align=align, dx=2 * dx, dy=20, fontWeight="bold")
                .transform_filter(f"datum.side === '{side}'")
                .encode(x=x, y=y)
                for side, align, dx in SIDES
            ),
        ]
    return texts
