"""A claim of a source, how it is judged, and the verdict that follows from its conditions."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from normexp.insight.comparison import FEWEST, Comparison

if TYPE_CHECKING:
    from normexp.claims.evidence import Evidence

Verdict = Literal["holds", "fails", "holds only if", "undecided", "not checkable"]
Rule = Callable[[Comparison], bool | None]
"""Whether a claim holds by a comparison; None if that is undecided."""

MARGIN = 1.1
"""A ratio within it either way counts as no difference."""


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


@dataclass(frozen=True)
class Claim:
    """What a source says, and the criterion by which runs confirm or refute it.

    Attributes:
        id: such as `S1.3`.
        text: the claim, as the source puts it.
        criterion: when it holds and when it fails; `judge` computes the same.
        measure: the effect, as the head of a table's column.
        studies: names in `normexp.claims.studies` that it needs.
        judge: gives the cells, the most important one first.
        expected: the verdict by the project's reading of the sources; None if left open.
        because: the reason for that.
    """

    id: str
    text: str
    criterion: str
    measure: str
    studies: tuple[str, ...]
    judge: "Callable[[Evidence], Iterator[Cell]]"
    expected: Verdict | None
    because: str


@dataclass(frozen=True)
class Settled:
    """A claim without a verdict of its own: an identity, or nothing that runs can check.

    An identity cannot come out otherwise: `tests/test_identities.py` proves it.
    """

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


def below(found: Comparison, bound: float | None = None) -> bool | None:
    """Return whether the whole interval is below a bound; by default below no difference."""
    limit = found.nothing if bound is None else bound
    if min(found.n) < FEWEST or not found.low <= found.high:
        return None
    if found.high < limit:
        return True
    return False if found.low > limit else None


def above(found: Comparison, bound: float | None = None) -> bool | None:
    """Return whether the whole interval is above a bound; by default above no difference."""
    held = below(found, bound)
    return None if held is None else not held


def differs(found: Comparison) -> bool | None:
    """Return whether a ratio differs from 1; False if it surely lies within `MARGIN` of 1."""
    if found.decided:
        return True
    return False if below(found, MARGIN) and above(found, 1 / MARGIN) else None
