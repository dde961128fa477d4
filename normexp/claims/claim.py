"""A claim, what it was checked on, and the verdict that follows.

A claim is a general statement, checked in one or several cells: conditions such as a batch size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from normexp.analysis.comparison import FEWEST, Comparison

if TYPE_CHECKING:
    from normexp.claims.evidence import Evidence

Verdict = Literal["holds", "fails", "holds only if", "undecided", "not checkable"]

MARGIN = 1.1
"""A ratio within it either way counts as no difference where "alike" is claimed."""

REVISED = "criterion revised on review, before the seeds that judge it had run"
"""Of claims whose first criterion did not decide what the claim says."""


@dataclass(frozen=True)
class Cell:
    """One condition, and whether the claim holds there.

    Attributes:
        where: the condition, in words; empty where there is but one.
        holds: by the criterion; None if undecided.
        effect: what was measured, where it is no comparison over seeds.
        comparison: the effect with its interval, where it is.
        run_ids: what it was measured on.
        note: what a reader has to know of it, such as pairs that are lost.
        posed: whether the condition poses the question at all; where not, the cell has no say.
    """

    where: str
    holds: bool | None
    effect: str = ""
    comparison: Comparison | None = None
    run_ids: tuple[str, ...] = ()
    note: str = ""
    posed: bool = True


@dataclass(frozen=True)
class Claim:
    """What a source says, and how that is checked; written down before anything ran.

    Attributes:
        id: such as `S1.3`.
        text: the claim, as the source puts it, in a line.
        criterion: when it holds and when it fails, in words; `judge` says the same.
        measure: what the effect is, as a column's cell can have it.
        studies: names in `normexp.claims.studies` that it needs; none if it is computed.
        judge: the cells, the most telling one first.
        expected: the verdict of the project's reading of the sources (FIELD.md, section 3b); None
            where that leaves it open.
        expectation: the same in words.
        reason: why no run can check it, where none can.
        revised: how the criterion came to be, where it is not the first one.
    """

    id: str
    text: str
    criterion: str
    measure: str
    studies: tuple[str, ...]
    judge: "Callable[[Evidence], Sequence[Cell]] | None"
    expected: Verdict | None
    expectation: str
    reason: str = ""
    revised: str = ""

    @property
    def source(self) -> str:
        """The source, such as `S1`."""
        return self.id.partition(".")[0]


def verdict(cells: Sequence[Cell]) -> Verdict:
    """What the cells say of a general statement.

    It holds where all cells do, holds only under conditions where some do and some fail, fails
    where some fail and none holds. What no cell refutes and not all confirm is undecided. Cells
    that do not pose the question have no say.
    """
    if not cells:
        return "not checkable"
    found = {cell.holds for cell in cells if cell.posed}
    if False in found:
        return "holds only if" if True in found else "fails"
    return "holds" if found == {True} else "undecided"


def below(found: Comparison, bound: float | None = None) -> bool | None:
    """Whether the effect is below a bound, its interval entirely; no difference by default."""
    limit = found.nothing if bound is None else bound
    if min(found.n) < FEWEST or not found.low <= found.high:
        return None
    if found.high < limit:
        return True
    return False if found.low > limit else None


def above(found: Comparison, bound: float | None = None) -> bool | None:
    """Whether the effect is above a bound, its interval entirely."""
    return opposite(below(found, bound))


def alike(found: Comparison) -> bool | None:
    """Whether a ratio lies within `MARGIN` either way; fails where it surely differs from 1."""
    if below(found, MARGIN) and above(found, 1 / MARGIN):
        return True
    return False if found.decided else None


def opposite(held: bool | None) -> bool | None:  # noqa: FBT001  a truth value
    """Not."""
    return None if held is None else not held


def both(*parts: bool | None) -> bool | None:
    """And: false where one part is, undecided where one is and none is false."""
    if False in parts:
        return False
    return None if None in parts else True
