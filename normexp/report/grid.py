"""The grid of a heat map: its two axes, a third for panels, and the best arm in each cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from normexp.config.differences import in_order
from normexp.insight.arms import Arm
from normexp.report.source import MOMENTUM, SOURCE, Source

FIRST = (MOMENTUM, "train.batch_size", "optim.lr", "model.width", "model.depth", "train.epochs",
         "norm.kind", "norm.placement", "norm.estimator")  # fmt: skip
"""Axes in the order in which they are chosen; then the others as the schema has them."""

MOST_VALUES = 24
"""Of an axis: more could not be read."""

MOST_PANELS = 4
"""Values of a third axis that get a map each."""

FILLED = 0.5
"""Share of a map's cells that must have runs."""


@dataclass(frozen=True)
class Square:
    """What stands in a cell of a map.

    Attributes:
        x: a value of the axis that goes right.
        y: of the one that goes up.
        panel: of the third.
        arm: the best of those that have these values; None where there is none.
        name: of this arm.
        among: arms that it is the best of.
    """

    x: Any
    y: Any
    panel: Any
    arm: Arm | None
    name: str = ""
    among: int = 0

    def mean(self, metric: str) -> float:
        """Mean of a metric; NaN where nothing is known."""
        found = self.arm and self.arm.estimates.get(metric)
        return found.mean if found else math.nan


@dataclass(frozen=True)
class Map:
    """A grid of squares.

    Attributes:
        axes: the fields that go right and up, and that of the panels, if there is one.
        rest: fields that differ within a square.
        squares: all of them, panel by panel.
    """

    axes: tuple[str, ...]
    rest: tuple[str, ...]
    squares: tuple[Square, ...]

    def values(self, axis: int) -> list[Any]:
        """The values of an axis, in order."""
        of = [(each.x, each.y, each.panel)[axis] for each in self.squares]
        return list({repr(value): value for value in of}.values())

    def best(self, metric: str) -> Square | None:
        """The square with the least loss, or the largest accuracy."""
        known = [each for each in self.squares if math.isfinite(each.mean(metric))]
        return min(known, key=lambda each: sign(metric) * each.mean(metric), default=None)


def sign(metric: str) -> int:
    """Which way is better: 1 where less is."""
    return -1 if "accuracy" in metric else 1


def axes_of(source: Source) -> tuple[str, ...] | None:
    """The first two fields that make a grid, and a third of few values."""
    fields = sorted(source.fields, key=lambda path: FIRST.index(path) if path in FIRST else 99)
    fields = [path for path in fields if path != SOURCE]
    for i, x in enumerate(fields):
        for y in fields[i + 1 :]:
            if _is_grid(source.arms, x, y):
                rest = [path for path in fields if path not in (x, y)]
                first = [SOURCE] if SOURCE in source.fields else []
                third = [path for path in [*first, *rest] if _is_third(source, (x, y), path)]
                return (x, y, *third[:1])
    return None


def _is_grid(arms: Sequence[Arm], x: str, y: str) -> bool:
    pairs = {
        (repr(a.values[x]), repr(a.values[y])) for a in arms if x in a.values and y in a.values
    }
    wide, high = (len({pair[i] for pair in pairs}) for i in (0, 1))
    fits = 2 <= wide <= MOST_VALUES and 2 <= high <= MOST_VALUES  # noqa: PLR2004
    return fits and len(pairs) >= FILLED * wide * high


def _is_third(source: Source, axes: tuple[str, str], path: str) -> bool:
    there = [each for each in source.arms if all(axis in each.values for axis in axes)]
    values = {repr(each.values.get(path)) for each in there}
    everywhere = all(path in each.values for each in there)
    cells = {repr([each.values.get(axis) for axis in (*axes, path)]) for each in there}
    sides = [len({repr(each.values[axis]) for each in there}) for axis in axes]
    filled = len(cells) >= FILLED * math.prod(sides) * len(values)
    return everywhere and filled and 2 <= len(values) <= MOST_PANELS  # noqa: PLR2004


def map_of(source: Source, axes: tuple[str, ...], metric: str) -> Map:
    """The best arm of each pair of values, and of each value of the third axis."""
    x, y = axes[:2]
    grouped: dict[str, list[tuple[str, Arm]]] = {}
    kept = [
        (name, arm)
        for name, arm in zip(source.arm_names, source.arms, strict=True)
        if x in arm.values and y in arm.values
    ]
    for name, arm in kept:
        grouped.setdefault(repr([arm.values.get(path) for path in axes]), []).append((name, arm))
    ordered = [in_order(path, [arm.values.get(path) for _, arm in kept]) for path in axes]
    panels = ordered[2] if len(axes) > 2 else [None]  # noqa: PLR2004
    squares = [
        _square(across, up, panel, grouped.get(repr([across, up, panel][: len(axes)]), []), metric)
        for panel in panels
        for up in ordered[1]
        for across in ordered[0]
    ]
    differing = {
        path
        for path in source.fields
        if path not in axes
        and any(
            len({repr(arm.values.get(path)) for _, arm in members}) > 1
            for members in grouped.values()
        )
    }
    rest = tuple(path for path in source.fields if path in differing)
    return Map(axes, rest, tuple(squares))


def _square(x: Any, y: Any, panel: Any, arms: list[tuple[str, Arm]], metric: str) -> Square:  # noqa: ANN401
    if not arms:
        return Square(x, y, panel, None)

    def rank(each: tuple[str, Arm]) -> float:
        mean = each[1].estimates[metric].mean if metric in each[1].estimates else math.nan
        return sign(metric) * mean if math.isfinite(mean) else math.inf

    name, arm = min(arms, key=rank)
    return Square(x, y, panel, arm, name, len(arms))
