"""The momentum curve: each momentum's loss, what it costs, and what was predicted to be best."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from normexp.console.words import SKEWED_NOTE, keras, number
from normexp.report.cells import Cell, cells, forecast
from normexp.report.charts import (
    HEIGHT,
    WIDTH,
    Options,
    band_plot,
    label,
    plain,
    tooltips,
    value_axis,
)
from normexp.report.figure import Drawn, Figure, LeftOut, Table, sentences, table
from normexp.report.momentum_words import best_sentence, cost_sentence
from normexp.report.source import UNKNOWN, Source, some
from normexp.report.style import ARM, GRID, INK, PERCENT, SOFT, Palette, switchable

if TYPE_CHECKING:
    import altair as alt

    from normexp.insight.forecast import Forecast
    from normexp.report.figure import Chart

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

NOTE = (
    f"Mean over seeds with its 95{PERCENT} interval (Student's t); a point looks as its arm does "
    f"in the legend, in ink where the arm is not drawn there. {SKEWED_NOTE}"
)

PREDICTED = (
    "Predicted (dotted): population plus what the loss on training data rises by in evaluation "
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
    return Figure(
        name=name,
        title=title,
        sentence=cost_sentence(whole) if metric == EXCESS else best_sentence(whole, metric),
        chart=_chart(known, metric, source.palette),
        table=_table(whole, metric),
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
            word = "cumulative" if value is None else f"{value:g}"
            rows.append((cell.name, word, keras(value), estimate.n, estimate, costs.get(value),
                         " and ".join(marks)))  # fmt: skip
        for of in ("population", "no norm") if metric != EXCESS else ():
            level = cell.level(of, metric)
            rows += [(cell.name, of, None, level.n, level, None, "")] if level.n else []
    alone = len(whole) == 1
    return table(titles[alone:], [row[alone:] for row in rows])


def _chart(found: Sequence[Cell], metric: str, palette: Palette) -> "Chart":
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
    within = (0.0, 1.0) if metric == "test_accuracy" else (-math.inf, math.inf)
    y = value_axis(metric.replace("_", " "), measured, log=log, within=within, room=0.12)
    frame = frame[(frame["what"] != "course") | (frame["mean"] <= y["scale"]["domain"][1])]
    has_edge = any(None in cell.momenta.values() for cell in found)
    ends = ((edge if has_edge else min(momenta)) / 1.25, max(momenta) * 1.25)
    middle = math.sqrt(ends[0] * ends[1])
    away = frame["level"] == "population" if "level" in frame else False  # from the best one
    is_left = (frame["x"] < middle) != away
    frame = frame.assign(side=is_left.map({True: "left", False: "right"}))
    what = metric.replace("_", " ")
    tips = {"momentum:N": "momentum (PyTorch)", "keras:N": "Keras", "text:N": what, "n": "seeds"}
    panels = {"field": "cell", "sort": [cell.name for cell in found], "columns": 3}
    above = _axis(ends, momenta, narrow=narrow, convention="Keras")
    return band_plot(
        frame,
        palette,
        x=_axis(ends, momenta, narrow=narrow, convention="PyTorch"),
        y=y,
        tips=tips,
        join=False,
        size=(270, 190) if narrow else (WIDTH, HEIGHT),
        facet=panels if narrow else None,
        extra=lambda of: _extra(of, above, y, narrow=narrow),
    )


def _rows(cell: Cell, metric: str, edge: float) -> Iterator[dict[str, Any]]:
    """Points, best, levels and predictions of a cell, each kind under its own `what`."""
    frame = cell.source.summary(metric)
    for row in plain(frame[frame[ARM].isin(cell.momenta)].drop(columns="reference")):
        value = cell.momenta[row[ARM]]
        if value == 0:  # a logarithmic axis has no place for it
            continue
        word = "cumulative" if value is None else f"{value:g}"
        row |= {"cell": cell.name, "x": edge if value is None else value, "momentum": word,
                "keras": keras(value), "apart": value is None}  # fmt: skip
        yield {**row, "what": "point"}
        if row[ARM] == cell.best(metric):
            yield {**row, "what": "best", "label": f"best: {word}"}
        elif value is None:
            yield {**row, "what": "aside", "label": word}
    most = max(cell.mean(arm, metric) for arm in cell.known(metric))
    best = cell.momenta[cell.best(metric)] or edge
    for of in ("population", "no norm") if metric != EXCESS else ():
        level = cell.level(of, metric).mean
        if math.isfinite(level) and 0 < level <= FAR * most:
            yield {"what": "level", "cell": cell.name, "level": of, "mean": level,
                   "label": f"{of} {number(level)}", "x": best}  # fmt: skip
    if cell.forecast is not None:
        yield from _predicted(cell, cell.forecast, metric)


def _predicted(cell: Cell, made: "Forecast", metric: str) -> Iterator[dict[str, Any]]:
    """The best momentum predicted, and of losses the predicted course."""
    best = made.best.momentum
    if best > 0:
        label = f"predicted best: {best:g}"
        yield {"what": "rule", "cell": cell.name, "x": best, "label": label}
    base = 0.0 if metric == EXCESS else cell.level("population", metric).mean
    momenta = [value for value in cell.momenta.values() if value]
    for each in made.tried if metric != "test_accuracy" else ():
        if min(momenta) <= each.momentum <= max(momenta):
            mean = base + each.cost
            yield {"what": "course", "cell": cell.name, "x": each.momentum, "mean": mean}


def _axis(
    ends: tuple[float, float], momenta: Sequence[float], *, narrow: bool, convention: str
) -> Options:
    """The axis of momenta, below in PyTorch's convention and above in Keras's."""
    import altair as alt

    low, high = ends
    near = NEAR * (2 if narrow else 1) * math.log(high / low)
    shown: list[float] = []
    for each in (min(momenta), max(momenta), 0.1, *sorted(momenta), *TICKS):
        free = all(abs(math.log(each / other)) > near for other in shown)
        shown += [each] if free and low <= each <= high else []
    place, words, expression = {
        "PyTorch": ("bottom", "weight of the newest batch, a", "datum.value"),
        "Keras": ("top", "weight of the old value, 1 − a", "1 - datum.value"),
    }[convention]
    axis = alt.Axis(
        orient=place,  # type: ignore[arg-type]  # bottom or top
        values=sorted(shown),
        grid=False,
        labelOverlap=False,
        labelFlush=False,
        labelExpr=f"format({expression}, '.6~g')",
        title=f"{convention}: {words.split(', ')[1] if narrow else words}",
    )
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return {"scale": scale, "axis": axis}


def _extra(
    of: "Callable[[str], alt.Chart]", keras_axis: Options, y: Options, *, narrow: bool
) -> "tuple[list[alt.Chart], list[alt.Chart]]":
    """Levels, defaults and predictions under the points; rings and words over them."""
    import altair as alt

    low, high = keras_axis["scale"]["domain"]
    x = alt.X("x:Q", scale=keras_axis["scale"], axis=None)
    value = alt.Y("mean:Q", **y)
    dashes = alt.Scale(domain=["population", "no norm"], range=[[7, 4], [2, 3]])
    dotted: Options = {"color": INK, "strokeWidth": 1.5, "strokeDash": [2, 2]}
    level, rule = of("level"), of("rule").encode(x)
    below = [
        level.mark_rule(strokeWidth=1.5, clip=True).encode(
            y=value, strokeDash=alt.StrokeDash("level:N", scale=dashes, legend=None)
        ),
        of("course").mark_line(clip=True, **dotted).encode(alt.X("x:Q", **keras_axis), value),
        rule.mark_rule(**dotted).encode(tooltip=tooltips({"label:N": "by the training loss"})),
    ]
    size = 11 if narrow else 12
    best = switchable(of("best")).encode(x, value)
    ring = best.mark_point(color=INK, filled=False, size=190 if narrow else 260, opacity=1)
    above = [ring]
    for side, dx, end in (("left", 10, 0), ("right", -10, "width")):
        beside: Options = {"align": side, "fontSize": size}
        mine = f"datum.side === '{side}'"
        above += label(best.transform_filter(mine), dx=dx, dy=20, fontWeight="bold", **beside)
        above += label(rule.transform_filter(mine).encode(y=alt.value(8)), dx=dx / 2, **beside)
        for name, dy in (("population", 11), ("no norm", -7)):
            rows = level.transform_filter(f"{mine} && datum.level === '{name}'")
            above += label(rows.encode(x=alt.value(end), y=value), dx=dx / 2, dy=dy, **beside)
    if narrow:
        return below, above
    there = [{"x": at, "label": words} for at, words in DEFAULTS.items() if low < at < high]
    base = alt.Chart(alt.InlineData(values=there)).encode(x)
    words = base.mark_text(fill=SOFT, align="left", dx=5, dy=-6, fontSize=11)
    defaults = [base.mark_rule(color=GRID), words.encode(text="label:N", y=alt.value("height"))]
    aside = switchable(of("aside")).encode(x, value)
    return [*defaults, *below], [*above, *label(aside, align="left", dx=8, dy=-9)]
