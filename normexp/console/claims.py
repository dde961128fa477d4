"""Claims as a person reads them: verdicts by source, one claim in detail, or the criteria alone."""

from collections.abc import Mapping, Sequence
from string import ascii_lowercase

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from normexp.claims.check import SOURCES, Finding, Report
from normexp.claims.claim import Cell, Claim
from normexp.console.columns import table_of
from normexp.console.compare import estimate_with_interval
from normexp.console.streams import stdout
from normexp.console.words import NOTHING, counted

NARROWEST_CLAIM = 26
INDENT = 6
"""Columns of an id."""

BESIDE_THE_CLAIM = 54
"""Columns that id, verdict, effect, n, studies and the gaps take."""

HELD = {True: "holds", False: "fails", None: "undecided"}


def print_report(report: Report, *, details: bool) -> None:
    """The table by source, or claim by claim; the studies behind it; what no run can check."""
    console = stdout()
    letters = dict(zip(report.studies, ascii_lowercase, strict=False))
    checked = [found for found in report.findings if found.verdict != "not checkable"]
    if details:
        for found in checked:
            _print_finding(console, found)
    else:
        for source, about in SOURCES.items():
            some = [found for found in checked if found.claim.source == source]
            if some:
                console.print(f"{source} · {about}", style="bold")
                _print_source(console, some, letters)
        console.print(
            "Effects over seeds with 95 % intervals by t and bootstrap; a : b is a ratio; without "
            "interval: computed. normexp claims ID shows all conditions and the criterion.",
            style="dim",
        )
    if revised := [found.claim for found in checked if found.claim.revised and not details]:
        told = ", ".join(claim.id for claim in revised)
        console.print(f"{revised[0].revised}: {told}", style="dim")
    for name, (place, number) in report.studies.items():
        console.print(
            f"{letters[name]} {name}: {counted(number, 'run')} in {place}",
            style="dim",
            soft_wrap=True,
        )
    for found in report.findings:
        if found.verdict == "not checkable":
            claim = found.claim
            console.print(f"not checkable: {claim.id} {claim.text}: {claim.reason}", soft_wrap=True)


def print_criteria(claims: Sequence[Claim]) -> None:
    """What would be checked and how, without running anything."""
    console = stdout()
    for claim in claims:
        console.print(f"{claim.id} {claim.text}", style="bold")
        told = claim.criterion or f"not checkable: {claim.reason}"
        console.print(f"  {told}", soft_wrap=False)
        if claim.studies:
            console.print(f"  studies: {', '.join(claim.studies)}", style="dim")
        console.print(f"  expected: {_expected(claim)}", style="dim")
        if claim.revised:
            console.print(f"  {claim.revised}", style="dim")


def _print_source(console: Console, findings: Sequence[Finding], places: Mapping[str, str]) -> None:
    """One row a claim; its conditions and notes below it, as wide as there is room."""
    console.print(_row(console, ("", "claim", "verdict", "effect", "n", "in"), "bold"))
    for found in findings:
        shown = _telling(found)
        effects = (_effect(cell, told=len(shown) > 1) for cell in shown)
        size = _sizes(found.cells)
        letters = "".join(places[name] for name in found.claim.studies) or NOTHING
        cells = ("\n".join([found.claim.measure, *effects]), size, letters)
        console.print(_row(console, (found.claim.id, found.claim.text, found.verdict, *cells)))
        for note in _notes(found):
            console.print(Padding(Text(f"→ {note}"), (0, 0, 0, INDENT)))
    console.print()


def _row(console: Console, cells: Sequence[str], style: str = "") -> Table:
    """A row whose columns stand below those of the others."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    width = max(NARROWEST_CLAIM, min(console.width, 120) - BESIDE_THE_CLAIM)
    for size in (INDENT, width, 13, 22):
        table.add_column(width=size, overflow="fold")
    table.add_column(width=5, justify="right")
    table.add_column(width=3)
    table.add_row(*cells, style=style)
    return table


def _telling(found: Finding) -> list[Cell]:
    """The first cell that poses the question; if there are conditions, one of each kind."""
    posed = [cell for cell in found.cells if cell.posed]
    if found.verdict != "holds only if":
        return list((posed or found.cells)[:1])
    return [next(cell for cell in posed if cell.holds is held) for held in (True, False)]


def _notes(found: Finding) -> list[str]:
    """Where it holds, and what was expected if that is something else."""
    notes = []
    if found.verdict == "holds only if":
        notes.append(f"holds only if: {'; '.join(found.conditions)}")
    elif found.verdict == "undecided" and found.conditions:
        notes.append(f"holds: {'; '.join(found.conditions)}")
    if open_cells := [cell for cell in found.cells if cell.holds is None and cell.posed]:
        notes.append(f"undecided: {'; '.join(map(_open, open_cells))}")
    if found.surprises:
        notes.append(f"expected otherwise: {_expected(found.claim)}")
    return [*notes, *_remarks(found)]


def _remarks(found: Finding) -> list[str]:
    """What is to be said of single cells: that they are not posed, what is lost or a bound."""
    return [
        ": ".join(part for part in (_where(cell), cell.note) if part)
        for cell in found.cells
        if cell.note or not cell.posed
    ]


def _where(cell: Cell) -> str:
    return cell.where if cell.posed else f"not posed: {cell.where}"


def _open(cell: Cell) -> str:
    """An undecided cell, and about how many more seeds would settle it."""
    more = cell.comparison.more_seeds if cell.comparison is not None else None
    return f"{cell.where} (~{more} more seeds)" if more else cell.where


def _expected(claim: Claim) -> str:
    return f"{claim.expected or 'open'} ({claim.expectation})"


def _effect(cell: Cell, *, told: bool) -> str:
    """The effect, and where if that is to be told."""
    found = cell.comparison
    value = cell.effect if found is None else estimate_with_interval(found, found.scale)
    return f"{cell.where}: {value}" if told and cell.where else value


def _sizes(cells: Sequence[Cell]) -> str:
    """The fewest and the most pairs of any cell that poses the question."""
    sizes = [cell.comparison.n[0] for cell in cells if cell.comparison is not None and cell.posed]
    if not sizes:
        return NOTHING
    few, many = min(sizes), max(sizes)
    return str(few) if few == many else f"{few}–{many}"


def _size(cell: Cell) -> str:
    return NOTHING if cell.comparison is None else str(cell.comparison.n[0])


def _print_finding(console: Console, found: Finding) -> None:
    """One claim whole."""
    claim = found.claim
    console.print(f"{claim.id} {claim.text}", style="bold")
    console.print(f"verdict: {found.verdict}")
    console.print(f"expected: {_expected(claim)}")
    console.print(f"criterion: {claim.criterion}")
    if claim.revised:
        console.print(f"of the criterion: {claim.revised}")
    table = table_of("condition", "claim", right=(claim.measure, "n", "effect size", "runs"))
    for cell in found.cells:
        size = NOTHING if cell.comparison is None else f"{cell.comparison.effect_size:.2g}"
        runs = f"{len(set(cell.run_ids))}" if cell.run_ids else NOTHING
        held = HELD[cell.holds] if cell.posed else "not posed"
        table.add_row(
            cell.where or "everywhere", held, _effect(cell, told=False), _size(cell),
            size, runs,
        )  # fmt: skip
    console.print(table)
    for remark in _remarks(found):
        console.print(remark)
