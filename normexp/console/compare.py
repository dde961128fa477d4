"""Comparisons and claims: effects with intervals, what is decided, and what would settle it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

from normexp.console.output import field_cells, legend, note, print_table, say
from normexp.console.words import NOTHING, counted, field_value, number, short, title_of
from normexp.insight.compare import FieldComparison, FieldReport
from normexp.insight.comparison import FEWEST, Comparison

if TYPE_CHECKING:
    from normexp.claims.check import Judged, Verdicts
    from normexp.claims.criteria import Cell, Claim, Settled

PAIRED = {"weights": "weights", "seed": "seed", "unpaired": "no"}

MEANINGS = {
    "weights": "weights: on the very same weights",
    "seed": "seed: same data, order and initial weights",
    "unpaired": "no: independent samples",
}

HELD = {True: "holds", False: "fails", None: "undecided"}


def print_comparisons(report: FieldReport) -> None:
    """The table, and what its columns mean."""
    comparisons = report.comparisons
    baseline = field_value(report.field, comparisons[0].baseline)
    what = title_of(report.field)
    say(f"{report.metric} by {what}, against {baseline}", style="bold")
    scales = {each.found.result.scale for each in comparisons}
    scale = "difference" if "difference" in scales else "ratio"
    pairings = {each.found.pairing: None for each in comparisons}
    rows = []
    for each, told in zip(comparisons, _told_apart(report), strict=True):
        found = each.found.result
        cells = {
            "paired": PAIRED[each.found.pairing] if len(pairings) > 1 else None,
            "n": sample_size(found),
            f"{scale} [95 % interval]": estimate_with_interval(found, scale),
            "effect\nsize": short(found.effect_size, 2),
            "decided": decision(found),
        }
        rows.append(told | cells)
    print_table(rows, ["effect\nsize"])
    what = {
        "ratio": "ratio of geometric means, value : baseline",
        "difference": "difference of means, value − baseline",
    }[scale]
    legend(
        f"{what}; interval over seeds by Student's t and bootstrap. Paired by "
        f"{'; '.join(MEANINGS[name] for name in MEANINGS if name in pairings)}. Decided: the "
        f"interval excludes no difference, n ≥ {FEWEST}; else about how many more seeds would "
        "settle it."
    )
    _note_left_out(comparisons)


def _told_apart(report: FieldReport) -> list[dict[str, Any]]:
    """The fields that tell the comparisons apart: of cells, baselines, and the values compared."""
    rows: list[dict[str, Any]] = [{} for _ in report.comparisons]
    for prefix, side in (("", "cell"), ("base\n", "baseline"), ("", "other")):
        values: list[Mapping[str, Any]] = [getattr(each, side) for each in report.comparisons]
        paths = [
            path
            for path in dict.fromkeys(path for each in values for path in each)
            if len({repr(each.get(path)) for each in values}) > 1
            or (side == "other" and path == report.field)
        ]
        for row, each in zip(rows, values, strict=True):
            row |= {prefix + title: text for title, text in field_cells(paths, each).items()}
    return rows


def _note_left_out(comparisons: Sequence[FieldComparison]) -> None:
    """Print what does not count, on stderr."""
    results = [each.found for each in comparisons]
    if diverged := sum(each.diverged for each in results):
        note(f"{counted(diverged, 'diverged run')} left out")
    if unmatched := sum(each.unmatched for each in results):
        note(f"{counted(unmatched, 'run')} left out: the other side lacks or lost their seeds")
    if lost := sum(each.result.left_out for each in results):
        note(
            f"{counted(lost, 'value')} left out: not finite, or not positive where a ratio is taken"
        )
    for path in dict.fromkeys(path for each in comparisons for path in each.also):
        note(f"{path} differs too: it follows from the choice; type it for both to tell them apart")


def estimate_with_interval(result: Comparison, scale: str | None = None) -> str:
    """The estimate and its interval; a ratio among differences is marked as one."""
    mark = "×" if result.scale == "ratio" and scale != "ratio" else ""
    estimate, low, high = (number(x, 3) for x in (result.estimate, result.low, result.high))
    if NOTHING in (estimate, low):
        return NOTHING if estimate == NOTHING else mark + estimate
    return f"{mark}{estimate} [{low}, {high}]"


def sample_size(result: Comparison) -> str:
    """`8`, or `8 + 7` where samples are independent."""
    return str(result.n[0]) if result.paired else f"{result.n[0]} + {result.n[1]}"


def decision(result: Comparison) -> str:
    """`yes`, or about how many more seeds would settle it; `alike` where nothing differs at all."""
    if result.decided:
        return "yes"
    if min(result.n) < 2:  # noqa: PLR2004  one seed has no spread
        return "needs 2 seeds or more"
    if result.more_seeds is None:
        return "alike" if result.low == result.high == result.nothing else "> 1000 more"
    return f"~{result.more_seeds} more"


def print_verdicts(found: "Verdicts", *, details: bool) -> None:
    """A table for each source, or claim by claim; then identities and the studies used."""
    from normexp.claims.check import SOURCES

    letters = dict(zip(found.studies, ascii_lowercase, strict=False))
    for source, about in SOURCES.items():
        some = [each for each in found.judged if each.claim.id.startswith(source)]
        if details:
            for each in some:
                _print_claim(each)
        elif some:
            say(f"{source} · {about}", style="bold")
            _print_source(some, letters)
    if found.judged and not details:
        counts = Counter(each.verdict for each in found.judged)
        verdicts = " · ".join(f"{verdict} {number}" for verdict, number in counts.most_common())
        say(f"{counted(len(found.judged), 'claim')} judged by runs: {verdicts}")
        legend(
            "Effects over seeds with 95 % intervals by t and bootstrap; a : b is a ratio. "
            "normexp claims ID shows all conditions and the criterion."
        )
    for name, (place, size) in found.studies.items():
        text = f"{letters[name]} {name}: {counted(size, 'run')} in {place}"
        legend(text)
    _print_settled(found.settled)


def print_criteria(claims: "Sequence[Claim]", settled: "Sequence[Settled]") -> None:
    """The claims and their criteria, without running anything."""
    for claim in claims:
        say(f"{claim.id} {claim.text}", style="bold")
        say(f"  {claim.criterion}")
        if claim.studies:
            legend(f"  studies: {', '.join(claim.studies)}")
        legend(f"  expected: {_expected(claim)}")
    _print_settled(settled)


def _print_settled(settled: "Iterable[Settled]") -> None:
    """The identities, which cannot come out otherwise, and what runs cannot check."""
    titles = {False: "identities, proved by tests and not counted", True: "not checkable"}
    for is_open, title in titles.items():
        some = [each for each in settled if (each.verdict == "not checkable") is is_open]
        if some:
            say(title, style="bold")
        for each in some:
            verdict = "" if is_open else f"{each.verdict}: "
            say(f"{each.id} {each.text} → {verdict}{each.because}")


def _print_source(found: "Sequence[Judged]", letters: Mapping[str, str]) -> None:
    """A row a claim, its effects and notes below each other."""
    rows = []
    for each in found:
        cells, claim = _shown(each), each.claim
        effects = [_effect(cell, named=len(cells) > 1) for cell in cells]
        row = {
            "": claim.id,
            "claim": "\n".join([claim.text, *map("→ {}".format, _notes(each))]),
            "verdict": each.verdict,
            "effect": "\n".join([claim.measure, *effects]),
            "n": _sizes(each.cells),
            "in": "".join(letters[name] for name in claim.studies) or NOTHING,
        }
        rows.append(row)
    print_table(rows)
    say()


def _shown(found: "Judged") -> "list[Cell]":
    """The first cell that poses the question; under conditions, one of each outcome."""
    posed = [cell for cell in found.cells if cell.posed]
    if found.verdict != "holds only if":
        return list((posed or found.cells)[:1])
    return [next(cell for cell in posed if cell.holds is held) for held in (True, False)]


def _notes(found: "Judged") -> list[str]:
    """Where it holds, what is open, and what was expected if that is something else."""
    notes = []
    if found.verdict in ("holds only if", "undecided") and found.conditions:
        only = " only if" if found.verdict == "holds only if" else ""
        notes.append(f"holds{only}: {'; '.join(found.conditions)}")
    if undecided := [cell for cell in found.cells if cell.holds is None and cell.posed]:
        more = {cell.where: cell.comparison.more_seeds for cell in undecided}
        each = (f"{where} (~{n} more seeds)" if n else where for where, n in more.items())
        notes.append(f"undecided: {'; '.join(each)}")
    if found.is_surprise:
        notes.append(f"expected otherwise: {_expected(found.claim)}")
    return [*notes, *_remarks(found)]


def _remarks(found: "Judged") -> list[str]:
    """The notes of single cells."""
    return [
        ": ".join(filter(None, ("" if cell.posed else "not posed", cell.where, cell.note)))
        for cell in found.cells
        if cell.note or not cell.posed
    ]


def _expected(claim: "Claim") -> str:
    return f"{claim.expected or 'open'} ({claim.because})"


def _effect(cell: "Cell", *, named: bool) -> str:
    value = estimate_with_interval(cell.comparison, cell.comparison.scale)
    return f"{cell.where}: {value}" if named and cell.where else value


def _sizes(cells: "Sequence[Cell]") -> str:
    """The fewest and the most pairs of any cell that poses the question."""
    sizes = [cell.comparison.n[0] for cell in cells if cell.posed]
    few, many = min(sizes, default=0), max(sizes, default=0)
    return NOTHING if not sizes else str(few) if few == many else f"{few}–{many}"


def _print_claim(found: "Judged") -> None:
    """One claim whole."""
    claim = found.claim
    say(f"{claim.id} {claim.text}", style="bold")
    say(f"verdict: {found.verdict}")
    say(f"expected: {_expected(claim)}")
    say(f"criterion: {claim.criterion}")
    rows = [
        {
            "condition": cell.where or "everywhere",
            "claim": HELD[cell.holds] if cell.posed else "not posed",
            claim.measure: _effect(cell, named=False),
            "n": cell.comparison.n[0],
            "effect size": short(cell.comparison.effect_size, 2),
            "runs": len(cell.run_ids) or NOTHING,
        }
        for cell in found.cells
    ]
    print_table(rows, ("runs", "effect size"))
    for remark in _remarks(found):
        say(remark)
