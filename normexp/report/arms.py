"""Arms against one another: test loss and accuracy with intervals, and paired differences."""

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from normexp.config.identity import varying
from normexp.console.compare import PAIRED, decision, estimate_with_interval, sample_size
from normexp.console.words import (
    METRICS,
    SKEWED_NOTE,
    counted,
    field_value,
    interval,
    number,
    title_of,
)
from normexp.insight.compare import baseline_of, comparisons
from normexp.insight.comparison import FEWEST, Comparison
from normexp.report.charts import (
    SHOWN,
    category,
    labels,
    layer,
    on_axis,
    panels,
    quantity,
    tooltips,
    value_axis,
)
from normexp.report.figure import Drawn, Figure, LeftOut, Spec, Table, sentences, table
from normexp.report.naming import unnamed
from normexp.report.source import MOMENTUM, SOURCE, Source
from normexp.report.style import ARM, INK, PERCENT, SOFT, SOLID, Palette, sign

if TYPE_CHECKING:
    import pandas as pd

DIFFERENCES = "Differences, paired where they can be"

ACCURACIES = ("test_accuracy", "test_accuracy_population")

FAINT = 0.28
"""Opacity of bars."""

MOST = 20
"""Comparisons that are made: each costs a bootstrap."""


def headline(source: Source) -> Drawn:
    """Every arm's test loss and accuracy, and how much of them the running statistics are."""
    return [_headline(source, metric) for metric in source.metrics]


def _headline(source: Source, metric: str) -> Figure:
    is_loss, what = metric == "test_loss", metric.replace("_", " ")
    frame = source.summary(metric)
    frame = frame[frame["arm"].isin(source.palette.arms)].assign(name=frame["arm"])
    tips = {"arm:N": "arm", "text:N": what, "truth:N": "population", "n": "seeds"}
    return Figure(
        name="headline" if is_loss else "headline-accuracy",
        title="What each arm comes to" if is_loss else "Accuracy of each arm",
        sentence=_sentence(source, metric),
        chart=_dots(frame, source.palette, what, tips, log=is_loss) if len(frame) else None,
        table=_table(source) if is_loss else None,
        key=(
            sign(f"mean and 95{PERCENT} interval over seeds", "circle", line=SOLID),
            *(
                sign("the same weights under population statistics", "upright", color=SOFT),
                sign("what running statistics cost", "bar", opacity=FAINT),
            ) * bool(frame["reference"].notna().any()),
        ),
        note=sentences(
            f"Intervals are Student's t. {SKEWED_NOTE}",
            source.thinned,
            unnamed(source.fields),
        ),
        open=is_loss,
    )  # fmt: skip


def _table(source: Source) -> Table:
    """All arms in all that is known of them."""
    rows: list[dict[str, Any]] = []
    for name, arm in source.arms.items():
        life = arm.half_life_steps
        row = {"arm": name, "n": arm.n} | {
            METRICS[metric].replace("\n", " "): source.estimate(name, metric)
            for metric in ("test_loss", "excess_loss", "test_loss_population", *ACCURACIES)
            if metric not in ACCURACIES or len(source.metrics) > 1
        }
        row["half-life, steps"] = None if life is None else number(life, 3)
        rows.append({**row, "diverged": arm.diverged or None})
    columns = [title for title in rows[0] if any(row[title] is not None for row in rows)]
    return table(columns, [[row[title] for title in columns] for row in rows])


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
    result: Comparison
    pairing: str


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
    ratios = sum(each.result.scale == "ratio" for each in shown)
    scale = "ratio" if 2 * ratios >= len(shown) else "difference"  # for one axis
    kind = {"ratio": "ratio of geometric means, arm ÷ baseline",
            "difference": "difference of means, arm − baseline"}[scale]  # fmt: skip
    columns = ("arm", "baseline", "paired", "n", f"{scale} [95{PERCENT} interval]", "decided")
    rows = [
        (each.name, each.baseline, PAIRED[each.pairing], sample_size(each.result),
         estimate_with_interval(each.result, scale), decision(each.result))
        for each in shown
    ]  # fmt: skip
    return [
        Figure(
            name="differences",
            title=DIFFERENCES,
            sentence=_decided(shown, field),
            chart=_chart(source, shown, scale, field),
            table=table(columns, rows),
            key=(
                sign(f"{scale} and its 95{PERCENT} interval over seeds", "circle", line=SOLID),
                sign("the same, not decided", "circle", color=SOFT, line=SOLID, opacity=0.6),
                sign("no difference", color=SOFT, line=(4, 3)),
            ),
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
    names = {(row.get(SOURCE), row["run_id"]): row["arm"] for row in source.rows}
    rows = [row for row in source.rows if field in row]
    baseline = source.names[0] if field == SOURCE else baseline_of(field, rows)
    for each in comparisons(field, baseline, rows, "test_loss"):
        ids = each.found.run_ids  # of the baseline, then of the other
        if ids:
            other, base = each.other.get(SOURCE), each.baseline.get(SOURCE)
            arms = names[other, ids[-1]], names[base, ids[0]]
            yield Difference(*arms, each.found.result, each.found.pairing)


def _decided(found: Sequence[Difference], field: str) -> str:
    """The number of decided differences, and the largest."""
    decided = [each for each in found if each.result.decided]
    name = "their source" if field == SOURCE else title_of(field)
    few = max(min(each.result.n) for each in found)
    text = (
        f"{name.capitalize()}: {len(decided) or 'none'} of {counted(len(found), 'difference')} "
        f"{'are' if len(decided) > 1 else 'is'} decided"
    )
    if few < FEWEST:
        text += (
            f", for which {FEWEST} seeds are needed, and here {counted(few, 'seed')} can be used"
        )
    ratios = [each for each in decided or found if each.result.scale == "ratio"]
    sizes = {each: abs(math.log(each.result.estimate)) for each in ratios
             if 0 < each.result.estimate < math.inf}  # fmt: skip
    if not sizes:
        return f"{text}."
    largest = max(sizes, key=sizes.__getitem__)
    return (
        f"{text}. The largest: the test loss of {largest.name} is "
        f"{largest.result.estimate:.3g} times that of {largest.baseline}."
    )


def _chart(source: Source, found: Sequence[Difference], scale: str, field: str) -> Spec | None:
    """Ratios or differences with intervals; an arm with several baselines has each in its name."""
    import pandas as pd

    unique = len({each.name for each in found}) == len(found)
    frame = pd.DataFrame(
        {"name": name if unique else f"{name} : {baseline}", "baseline": baseline,
         "mean": result.estimate, "low": result.low, "high": result.high,
         "faint": not result.decided, "decided": decision(result),
         "text": estimate_with_interval(result, scale)}
        for name, baseline, result, _ in found
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
    tips = {"name:N": "arm", "baseline:N": "baseline", "text:N": scale, "decided:N": "decided"}
    title, log = f"test loss, {scale} to {against}", scale == "ratio"
    return _dots(frame, source.palette, title, tips, log=log, against=1.0 if log else 0.0)


def _dots(  # noqa: PLR0913  the parts of a chart
    frame: "pd.DataFrame",
    palette: Palette,
    title: str,
    tips: dict[str, str],
    *,
    log: bool,
    against: float | None = None,
) -> Spec:
    """Means with intervals, a row a name.

    Args:
        frame: `name`, mean, low, high; `arm` where rows have colours; `reference`, another value of
            the same row; `faint` rows.
        palette: of the arms.
        title: of the axis of values.
        tips: titles of columns that a mark shows under the mouse.
        log: whether the axis is logarithmic.
        against: value of a rule over all rows.
    """
    import pandas as pd

    rule = [] if against is None else [{"mean": against}]
    shown = pd.concat([frame, pd.DataFrame(rule)]) if rule else frame
    axis = value_axis(title, shown, log=log)
    frame, names, has_arms = on_axis(frame, axis), list(frame["name"]), ARM in frame
    long = max(map(len, names)) > 18  # noqa: PLR2004  such names stand above their rows
    look: Spec = {"labelColor": INK, "ticks": False, "domain": False}
    if long:
        look["labels"] = False
    color, shape = (
        (palette.encode(names, "color"), palette.encode(names, "shape"))
        if has_arms
        else ({"color": {"value": INK}}, {"shape": {"value": "circle"}})
    )
    base = {
        "y": category("name", {"sort": names, "title": None, "axis": look}),
        "tooltip": tooltips(tips),
        **color,
    }
    faint = {"opacity": {"condition": {"test": "datum.faint", "value": 0.45}, "value": 1.0}}
    filters = [SHOWN] if has_arms else []
    known = [*filters, "isValid(datum.reference)"]

    def at(column: str, to: str = "") -> Spec:
        return {**base, "x": quantity(column, axis), **({"x2": {"field": to}} if to else {})}

    over_all = layer("rule", {"x": quantity("mean", axis)}, strokeDash=[4, 3])
    layers = [
        *([{**over_all, "data": {"values": rule}}] if rule else []),
        layer("bar", at("reference", "mean"), *known, height=7, opacity=1, fillOpacity=FAINT),
        layer("rule", {**at("low", "high"), **faint}, *filters, "isValid(datum.high)",
              strokeWidth=1.5, clip=True),
        layer("tick", {**at("reference"), "color": {"value": SOFT}}, *known, thickness=2, size=16),
        layer("point", {**at("mean"), **faint, **shape}, *filters, size=80),
        *(labels({"y": base["y"], "x": {"value": 2}}, *filters, align="left", dy=-14) * long),
    ]  # fmt: skip
    frame = frame.assign(label=frame["name"])
    return panels(layers, frame, (520, (38 if long else 28) * len(names)))
