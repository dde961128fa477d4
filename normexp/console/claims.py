"""Claims as a person reads them: verdicts by source, one claim in detail, or the criteria alone."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_lowercase

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from normexp.claims.check import SOURCES, Judged, Verdicts
from normexp.claims.claim import Cell, Claim, Settled
from normexp.console.columns import table_of
from normexp.console.compare import estimate_with_interval
from normexp.console.streams import stdout
from normexp.console.words import NOTHING, counted

INDENT = 6
"""Columns of an id."""

BESIDE_THE_CLAIM = 54
"""Columns that id, verdict, effect, n, studies and the gaps take."""

HELD = {True: "holds", False: "fails", None: "undecided"}


def print_verdicts(found: Verdicts, *, details: bool) -> None:
    """Print a table for each source, or claim by claim; then identities and the studies used."""
    console = stdout()
    letters = dict(zip(found.studies, ascii_lowercase, strict=False))
    for source, about in SOURCES.items():
        some = [each for each in found.judged if each.claim.id.startswith(source)]
        if details:
            for each in some:
                _print_claim(console, each)
        elif some:
            console.print(f"{source} · {about}", style="bold")
            _print_source(console, some, letters)
    if found.judged and not details:
        _print_legend(console, found.judged)
    for name, (place, number) in found.studies.items():
        console.print(
            f"{letters[name]} {name}: {counted(number, 'run')} in {place}",
            style="dim",
            soft_wrap=True,
        )
    _print_settled(console, found.settled)


def print_criteria(claims: Sequence[Claim], settled: Sequence[Settled]) -> None:
    """Print what would be judged and how, without running anything."""
    console = stdout()
    for claim in claims:
        console.print(f"{claim.id} {claim.text}", style="bold")
        console.print(f"  {claim.criterion}")
        if claim.studies:
            console.print(f"  studies: {', '.join(claim.studies)}", style="dim")
        console.print(f"  expected: {_expected(claim)}", style="dim")
    _print_settled(console, settled)


def _print_legend(console: Console, found: Sequence[Judged]) -> None:
    counts = Counter(each.verdict for each in found)
    told = " · ".join(f"{verdict} {number}" for verdict, number in counts.most_common())
    console.print(f"{counted(len(found), 'claim')} judged by runs: {told}")
    console.print(
        "Effects over seeds with 95 % intervals by t and bootstrap; a : b is a ratio. "
        "normexp claims ID shows all conditions and the criterion.",
        style="dim",
    )


def _print_settled(console: Console, settled: Iterable[Settled]) -> None:
    """Print the identities, which cannot come out otherwise, and what runs cannot check."""
    titles = {True: "not checkable", False: "identities, proved by tests and not counted"}
    for is_open, title in sorted(titles.items()):
        some = [each for each in settled if (each.verdict == "not checkable") is is_open]
        if some:
            console.print(title, style="bold")
        for each in some:
            told = "" if is_open else f"{each.verdict}: "
            console.print(f"{each.id} {each.text} → {told}{each.because}", soft_wrap=True)


def _print_source(console: Console, found: Sequence[Judged], places: Mapping[str, str]) -> None:
    """Print a row a claim; its conditions and notes below it."""
    console.print(_row(console, ("", "claim", "verdict", "effect", "n", "in"), "bold"))
    for each in found:
        shown = _shown(each)
        effects = (_effect(cell, named=len(shown) > 1) for cell in shown)
        letters = "".join(places[name] for name in each.claim.studies) or NOTHING
        cells = ("\n".join([each.claim.measure, *effects]), _sizes(each.cells), letters)
        console.print(_row(console, (each.claim.id, each.claim.text, each.verdict, *cells)))
        for note in _notes(each):
            console.print(Padding(Text(f"→ {note}"), (0, 0, 0, INDENT)))
    console.print()


def _row(console: Console, cells: Sequence[str], style: str = "") -> Table:
    """Return a row whose columns stand below those of the others."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    for size in (INDENT, max(26, min(console.width, 120) - BESIDE_THE_CLAIM), 13, 22):
        table.add_column(width=size, overflow="fold")
    table.add_column(width=5, justify="right")
    table.add_column(width=3)
    table.add_row(*cells, style=style)
    return table


def _shown(found: Judged) -> list[Cell]:
    """Return the first cell that poses the question; under conditions, one of each outcome."""
    posed = [cell for cell in found.cells if cell.posed]
    if found.verdict != "holds only if":
        return list((posed or found.cells)[:1])
    return [next(cell for cell in posed if cell.holds is held) for held in (True, False)]


def _notes(found: Judged) -> list[str]:
    """Return where it holds, what is open, and what was expected if that is something else."""
    notes = []
    if found.verdict in ("holds only if", "undecided") and found.conditions:
        only = " only if" if found.verdict == "holds only if" else ""
        notes.append(f"holds{only}: {'; '.join(found.conditions)}")
    if undecided := [cell for cell in found.cells if cell.holds is None and cell.posed]:
        notes.append(f"undecided: {'; '.join(map(_undecided, undecided))}")
    if found.is_surprise:
        notes.append(f"expected otherwise: {_expected(found.claim)}")
    return [*notes, *_remarks(found)]


def _remarks(found: Judged) -> list[str]:
    """Return the notes of single cells."""
    return [
        ": ".join(
            part for part in ("" if cell.posed else "not posed", cell.where, cell.note) if part
        )
        for cell in found.cells
        if cell.note or not cell.posed
    ]


def _undecided(cell: Cell) -> str:
    """Return an undecided cell, and about how many more seeds would settle it."""
    more = cell.comparison.more_seeds
    return f"{cell.where} (~{more} more seeds)" if more else cell.where


def _expected(claim: Claim) -> str:
    return f"{claim.expected or 'open'} ({claim.because})"


def _effect(cell: Cell, *, named: bool) -> str:
    value = estimate_with_interval(cell.comparison, cell.comparison.scale)
    return f"{cell.where}: {value}" if named and cell.where else value


def _sizes(cells: Sequence[Cell]) -> str:
    """Return the fewest and the most pairs of any cell that poses the question."""
    sizes = [cell.comparison.n[0] for cell in cells if cell.posed]
    few, many = min(sizes, default=0), max(sizes, default=0)
    return NOTHING if not sizes else str(few) if few == many else f"{few}–{many}"


def _print_claim(console: Console, found: Judged) -> None:
    """Print one claim whole."""
    claim = found.claim
    console.print(f"{claim.id} {claim.text}", style="bold")
    console.print(f"verdict: {found.verdict}")
    console.print(f"expected: {_expected(claim)}")
    console.print(f"criterion: {claim.criterion}")
    table = table_of("condition", "claim", right=(claim.measure, "n", "effect size", "runs"))
    for cell in found.cells:
        table.add_row(
            cell.where or "everywhere",
            HELD[cell.holds] if cell.posed else "not posed",
            _effect(cell, named=False),
            str(cell.comparison.n[0]),
            f"{cell.comparison.effect_size:.2g}",
            str(len(cell.run_ids)) if cell.run_ids else NOTHING,
        )
    console.print(table)
    for remark in _remarks(found):
        console.print(remark)
