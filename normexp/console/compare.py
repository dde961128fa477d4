"""Comparisons as a person reads them: a row a value, what is decided and what would settle it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from normexp.analysis.alike import FieldComparison
from normexp.analysis.comparison import FEWEST, Comparison
from normexp.console.arms import table_of
from normexp.console.streams import stderr, stdout
from normexp.console.words import NOTHING, counted, field_value, heading
from normexp.session.compare import FieldReport

PAIRED = {"weights": "weights", "seed": "seed", "unpaired": "no"}

MEANINGS = {
    "weights": "weights: on the very same weights",
    "seed": "seed: same data, order and initial weights",
    "unpaired": "no: independent samples",
}


def print_comparisons(report: FieldReport) -> None:
    """The table, and what its columns mean."""
    console, comparisons = stdout(), report.comparisons
    baselines = _fields([each.baseline for each in comparisons])
    told = [path for path in baselines if path == report.field or _vary(comparisons, path)]
    baseline = field_value(report.field, comparisons[0].baseline, keras=False)
    console.print(
        f"{report.metric} by {heading(report.field, keras=False).replace(chr(10), ' ')}, "
        f"against {baseline}",
        style="bold",
    )
    cells = _fields([each.cell for each in comparisons])
    cells = [path for path in cells if len({repr(each.cell.get(path)) for each in comparisons}) > 1]
    others = _fields([each.other for each in comparisons])
    against = [path for path in told if path != report.field]
    scale = "difference" if _has(comparisons, "difference") else "ratio"
    titles = (*map(_title, cells), *(f"base\n{_title(path)}" for path in against),
              *map(_title, others), "paired")  # fmt: skip
    table = table_of(*titles, right=("n", f"{scale} [95 % interval]", "effect\nsize", "decided"))
    for each in comparisons:
        result = each.found.result
        table.add_row(
            *(field_value(path, each.cell, keras=False) for path in cells),
            *(field_value(path, each.baseline, keras=False) for path in against),
            *(field_value(path, each.other, keras=False) for path in others),
            PAIRED[each.found.pairing],
            sample_size(result),
            estimate_with_interval(result, scale),
            NOTHING if math.isnan(result.effect_size) else f"{result.effect_size:.2g}",
            decision(result),
        )
    console.print(table)
    _print_meaning(report, scale)
    _print_left_out(report)


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
    """`yes`, or about how many more seeds would settle it."""
    if result.decided:
        return "yes"
    if result.more_seeds is None:
        return "no difference in sight" if result.estimate == result.nothing else "no: > 1000 more"
    return f"no: ~{result.more_seeds} more"


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
        f"{what}; interval by bootstrap over seeds. Paired by "
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
            f"note: {counted(unmatched, 'run')} left out: the other side has not their seeds",
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


def _fields(several: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(path for each in several for path in each))


def _vary(comparisons: Sequence[FieldComparison], path: str) -> bool:
    return len({repr(each.baseline.get(path)) for each in comparisons}) > 1


def _has(comparisons: Sequence[FieldComparison], scale: str) -> bool:
    return any(each.found.result.scale == scale for each in comparisons)


def _title(path: str) -> str:
    return heading(path, keras=False)
