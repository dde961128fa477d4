"""The headline: arms with means and intervals, and what the running statistics cost."""

import math
from typing import TYPE_CHECKING, Any

from normexp.analysis import Arm, Estimate
from normexp.console.words import NOTHING, interval, number
from normexp.report.figure import Drawn, Figure, Table
from normexp.report.source import Source
from normexp.report.style import ARM, GRID, INK, SOFT, Palette, hidden, switchable

if TYPE_CHECKING:
    from normexp.report.figure import Chart

LOSS, POPULATION, EXCESS = "test_loss", "test_loss_population", "excess_loss"
ROW_HEIGHT = 30
WIDTH = 520

MOST_ROWS = 200
"""Arms in the table."""


def headline(source: Source) -> Drawn:
    """Every arm's test loss, and how much of it the running statistics are."""
    arms = dict(zip(source.arm_names, source.arms, strict=True))
    known = {name: arm for name, arm in arms.items() if arm.n}
    drawn = {name: arm for name, arm in known.items() if name in source.palette.arms}
    chart = _chart(drawn, source.palette) if drawn else None
    return [
        Figure(
            name="headline",
            title="What each arm comes to",
            sentence=_sentence(known) if known else "Every run has diverged: there is no loss.",
            description="Dot chart: test loss of each arm on a logarithmic axis, with its 95 % "
            "interval over seeds, and the loss of the same weights under population statistics.",
            chart=chart,
            table=_table(arms),
            note="Filled mark: test loss under running statistics, mean and 95 % interval over "
            "seeds (Student's t). Upright stroke: the same weights under population statistics. "
            "The bar between them is the excess loss, what the running statistics cost. "
            + source.thinned,
            open=True,
        )
    ]


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
    if best in tracked:
        excess, population = (arms[best].estimates[name] for name in (EXCESS, POPULATION))
        said.append(
            f"The same weights reach {number(population.mean)} under population statistics"
            + (
                f": {number(excess.mean)} of its loss is the running statistics."
                if excess.mean > 0
                else ": its running statistics cost nothing."
            )
        )
    costly = [n for n, a in tracked.items() if math.isfinite(a.estimates[EXCESS].mean)]
    if costly:
        most = max(costly, key=lambda name: arms[name].estimates[EXCESS].mean)
        if most != best and arms[most].estimates[EXCESS].mean > 0:
            share = arms[most].estimates[EXCESS].mean / arms[most].estimates[LOSS].mean
            said.append(f"Of {most}'s loss they are {share:.0%}.")
    return said


def _table(arms: dict[str, Arm]) -> Table:
    accuracy = any("test_accuracy" in arm.estimates for arm in arms.values())
    columns = ["arm", "n", "test loss", "population", "excess"]
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


def _chart(arms: dict[str, Arm], palette: Palette) -> "Chart":
    import altair as alt

    rows = [_row(name, arm) for name, arm in arms.items()]
    values = [row[key] for row in rows for key in ("loss", "population") if row[key] is not None]
    log = bool(values) and min(values) > 0
    floor = min(values, default=1.0) / 2 if log else -math.inf
    for row in rows:
        row["low"] = max(row["low"], floor) if row["low"] is not None else None
    base = switchable(
        alt.Chart(alt.InlineData(values=rows), width=WIDTH, height=ROW_HEIGHT * len(rows))
    )
    scale = alt.Scale(type="log", nice=True) if log else alt.Scale(zero=False)
    order = list(arms)
    at = alt.Y(f"{ARM}:N", sort=order, title=None, axis=alt.Axis(labelColor=INK, ticks=False,
               domain=False, labelLimit=260))  # fmt: skip
    loss = alt.X("loss:Q", title="test loss", scale=scale, axis=alt.Axis(grid=True))
    tips = [
        alt.Tooltip(f"{ARM}:N", title="arm"),
        alt.Tooltip("said:N", title="test loss"),
        alt.Tooltip("truth:N", title="population"),
        alt.Tooltip("cost:N", title="excess"),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    layers = [
        base.mark_bar(height=7, opacity=0.28).encode(
            at, alt.X("population:Q", scale=scale), alt.X2("loss:Q"), palette.color(legend=None)
        ),
        base.mark_rule(strokeWidth=1.5).encode(
            at, alt.X("low:Q", scale=scale), alt.X2("high:Q"), palette.color(legend=None)
        ),
        base.mark_tick(thickness=2, size=16, color=SOFT).encode(
            at, alt.X("population:Q", scale=scale), tooltip=tips
        ),
        base.mark_point(opacity=1, size=80, stroke=GRID, strokeWidth=0).encode(
            at, loss, palette.color(legend=None), palette.shape(), tooltip=tips
        ),
    ]
    return alt.layer(*layers).add_params(hidden())


def _row(name: str, arm: Arm) -> dict[str, Any]:
    loss, population, excess = (arm.estimates[metric] for metric in (LOSS, POPULATION, EXCESS))
    known = arm.has_statistics
    return {
        ARM: name,
        "loss": _finite(loss.mean),
        "low": _finite(loss.mean - loss.half_width),
        "high": _finite(loss.mean + loss.half_width),
        "population": _finite(population.mean) if known else None,
        "said": interval(loss),
        "truth": _words(population) if known else NOTHING,
        "cost": _words(excess) if known else NOTHING,
        "n": arm.n,
    }


def _words(estimate: Estimate) -> str:
    return interval(estimate) if math.isfinite(estimate.mean) else NOTHING


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
