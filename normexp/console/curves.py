"""The test loss of every arm of a sweep, as its runs come in."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.text import Text

from normexp.config.data import DataSet, data_set
from normexp.console.spark import Scale, scale_of, spark
from normexp.console.words import field_value, heading, number
from normexp.sweeps.plan import Plan

MOST_ARMS = 12

SPARK, NARROWEST_SPARK, NUMBER, GAP = 24, 8, 9, 2
"""Columns of a curve, of its last value, and between two columns."""


@dataclass
class ArmCurve:
    """What has come in of one arm; `order` says which arm's first run came first."""

    cells: tuple[str, ...]
    data: DataSet
    runs: int = 0
    stored: int = 0
    diverged: int = 0
    order: float = math.inf
    sums: list[float] = field(default_factory=list)

    def add(self, losses: Sequence[float]) -> None:
        """A run is stored; one without losses has diverged."""
        self.stored += 1
        self.diverged += not losses
        if losses:
            before = self.sums or [0.0] * len(losses)
            self.sums = [a + b for a, b in zip(before, losses, strict=False)]

    @property
    def means(self) -> list[float]:
        """Over the runs that have not diverged."""
        return [value / (self.stored - self.diverged) for value in self.sums]


class Curves:
    """The arms of a plan's runs that are to be observed; those in the store already left out."""

    def __init__(self, plan: Plan) -> None:
        fields = [path for path in plan.differing if path != "seed"]
        runs = [run for s in plan.stacks for t in s.trajectories for run in t.runs]
        wanted = {run.id for run in runs}
        keys = {run.id: tuple((p, run.flat[p]) for p in fields if p in run.flat)
                for run in plan.study.runs if run.id in wanted}  # fmt: skip
        told = {p: len({dict(key).get(p) for key in keys.values()}) > 1 for p in fields}
        self._fields = [path for path in fields if told[path]]
        by_key: dict[object, ArmCurve] = {}
        for key in keys.values():
            cells = tuple(field_value(p, dict(key), keras=False) for p in self._fields)
            by_key.setdefault(key, ArmCurve(cells, data_set(dict(key)))).runs += 1
        self._arms = list(by_key.values())
        self._arm_of = {run: by_key[key] for run, key in keys.items()}
        points = max((stack.config.train.epochs + 1 for stack in plan.stacks), default=1)
        self._points = min(SPARK, max(NARROWEST_SPARK, points))
        self._order = itertools.count()

    def add(self, run: str, losses: Sequence[float]) -> None:
        """A run is stored."""
        arm = self._arm_of.get(run)
        if arm is not None:
            arm.order = min(arm.order, next(self._order))
            arm.add(losses)

    def lines(self, width: int, most: int) -> list[Text]:
        """A heading and a line an arm, as many at any time; the first arms to come in if not all.

        The blocks of all arms on one data set have one scale; the heading says it if it is one.
        """
        shown = min(most, MOST_ARMS)
        if shown < 1:
            return []
        arms = self._arms
        if len(arms) > shown:
            arms = sorted(arms, key=lambda arm: arm.order)[:shown]
        scales = {
            data: scale_of(value for arm in arms if arm.data == data for value in arm.means)
            for data in dict.fromkeys(arm.data for arm in arms)
        }
        lines = _table(self._headings(), arms, scales, width, self._points)
        if len(self._arms) > shown:
            lines.append(Text(f"  and {len(self._arms) - shown} more arms", "dim"))
        return lines

    def _headings(self) -> list[str]:
        return [heading(path, keras=False).replace("\n", " ") for path in self._fields]


def _table(
    headings: Sequence[str],
    arms: Sequence[ArmCurve],
    scales: Mapping[DataSet, Scale | None],
    width: int,
    points: int,
) -> list[Text]:
    counts = [f"{arm.stored}/{arm.runs}" for arm in arms]
    # Room for what the counts will be, so that nothing moves.
    room = max(4, *(2 * len(str(arm.runs)) + 1 for arm in arms))
    names = _columns([tuple(headings), *(arm.cells for arm in arms)])
    rest = width - 1 - room - NUMBER - 4 * GAP
    least = min(NARROWEST_SPARK, rest // 3)  # names come first: curves without them say nothing
    columns = max(least, min(points, rest - len(names[0])))
    name_room = min(len(names[0]), max(4, rest - columns))
    names = [name if len(name) <= name_room else f"{name[: name_room - 1]}…" for name in names]
    known = [scale for scale in scales.values() if scale is not None]
    what = "test loss"
    if len(scales) > 1:
        what += ", each data set on its own scale"
    elif known:
        what += f" {number(known[0][0])} to {number(known[0][1])}"
    lines = [Text(f"  {names[0]:{name_room}}  {'runs':>{room}}  {what}", "dim")]
    for name, count, arm in zip(names[1:], counts, arms, strict=True):
        line = Text(f"  {name:{name_room}}  {count:>{room}}  ")
        line.append(f"{spark(arm.means, scales[arm.data], columns):{columns}}", "cyan")
        line.append(f"  {number(arm.means[-1]):>{NUMBER}}" if arm.sums else "")
        line.append(f"  {arm.diverged} diverged" if arm.diverged else "", "yellow")
        lines.append(line)
    return lines


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, the cells under one another."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
