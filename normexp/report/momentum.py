"""The momentum curve: each momentum's loss, what it costs, and what was predicted to be best."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from normexp.console.words import SKEWED_NOTE, interval, number
from normexp.report.cells import Cell, cells, forecast
from normexp.report.charts import HEIGHT, WIDTH, Options, band_plot, label, tooltips, value_axis
from normexp.report.figure import Drawn, Figure, LeftOut, said, table
from normexp.report.source import Source, some
from normexp.report.style import ARM, GRID, INK, SOFT, Palette, switchable
from normexp.report.words import PERCENT, keras, short

if TYPE_CHECKING:
    import altair as alt

    from normexp.report.figure import Chart

TITLE = "Momentum curve"
COSTS = "What the momentum costs"
EXCESS = "excess_loss"

MOST_PANELS = 9

DEFAULT = 0.1
"""PyTorch's momentum if nobody says another."""

DEFAULTS = {0.1: "PyTorch's default", 0.01: "Keras's default"}

CUMULATIVE = 1.9
"""How far left of the least momentum the cumulative mean stands, as a factor."""

TICKS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)

NEAR = 0.075
"""Share of the axis that a tick's label needs."""

FAR = 30.0
"""Times the largest measured value, from which on a level is not drawn."""

ALIKE = 0.01
"""Relative difference that is not worth a word."""

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
    known = [each for each in found if each.known("test_loss")]
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
    known = [cell for cell in drawn if cell.known(metric)]
    names = {"test_loss": ("momentum-curve", TITLE), EXCESS: ("momentum-excess", COSTS)}
    name, title = names.get(metric, ("momentum-accuracy", "Momentum curve of accuracy"))
    if not known:
        return LeftOut(title, f"no {metric.replace('_', ' ')} is finite")
    what = metric.replace("_", " ")
    return Figure(
        name=name,
        title=title,
        sentence=_costs(whole) if metric == EXCESS else best_sentence(whole, metric),
        description=f"Line chart{f', {len(known)} panels' if len(known) > 1 else ''}: {what} "
        "by momentum on a logarithmic axis, in PyTorch's convention below and Keras's above; levels "
        "of the population's statistics and of no norm, the best momentum ringed, the predicted one "
        "a vertical line.",
        chart=_chart(known, metric, source.palette),
        table=_table(whole, metric),
        note=said(
            NOTE,
            _predicted_note(drawn, seeds) if metric != "test_accuracy" else "",
            "The cumulative mean has no momentum and stands at the left edge."
            if any(None in cell.momenta.values() for cell in drawn) else "",
            "Costs that are not above zero stand at the lower end of the axis."
            if metric == EXCESS else "",
            f"{len(known)} of {len(whole)} combinations are drawn, from the best to the worst; the "
            "table has all." if len(known) < len(whole) else "",
        ),
    )  # fmt: skip


def _predicted_note(drawn: Sequence[Cell], seeds: int) -> str:
    if not seeds:
        return "Nothing is predicted, which would take long here: normexp predict does."
    if not any(cell.forecast for cell in drawn):
        return ""
    return PREDICTED.format(f"{seeds} seeds" if seeds > 1 else "seed")


def _table(whole: Sequence[Cell], metric: str) -> Any:  # noqa: ANN401
    """Every momentum of every cell, and the levels under it."""
    named = len(whole) > 1
    rows: list[tuple[Any, ...]] = []
    for cell in whole:
        where = (cell.name,) if named else ()
        best, forecast = cell.best(metric), cell.forecast
        costs = {each.momentum: each.cost for each in forecast.tried} if forecast else {}
        predicted = forecast.best.momentum if forecast else -1.0
        for arm, value in cell.momenta.items():
            marks = ["measured"] * (arm == best) + ["predicted"] * (value == predicted)
            estimate = cell.source.estimate(arm, metric)
            shown = "diverged" if cell.source.arms[arm].diverged and not estimate.n else estimate
            cost = None if value is None or value not in costs else short(costs[value])
            rows.append((*where, _momentum(value), None if value is None else keras(value),
                         estimate.n, shown, cost, " and ".join(marks)))  # fmt: skip
        if forecast and predicted not in cell.momenta.values():
            rows.append((*where, f"{predicted:g}", keras(predicted), None, None,
                         short(forecast.best.cost), "predicted"))  # fmt: skip
        levels = {of: cell.level(of, metric) for of in ("population", "no norm")}
        for of, level in levels.items() if metric != EXCESS else ():
            if level.n:
                rows.append((*where, of, None, level.n, level, None, ""))
    titles = ("momentum", "Keras", "seeds", metric.replace("_", " "), "predicted cost", "best")
    return table((*(("where",) if named else ()), *titles), rows)


def _momentum(value: float | None) -> str:
    return "cumulative" if value is None else f"{value:g}"


# The chart


def _chart(found: Sequence[Cell], metric: str, palette: Palette) -> "Chart":
    """One chart of one cell, a panel a cell of several, all on one scale."""
    import pandas as pd

    narrow = len(found) > 1
    momenta = [value for cell in found for value in cell.momenta.values() if value]
    momenta += [best for cell in found if cell.forecast and (best := cell.forecast.best.momentum)]
    edge = min(momenta) / CUMULATIVE
    frame = pd.DataFrame([row for cell in found for row in _rows(cell, metric, edge)])
    shown = frame[frame["what"].isin(["point", "level"])]
    log = metric != "test_accuracy" and bool((frame["mean"][frame["what"] == "point"] > 0).any())
    log = log and (metric == EXCESS or bool((shown["mean"] > 0).all()))
    within = (0.0, 1.0) if metric == "test_accuracy" else (-math.inf, math.inf)
    y = value_axis(metric.replace("_", " "), shown, log=log, within=within, room=0.12)
    low, high = y["scale"]["domain"]
    for name in ("mean", "low"):  # a logarithmic axis has no place for zero and less
        frame[name] = frame[name].clip(lower=low)
    frame = frame[(frame["what"] != "course") | (frame["mean"] <= high)]
    has_edge = any(None in cell.momenta.values() for cell in found)
    ends = ((edge if has_edge else min(momenta)) / 1.25, max(momenta) * 1.25)
    middle = math.sqrt(ends[0] * ends[1])
    frame["side"] = ["left" if at < middle else "right" for at in frame["x"].fillna(middle)]
    return band_plot(
        frame,
        palette,
        x=_axis(ends, momenta, narrow=narrow),
        y=y,
        tips={**({"cell:N": "where"} if narrow else {}), "momentum:N": "momentum (PyTorch)",
              "keras:N": "Keras", "value": metric.replace("_", " "), "low": f"95{PERCENT} from",
              "high": "to", "n": "seeds"},
        join=False,
        size=(270, 190) if narrow else (WIDTH, HEIGHT),
        facet={"field": "cell", "sort": [cell.name for cell in found], "columns": 3}
        if narrow else None,
        extra=lambda of: _extra(of, _axis(ends, momenta, narrow=narrow, keras_above=True), y,
                                narrow=narrow),
    )  # fmt: skip


def _rows(cell: Cell, metric: str, edge: float) -> Iterator[dict[str, Any]]:
    """Points, best, levels and predictions of a cell, each kind under its own `what`."""
    best = cell.best(metric)
    for arm in cell.known(metric):
        value, estimate = cell.momenta[arm], cell.source.estimate(arm, metric)
        if value == 0:  # a logarithmic axis has no place for it
            continue
        row = {"what": "point", "cell": cell.name, ARM: arm, "x": edge if value is None else value,
               "mean": estimate.mean, "value": estimate.mean, "n": estimate.n,
               "low": estimate.mean - estimate.half_width, "apart": value is None,
               "high": estimate.mean + estimate.half_width, "momentum": _momentum(value),
               "keras": "–" if value is None else keras(value)}  # fmt: skip
        yield row
        if arm == best:
            yield {**row, "what": "best", "label": f"best: {_momentum(value)}"}
        elif value is None:
            yield {**row, "what": "aside", "label": "cumulative"}
    most = max(cell.source.estimate(arm, metric).mean for arm in cell.known(metric))
    for of in ("population", "no norm") if metric != EXCESS else ():
        level = cell.level(of, metric)
        if math.isfinite(level.mean) and 0 < level.mean <= FAR * most:
            yield {"what": "level", "cell": cell.name, "level": of, "mean": level.mean,
                   "label": f"{of} {number(level.mean)}"}  # fmt: skip
    if cell.forecast is not None:
        yield from _predicted(cell, metric)


def _predicted(cell: Cell, metric: str) -> Iterator[dict[str, Any]]:
    """The best momentum predicted, and of losses the predicted course."""
    assert cell.forecast is not None  # noqa: S101
    predicted = cell.forecast.best.momentum
    if predicted > 0:
        yield {"what": "rule", "cell": cell.name, "x": predicted,
               "label": f"predicted best: {predicted:g}"}  # fmt: skip
    base = 0.0 if metric == EXCESS else cell.level("population", metric).mean
    momenta = [value for value in cell.momenta.values() if value]
    for each in cell.forecast.tried if metric != "test_accuracy" and math.isfinite(base) else ():
        if min(momenta) <= each.momentum <= max(momenta) and math.isfinite(each.cost):
            yield {"what": "course", "cell": cell.name, "x": each.momentum,
                   "mean": base + each.cost}  # fmt: skip


def _axis(
    ends: tuple[float, float],
    momenta: Sequence[float],
    *,
    narrow: bool,
    keras_above: bool = False,
) -> Options:
    """The axis of momenta, in one of the two conventions."""
    import altair as alt

    low, high = ends
    near = NEAR * (2 if narrow else 1) * math.log(high / low)
    shown: list[float] = []
    for each in (min(momenta), max(momenta), DEFAULT, *sorted(momenta), *TICKS):
        free = all(abs(math.log(each / other)) > near for other in shown)
        shown += [each] if free and low <= each <= high else []
    title = "Keras: 1 − a" if keras_above else "PyTorch: a"
    words = "weight of the old value, 1 − a" if keras_above else "weight of the newest batch, a"
    axis = alt.Axis(
        orient="top" if keras_above else "bottom",
        values=sorted(shown),
        grid=False,
        labelOverlap=False,
        labelFlush=False,
        labelExpr=f"format({'1 - datum.value' if keras_above else 'datum.value'}, '.6~g')",
        title=title if narrow else f"{title.partition(':')[0]}: {words}",
    )
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return {"scale": scale, "axis": axis}


def _extra(
    of: "Callable[[str], alt.Chart]", keras_axis: Options, y: Options, *, narrow: bool
) -> "tuple[list[alt.Chart], list[alt.Chart]]":
    """Levels, defaults and predictions under the points; rings and words over them."""
    import altair as alt

    scale = keras_axis["scale"]
    low, high = scale["domain"]
    above = alt.X("x:Q", **keras_axis)
    x, value = alt.X("x:Q", scale=scale, axis=None), alt.Y("mean:Q", **y)
    dashes = alt.Scale(domain=["population", "no norm"], range=[[7, 4], [2, 3]])
    dash = alt.StrokeDash("level:N", scale=dashes, legend=None)
    dotted: Options = {"color": INK, "strokeWidth": 1.5, "strokeDash": [2, 2]}
    below = [
        of("level").mark_rule(strokeWidth=1.5, clip=True).encode(
            y=value, strokeDash=dash, tooltip=tooltips({"label:N": "level"})),
        of("course").mark_line(clip=True, **dotted).encode(above, value),
        of("rule").mark_rule(**dotted).encode(
            x, tooltip=tooltips({"label:N": "by the training loss"})),
    ]  # fmt: skip
    if not narrow:
        there = [{"x": at, "label": words} for at, words in DEFAULTS.items() if low < at < high]
        base = alt.Chart(alt.InlineData(values=there)).encode(x)
        rule = base.mark_rule(color=GRID, strokeWidth=1.5)
        word = base.mark_text(fill=SOFT, align="left", dx=5, dy=-6, fontSize=11)
        below = [rule, word.encode(text="label:N", y=alt.value("height")), *below]
    size = 11 if narrow else 12
    best, rules = switchable(of("best")), of("rule")
    ring = best.mark_point(color=INK, filled=False, size=190 if narrow else 260, strokeWidth=2,
                           opacity=1).encode(x, value)  # fmt: skip
    words = []
    for side, align, dx in (("left", "left", 10), ("right", "right", -10)):
        beside = f"datum.side === '{side}'"
        words += label(best.transform_filter(beside).encode(x, value), align=align, dx=dx, dy=20,
                       fontWeight="bold", fontSize=size)  # fmt: skip
        words += label(rules.transform_filter(beside).encode(x, y=alt.value(8)), align=align,
                       dx=dx / 2, fontSize=size)  # fmt: skip
    for level, dy in (("population", 11), ("no norm", -7)):
        rows = of("level").transform_filter(f"datum.level === '{level}'")
        rows = rows.encode(x=alt.value("width"), y=value)
        words += label(rows, align="right", dx=-4, dy=dy, clip=True, fontSize=size)
    if not narrow:
        words += label(switchable(of("aside")).encode(x, value), align="left", dx=8, dy=-9)
    return below, [ring, *words]


# The sentences


def best_sentence(found: Sequence[Cell], metric: str) -> str:
    """The best momentum, the predicted one, and what the default costs."""
    known = [cell for cell in found if cell.best(metric)]
    if not known:
        return f"No momentum has a finite {metric.replace('_', ' ')}."
    return _of_one(known[0], metric) if len(known) == 1 else _of_several(known, metric)


def _of_one(cell: Cell, metric: str) -> str:
    best = cell.best(metric)
    value = cell.momenta[best]
    name = "The cumulative mean" if value is None else f"Momentum {_both(value)}"
    measured = f"{metric.replace('_', ' ')} {interval(cell.source.estimate(best, metric))}"
    parts = [f"{name} is best measured ({measured})"]
    if cell.forecast and cell.forecast.best.momentum == value:
        parts = [f"{name} is best, measured ({measured}) and predicted"]
    elif cell.forecast:
        parts[0] += f", {cell.forecast.best.momentum:g} is predicted"
    if default := _default(cell, metric):
        parts.append(
            _worse(cell, default, metric) if default != best else "it is PyTorch's default"
        )
    return "; ".join([*parts, *_levels(cell, metric)]) + "."


def _levels(cell: Cell, metric: str) -> Iterator[str]:
    """The best momentum against the population's statistics, and all against no norm."""
    rank = -1 if "accuracy" in metric else 1
    best = cell.source.estimate(cell.best(metric), metric)
    level, plain = (cell.level(of, metric).mean for of in ("population", "no norm"))
    if math.isfinite(level):
        above = rank * (best.mean - level)
        reached = "its interval holds" if above <= best.half_width else "nothing reaches"
        yield f"{'it is no worse than' if above <= 0 else reached} the population's {number(level)}"
    if math.isfinite(plain):
        known = cell.known(metric)
        better = sum(rank * cell.source.estimate(arm, metric).mean < rank * plain for arm in known)
        share = f"{better} of {len(known)}" if better else "none"
        share = "all of them" if better == len(known) else share
        yield f"no norm ({number(plain)}) is beaten by {share}"


def _of_several(found: Sequence[Cell], metric: str) -> str:
    bests = {cell.name: cell.momenta[cell.best(metric)] for cell in found}
    pairs = sorted((value, name) for name, value in bests.items() if value is not None)
    parts = []
    if pairs and pairs[0][0] == pairs[-1][0]:
        where = "everywhere" if len(pairs) == len(bests) else f"in {len(pairs)} of {len(bests)}"
        parts.append(f"Momentum {_both(pairs[0][0])} is best measured {where}.")
    elif pairs:
        (low, where), (high, there) = pairs[0], pairs[-1]
        parts.append(
            f"The best measured momentum goes from {low:g} ({where}) to {high:g} ({there})."
        )
    if len(pairs) < len(bests):
        parts.append(f"The cumulative mean is best in {len(bests) - len(pairs)} of {len(bests)}.")
    ratios = [
        cell.forecast.best.momentum / best
        for cell in found
        if cell.forecast and cell.forecast.best.momentum and (best := bests[cell.name])
    ]
    if ratios:
        near = sum(0.5 <= ratio <= 2 for ratio in ratios)  # noqa: PLR2004
        share = f"{near} of {len(ratios)}" if near else "none"
        parts.append(f"The predicted one is within a factor of 2 of it in {share}.")
    typed = [cell for cell in found if _default(cell, metric)]
    if typed:
        worst = max(typed, key=lambda cell: _times(cell, _default(cell, metric), metric))
        where = f" ({worst.name}, where it is worst)"
        words = _worse(worst, _default(worst, metric), metric)
        parts.append(f"{words}{where if len(typed) > 1 else ''}.")
    return " ".join(parts)


def _both(value: float) -> str:
    return f"{value:g} (Keras {keras(value)})"


def _default(cell: Cell, metric: str) -> str:
    """The arm with PyTorch's momentum; empty if there is none."""
    return next((arm for arm in cell.known(metric) if cell.momenta[arm] == DEFAULT), "")


def _times(cell: Cell, arm: str, metric: str) -> float:
    """How far an arm is from the best: a ratio of losses, or one more than a difference."""
    one, best = (cell.source.estimate(each, metric).mean for each in (arm, cell.best(metric)))
    return 1 + abs(one - best) if "accuracy" in metric or best <= 0 else one / best


def _worse(cell: Cell, arm: str, metric: str) -> str:
    """`PyTorch's default 0.1 costs 71 % more`."""
    times = _times(cell, arm, metric)
    if times - 1 < ALIKE:
        far = f"is as good within 1{PERCENT}"
    elif "accuracy" in metric:
        far = f"is {100 * (times - 1):.2g} points below the best"
    elif cell.source.estimate(cell.best(metric), metric).mean <= 0:
        far = f"is at {number(cell.source.estimate(arm, metric).mean)}"
    elif times < 10:  # noqa: PLR2004  from there on no percentage
        far = f"costs {100 * (times - 1):.0f}{PERCENT} more"
    else:
        far = f"costs {times:.3g} times as much"
    return f"PyTorch's default {DEFAULT:g} {far}"


def _costs(found: Sequence[Cell]) -> str:
    """The momenta at which running statistics cost least and most."""
    known = [(cell, arm) for cell in found for arm in cell.known(EXCESS)]
    ordered = sorted(known, key=lambda pair: pair[0].source.estimate(pair[1], EXCESS).mean)
    least, most = (_at(cell, arm) for cell, arm in (ordered[0], ordered[-1]))
    text = f"Running statistics cost least at {least}, and most at {most}."
    made = [cell.forecast for cell in found if cell.forecast]
    if len(made) == 1:
        best = made[0].best
        text += f" Predicted least is {short(best.cost)}, at {_both(best.momentum)}."
    return text


def _at(cell: Cell, arm: str) -> str:
    value = cell.momenta[arm]
    what = "the cumulative mean" if value is None else f"momentum {value:g}"
    where = f" ({cell.name})" if cell.name else ""
    return f"{what}{where}, {interval(cell.source.estimate(arm, EXCESS))}"
