"""Arms that differ in their momentum alone, the momentum predicted for them, and the verdict."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from normexp.config.norm import WITHOUT_MOMENTUM
from normexp.console.words import interval, keras, number
from normexp.errors import NormexpError, UsageError
from normexp.insight.arms import Estimate
from normexp.report.naming import arm_name
from normexp.report.source import MOMENTUM, UNKNOWN, Source
from normexp.report.style import PERCENT

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

DEFAULT = 0.1
"""PyTorch's momentum if nobody says another."""

ALIKE = 0.01
"""Relative difference that is not worth a word."""


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
    outside = [path for path in fields if not path.startswith("norm.")]
    grouped: dict[str, dict[str, float | None]] = {}
    plain: dict[str, str] = {}
    for name, arm in source.arms.items():
        if arm.values.get("norm.kind") == "none":
            plain[_key(arm.values, outside)] = name
        elif MOMENTUM in arm.values and arm.values.get("norm.estimator") not in WITHOUT_MOMENTUM:
            members = grouped.setdefault(_key(arm.values, fields), {})
            members[name] = arm.values[MOMENTUM]
    kept = [momenta for momenta in grouped.values() if len({m for m in momenta.values() if m}) > 1]
    values_of = [source.values(next(iter(momenta))) for momenta in kept]
    telling = [path for path in fields if len({repr(of.get(path)) for of in values_of}) > 1]
    return [
        Cell(
            arm_name(values, telling).replace("all runs", "ema") if telling else "",
            dict(sorted(momenta.items(), key=lambda pair: -1.0 if pair[1] is None else pair[1])),
            plain.get(_key(values, outside), ""),
            source,
        )
        for momenta, values in zip(kept, values_of, strict=True)
    ]


def _key(values: dict[str, Any], fields: Sequence[str]) -> str:
    return repr({path: values[path] for path in fields if path in values})


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
    from normexp.insight.training import readable

    mine = [row for row in cell.source.complete if row["arm"] in cell.momenta]
    seeds = sorted({row["seed"] for row in mine})[:most]
    chosen = cell.source.trainings(row for row in mine if row["seed"] in seeds)
    try:
        kept, notes = readable(chosen, cell.source.places)
        made = forecasts_of(kept, parts=())
    except UsageError as error:
        lost.append(f"{error.message}; {error.hint}")
        return None
    except NormexpError:  # copied without its trainings: what was measured is still worth a look
        return None
    lost += notes
    known = [each for each in made if math.isfinite(each.best.training_loss)]
    return known[0] if len(known) == 1 else None


def best_sentence(found: Sequence[Cell], metric: str) -> str:
    """The best momentum, the predicted one, and what the default costs."""
    known = [cell for cell in found if cell.best(metric)]
    if not known:
        return f"No momentum has a finite {metric.replace('_', ' ')}."
    return _of_one(known[0], metric) if len(known) == 1 else _of_several(known, metric)


def cost_sentence(found: Sequence[Cell]) -> str:
    """The momenta at which running statistics cost least and most."""
    known = [(cell, arm) for cell in found for arm in cell.known("excess_loss")]
    ordered = sorted(known, key=lambda pair: pair[0].mean(pair[1], "excess_loss"))

    def at(cell: Cell, arm: str) -> str:
        value = cell.momenta[arm]
        what = "the cumulative mean" if value is None else f"momentum {value:g}"
        where = f" ({cell.name})" if cell.name else ""
        return f"{what}{where}, {interval(cell.source.estimate(arm, 'excess_loss'))}"

    text = f"Running statistics cost least at {at(*ordered[0])}, and most at {at(*ordered[-1])}."
    made = [cell.forecast for cell in found if cell.forecast]
    if len(made) == 1:
        best = made[0].best
        text += f" Predicted least is {number(best.cost, 3)}, at {_both(best.momentum)}."
    return text


def _of_one(cell: Cell, metric: str) -> str:
    best = cell.best(metric)
    value = cell.momenta[best]
    name = "The cumulative mean" if value is None else f"Momentum {_both(value)}"
    measured = f"{metric.replace('_', ' ')} {interval(cell.source.estimate(best, metric))}"
    if cell.forecast and cell.forecast.best.momentum == value:
        first = f"{name} is best, measured ({measured}) and predicted"
    else:
        first = f"{name} is best measured ({measured})"
        first += f", {cell.forecast.best.momentum:g} is predicted" if cell.forecast else ""
    return "; ".join([first, *_default(cell, metric), *_levels(cell, metric)]) + "."


def _levels(cell: Cell, metric: str) -> Iterator[str]:
    """The best momentum against the population's statistics, and all against no norm."""
    rank, best = cell.source.rank, cell.best(metric)
    level, plain = (cell.level(of, metric).mean for of in ("population", "no norm"))
    if math.isfinite(level):
        above = rank(best, metric) - (-level if "accuracy" in metric else level)
        inside = above <= cell.source.estimate(best, metric).half_width
        reached = "its interval holds" if inside else "nothing reaches"
        yield f"{'it is no worse than' if above <= 0 else reached} the population's {number(level)}"
    if math.isfinite(plain):
        known = cell.known(metric)
        better = sum(rank(arm, metric) < rank(cell.plain, metric) for arm in known)
        yield f"no norm ({number(plain)}) is beaten by {better or 'none'} of {len(known)}"


def _of_several(found: Sequence[Cell], metric: str) -> str:
    bests = {cell.name: cell.momenta[cell.best(metric)] for cell in found}
    pairs = sorted((value, name) for name, value in bests.items() if value is not None)
    parts = []
    if pairs and pairs[0][0] == pairs[-1][0]:
        where = "everywhere" if len(pairs) == len(bests) else f"in {len(pairs)} of {len(bests)}"
        parts.append(f"Momentum {_both(pairs[0][0])} is best measured {where}.")
    elif pairs:
        (low, where), (high, there) = pairs[0], pairs[-1]
        parts.append(
            f"The best measured momentum goes from {low:g} ({where}) to {high:g} ({there})."
        )
    if len(pairs) < len(bests):
        parts.append(f"The cumulative mean is best in {len(bests) - len(pairs)} of {len(bests)}.")
    ratios = [
        cell.forecast.best.momentum / best
        for cell in found
        if cell.forecast and (best := bests[cell.name])
    ]
    if ratios:
        near = sum(0.5 <= ratio <= 2 for ratio in ratios)  # noqa: PLR2004
        parts.append(
            f"The predicted one is within a factor of 2 of it in {near or 'none'} of {len(ratios)}."
        )
    return " ".join(parts)


def _both(value: float) -> str:
    return f"{value:g} (Keras {keras(value)})"


def _default(cell: Cell, metric: str) -> Iterator[str]:
    """`PyTorch's default 0.1 costs 71 % more`; nothing if it was not tried."""
    tried = [cell.mean(arm, metric) for arm in cell.known(metric) if cell.momenta[arm] == DEFAULT]
    best = cell.mean(cell.best(metric), metric)
    if not tried or best <= 0:
        return
    times, far = tried[0] / best, abs(tried[0] - best)
    if (far if "accuracy" in metric else times - 1) < ALIKE:
        text = f"is as good within 1{PERCENT}"
    elif "accuracy" in metric:
        text = f"is {100 * far:.2g} points below the best"
    elif times < 10:  # noqa: PLR2004  from there on no percentage
        text = f"costs {100 * (times - 1):.0f}{PERCENT} more"
    else:
        text = f"costs {times:.3g} times as much"
    yield f"PyTorch's default {DEFAULT:g} {text}"
