"""The test loss of every arm of a sweep, as its runs come in."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

from normexp.config.data import DataSet, data_set
from normexp.config.identity import varying
from normexp.console.words import counted, evenly, field_value, number, title_of
from normexp.sweeps.plan import Plan

BLOCKS = "▁▂▃▄▅▆▇█"

MOST_ARMS = 12

SPARK, NARROWEST_SPARK = 24, 8
"""Blocks of a curve."""

BESIDE_SPARK = 44
"""Columns of names, counts and losses beside it in a narrow terminal."""

Scale = tuple[float, float]
"""The values of the lowest and the highest block."""


@dataclass
class Arm:
    """The stored runs of one arm: counts, sums of losses, and the place of the first."""

    values: Mapping[str, Any]
    runs: int = 0
    stored: int = 0
    diverged: int = 0
    place: float = math.inf
    sums: list[float] = field(default_factory=list)

    def add(self, losses: Sequence[float]) -> None:
        """Add a stored run; one without losses has diverged."""
        self.stored += 1
        self.diverged += not losses
        if losses:
            before = self.sums or [0.0] * len(losses)
            self.sums = [a + b for a, b in zip(before, losses, strict=False)]

    @property
    def means(self) -> list[float]:
        """Over the runs that have not diverged."""
        return [value / (self.stored - self.diverged) for value in self.sums]

    @property
    def data(self) -> DataSet:
        """Losses on different data have scales of their own."""
        return data_set(self.values)


class Curves:
    """The arms of the runs that a plan has still to observe."""

    def __init__(self, plan: Plan) -> None:
        wanted = {run.id for s in plan.stacks for t in s.trajectories for run in t.runs}
        runs = [run for run in plan.study.runs if run.id in wanted]
        self._fields = [path for path in varying([run.flat for run in runs]) if path != "seed"]
        arms: dict[object, Arm] = {}
        self._arm_of = {}
        for run in runs:
            values = {path: run.flat[path] for path in self._fields if path in run.flat}
            arm = arms.setdefault(tuple(values.items()), Arm(values))
            arm.runs += 1
            self._arm_of[run.id] = arm
        self._arms, self._stored = list(arms.values()), 0
        points = max((stack.config.train.epochs + 1 for stack in plan.stacks), default=1)
        self._points = min(SPARK, max(NARROWEST_SPARK, points))

    def add(self, run: str, losses: Sequence[float]) -> None:
        """Add a stored run."""
        if arm := self._arm_of.get(run):
            self._stored += 1
            arm.place = min(arm.place, self._stored)
            arm.add(losses)

    def table(self, width: int, most: int) -> Table:
        """A heading and a line an arm; the first arms to come in if there are more than `most`.

        The blocks of all arms on one data set have one scale; the heading says it if it is one.
        """
        shown = self._arms
        if len(shown) > (most := min(most, MOST_ARMS)):
            shown = sorted(shown, key=lambda arm: arm.place)[: max(0, most)]
        scales = {arm.data: scale_of(v for each in shown if each.data == arm.data
                                     for v in each.means) for arm in shown}  # fmt: skip
        what, known = "test loss", [scale for scale in scales.values() if scale]
        if len(scales) > 1:
            what += ", each data set on its own scale"
        elif known:
            what += f" {number(known[0][0])} to {number(known[0][1])}"
        points = min(self._points, max(NARROWEST_SPARK, width - BESIDE_SPARK))
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for path in self._fields:
            table.add_column(title_of(path), no_wrap=True)
        # Room for what the counts and losses will be, so that nothing moves.
        count = max(4, *(2 * len(str(arm.runs)) + 1 for arm in self._arms))
        table.add_column("runs", justify="right", no_wrap=True, min_width=count)
        table.add_column(what, no_wrap=True, min_width=max(points + 11, len(what)))
        for arm in shown:
            line = Text(f"{spark(arm.means, scales[arm.data], points):{points}}", "cyan")
            line.append(f"  {number(arm.means[-1]):>9}" if arm.sums else "", "default")
            line.append(f"  {arm.diverged} diverged" if arm.diverged else "", "yellow")
            names = (field_value(path, arm.values) for path in self._fields)
            table.add_row(*names, f"{arm.stored}/{arm.runs}", line)
        if more := len(self._arms) - len(shown):
            table.caption, table.caption_justify = f"and {counted(more, 'more arm')}", "left"
        return table


def scale_of(values: Iterable[float]) -> Scale | None:
    """From the least to the greatest positive finite value; None if there is none."""
    known = [value for value in values if value > 0 and math.isfinite(value)]
    return (min(known), max(known)) if known else None


def spark(values: Sequence[float], scale: Scale | None, width: int) -> str:
    """A block a value on a logarithmic scale, evenly spaced ones if there are more than fit."""
    return "".join(_block(values[i], scale) for i in evenly(len(values), width))


def _block(value: float, scale: Scale | None) -> str:
    if scale is None or not math.isfinite(value):
        return " "
    low, high = scale
    if value <= low or high <= low:  # zero, too, has no logarithm
        return BLOCKS[0]
    share = math.log(value / low) / math.log(high / low)
    return BLOCKS[min(round(share * (len(BLOCKS) - 1)), len(BLOCKS) - 1)]
