"""Arms that differ in their momentum alone, and the best momentum that is predicted for them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from normexp.config.norm import WITHOUT_MOMENTUM
from normexp.errors import NormexpError, UsageError
from normexp.insight.arms import Estimate
from normexp.report.naming import arm_name
from normexp.report.source import MOMENTUM, UNKNOWN, Source

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
class Cell:
    """Arms that differ in their momentum alone, at least two of them.

    Attributes:
        name: the fields that tell it from other cells; empty if it is the only one.
        momenta: by arm, by size, the cumulative mean (None) first.
        plain: the arm without a norm that is otherwise alike; empty if there is none.
        source: of the arms.
        forecast: of some of its trainings.
    """

    name: str
    momenta: dict[str, float | None]
    plain: str
    source: Source
    forecast: "Forecast | None" = None

    def mean(self, arm: str, metric: str) -> float:
        """An arm's mean over seeds."""
        return self.source.estimate(arm, metric).mean

    def known(self, metric: str) -> list[str]:
        """The arms that have a finite mean."""
        return [arm for arm in self.momenta if math.isfinite(self.mean(arm, metric))]

    def best(self, metric: str) -> str:
        """The arm with the least loss, or the largest accuracy; empty if none is known."""
        rank = self.source.rank
        return min(self.known(metric), key=lambda arm: rank(arm, metric), default="")

    def value(self, name: str, default: object = None) -> Any:  # noqa: ANN401  of any field
        """A field of all of its arms."""
        return self.source.values(next(iter(self.momenta))).get(name, default)

    def level(self, of: str, metric: str) -> Estimate:
        """The metric under the population's statistics, where momenta share it, or of no norm."""
        if of == "no norm":
            return self.source.estimate(self.plain, metric) if self.plain else UNKNOWN
        if self.value("norm.kind", "batch") not in OBSERVED:
            return UNKNOWN
        most = max(self.momenta, key=lambda arm: self.source.arms[arm].n)
        return self.source.estimate(most, f"{metric}_population")


def cells(source: Source) -> list[Cell]:
    """The cells with at least two momenta, in the order of the arms."""
    fields = [path for path in source.fields if path != MOMENTUM]
    grouped: dict[str, dict[str, float | None]] = {}
    plain: dict[str, str] = {}
    for name, arm in source.arms.items():
        values = {path: arm.values[path] for path in fields if path in arm.values}
        if arm.values.get("norm.kind") == "none":
            plain[_outside(values)] = name
        elif MOMENTUM in arm.values and arm.values.get("norm.estimator") not in WITHOUT_MOMENTUM:
            grouped.setdefault(repr(values), {})[name] = arm.values[MOMENTUM]
    kept = [momenta for momenta in grouped.values() if len({m for m in momenta.values() if m}) > 1]
    values_of = [source.values(next(iter(momenta))) for momenta in kept]
    telling = [path for path in fields if len({repr(of.get(path)) for of in values_of}) > 1]
    return [
        Cell(
            arm_name(values, telling).replace("all runs", "ema") if telling else "",
            dict(sorted(momenta.items(), key=lambda pair: -1.0 if pair[1] is None else pair[1])),
            plain.get(_outside({path: values[path] for path in fields if path in values}), ""),
            source,
        )
        for momenta, values in zip(kept, values_of, strict=True)
    ]


def forecast(source: Source, found: Sequence[Cell]) -> tuple[list[Cell], int, list[str]]:
    """The cells with their forecasts, how many seeds of each, and why some data cannot be read.

    Where one seed of every cell would take too long, that is none, and nothing is forecast.
    """
    plain = [cell for cell in found if _is_plain(cell)]
    large = any((row.get("data.train_size") or 0) > MOST_EXAMPLES for row in source.complete)
    few = min((MOST_TRAININGS.get(row["model.kind"], 0) for row in source.complete), default=0)
    seeds = 0 if large else min(MOST_SEEDS, few // max(1, len(plain)))
    lost: list[str] = []
    made = [
        replace(cell, forecast=_forecast(cell, seeds, lost)) if seeds and cell in plain else cell
        for cell in found
    ]
    return made, seeds, list(dict.fromkeys(lost))


def _is_plain(cell: Cell) -> bool:
    """True for plain averages, which forecasts are of."""
    plain = {"norm.estimator": "ema", "norm.momentum_schedule": "constant"}
    is_plain = all(cell.value(path, value) == value for path, value in plain.items())
    return is_plain and cell.value("norm.kind", "batch") in OBSERVED


def _forecast(cell: Cell, most: int, lost: list[str]) -> "Forecast | None":
    """The forecast of a cell's first seeds; None where trainings or data are not there."""
    from normexp.insight.forecast import forecasts_of
    from normexp.insight.training import trainings_of, with_data

    mine = [row for row in cell.source.complete if row["arm"] in cell.momenta]
    seeds = sorted({row["seed"] for row in mine})[:most]
    chosen = cell.source.stored(row for row in mine if row["seed"] in seeds)
    try:
        kept, notes = with_data(trainings_of(chosen), cell.source.places)
        made = forecasts_of(kept, parts=())
    except UsageError as error:
        lost.append(f"{error.message}; {error.hint}")
        return None
    except NormexpError:  # copied without its trainings: what was measured is still worth a look
        return None
    lost += notes
    known = [each for each in made if math.isfinite(each.best.training_loss)]
    return known[0] if len(known) == 1 else None


def _outside(values: dict[str, Any]) -> str:
    """An arm's values but for its norm."""
    return repr({path: value for path, value in values.items() if not path.startswith("norm.")})
