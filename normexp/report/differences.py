"""Paired differences: every arm against one it differs from in a single field."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from normexp.config.differences import varying
from normexp.console.compare import PAIRED, decision, estimate_with_interval, sample_size
from normexp.console.words import counted, field_value, heading
from normexp.insight.compare import baseline_of, comparisons
from normexp.insight.comparison import FEWEST, Comparison
from normexp.insight.pairing import ArmComparison, compare_arms
from normexp.report.axes import names_axis, scale_of
from normexp.report.figure import Drawn, Figure, LeftOut, Table
from normexp.report.momentum_words import PERCENT
from normexp.report.source import MOMENTUM, SOURCE, Source
from normexp.report.style import INK, SOFT

if TYPE_CHECKING:
    from normexp.report.figure import Chart
    from normexp.store.stored import Row

TITLE = "Differences, paired where they can be"

MOST = 40
"""Comparisons that are made: each costs a bootstrap."""

MOST_DRAWN = 20
"""Of these: the table has the others."""

FAR = 5.0
"""Times the least and the largest ratio where intervals are cut off."""

WIDTH = 460


@dataclass(frozen=True)
class Difference:
    """An arm against its baseline."""

    name: str
    baseline: str
    found: ArmComparison


def differences(source: Source) -> Drawn:
    """How far the values of one field lie apart, everything else alike."""
    if not source.complete:
        return [LeftOut(TITLE, "every run has diverged")]
    fields = _fields(source)
    if not fields:
        return [LeftOut(TITLE, "there is nothing to compare: one arm")]
    tried = ((each, list(islice(_differences(source, each), MOST + 1))) for each in fields)
    field, found = next((pair for pair in tried if pair[1]), (fields[0], []))
    if not found:
        return [LeftOut(TITLE, "no two arms are alike but for one field")]
    shown = found[:MOST]
    several = [each.found.result.scale for each in shown]
    scale = "ratio" if several.count("ratio") * 2 >= len(several) else "difference"  # for one axis
    comparable = [
        each
        for each in shown
        if math.isfinite(each.found.result.low) and each.found.result.scale == scale
    ]
    note = (
        f"Test loss, {_kind(scale)}, with its "
        f"95{PERCENT} interval over seeds (Student's t and bootstrap). Runs of one training are "
        "paired on their weights, others by seed. Decided: no difference lies outside the "
        f"interval, n ≥ {FEWEST}."
    )
    drawn = _spread(comparable)
    if len(drawn) < len(comparable):
        note += f" {len(drawn)} of {len(comparable)} are drawn, evenly by size."
    if len(found) > MOST:
        note += f" The first {MOST} comparisons; normexp compare has all."
    return [
        Figure(
            name="differences",
            title=TITLE,
            sentence=_sentence(shown, field),
            description=f"Interval chart: the {scale} of test losses for {len(drawn)} comparisons, "
            "with a rule where there is no difference.",
            chart=_chart(drawn, scale, _against(source, drawn, field)) if drawn else None,
            table=_table(shown, scale),
            note=note,
        )
    ]


def _spread(found: Sequence[Difference]) -> Sequence[Difference]:
    """As many as are drawn, evenly by size, in their order."""
    if len(found) <= MOST_DRAWN:
        return found
    ranked = sorted(found, key=lambda each: each.found.result.estimate)
    steps = {round(i * (len(ranked) - 1) / (MOST_DRAWN - 1)) for i in range(MOST_DRAWN)}
    kept = {id(ranked[i]) for i in steps}
    return [each for each in found if id(each) in kept]


def _fields(source: Source) -> list[str]:
    """What can be compared: the sources, else momentum, else the first field that differs."""
    if SOURCE in source.fields:
        return [SOURCE]
    there = [path for path in varying(source.rows) if path != "seed"]
    return sorted(there, key=lambda path: path != MOMENTUM)


def _differences(source: Source, field: str) -> Iterable[Difference]:
    if field == SOURCE:
        yield from _between_sources(source)
        return
    rows = [row for row in source.rows if field in row]
    baseline = baseline_of(field, rows)
    for each in comparisons(field, baseline, rows, "test_loss"):
        ids = each.found.run_ids  # of the baseline, then of the other
        if ids:
            yield Difference(source.arm_of[ids[-1]], source.arm_of[ids[0]], each.found)


def _between_sources(source: Source) -> Iterable[Difference]:
    """Arms of the first source against those of the others that are otherwise alike."""
    by_values: dict[str, dict[str, list[Row]]] = {}
    inner = [path for path in source.fields if path != SOURCE]
    for row in source.rows:
        values = repr({path: row[path] for path in inner if path in row})
        by_values.setdefault(values, {}).setdefault(row[SOURCE], []).append(row)
    for members in by_values.values():
        first, *others = [members[name] for name in source.names if name in members]
        for other in others:
            names = [source.arm_name(rows[0]) for rows in (other, first)]
            yield Difference(names[0], names[1], compare_arms(first, other, "test_loss"))


def _said(field: str) -> str:
    return "their source" if field == SOURCE else heading(field, keras=False).replace("\n", " ")


def _against(source: Source, found: Sequence[Difference], field: str) -> str:
    """What all are compared with, in a few words."""
    baselines = {each.baseline for each in found}
    if len(baselines) == 1:
        return baselines.pop()
    if field == SOURCE:
        return "the same arm of the first"
    values = dict(zip(source.arm_names, (arm.values for arm in source.arms), strict=True))
    value = next(iter(values[each] for each in baselines)).get(field)
    spelled = field_value(field, {field: value}, keras=False)
    return f"{_said(field)} {spelled}, all else alike"


def _sentence(found: Sequence[Difference], field: str) -> str:
    decided = [each for each in found if each.found.result.decided]
    count = (
        f"{len(decided)} of {counted(len(found), 'difference')}"
        if decided
        else (f"none of {counted(len(found), 'difference')}")
    )
    what = f"{_said(field).capitalize()}: {count} {'are' if len(decided) > 1 else 'is'} decided"
    few = max(min(each.found.result.n) for each in found)
    if few < FEWEST:
        what += (
            f", for which {FEWEST} seeds are needed and {few} {'is' if few == 1 else 'are'} here"
        )
    known = [e for e in decided or found if math.isfinite(e.found.result.estimate)]
    known = [e for e in known if e.found.result.scale == known[0].found.result.scale]
    if not known:
        return f"{what}."
    largest = max(known, key=lambda each: _size(each.found.result))
    result = largest.found.result
    if result.scale == "ratio":
        amount = f"{result.estimate:.3g} times that of {largest.baseline}"
    else:
        amount = f"{result.estimate:+.3g} from that of {largest.baseline}"
    return f"{what}. The largest: the test loss of {largest.name} is {amount}."


def _kind(scale: str) -> str:
    """What is compared, in words."""
    if scale == "ratio":
        return "ratio of geometric means, arm ÷ baseline"
    return "difference of means, arm − baseline"


def _size(result: Comparison) -> float:
    positive = result.scale == "ratio" and result.estimate > 0
    return abs(math.log(result.estimate)) if positive else abs(result.estimate)


def _table(found: Sequence[Difference], scale: str) -> Table:
    columns = ("arm", "baseline", "paired", "n", f"{scale} [95{PERCENT} interval]", "decided")
    return Table(
        columns,
        tuple(
            (
                each.name,
                each.baseline,
                PAIRED[each.found.pairing],
                sample_size(each.found.result),
                estimate_with_interval(each.found.result, scale),
                decision(each.found.result),
            )
            for each in found
        ),
    )


def _chart(found: Sequence[Difference], scale: str, against: str) -> "Chart":
    import altair as alt

    rows = _rows(found, scale)
    nothing = 1.0 if scale == "ratio" else 0.0
    low, high = _ends(found, scale)
    kind, axis = scale_of(low, high, log=scale == "ratio")
    title = f"test loss, {scale} to {against}"

    def at(name: str) -> alt.X:
        return alt.X(f"{name}:Q", scale=kind, axis=axis, title=title)

    axis_of_names, height = names_axis([row["name"] for row in rows])
    base = alt.Chart(alt.InlineData(values=rows), width=WIDTH, height=height)
    y = alt.Y("name:N", sort=None, title=None, axis=axis_of_names)
    faint = alt.condition("datum.decided == 'yes'", alt.value(1.0), alt.value(0.45))
    tips = [
        alt.Tooltip("name:N", title="arm"),
        alt.Tooltip("baseline:N"),
        alt.Tooltip("said:N", title=scale),
        alt.Tooltip("decided:N"),
    ]
    rule = (
        alt.Chart(alt.InlineData(values=[{"nothing": nothing}]))
        .mark_rule(color=SOFT, strokeDash=[4, 3])
        .encode(at("nothing"))
    )
    span = base.mark_rule(color=INK, strokeWidth=1.5, clip=True)
    point = base.mark_point(color=INK, size=60, clip=True)
    return alt.layer(
        rule,
        span.encode(y, at("low"), alt.X2("high:Q"), opacity=faint),
        point.encode(y, at("estimate"), opacity=faint, tooltip=tips),
    )


def _rows(found: Sequence[Difference], scale: str) -> list[dict[str, Any]]:
    """What is drawn; an arm that is compared with several has its baseline in its name."""
    unique = len({each.name for each in found}) == len(found)
    return [
        {
            "name": each.name if unique else f"{each.name} : {each.baseline}",
            "baseline": each.baseline,
            "estimate": each.found.result.estimate,
            "low": each.found.result.low,
            "high": each.found.result.high,
            "decided": decision(each.found.result),
            "said": estimate_with_interval(each.found.result, scale),
        }
        for each in found
    ]


def _ends(found: Sequence[Difference], scale: str) -> tuple[float, float]:
    """Both ends of the axis: all estimates, none, and intervals as far as that is sensible."""
    results = [each.found.result for each in found]
    means = [*(each.estimate for each in results), 1.0 if scale == "ratio" else 0.0]
    low, high = (f([*means, *g]) for f, g in
                 ((min, [e.low for e in results]), (max, [e.high for e in results])))  # fmt: skip
    if scale == "ratio":
        return max(low, min(means) / FAR) / 1.1, min(high, max(means) * FAR) * 1.1
    room = 0.04 * ((high - low) or 1.0)
    return low - room, high + room
