"""Comparisons as a person reads them: a row a value, what is decided and what would settle it."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from normexp.analysis.alike import FieldComparison
from normexp.analysis.comparison import FEWEST, Comparison, Scale
from normexp.console.columns import Column, filled, fits
from normexp.console.streams import stderr, stdout
from normexp.console.words import NOTHING, counted, field_value, heading
from normexp.insight.compare import FieldReport

Values = Mapping[str, Any]

EFFECT_SIZE = "effect\nsize"
"""What a narrow terminal does without."""

PAIRED = {"weights": "weights", "seed": "seed", "unpaired": "no"}

MEANINGS = {
    "weights": "weights: on the very same weights",
    "seed": "seed: same data, order and initial weights",
    "unpaired": "no: independent samples",
}


def print_comparisons(report: FieldReport) -> None:
    """The table, and what its columns mean."""
    console, comparisons = stdout(), report.comparisons
    baseline = field_value(report.field, comparisons[0].baseline, keras=False)
    what = heading(report.field, keras=False).replace("\n", " ")
    console.print(f"{report.metric} by {what}, against {baseline}", style="bold")
    scale: Scale = (
        "difference"
        if any(each.found.result.scale == "difference" for each in comparisons)
        else "ratio"
    )
    columns = [*_fields(report), *_figures(comparisons, scale)]
    if not fits(console, table := filled(columns, comparisons)):
        table = filled([c for c in columns if c.title != EFFECT_SIZE], comparisons)
    console.print(table)
    _print_meaning(report, scale)
    _print_left_out(report)


def _fields(report: FieldReport) -> list[Column[FieldComparison]]:
    """What tells the comparisons apart: cells, baselines of several arms, and the values."""
    sides: tuple[tuple[str, Callable[[FieldComparison], Values], bool], ...] = (
        ("", lambda each: each.cell, False),
        ("base\n", lambda each: each.baseline, False),
        ("", lambda each: each.other, True),
    )
    found = []
    for prefix, side, always in sides:
        several = [side(each) for each in report.comparisons]
        for path in dict.fromkeys(path for values in several for path in values):
            varies = len({repr(values.get(path)) for values in several}) > 1
            if varies or (always and path == report.field):
                found.append(_of_field(path, prefix, side))
    return found


def _of_field(
    path: str, prefix: str, side: Callable[[FieldComparison], Values]
) -> Column[FieldComparison]:
    return Column(
        prefix + heading(path, keras=False),
        lambda each: field_value(path, side(each), keras=False),
        is_figure=False,
    )


def _figures(comparisons: Sequence[FieldComparison], scale: Scale) -> list[Column[FieldComparison]]:
    """The numbers; how they are paired only where that differs."""
    paired: Column[FieldComparison] = Column(
        "paired", lambda each: PAIRED[each.found.pairing], is_figure=False
    )
    several = len({each.found.pairing for each in comparisons}) > 1
    return [
        *([paired] if several else []),
        Column("n", lambda each: sample_size(each.found.result)),
        Column(
            f"{scale} [95 % interval]",
            lambda each: estimate_with_interval(each.found.result, scale),
        ),
        Column(EFFECT_SIZE, lambda each: _size(each.found.result.effect_size)),
        Column("decided", lambda each: decision(each.found.result)),
    ]


def _size(value: float) -> str:
    return NOTHING if math.isnan(value) else f"{value:.2g}"


def estimate_with_interval(result: Comparison, scale: str | None = None) -> str:
    """The estimate and its interval; a ratio among differences is marked as one."""
    mark = "×" if result.scale == "ratio" and scale != "ratio" else ""
    if math.isnan(result.estimate):
        return NOTHING
    if math.isnan(result.low):
        return f"{mark}{brief(result.estimate)}"
    return f"{mark}{brief(result.estimate)} [{brief(result.low)}, {brief(result.high)}]"


def brief(value: float) -> str:
    """Three significant digits."""
    if value and not 1e-3 <= abs(value) < 1e5:  # noqa: PLR2004
        return f"{value:.2g}"
    places = max(0, 2 - math.floor(math.log10(abs(value)))) if value else 0
    return f"{value:.{min(places, 3)}f}"


def sample_size(result: Comparison) -> str:
    """`8`, or `8 + 7` where samples are independent."""
    return str(result.n[0]) if result.paired else f"{result.n[0]} + {result.n[1]}"


def decision(result: Comparison) -> str:
    """`yes`, or about how many more seeds would settle it; `alike` where nothing differs at all.

    A single seed has no spread to tell it from.
    """
    if result.decided:
        return "yes"
    if min(result.n) < 2:  # noqa: PLR2004
        return "needs 2 seeds or more"
    if result.more_seeds is None:
        return "alike" if result.low == result.high == result.nothing else "> 1000 more"
    return f"~{result.more_seeds} more"


def _print_meaning(report: FieldReport, scale: str) -> None:
    console = stdout()
    pairings = [name for name in MEANINGS if any(e.found.pairing == name for e in
                                                 report.comparisons)]  # fmt: skip
    what = (
        "ratio of geometric means, value : baseline"
        if scale == "ratio"
        else "difference of means, value − baseline"
    )
    console.print(
        f"{what}; interval over seeds by Student's t and bootstrap. Paired by "
        f"{'; '.join(MEANINGS[name] for name in pairings)}. Decided: the interval excludes no "
        f"difference, n ≥ {FEWEST}; else about how many more seeds would settle it.",
        style="dim",
    )


def _print_left_out(report: FieldReport) -> None:
    console = stderr()
    diverged = sum(each.found.diverged for each in report.comparisons)
    unmatched = sum(each.found.unmatched for each in report.comparisons)
    lost = sum(each.found.result.left_out for each in report.comparisons)
    if diverged:
        console.print(f"note: {counted(diverged, 'diverged run')} left out", soft_wrap=True)
    if unmatched:
        console.print(
            f"note: {counted(unmatched, 'run')} left out: the other side has not their seeds, or "
            "lost them",
            soft_wrap=True,
        )
    if lost:
        console.print(f"note: {counted(lost, 'value')} left out: not finite, or not positive where"
                      " a ratio is taken", soft_wrap=True)  # fmt: skip
    for path in dict.fromkeys(path for each in report.comparisons for path in each.also):
        console.print(
            f"note: {path} differs too: it follows from the choice; type it for both to tell them "
            "apart",
            soft_wrap=True,
        )
