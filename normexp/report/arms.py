"""Arms against one another: test loss and accuracy with intervals, and paired differences."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from normexp.config.identity import varying
from normexp.console.compare import PAIRED, decision, estimate_with_interval, sample_size
from normexp.console.words import SKEWED_NOTE, counted, field_value, interval, number
from normexp.insight.compare import baseline_of, comparisons
from normexp.insight.comparison import FEWEST, ArmComparison, compare_arms
from normexp.report.charts import dot_plot, value_axis
from normexp.report.figure import Drawn, Figure, LeftOut, Table, sentences, table
from normexp.report.naming import title_of, unnamed
from normexp.report.source import MOMENTUM, SOURCE, UNKNOWN, Source
from normexp.report.style import PERCENT

if TYPE_CHECKING:
    from normexp.report.figure import Chart
    from normexp.store.stored import Row

DIFFERENCES = "Differences, paired where they can be"

MOST = 20
"""Comparisons that are made: each costs a bootstrap."""


def headline(source: Source) -> Drawn:
    """Every arm's test loss and accuracy, and how much of them the running statistics are."""
    return [_headline(source, metric) for metric in source.metrics]


def _headline(source: Source, metric: str) -> Figure:
    is_loss, what = metric == "test_loss", metric.replace("_", " ")
    frame = source.summary(metric)
    frame = frame[frame["arm"].isin(source.palette.arms)]
    chart = None
    if len(frame):
        axis = value_axis(
            what, frame, log=is_loss, within=(-math.inf, math.inf) if is_loss else (0, 1)
        )
        tips = {"arm:N": "arm", "text:N": what, "truth:N": "population", "n": "seeds"}
        chart = dot_plot(frame.assign(name=frame["arm"]), source.palette, x=axis, tips=tips)
    return Figure(
        name="headline" if is_loss else "headline-accuracy",
        title="What each arm comes to" if is_loss else "Accuracy of each arm",
        sentence=_sentence(source, metric),
        chart=chart,
        table=_table(source) if is_loss else None,
        note=sentences(
            f"Mark: mean {what} and 95{PERCENT} interval over seeds (Student's t).",
            "Upright stroke: the same weights under population statistics; the bar between is what "
            "running statistics cost."
            if frame["reference"].notna().any() else "",
            SKEWED_NOTE,
            source.thinned,
            unnamed(source.fields),
        ),
        open=is_loss,
    )  # fmt: skip


def _table(source: Source) -> Table:
    """All arms in all that is known of them."""
    columns = {
        "test loss": "test_loss",
        "excess": "excess_loss",
        "population": "test_loss_population",
    }
    if len(source.metrics) > 1:
        columns |= {"accuracy": "test_accuracy", "population accuracy": "test_accuracy_population"}
    arms = source.arms.values()
    lives = [
        None if arm.half_life_steps is None else number(arm.half_life_steps, 3) for arm in arms
    ]
    every: dict[str, list[Any]] = {
        "half-life, steps": lives, "diverged": [arm.diverged or None for arm in arms]
    }  # fmt: skip
    more = {title: values for title, values in every.items() if any(values)}
    rows = []
    for number_of, (name, arm) in enumerate(source.arms.items()):
        estimates = [
            source.estimate(name, metric)
            if arm.has_statistics or metric != "excess_loss"
            else UNKNOWN
            for metric in columns.values()
        ]
        rows.append((name, arm.n, *estimates, *(values[number_of] for values in more.values())))
    return table(("arm", "n", *columns, *more), rows)


def _sentence(source: Source, metric: str) -> str:
    """The best and the worst arm, and what running statistics cost."""
    ranked = sorted(source.summary(metric)["arm"], key=lambda arm: source.rank(arm, metric))
    if not ranked:
        return "No arm has a finite test loss: every run has diverged."
    best, worst = ranked[0], ranked[-1]
    values = [interval(source.estimate(arm, metric)) for arm in (best, worst)]
    what = metric.replace("_", " ")
    if best == worst:
        first = f"{best}: {what} {values[0]}."
    else:
        most, least = ("least", "most") if metric == "test_loss" else ("highest", "lowest")
        first = f"{best} has the {most} {what}, {values[0]}; {worst} the {least}, {values[1]}."
    return sentences(first, *(_cost(source, best) if metric == "test_loss" else ()))


def _cost(source: Source, best: str) -> Iterator[str]:
    """The cost of running statistics to the best arm, and the arm that they cost most."""
    costs = {
        arm: source.estimate(arm, "excess_loss").mean
        for arm in source.summary("excess_loss")["arm"]
        if source.arms[arm].has_statistics
    }
    if best in costs:
        cost = number(costs[best])
        truth = number(source.estimate(best, "test_loss_population").mean)
        yield f"The same weights reach {truth} under population statistics: " + (
            f"{cost} of its loss is the running statistics."
            if costs[best] > 0
            else f"its running statistics do no harm, {cost}."
        )
    most = max(costs, key=costs.__getitem__, default=best)
    if most != best and costs[most] > 0:
        share = 100 * costs[most] / source.estimate(most, "test_loss").mean
        yield f"Running statistics cost {most} most: {share:.3g}{PERCENT} of its loss."


class Difference(NamedTuple):
    """An arm against its baseline."""

    name: str
    baseline: str
    found: ArmComparison


def differences(source: Source) -> Drawn:
    """Comparisons of the values of one field, everything else alike."""
    if not source.complete:
        return [LeftOut(DIFFERENCES, "every run has diverged")]
    there = [path for path in varying(source.rows) if path != "seed"]
    fields = [SOURCE] if SOURCE in source.fields else there
    tried = (
        (each, list(islice(_differences(source, each), MOST + 1)))
        for each in sorted(fields, key=lambda path: path != MOMENTUM)
    )
    field, found = next((pair for pair in tried if pair[1]), ("", []))
    if not found:
        return [LeftOut(DIFFERENCES, "no two arms are alike but for one field")]
    shown = found[:MOST]
    ratios = sum(each.found.result.scale == "ratio" for each in shown)
    scale = "ratio" if 2 * ratios >= len(shown) else "difference"  # for one axis
    kind = {"ratio": "ratio of geometric means, arm ÷ baseline",
            "difference": "difference of means, arm − baseline"}[scale]  # fmt: skip
    columns = ("arm", "baseline", "paired", "n", f"{scale} [95{PERCENT} interval]", "decided")
    rows = [
        (each.name, each.baseline, PAIRED[each.found.pairing], sample_size(each.found.result),
         estimate_with_interval(each.found.result, scale), decision(each.found.result))
        for each in shown
    ]  # fmt: skip
    return [
        Figure(
            name="differences",
            title=DIFFERENCES,
            sentence=_decided(shown, field),
            chart=_chart(source, shown, scale, field),
            table=table(columns, rows),
            note=sentences(
                f"Test loss, {kind}, with its 95{PERCENT} interval over seeds (Student's t and "
                "bootstrap). Runs of one training are paired on their weights, others by seed. "
                f"Decided: no difference lies outside the interval, n ≥ {FEWEST}.",
                f"The first {MOST} comparisons; normexp compare has all."
                if len(found) > MOST else "",
            ),
        )
    ]  # fmt: skip


def _differences(source: Source, field: str) -> Iterator[Difference]:
    names = {row["run_id"]: row["arm"] for row in source.rows}
    if field == SOURCE:
        yield from _between_sources(source)
        return
    rows = [row for row in source.rows if field in row]
    for each in comparisons(field, baseline_of(field, rows), rows, "test_loss"):
        ids = each.found.run_ids  # of the baseline, then of the other
        if ids:
            yield Difference(names[ids[-1]], names[ids[0]], each.found)


def _between_sources(source: Source) -> Iterator[Difference]:
    """Arms of the first source against those of the others that are otherwise alike."""
    alike: dict[str, dict[str, list[Row]]] = {}
    inner = [path for path in source.fields if path != SOURCE]
    for row in source.rows:
        values = repr({path: row[path] for path in inner if path in row})
        alike.setdefault(values, {}).setdefault(row[SOURCE], []).append(row)
    for members in alike.values():
        first, *others = [members[name] for name in source.names if name in members]
        for other in others:
            found = compare_arms(first, other, "test_loss")
            yield Difference(other[0]["arm"], first[0]["arm"], found)


def _decided(found: Sequence[Difference], field: str) -> str:
    """The number of decided differences, and the largest."""
    decided = [each for each in found if each.found.result.decided]
    name = "their source" if field == SOURCE else title_of(field)
    few = max(min(each.found.result.n) for each in found)
    text = (
        f"{name.capitalize()}: {len(decided) or 'none'} of {counted(len(found), 'difference')} "
        f"{'are' if len(decided) > 1 else 'is'} decided"
    )
    if few < FEWEST:
        text += (
            f", for which {FEWEST} seeds are needed, and here {counted(few, 'seed')} can be used"
        )
    known = [e for e in decided or found if e.found.result.scale == "ratio"]
    known = [e for e in known if 0 < e.found.result.estimate < math.inf]
    if not known:
        return f"{text}."
    largest = max(known, key=lambda each: abs(math.log(each.found.result.estimate)))
    return (
        f"{text}. The largest: the test loss of {largest.name} is "
        f"{largest.found.result.estimate:.3g} times that of {largest.baseline}."
    )


def _chart(source: Source, found: Sequence[Difference], scale: str, field: str) -> "Chart | None":
    """Ratios or differences with intervals; an arm with several baselines has each in its name."""
    import pandas as pd

    results = [(each, each.found.result) for each in found]
    unique = len({each.name for each in found}) == len(found)
    frame = pd.DataFrame(
        {"name": each.name if unique else f"{each.name} : {each.baseline}",
         "baseline": each.baseline, "mean": result.estimate, "low": result.low, "high": result.high,
         "faint": not result.decided, "decided": decision(result),
         "text": estimate_with_interval(result, scale)}
        for each, result in results
        if math.isfinite(result.low) and result.scale == scale
    )  # fmt: skip
    if frame.empty:
        return None
    baselines = {each.baseline for each in found}
    against = next(iter(baselines))
    if len(baselines) > 1:
        word = field_value(field, dict(source.values(against)))
        one = f"{title_of(field)} {word}, all else alike"
        against = "the same arm of the first" if field == SOURCE else one
    nothing = 1.0 if scale == "ratio" else 0.0
    shown = pd.concat([frame, pd.DataFrame([{"mean": nothing}])])
    axis = value_axis(f"test loss, {scale} to {against}", shown, log=scale == "ratio")
    tips = {"name:N": "arm", "baseline:N": "baseline", "text:N": scale, "decided:N": "decided"}
    return dot_plot(frame, source.palette, x=axis, tips=tips, against=nothing)
