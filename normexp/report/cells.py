"""Arms that differ in their momentum alone, with what they are measured by and predicted from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normexp.config.norm import WITHOUT_MOMENTUM
from normexp.errors import NormexpError, UsageError
from normexp.insight.arms import Arm, Estimate
from normexp.report.naming import arm_name
from normexp.report.source import MOMENTUM, Source

if TYPE_CHECKING:
    from normexp.insight.forecast import Forecast

MOST_TRAININGS = {"mlp": 64, "lenet": 12}
"""That forecasts are made of, over all cells: five seconds' worth, none of larger models."""

MOST_EXAMPLES = 20_000
"""Of a training set that a forecast is made on."""

MOST_SEEDS = 8
"""That a cell's forecast is made of."""

OBSERVED = ("batch", "ghost")
"""Norms whose momentum does not change the weights, so that the population's level is one."""


@dataclass(frozen=True)
class Point:
    """A momentum of a cell.

    Attributes:
        momentum: weight of the newest batch; None is the cumulative mean.
        name: of the arm.
        arm: its numbers.
    """

    momentum: float | None
    name: str
    arm: Arm

    def value(self, metric: str) -> Estimate:
        """Mean and interval of a metric; NaN where there is none."""
        return self.arm.estimates.get(metric, Estimate(math.nan, math.nan, 0))

    @property
    def words(self) -> str:
        """`0.1`, or `cumulative`."""
        return "cumulative" if self.momentum is None else f"{self.momentum:g}"


@dataclass(frozen=True)
class Cell:
    """Arms that differ in their momentum alone, at least two of them.

    Attributes:
        name: what tells it from the other cells; empty if it is the only one.
        values: of the other fields.
        points: by momentum, the cumulative mean first.
        plain: the arm without a norm that is otherwise alike.
        forecast: of some of its trainings.
    """

    name: str
    values: dict[str, Any]
    points: tuple[Point, ...]
    plain: Arm | None = None
    forecast: "Forecast | None" = None

    def measured(self, metric: str) -> list[Point]:
        """The points that have a finite mean."""
        return [each for each in self.points if math.isfinite(each.value(metric).mean)]

    def best(self, metric: str) -> Point | None:
        """The point with the least loss, or the largest accuracy."""
        sign = -1 if "accuracy" in metric else 1
        return min(
            self.measured(metric), key=lambda each: sign * each.value(metric).mean, default=None
        )

    def population(self, metric: str) -> Estimate | None:
        """The level under the population's statistics, where all momenta have the same."""
        if self.values.get("norm.kind", "batch") not in OBSERVED:
            return None
        most = max(self.points, key=lambda each: each.arm.n)
        return most.arm.estimates.get(f"{metric}_population")


def cells(source: Source) -> list[Cell]:
    """The cells with at least two momenta, in the order of the arms."""
    fields = [path for path in source.fields if path != MOMENTUM]
    grouped: dict[str, list[Point]] = {}
    plain: dict[str, Arm] = {}
    for name, arm in zip(source.arm_names, source.arms, strict=True):
        values = {path: arm.values[path] for path in fields if path in arm.values}
        if arm.values.get("norm.kind") == "none":
            plain[_outside(values)] = arm
        elif _has_curve(arm):
            point = Point(arm.values[MOMENTUM], name, arm)
            grouped.setdefault(repr(values), []).append(point)
    kept = [members for members in grouped.values() if _differ(members)]
    telling = [path for path in fields if len({_value(each[0], path) for each in kept}) > 1]
    found = []
    for members in kept:
        values = {path: members[0].arm.values.get(path) for path in fields}
        there = {path: value for path, value in values.items() if path in members[0].arm.values}
        name = arm_name(there, telling) if telling else ""
        points = sorted(members, key=lambda each: -1.0 if each.momentum is None else each.momentum)
        found.append(Cell(name, there, tuple(points), plain.get(_outside(there))))
    return found


def forecast(source: Source, found: Sequence[Cell]) -> tuple[list[Cell], int, list[str]]:
    """The cells with their forecasts, how many seeds of each, and why some data cannot be read.

    Where one seed of every cell would take too long, that is none, and nothing is forecast.
    """
    plain = [each for each in found if _is_plain(each)]
    seeds = min(MOST_SEEDS, _affordable(source) // max(1, len(plain)))
    if not seeds:
        return list(found), 0, []
    places: dict[str, dict[int, list[Path]]] = {}
    for row in source.complete:
        by_seed = places.setdefault(row["arm"], {})
        by_seed.setdefault(row["seed"], []).append(Path(row["directory"]))
    lost: dict[str, None] = {}
    made = [
        replace(cell, forecast=_forecast(source, places, cell, seeds, lost))
        if _is_plain(cell)
        else cell
        for cell in found
    ]
    return made, seeds, list(lost)


def _affordable(source: Source) -> int:
    """The trainings that can be forecast, by the largest there are."""
    if any((row.get("data.train_size") or 0) > MOST_EXAMPLES for row in source.complete):
        return 0
    return min((MOST_TRAININGS.get(row["model.kind"], 0) for row in source.complete), default=0)


def _forecast(
    source: Source,
    places: dict[str, dict[int, list[Path]]],
    cell: Cell,
    most: int,
    lost: dict[str, None],
) -> "Forecast | None":
    """The forecast of a cell's first seeds; None where trainings or data are not there."""
    from normexp.insight.forecast import forecasts_of
    from normexp.insight.training import trainings_at, with_data

    mine = [places[each.name] for each in cell.points if each.name in places]
    seeds = sorted({seed for each in mine for seed in each})[:most]
    chosen = [path for each in mine for seed in seeds for path in each.get(seed, ())]
    try:
        kept, notes = with_data(trainings_at(chosen), source.places)
        made = forecasts_of(kept, parts=())
    except UsageError as error:
        lost[f"{error.message}; {error.hint}"] = None
        return None
    except NormexpError:  # copied without its trainings: what was measured is still worth a look
        return None
    lost.update(dict.fromkeys(notes))
    known = [each for each in made if math.isfinite(each.best.training_loss)]
    return known[0] if len(known) == 1 else None


def _is_plain(cell: Cell) -> bool:
    """Whether forecasts, which are of plain averages, are of this cell's."""
    return (
        cell.values.get("norm.kind", "batch") in OBSERVED
        and cell.points[0].arm.values.get("norm.estimator", "ema") == "ema"
        and cell.values.get("norm.momentum_schedule", "constant") == "constant"
    )


def _has_curve(arm: Arm) -> bool:
    return MOMENTUM in arm.values and arm.values.get("norm.estimator") not in WITHOUT_MOMENTUM


def _differ(members: Sequence[Point]) -> bool:
    """Whether they make a curve: two momenta above zero."""
    return len({each.momentum for each in members if each.momentum}) > 1


def _value(point: Point, path: str) -> str:
    return repr(point.arm.values.get(path))


def _outside(values: dict[str, Any]) -> str:
    """What an arm is but for its norm."""
    return repr({path: value for path, value in values.items() if not path.startswith("norm.")})
