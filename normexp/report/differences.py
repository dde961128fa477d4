"""Paired differences: every arm against one it differs from in a single field."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from normexp.analysis.alike import comparisons, differing, in_order, specs_of
from normexp.analysis.comparison import FEWEST, Comparison
from normexp.analysis.pairing import ArmComparison, compare_arms
from normexp.config.field import spell
from normexp.console.compare import PAIRED, decision, estimate_with_interval, sample_size
from normexp.console.words import heading
from normexp.report.figure import Drawn, Figure, LeftOut, Table
from normexp.report.source import MOMENTUM, SOURCE, Source
from normexp.report.style import INK, SOFT
from normexp.store.rows import Row

if TYPE_CHECKING:
    from normexp.report.figure import Chart

TITLE = "Differences, paired where they can be"

MOST = 40
"""Comparisons that are made: each costs a bootstrap."""

ROW_HEIGHT = 24
WIDTH = 460


@dataclass(frozen=True)
class Difference:
    """An arm against its baseline."""

    name: str
    baseline: str
    found: ArmComparison


def differences(source: Source) -> Drawn:
    """How far the values of one field lie apart, everything else alike."""
    field = _field(source)
    if field is None:
        return [LeftOut(TITLE, "there is nothing to compare: one arm")]
    found = list(islice(_differences(source, field), MOST + 1))
    if not found:
        return [LeftOut(TITLE, f"no two arms are alike but for {_said(field)}")]
    shown = found[:MOST]
    comparable = [each for each in shown if math.isfinite(each.found.result.low)]
    scale = "ratio" if all(e.found.result.scale == "ratio" for e in shown) else "difference"
    note = (
        f"Test loss, {scale}: arm {'÷' if scale == 'ratio' else '−'} baseline, with its 95 % "
        "interval over seeds (Student's t and bootstrap). Runs of one training are paired on their "
        f"weights, others by seed. Decided: no difference lies outside the interval, n ≥ {FEWEST}."
    )
    if len(found) > MOST:
        note += f" The first {MOST} comparisons; normexp compare has all."
    return [
        Figure(
            name="differences",
            title=TITLE,
            sentence=_sentence(shown, field),
            description=f"Interval chart: the {scale} of test losses for {len(shown)} comparisons, "
            "with a rule where there is no difference.",
            chart=_chart(comparable, scale) if comparable else None,
            table=_table(shown, scale),
            note=note,
        )
    ]


def _field(source: Source) -> str | None:
    """What is compared: the sources, else momentum, else the first field that differs."""
    if SOURCE in source.fields:
        return SOURCE
    there = differing(source.rows)
    return MOMENTUM if MOMENTUM in there else next(iter(there), None)


def _differences(source: Source, field: str) -> Iterable[Difference]:
    if field == SOURCE:
        yield from _between_sources(source)
        return
    rows = [row for row in source.rows if field in row]
    baseline = _baseline(field, rows)
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


def _baseline(field: str, rows: Sequence[Row]) -> Any:  # noqa: ANN401
    """The schema's default where it is among the values, else the first of them."""
    values = in_order(field, [row[field] for row in rows])
    default = None if field.endswith(".kind") else specs_of(rows[0])[field].default
    return default if default in values else values[0]


def _said(field: str) -> str:
    return "their source" if field == SOURCE else heading(field, keras=False).replace("\n", " ")


def _sentence(found: Sequence[Difference], field: str) -> str:
    decided = [each for each in found if each.found.result.decided]
    what = f"{_said(field).capitalize()}: {len(decided)} of {len(found)} differences are decided"
    known = [e for e in decided or found if math.isfinite(e.found.result.estimate)]
    if not known:
        return f"{what}."
    largest = max(known, key=lambda each: _size(each.found.result))
    result = largest.found.result
    if result.scale == "ratio":
        amount = f"{result.estimate:.3g} times that of {largest.baseline}"
    else:
        amount = f"{result.estimate:+.3g} from that of {largest.baseline}"
    return f"{what}; the largest: the test loss of {largest.name} is {amount}."


def _size(result: Comparison) -> float:
    positive = result.scale == "ratio" and result.estimate > 0
    return abs(math.log(result.estimate)) if positive else abs(result.estimate)


def _table(found: Sequence[Difference], scale: str) -> Table:
    columns = ("arm", "baseline", "paired", "n", f"{scale} [95 % interval]", "decided")
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


def _chart(found: Sequence[Difference], scale: str) -> "Chart":
    import altair as alt

    several = len({each.baseline for each in found}) > 1
    rows = [
        {
            "name": f"{each.name} : {each.baseline}" if several else each.name,
            "estimate": each.found.result.estimate,
            "low": each.found.result.low,
            "high": each.found.result.high,
            "decided": decision(each.found.result),
            "said": estimate_with_interval(each.found.result, scale),
        }
        for each in found
    ]
    nothing = 1.0 if scale == "ratio" else 0.0
    kind = alt.Scale(type="log") if scale == "ratio" else alt.Scale(zero=False)
    title = f"test loss, {scale} to {spell(found[0].baseline)}" if not several else scale
    base = alt.Chart(alt.InlineData(values=rows), width=WIDTH, height=ROW_HEIGHT * len(rows))
    at = alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelColor=INK, ticks=False,
               domain=False, labelLimit=340))  # fmt: skip
    faint = alt.condition("datum.decided == 'yes'", alt.value(1.0), alt.value(0.45))
    tips = [
        alt.Tooltip("name:N", title="arm"),
        alt.Tooltip("said:N", title=scale),
        alt.Tooltip("decided:N"),
    ]
    rule = (
        alt.Chart(alt.InlineData(values=[{"nothing": nothing}]))
        .mark_rule(color=SOFT, strokeDash=[4, 3])
        .encode(alt.X("nothing:Q", scale=kind, title=title))
    )
    span = base.mark_rule(color=INK, strokeWidth=1.5).encode(
        at, alt.X("low:Q", scale=kind, title=title), alt.X2("high:Q"), opacity=faint
    )
    point = base.mark_point(color=INK, size=60).encode(
        at, alt.X("estimate:Q", scale=kind, title=title), opacity=faint, tooltip=tips
    )
    return alt.layer(rule, span, point)
