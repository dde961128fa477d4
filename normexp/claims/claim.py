"""A claim of a source, the conditions under which it is judged, and the verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from normexp.insight.comparison import Comparison

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["holds", "fails", "holds only if", "undecided", "not checkable"]

Frames = Mapping[str, "pd.DataFrame"]
"""The stored runs of the studies by the studies' names, one row a run."""


@dataclass(frozen=True)
class Cell:
    """One condition, and whether the claim holds there.

    Attributes:
        where: the condition, in words; empty where there is but one.
        holds: by the criterion; None if undecided.
        comparison: the effect with its interval.
        run_ids: of the runs that it was measured on.
        note: such as pairs that were lost.
        posed: False where the condition does not pose the question: the cell then has no vote.
    """

    where: str
    holds: bool | None
    comparison: Comparison
    run_ids: tuple[str, ...] = ()
    note: str = ""
    posed: bool = True


Criterion = Callable[[Frames], Cell]
"""Judges one condition, see `normexp.claims.criteria`."""


@dataclass(frozen=True)
class Claim:
    """A source's sentence, and the criterion by which runs confirm or refute it.

    Attributes:
        id: such as `S1.3`.
        text: the claim, as the source puts it.
        criterion: when it holds and when it fails; `conditions` compute the same.
        measure: the effect, as the head of a table's column.
        studies: names in `normexp.claims.studies` that it needs.
        conditions: the most important one first.
        expected: the verdict by the project's reading of the sources; None if left open.
        because: the reason for that.
    """

    id: str
    text: str
    criterion: str
    measure: str
    studies: tuple[str, ...]
    conditions: tuple[Criterion, ...]
    expected: Verdict | None
    because: str


@dataclass(frozen=True)
class Settled:
    """A claim without a verdict by runs: an identity, or nothing that runs can check."""

    id: str
    text: str
    verdict: Verdict
    because: str


def verdict(cells: Sequence[Cell]) -> Verdict:
    """Return the verdict on a general statement.

    It holds if all cells do, holds only under conditions if some do and some fail, fails if some
    fail and none holds. If none fails and not all hold, it is undecided. Only cells that pose the
    question count.
    """
    found = {cell.holds for cell in cells if cell.posed}
    if False in found:
        return "holds only if" if True in found else "fails"
    return "holds" if found == {True} else "undecided"
