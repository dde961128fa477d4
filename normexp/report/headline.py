"""The headline: arms with means and intervals, and what the running statistics cost."""

import math
from typing import TYPE_CHECKING, Any

from normexp.console.words import NOTHING, SKEWED_NOTE, interval, number
from normexp.insight.arms import Arm, Estimate
from normexp.report.axes import names_axis, scale_of
from normexp.report.figure import Drawn, Figure, Table
from normexp.report.momentum_words import PERCENT
from normexp.report.naming import unsaid
from normexp.report.source import Source
from normexp.report.style import ARM, GRID, SOFT, Palette, hidden, switchable

if TYPE_CHECKING:
    from normexp.report.figure import Chart

LOSS, POPULATION, EXCESS = "test_loss", "test_loss_population", "excess_loss"
ACCURACY = "test_accuracy"
WIDTH = 520

FAR = 2.0
"""Times the least and the largest mean where intervals are cut off on a logarithmic axis."""

UNKNOWN = Estimate(math.nan, math.nan, 0)

MOST_ROWS = 200
"""Arms in the table."""


def headline(source: Source) -> Drawn:
    """Every arm's test loss and accuracy, and how much of them the running statistics are."""
    arms = dict(zip(source.arm_names, source.arms, strict=True))
    known = {name: arm for name, arm in arms.items() if arm.n}
    drawn = {name: arm for name, arm in known.items() if name in source.palette.arms}
    tracked = any(arm.has_statistics for arm in drawn.values())
    said = [source.thinned, unsaid(source.fields)]
    loss = Figure(
        name="headline",
        title="What each arm comes to",
        sentence=_sentence(known) if known else "Every run has diverged: there is no loss.",
        description=_description(LOSS, tracked=tracked),
        chart=_chart(drawn, source.palette, LOSS) if _has(drawn, LOSS) else None,
        table=_table(arms),
        note=" ".join(part for part in (_note(LOSS, tracked=tracked), *said) if part),
        open=True,
    )
    if not _has(drawn, ACCURACY):
        return [loss]
    accuracy = Figure(
        name="headline-accuracy",
        title="Accuracy of each arm",
        sentence=_sentence_of_accuracy(known),
        description=_description(ACCURACY, tracked=tracked),
        chart=_chart(drawn, source.palette, ACCURACY),
        note=_note(ACCURACY, tracked=tracked) + " The table above has all arms.",
    )
    return [loss, accuracy]


def _has(arms: dict[str, Arm], metric: str) -> bool:
    return any(metric in a.estimates and math.isfinite(a.estimates[metric].mean) for a in
               arms.values())  # fmt: skip


def _description(metric: str, *, tracked: bool) -> str:
    what, scale = ("test loss", "logarithmic") if metric == LOSS else ("test accuracy", "linear")
    truth = ", and that of the same weights under population statistics" if tracked else ""
    return (
        f"Dot chart: {what} of each arm on a {scale} axis, with its 95{PERCENT} interval over "
        f"seeds{truth}."
    )


def _note(metric: str, *, tracked: bool) -> str:
    what = "test loss" if metric == LOSS else "test accuracy"
    bar = (
        "the excess loss, what the running statistics cost"
        if metric == LOSS
        else "what the running statistics cost"
    )
    if not tracked:
        return (
            f"Mark: {what}, mean and 95{PERCENT} interval over seeds (Student's t). {SKEWED_NOTE}"
        )
    return (
        f"Filled mark: {what} under running statistics, mean and 95{PERCENT} interval over seeds "
        "(Student's t). Upright stroke: the same weights under population statistics. The bar "
        f"between them is {bar}. {SKEWED_NOTE}"
    )


def _sentence_of_accuracy(arms: dict[str, Arm]) -> str:
    """The most and the least accurate arm, and where running statistics take most away."""
    known = {
        n: a.estimates
        for n, a in arms.items()
        if ACCURACY in a.estimates and math.isfinite(a.estimates[ACCURACY].mean)
    }
    ranked = sorted(known, key=lambda name: -known[name][ACCURACY].mean)
    best, worst = ranked[0], ranked[-1]
    if best == worst:
        return f"{best}: test accuracy {interval(known[best][ACCURACY])}."
    text = (
        f"{best} is the most accurate, {interval(known[best][ACCURACY])}; {worst} the least, "
        f"{interval(known[worst][ACCURACY])}."
    )
    lost = {
        name: each[f"{ACCURACY}_population"].mean - each[ACCURACY].mean
        for name, each in known.items()
        if arms[name].has_statistics and f"{ACCURACY}_population" in each
    }
    most = max((n for n in lost if math.isfinite(lost[n])), key=lost.__getitem__, default=None)
    if most is not None and lost[most] > 0:
        text += f" Running statistics cost {most} most: {100 * lost[most]:.3g} points."
    return text


def _sentence(arms: dict[str, Arm]) -> str:
    finite = {n: a for n, a in arms.items() if math.isfinite(a.estimates[LOSS].mean)}
    if not finite:
        return "No arm's test loss is finite."
    ranked = sorted(finite, key=lambda name: finite[name].estimates[LOSS].mean)
    best, worst = ranked[0], ranked[-1]
    first = f"{best} has the least test loss, {interval(finite[best].estimates[LOSS])}"
    if len(ranked) == 1:
        first = f"{best}: test loss {interval(finite[best].estimates[LOSS])}"
    else:
        first += f"; {worst} the most, {interval(finite[worst].estimates[LOSS])}"
    return " ".join([f"{first}.", *_cost(finite, best)])


def _cost(arms: dict[str, Arm], best: str) -> list[str]:
    """What running statistics cost the best arm, and where they cost most."""
    said = []
    tracked = {name: arm for name, arm in arms.items() if arm.has_statistics}
    if best in tracked and math.isfinite(arms[best].estimates[EXCESS].mean):
        excess, population = (arms[best].estimates[name] for name in (EXCESS, POPULATION))
        cost = (
            f"{number(excess.mean)} of its loss is the running statistics"
            if excess.mean > 0
            else f"its running statistics do no harm, {number(excess.mean)}"
        )
        truth = number(population.mean)
        said.append(f"The same weights reach {truth} under population statistics: {cost}.")
    costly = [n for n, a in tracked.items() if math.isfinite(a.estimates[EXCESS].mean)]
    if costly:
        most = max(costly, key=lambda name: arms[name].estimates[EXCESS].mean)
        if most != best and arms[most].estimates[EXCESS].mean > 0:
            share = arms[most].estimates[EXCESS].mean / arms[most].estimates[LOSS].mean
            said.append(
                f"Running statistics cost {most} most: {100 * share:.3g}{PERCENT} of its loss."
            )
    return said


def _table(arms: dict[str, Arm]) -> Table:
    accuracy = any("test_accuracy" in arm.estimates for arm in arms.values())
    columns = ["arm", "n", "test loss", "excess", "population"]
    if accuracy:
        columns += ["accuracy", "population accuracy"]
    if any(arm.half_life_steps is not None for arm in arms.values()):
        columns.append("half-life, steps")
    if any(arm.diverged for arm in arms.values()):
        columns.append("diverged")
    lines = []
    for name, arm in list(arms.items())[:MOST_ROWS]:
        cells = {
            "arm": name,
            "n": str(arm.n),
            "test loss": _cell(arm, LOSS),
            "population": _cell(arm, POPULATION),
            "excess": _cell(arm, EXCESS) if arm.has_statistics else NOTHING,
            "accuracy": _cell(arm, "test_accuracy"),
            "population accuracy": _cell(arm, "test_accuracy_population"),
            "half-life, steps": NOTHING
            if arm.half_life_steps is None
            else f"{arm.half_life_steps:.3g}",
            "diverged": str(arm.diverged or NOTHING),
        }
        lines.append(tuple(cells[column] for column in columns))
    if len(arms) > MOST_ROWS:
        more = f"and {len(arms) - MOST_ROWS} more: normexp.read() has all"
        lines.append((more, *("" for _ in columns[1:])))
    return Table(tuple(columns), tuple(lines))


def _cell(arm: Arm, metric: str) -> str:
    return interval(arm.estimates[metric]) if metric in arm.estimates and arm.n else NOTHING


def _chart(arms: dict[str, Arm], palette: Palette, metric: str) -> "Chart":
    import altair as alt

    rows = [_row(name, arm, metric) for name, arm in arms.items()]
    low, high, log = _ends(rows, metric)
    for row in rows:  # a logarithmic axis has no place for zero and less
        row["low"] = max(row["low"], low) if row["low"] is not None else None
    axis_of_names, height = names_axis(list(arms))
    base = switchable(alt.Chart(alt.InlineData(values=rows), width=WIDTH, height=height))
    scale, axis = scale_of(low, high, log=log)
    what = metric.replace("_", " ")

    def at(name: str) -> alt.X:
        return alt.X(f"{name}:Q", title=what, scale=scale, axis=axis)

    y = alt.Y(f"{ARM}:N", sort=list(arms), title=None, axis=axis_of_names)
    tips = [
        alt.Tooltip(f"{ARM}:N", title="arm"),
        alt.Tooltip("said:N", title=what),
        alt.Tooltip("truth:N", title="population"),
        *([alt.Tooltip("cost:N", title="excess")] if metric == LOSS else []),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    color = palette.color(legend=None)
    known = base.transform_filter("isValid(datum.population)")
    layers = [
        known.mark_bar(height=7, opacity=0.28).encode(y, at("population"), alt.X2("mean:Q"), color),
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=1.5, clip=True)
        .encode(y, at("low"), alt.X2("high:Q"), color),
        known.mark_tick(thickness=2, size=16, color=SOFT).encode(y, at("population"), tooltip=tips),
        base.mark_point(opacity=1, size=80, stroke=GRID, strokeWidth=0).encode(
            y, at("mean"), color, palette.shape(), tooltip=tips
        ),
    ]
    return alt.layer(*layers).add_params(hidden())


def _ends(rows: list[dict[str, Any]], metric: str) -> tuple[float, float, bool]:
    """Both ends of the axis, and whether it is logarithmic: all means, and intervals within it."""
    means = [row[key] for row in rows for key in ("mean", "population") if row[key] is not None]
    sides = [row[key] for row in rows for key in ("low", "high") if row[key] is not None]
    low, high = min([*means, *sides]), max([*means, *sides])
    if metric == LOSS and min(means) > 0:
        return max(low, min(means) / FAR) / 1.1, min(high, max(means) * FAR) * 1.1, True
    if metric == ACCURACY:
        low, high = max(low, 0.0), min(high, 1.0)
    room = 0.04 * ((high - low) or abs(high) or 1.0)
    return low - room, high + room, False


def _row(name: str, arm: Arm, metric: str) -> dict[str, Any]:
    value, excess = (arm.estimates.get(each, UNKNOWN) for each in (metric, EXCESS))
    population = arm.estimates.get(f"{metric}_population", UNKNOWN)
    known = arm.has_statistics
    return {
        ARM: name,
        "mean": _finite(value.mean),
        "low": _finite(value.mean - value.half_width),
        "high": _finite(value.mean + value.half_width),
        "population": _finite(population.mean) if known else None,
        "said": interval(value),
        "truth": _words(population) if known else NOTHING,
        "cost": _words(excess) if known else NOTHING,
        "n": arm.n,
    }


def _words(estimate: Estimate) -> str:
    return interval(estimate) if math.isfinite(estimate.mean) else NOTHING


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
