"""Arms against one another: test loss and accuracy with intervals, and paired differences."""

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from normexp.config.differences import varying
from normexp.console.compare import PAIRED, decision, estimate_with_interval, sample_size
from normexp.console.words import SKEWED_NOTE, counted, field_value, interval, number
from normexp.insight.compare import baseline_of, comparisons
from normexp.insight.comparison import FEWEST, Comparison
from normexp.insight.pairing import ArmComparison, compare_arms
from normexp.report.charts import dot_plot, value_axis
from normexp.report.figure import Drawn, Figure, LeftOut, said, table
from normexp.report.naming import title_of, unnamed
from normexp.report.source import MOMENTUM, SOURCE, UNKNOWN, Source, some
from normexp.report.words import PERCENT

if TYPE_CHECKING:
    from normexp.store.stored import Row

EXCESS = "excess_loss"

DIFFERENCES = "Differences, paired where they can be"

MOST = 40
"""Comparisons that are made: each costs a bootstrap."""

MOST_DRAWN = 20
"""Of these: the table has the others."""


def headline(source: Source) -> Drawn:
    """Every arm's test loss and accuracy, and how much of them the running statistics are."""
    return [
        _headline(source, metric)
        for metric in source.metrics
        if metric == "test_loss" or _known(source, metric)
    ]


def _headline(source: Source, metric: str) -> Figure:
    import pandas as pd

    is_loss = metric == "test_loss"
    what = metric.replace("_", " ")
    drawn = [arm for arm in _known(source, metric) if arm in source.palette.arms]
    tracked = [arm for arm in drawn if source.arms[arm].has_statistics]
    frame = pd.DataFrame([_row(source, arm, metric) for arm in drawn])
    chart = None
    if drawn:
        both = pd.concat([frame, frame.assign(mean=frame["reference"]).dropna(subset="mean")])
        axis = value_axis(
            what,
            both,
            log=is_loss and both["mean"].min() > 0,
            within=(-math.inf, math.inf) if is_loss else (0, 1),
        )
        tips = {"arm:N": "arm", "said:N": what, "truth:N": "population", "n": "seeds"}
        chart = dot_plot(frame, source.palette, x=axis, tips=tips)
    truth = (
        "Upright stroke: the same weights under population statistics; the bar between is what the "
        f"running statistics cost{', the excess loss' if is_loss else ''}."
    )
    return Figure(
        name="headline" if is_loss else "headline-accuracy",
        title="What each arm comes to" if is_loss else "Accuracy of each arm",
        sentence=_sentence(source, metric),
        description=f"Dot chart: {what} of each arm with its 95{PERCENT} interval over seeds"
        f"{', and that of the same weights under population statistics' if tracked else ''}.",
        chart=chart,
        table=_table(source) if is_loss else None,
        note=said(
            f"Mark: mean {what} and 95{PERCENT} interval over seeds (Student's t).",
            truth if tracked else "",
            SKEWED_NOTE,
            *([source.thinned, unnamed(source.fields)] if is_loss else []),
        ),
        open=is_loss,
    )


def _known(source: Source, metric: str) -> list[str]:
    """The arms with a finite mean."""
    return [arm for arm in source.arms if math.isfinite(source.estimate(arm, metric).mean)]


def _row(source: Source, arm: str, metric: str) -> dict[str, Any]:
    value = source.estimate(arm, metric)
    known = source.arms[arm].has_statistics
    truth = source.estimate(arm, f"{metric}_population") if known else UNKNOWN
    return {
        "name": arm,
        "arm": arm,
        "mean": value.mean,
        "low": value.mean - value.half_width,
        "high": value.mean + value.half_width,
        "reference": truth.mean,
        "said": interval(value),
        "truth": interval(truth),
        "n": value.n,
    }


def _table(source: Source) -> Any:  # noqa: ANN401
    """All arms in all that is known of them."""
    columns = {"test loss": "test_loss", "excess": EXCESS, "population": "test_loss_population"}
    if len(source.metrics) > 1:
        columns |= {"accuracy": "test_accuracy", "population accuracy": "test_accuracy_population"}
    lives = any(arm.half_life_steps is not None for arm in source.arms.values())
    diverged = any(arm.diverged for arm in source.arms.values())
    head = ["arm", "n", *columns, *["half-life, steps"] * lives, *["diverged"] * diverged]
    rows = []
    for name, arm in source.arms.items():
        estimates = [source.estimate(name, metric) for metric in columns.values()]
        if not arm.has_statistics:
            estimates[1] = UNKNOWN
        life = None if arm.half_life_steps is None else f"{arm.half_life_steps:.3g}"
        rows.append((name, arm.n, *estimates, *[life] * lives, *[arm.diverged or None] * diverged))
    return table(head, rows)


def _sentence(source: Source, metric: str) -> str:
    """The best and the worst arm, and what running statistics cost."""
    known = sorted(_known(source, metric), key=lambda arm: source.rank(arm, metric))
    if not known:
        return "No arm has a finite test loss: every run has diverged."
    best, worst = known[0], known[-1]
    what = metric.replace("_", " ")
    value = interval(source.estimate(best, metric))
    if best == worst:
        first = f"{best}: {what} {value}."
    else:
        most, least = ("least", "most") if metric == "test_loss" else ("highest", "lowest")
        other = interval(source.estimate(worst, metric))
        first = f"{best} has the {most} {what}, {value}; {worst} the {least}, {other}."
    return said(first, *_cost(source, best, metric))


def _cost(source: Source, best: str, metric: str) -> list[str]:
    """What running statistics cost the best arm, and where they cost most."""
    costs = {
        arm: source.rank(arm, metric) - source.rank(arm, metric + "_population")
        for arm in _known(source, metric)
        if source.arms[arm].has_statistics
    }
    costs = {arm: cost for arm, cost in costs.items() if math.isfinite(cost)}
    told = []
    if best in costs and metric == "test_loss":
        truth = number(source.estimate(best, "test_loss_population").mean)
        cost = (
            f"{number(costs[best])} of its loss is the running statistics"
            if costs[best] > 0
            else f"its running statistics do no harm, {number(costs[best])}"
        )
        told.append(f"The same weights reach {truth} under population statistics: {cost}.")
    most = max(costs, key=lambda arm: costs[arm], default=best)
    if most != best and costs[most] > 0:
        share = f"{100 * costs[most] / source.estimate(most, metric).mean:.3g}{PERCENT} of its loss"
        points = f"{100 * costs[most]:.3g} points"
        told.append(
            f"Running statistics cost {most} most: {share if metric == 'test_loss' else points}."
        )
    return told


class Difference(NamedTuple):
    """An arm against its baseline."""

    name: str
    baseline: str
    found: ArmComparison

    @property
    def result(self) -> Comparison:
        """The numbers."""
        return self.found.result


def differences(source: Source) -> Drawn:
    """How far the values of one field lie apart, everything else alike."""
    if not source.complete:
        return [LeftOut(DIFFERENCES, "every run has diverged")]
    there = [path for path in varying(source.rows) if path != "seed"]
    fields = [SOURCE] if SOURCE in source.fields else there
    if not fields:
        return [LeftOut(DIFFERENCES, "there is nothing to compare: one arm")]
    tried = (
        (each, list(islice(_differences(source, each), MOST + 1)))
        for each in sorted(fields, key=lambda path: path != MOMENTUM)
    )
    field, found = next((pair for pair in tried if pair[1]), ("", []))
    if not found:
        return [LeftOut(DIFFERENCES, "no two arms are alike but for one field")]
    shown = found[:MOST]
    ratios = sum(each.result.scale == "ratio" for each in shown)
    scale = "ratio" if 2 * ratios >= len(shown) else "difference"  # for one axis
    known = [e for e in shown if math.isfinite(e.result.low) and e.result.scale == scale]
    ranked = some(sorted(known, key=lambda each: each.result.estimate), MOST_DRAWN)
    drawn = [each for each in known if each in ranked]
    columns = ("arm", "baseline", "paired", "n", f"{scale} [95{PERCENT} interval]", "decided")
    kind = {
        "ratio": "ratio of geometric means, arm ÷ baseline",
        "difference": "difference of means, arm − baseline",
    }[scale]
    return [
        Figure(
            name="differences",
            title=DIFFERENCES,
            sentence=_decided(shown, field),
            description=f"Interval chart: the {scale} of test losses for {len(drawn)} comparisons, "
            "with a rule where there is no difference.",
            chart=_chart(drawn, scale, _against(source, drawn, field), source) if drawn else None,
            table=table(columns, (_cells(each, scale) for each in shown)),
            note=said(
                f"Test loss, {kind}, with its 95{PERCENT} interval over seeds (Student's t and "
                "bootstrap). Runs of one training are paired on their weights, others by seed. "
                f"Decided: no difference lies outside the interval, n ≥ {FEWEST}.",
                f"{len(drawn)} of {len(known)} are drawn, evenly by size."
                if len(drawn) < len(known) else "",
                f"The first {MOST} comparisons; normexp compare has all."
                if len(found) > MOST else "",
            ),
        )
    ]  # fmt: skip


def _differences(source: Source, field: str) -> Iterable[Difference]:
    names = {row["run_id"]: row["arm"] for row in source.rows}
    if field == SOURCE:
        yield from _between_sources(source)
        return
    rows = [row for row in source.rows if field in row]
    for each in comparisons(field, baseline_of(field, rows), rows, "test_loss"):
        ids = each.found.run_ids  # of the baseline, then of the other
        if ids:
            yield Difference(names[ids[-1]], names[ids[0]], each.found)


def _between_sources(source: Source) -> Iterable[Difference]:
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


def _cells(each: Difference, scale: str) -> tuple[Any, ...]:
    return (
        each.name,
        each.baseline,
        PAIRED[each.found.pairing],
        sample_size(each.result),
        estimate_with_interval(each.result, scale),
        decision(each.result),
    )


def _against(source: Source, found: Sequence[Difference], field: str) -> str:
    """The baseline of all, in a few words."""
    baselines = {each.baseline for each in found}
    if len(baselines) == 1:
        return baselines.pop()
    if field == SOURCE:
        return "the same arm of the first"
    spelled = field_value(field, source.arms[next(iter(baselines))].values, keras=False)
    return f"{title_of(field)} {spelled}, all else alike"


def _decided(found: Sequence[Difference], field: str) -> str:
    """How many differences are decided, and the largest."""
    decided = [each for each in found if each.result.decided]
    name = "their source" if field == SOURCE else title_of(field)
    text = (
        f"{name.capitalize()}: {len(decided) or 'none'} of {counted(len(found), 'difference')} "
        f"{'are' if len(decided) > 1 else 'is'} decided"
    )
    few = max(min(each.result.n) for each in found)
    if few < FEWEST:
        text += (
            f", for which {FEWEST} seeds are needed and {few} {'is' if few == 1 else 'are'} here"
        )
    known = [e for e in decided or found if math.isfinite(e.result.estimate)]
    known = [e for e in known if e.result.scale == known[0].result.scale]
    if not known:
        return f"{text}."
    largest = max(known, key=lambda each: _size(each.result))
    estimate = largest.result.estimate
    amount = f"{estimate:.3g} times" if largest.result.scale == "ratio" else f"{estimate:+.3g} from"
    return (
        f"{text}. The largest: the test loss of {largest.name} is {amount} that of "
        f"{largest.baseline}."
    )


def _size(result: Comparison) -> float:
    positive = result.scale == "ratio" and result.estimate > 0
    return abs(math.log(result.estimate)) if positive else abs(result.estimate)


def _chart(found: Sequence[Difference], scale: str, against: str, source: Source) -> Any:  # noqa: ANN401
    """Ratios or differences with intervals; an arm with several baselines has each in its name."""
    import pandas as pd

    unique = len({each.name for each in found}) == len(found)
    rows = [
        {"name": each.name if unique else f"{each.name} : {each.baseline}",
         "baseline": each.baseline, "mean": each.result.estimate, "low": each.result.low,
         "high": each.result.high, "faint": decision(each.result) != "yes",
         "decided": decision(each.result), "said": estimate_with_interval(each.result, scale)}
        for each in found
    ]  # fmt: skip
    nothing = 1.0 if scale == "ratio" else 0.0
    frame = pd.DataFrame(rows)
    shown = pd.concat([frame, pd.DataFrame([{"mean": nothing}])])
    axis = value_axis(f"test loss, {scale} to {against}", shown, log=scale == "ratio")
    tips = {"name:N": "arm", "baseline:N": "baseline", "said:N": scale, "decided:N": "decided"}
    return dot_plot(frame, source.palette, x=axis, tips=tips, against=nothing)
