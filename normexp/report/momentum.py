"""The momentum curve: each momentum's loss, what it costs, and what was predicted to be best."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from normexp.config.network import Own
from normexp.console.words import SKEWED_NOTE, keras, number
from normexp.insight.training import NO_NETWORK
from normexp.report.cells import Cell, best_sentence, cells, cost_sentence, forecast
from normexp.report.charts import (
    HEIGHT,
    SHOWN,
    WIDTH,
    ZOOMED,
    category,
    labels,
    layer,
    on_axis,
    panels,
    plain,
    quantity,
    tooltips,
    value_axis,
)
from normexp.report.figure import Drawn, Figure, LeftOut, Sign, Spec, Table, sentences, table
from normexp.report.source import UNKNOWN, Source, some
from normexp.report.style import ARM, GRID, INK, PERCENT, SOFT, SOLID, Palette, sign

if TYPE_CHECKING:
    from normexp.insight.forecast import Forecast

TITLE = "Momentum curve"
EXCESS = "excess_loss"
NAMES = {
    "test_loss": ("momentum-curve", TITLE),
    "test_accuracy": ("momentum-accuracy", "Momentum curve of accuracy"),
    EXCESS: ("momentum-excess", "What the momentum costs"),
}
"""Names and titles of figures by metric."""

MOST_PANELS = 9

DEFAULTS = {0.1: "PyTorch's default", 0.01: "Keras's default"}

CUMULATIVE = 1.9
"""Factor by which the cumulative mean stands left of the least momentum."""

TICKS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

NEAR = 0.075
"""Share of the axis that a tick's label needs."""

FAR = 30.0
"""Times the largest measured value, from which on a level is not drawn."""

CONVENTIONS = {
    "PyTorch": ("bottom", "weight of the newest batch, a", "datum.value"),
    "Keras": ("top", "weight of the old value, 1 − a", "1 - datum.value"),
}
"""Where the axis of each stands, and what it shows."""

LEVELS = {"population": (7, 4), "no norm": (8, 3, 2, 3)}
"""Dashes of levels."""

DOTS = (1, 3)
"""Dashes of what is predicted."""

NOTE = (
    "Intervals are Student's t; a point looks as its arm does in the legend, in ink where the arm "
    f"is not drawn there. {SKEWED_NOTE}"
)

PREDICTED = (
    "Predicted: population plus what the loss on training data rises by in evaluation "
    "mode under each momentum, median of the first {}; no test example is looked at. Below the "
    "population's, running statistics do better than its statistics."
)


def momentum(source: Source) -> Drawn:
    """Test loss, accuracy of labels and excess loss by momentum."""
    found = cells(source)
    if not found:
        return [LeftOut(TITLE, "no two runs differ in their momentum alone")]
    known = [cell for cell in found if cell.known("test_loss")]
    if not known:
        return [LeftOut(TITLE, "no run with a momentum has a finite test loss")]
    ranked = sorted(known, key=lambda cell: source.rank(cell.best("test_loss")))
    kept = [cell.name for cell in some(ranked, MOST_PANELS)]
    drawn, seeds, lost = forecast(source, [cell for cell in known if cell.name in kept])
    by_name = {cell.name: cell for cell in drawn}
    whole = [by_name.get(cell.name, cell) for cell in found]
    made = [_figure(source, whole, drawn, metric, seeds) for metric in (*source.metrics, EXCESS)]
    return [*made, *(LeftOut("Predicted cost", each) for each in lost)]


def _figure(
    source: Source, whole: Sequence[Cell], drawn: Sequence[Cell], metric: str, seeds: int
) -> Figure | LeftOut:
    (name, title), what = NAMES[metric], metric.replace("_", " ")
    known = [cell for cell in drawn if cell.known(metric)]
    if not known:
        return LeftOut(title, f"no {what} is finite")
    predicted = PREDICTED.format(f"{seeds} seeds" if seeds > 1 else "seed")
    if not seeds:
        predicted = "Nothing is predicted, which would take long here: normexp predict does."
        if source.complete[0]["model.kind"] == Own.kind:
            predicted = f"Nothing is predicted: {NO_NETWORK}."
    return Figure(
        name=name,
        title=title,
        sentence=cost_sentence(whole) if metric == EXCESS else best_sentence(whole, metric),
        chart=_chart(known, metric, source.palette),
        table=_table(whole, metric),
        key=_key(known, metric),
        note=sentences(
            NOTE,
            predicted if metric != "test_accuracy" else "",
            "The cumulative mean has no momentum and stands at the left edge."
            if any(None in cell.momenta.values() for cell in drawn) else "",
            "Costs that are not above zero stand at the lower end." if metric == EXCESS else "",
            f"{len(known)} of {len(whole)} combinations are drawn, from the best to the worst; the "
            "table has all." if len(known) < len(whole) else "",
        ),
    )  # fmt: skip


def _key(found: Sequence[Cell], metric: str) -> tuple[Sign, ...]:
    """The meaning of the marks that there are."""
    rows = [row for cell in found for row in _rows(cell, metric, edge=1.0)]
    there = {row[name] for row in rows for name in ("what", "level") if name in row}
    return (
        sign(f"mean and 95{PERCENT} interval over seeds", "upright", line=SOLID),
        sign("best measured", "ring"),
        *[sign("predicted", line=DOTS)] * ("course" in there),
        *[sign("predicted best", "triangle-down")] * ("predicted" in there),
        *(sign(of, color=SOFT, line=LEVELS[of]) for of in LEVELS if of in there),
    )


def _levels(metric: str) -> tuple[str, ...]:
    return tuple(LEVELS) if metric != EXCESS else ()


def _table(whole: Sequence[Cell], metric: str) -> Table:
    """Every momentum of every cell, and the levels under it."""
    what = metric.replace("_", " ")
    titles = ("where", "momentum", "Keras", "seeds", what, "predicted cost", "best")
    rows: list[tuple[Any, ...]] = []
    for cell in whole:
        arms = {value: arm for arm, value in cell.momenta.items()}
        best, made = cell.best(metric), cell.forecast
        costs: dict[float | None, float] = {}
        if made:
            costs = {each.momentum: each.cost for each in made.tried}
            arms.setdefault(made.best.momentum, "")
        for value, arm in arms.items():
            estimate = cell.source.estimate(arm, metric) if arm else UNKNOWN
            marks = ["measured"] * bool(arm and arm == best)
            marks += ["predicted"] * bool(made and value == made.best.momentum)
            rows.append((cell.name, _word(value), keras(value), estimate.n, estimate,
                         costs.get(value), " and ".join(marks)))  # fmt: skip
        levels = {of: cell.level(of, metric) for of in _levels(metric)}
        rows += [(cell.name, of, None, at.n, at, None, "") for of, at in levels.items() if at.n]
    alone = len(whole) == 1
    return table(titles[alone:], [row[alone:] for row in rows])


def _word(momentum: float | None) -> str:
    return "cumulative" if momentum is None else f"{momentum:g}"


def _chart(found: Sequence[Cell], metric: str, palette: Palette) -> Spec:
    """One chart of one cell, a panel a cell of several, all on one scale."""
    import pandas as pd

    narrow = len(found) > 1
    momenta = [value for cell in found for value in cell.momenta.values() if value]
    momenta += [best for cell in found if cell.forecast and (best := cell.forecast.best.momentum)]
    edge = min(momenta) / CUMULATIVE
    frame = pd.DataFrame([row for cell in found for row in _rows(cell, metric, edge)])
    measured = frame[frame["what"].isin(["point", "level"])]
    log = metric == EXCESS or (metric == "test_loss" and bool((measured["mean"] > 0).all()))
    log = log and bool((measured["mean"] > 0).any())
    y = value_axis(metric.replace("_", " "), measured, log=log, room=0.25 if narrow else 0.16)
    frame = frame[(frame["what"] != "course") | (frame["mean"] <= y["scale"]["domain"][1])]
    has_edge = any(None in cell.momenta.values() for cell in found)
    ends = ((edge if has_edge else min(momenta)) / 1.25, max(momenta) * 1.25)
    away = frame["what"] == "level"  # from the best one
    is_left = (frame["x"] < math.sqrt(ends[0] * ends[1])) != away
    frame = frame.assign(side=is_left.map({True: "left", False: "right"}))
    arms = list(dict.fromkeys(frame[frame["what"] == "point"][ARM]))
    below, above = (_axis(ends, momenta, each, narrow=narrow) for each in CONVENTIONS)
    layers = [
        *_under(above, y, ends, narrow=narrow),
        *_points(palette, arms, below, y, narrow=narrow),
        *_over(below["scale"], y, narrow=narrow),
    ]
    facet = {"field": "cell", "sort": [cell.name for cell in found], "columns": 3}
    size = (270, 190) if narrow else (WIDTH, HEIGHT)
    return panels(layers, on_axis(frame, y), size, facet if narrow else None, axes="independent")


def _rows(cell: Cell, metric: str, edge: float) -> Iterator[dict[str, Any]]:
    """Points, best, levels and predictions of a cell, each kind under its own `what`."""
    frame = cell.source.summary(metric)
    for row in plain(frame[frame[ARM].isin(cell.momenta)].drop(columns="reference")):
        value = cell.momenta[row[ARM]]
        if value == 0:  # a logarithmic axis has no place for it
            continue
        row |= {"cell": cell.name, "x": edge if value is None else value, "momentum": _word(value),
                "keras": keras(value), "apart": value is None}  # fmt: skip
        yield {**row, "what": "point"}
        if row[ARM] == cell.best(metric):
            yield {**row, "what": "best", "label": f"best measured: {_word(value)}"}
        elif value is None:
            yield {**row, "what": "aside", "label": _word(value)}
    most = max(cell.mean(arm, metric) for arm in cell.known(metric))
    best = cell.momenta[cell.best(metric)] or edge
    levels = {of: cell.level(of, metric).mean for of in _levels(metric)}
    levels = {of: level for of, level in levels.items() if 0 < level <= FAR * most}
    for of, level in levels.items():
        is_above = level == max(levels.values()) and (len(levels) > 1 or "accuracy" in metric)
        yield {"what": "level", "cell": cell.name, "level": of, "mean": level, "x": best,
               "label": f"{of} {number(level)}", "above": is_above}  # fmt: skip
    if cell.forecast is not None:
        yield from _predicted(cell, cell.forecast, metric)


def _predicted(cell: Cell, made: "Forecast", metric: str) -> Iterator[dict[str, Any]]:
    """The best momentum predicted, and of losses the predicted course."""
    best = made.best.momentum
    if best > 0:
        label = f"predicted best: {best:g}"
        yield {"what": "predicted", "cell": cell.name, "x": best, "label": label}
    base = 0.0 if metric == EXCESS else cell.level("population", metric).mean
    momenta = [value for value in cell.momenta.values() if value]
    for each in made.tried if metric != "test_accuracy" else ():
        if min(momenta) <= each.momentum <= max(momenta):
            mean = base + each.cost
            yield {"what": "course", "cell": cell.name, "x": each.momentum, "mean": mean}


def _axis(
    ends: tuple[float, float], momenta: Sequence[float], convention: str, *, narrow: bool
) -> Spec:
    """The axis of momenta in one convention."""
    low, high = ends
    near = NEAR * (2 if narrow else 1) * math.log(high / low)
    shown: list[float] = []
    for each in (min(momenta), max(momenta), 0.1, *sorted(momenta), *TICKS):
        free = all(abs(math.log(each / other)) > near for other in shown)
        shown += [each] if free and low <= each <= high else []
    place, words, expression = CONVENTIONS[convention]
    axis = {
        "orient": place,
        "values": sorted(shown),
        "grid": False,
        "labelOverlap": False,
        "labelFlush": False,
        "labelExpr": f"format({expression}, '.6~g')",
        "title": f"{convention}: {words.split(', ')[1] if narrow else words}",
    }
    return {"scale": {"type": "log", "domain": [low, high], "nice": False}, "axis": axis}


def _points(palette: Palette, arms: Sequence[str], x: Spec, y: Spec, *, narrow: bool) -> list[Spec]:
    """Intervals, a line through all points, and a mark an arm."""
    filters, quiet = ("datum.what === 'point'", SHOWN), {**x, "axis": None}  # one axis is enough
    color, value = palette.encode(arms, "color"), {"y": quantity("mean", y)}
    tips = {"momentum:N": "momentum (PyTorch)", "keras:N": "Keras", "text:N": y["title"],
            "n": "seeds"}  # fmt: skip
    at = {"x": quantity("x", quiet), **color}
    interval = {**at, "y": quantity("low", y), "y2": {"field": "high"}}
    marks = {**at, **value, **palette.encode(arms, "shape"), "tooltip": tooltips(tips)}
    return [
        layer("rule", interval, *filters, "isValid(datum.high)", strokeOpacity=0.5,
              strokeWidth=3, clip=True),
        layer("line", {"x": quantity("x", x), **value}, *filters, "!datum.apart", color=INK,
              strokeWidth=1.5),
        layer("point", marks, *filters, name=ZOOMED, opacity=1,
              size=55 if narrow else 80),
    ]  # fmt: skip


def _under(x: Spec, y: Spec, ends: tuple[float, float], *, narrow: bool) -> list[Spec]:
    """The frameworks' defaults, levels, and what is predicted."""
    dashes = {"domain": list(LEVELS), "range": list(LEVELS.values())}
    at, value = {"x": quantity("x", {**x, "axis": None})}, {"y": quantity("mean", y)}
    there = [{"x": a, "label": words} for a, words in DEFAULTS.items() if ends[0] < a < ends[1]]
    words = {**at, "y": {"value": "height"}, "text": category("label")}
    defaults = [
        layer("rule", at, color=GRID),
        layer("text", words, fill=SOFT, align="left", dx=5, dy=-6, fontSize=11),
    ]
    level = {**value, "strokeDash": category("level", {"scale": dashes, "legend": None})}
    return [
        *({**each, "data": {"values": there}} for each in defaults if not narrow),
        layer("rule", level, "datum.what === 'level'", strokeWidth=1.5),
        layer("line", {"x": quantity("x", x), **value}, "datum.what === 'course'", clip=True,
              interpolate="monotone", color=INK, strokeWidth=2, strokeDash=DOTS),
    ]  # fmt: skip


def _over(scale: Spec, y: Spec, *, narrow: bool) -> list[Spec]:
    """A ring about the best, words beside levels, and at the top what is best and predicted."""
    at, value = {"x": quantity("x", {"scale": scale, "axis": None})}, {"y": quantity("mean", y)}
    best = ("datum.what === 'best'", SHOWN)
    ring: Spec = {"color": INK, "filled": False, "size": 190 if narrow else 260, "opacity": 1}
    predicted = "datum.what === 'predicted'"
    top, below = {**at, "y": {"value": 9}}, {**at, "y": {"value": 25}}
    pin = {**below, "tooltip": tooltips({"label:N": "by the training loss"})}
    found = [
        layer("point", {**at, **value}, *best, **ring),
        layer("point", pin, predicted, shape="triangle-down", color=INK, size=60, opacity=1),
    ]
    for side, dx, end in (("left", 10, 0), ("right", -10, "width")):
        look: Spec = {"align": side, "fontSize": 11 if narrow else 12}
        mine = f"datum.side === '{side}'"
        found += labels(top, *best, mine, fontWeight="bold", **look)
        found += labels(below, predicted, mine, dx=dx * 0.8, **look)
        for is_above, dy in (("datum.above", -7), ("!datum.above", 11)) * (not narrow):
            which = ("datum.what === 'level'", f"{mine} && {is_above}")
            found += labels({**value, "x": {"value": end}}, *which, dx=dx / 2, dy=dy, **look)
    if not narrow:
        aside = ("datum.what === 'aside'", SHOWN)
        found += labels({**at, **value}, *aside, align="left", dx=8, dy=-9)
    return found
