"""Momenta tried on stored trainings, by the loss on training data in evaluation mode.

For any momentum the record gives the running statistics and their error's parts. The last weights
are evaluated with them on the training examples; no test example is looked at.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import inf, isfinite, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from normexp.config.identity import varying
from normexp.config.norm import REFERENCE_ESTIMATORS, AveragedKind
from normexp.config.schema import RunConfig, batch_sizes, part_sizes, train_size
from normexp.errors import UsageError
from normexp.insight.budget import PARTS, loss, mean_of, median_of, rise, training_losses_by_part
from normexp.insight.training import Training, readable, trainings
from normexp.study.asked import NOTHING, Asked
from normexp.theory.memory import momentum_of
from normexp.theory.setting import Setting

if TYPE_CHECKING:
    from normexp.trained import Record

GRID = (0.001, 0.0015, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15,
        0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # fmt: skip
"""Momenta that are tried, such as people type."""

_BASIS = ("norm.initial_mean", "norm.initial_var", "norm.running_variance")
"""Fields that say where an average starts, and of which variance it is."""

_TRIED = ("norm.momentum", "norm.estimator", "norm.window", "norm.mix", "norm.precise_batches",
          "norm.momentum_schedule", "norm.final_momentum")  # fmt: skip
"""Fields that a forecast does not keep: it tries plain averages of any momentum."""


@dataclass(frozen=True)
class Tried:
    """A momentum on one or more trainings, medians over them.

    Attributes:
        momentum: weight of the newest batch.
        training_loss: of the training examples in evaluation mode.
        cost: that minus the loss under the population's statistics; it can be negative.
        parts: what initial value, drift and noise would cost alone.
        measured: test loss of the runs that are stored, None where there are none.
        n: of such runs.
    """

    momentum: float
    training_loss: float
    cost: float
    parts: dict[str, float]
    measured: float | None
    n: int


@dataclass(frozen=True)
class Forecast:
    """The trainings of one cell: all that differ in their seeds only.

    Attributes:
        values: the fields that tell the cells apart.
        n: trainings.
        layers: what theory needs to know of each layer, measured; empty where no parts are told.
        tried: by momentum, the smallest first.
        population: median test loss under the population's statistics.
        best_by_seed: each training's momentum with the least training loss.
    """

    values: dict[str, Any]
    n: int
    layers: dict[str, Setting]
    tried: list[Tried]
    population: float
    best_by_seed: dict[int, float]

    @property
    def best(self) -> Tried:
        """The momentum with the least median training loss."""
        return min(self.tried, key=lambda each: each.training_loss)

    @property
    def best_measured(self) -> Tried | None:
        """The momentum of the stored runs with the least test loss."""
        known = [each for each in self.tried if each.measured is not None]
        return min(known, key=lambda each: each.measured or 0.0, default=None)


def forecasts(
    store: Path,
    wanted: str | None,
    momenta: Sequence[float] = (),
    asked: Asked = NOTHING,
    *,
    lost: list[Path] | None = None,
) -> tuple[list[Forecast], list[str]]:
    """Return how well each momentum does on the trainings, and notes on runs left out.

    The momenta are tried beside the grid and those of stored runs; `lost` gets the directories of
    damaged runs. See `trainings`, `readable`.

    Raises:
        UsageError: momentum enters the weights of every training.
    """
    for momentum in momenta:
        momentum_of(momentum)
    free = [each for each in trainings(store, wanted, lost, asked.where) if _is_free(each)]
    if not free:
        raise UsageError(
            f"in every training of {wanted or store} momentum enters the weights",
            "name runs with norm=batch or norm=ghost: there it is for evaluation only",
        )
    kept, notes = readable(free, asked.places, weights=True)
    return forecasts_of(kept, momenta), notes


def forecasts_of(
    found: Sequence[Training], momenta: Sequence[float] = (), parts: Sequence[str] = PARTS
) -> list[Forecast]:
    """Return the forecasts of trainings, without those in which momentum enters the weights.

    Each of the parts of the error that are told apart takes as long as the whole error; without
    any, layers are not measured either.
    """
    groups = [group for each in found if _is_free(each) for group in _by_basis(each)]
    rows = [group.runs[0].row for group in groups]
    fields = [path for path in varying(rows) if path not in (*_TRIED, "seed")]
    cells: dict[str, list[Training]] = {}
    for group, row in zip(groups, rows, strict=True):
        own = {p: row[p] for p in row if "." in p and p not in _TRIED and not p.startswith("log.")}
        cells.setdefault(repr(sorted(own.items())), []).append(group)
    made = [_forecast(fields, members, momenta, parts) for members in cells.values()]
    return sorted(made, key=lambda each: [_sortable(each.values.get(path)) for path in fields])


def as_data(forecast: Forecast) -> dict[str, Any]:
    """Return a forecast as data, with its best momenta."""
    best = forecast.best_measured
    return asdict(forecast) | {
        "best": asdict(forecast.best),
        "best_measured": None if best is None else asdict(best),
    }


def _sortable(value: Any) -> tuple[bool, float, str]:  # noqa: ANN401
    """Numbers by size, then texts."""
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else 0.0, str(value)


def _is_free(training: Training) -> bool:
    """True if momentum is observed only."""
    return isinstance(training.runs[0].config.norm, AveragedKind)


def _by_basis(training: Training) -> list[Training]:
    """The runs of a training by what they average and from where; references where that is all."""
    averages = [
        run for run in training.runs if run.flat.get("norm.estimator") not in REFERENCE_ESTIMATORS
    ]
    groups: dict[str, list[Any]] = {}
    for run in averages or training.runs:
        groups.setdefault(repr([run.flat.get(path) for path in _BASIS]), []).append(run)
    return [replace(training, runs=tuple(members)) for members in groups.values()]


def _forecast(
    fields: Sequence[str],
    members: Sequence[Training],
    momenta: Sequence[float],
    parts: Sequence[str],
) -> Forecast:
    """The forecast of a cell."""
    rows = [training.runs[0].row for training in members]
    measured: dict[float, list[float]] = {}
    for row in (run.row for training in members for run in training.runs):
        kind = row.get("norm.estimator", "ema"), row.get("norm.momentum_schedule", "constant")
        momentum, test_loss = row.get("norm.momentum"), row["test_loss"]
        if kind == ("ema", "constant") and momentum is not None and test_loss is not None:
            measured.setdefault(momentum, []).append(test_loss)
    grid = sorted({*GRID, *momenta, *measured})
    tried, scales = [], []
    for training in members:
        record, config = training.record(), training.configs[0]
        tried.append(_losses(record, config, grid, parts))
        if parts:
            scales.append(_measured(record, config))
    population = median_of(each["population"][0] for each in tried)
    found = []
    for i, momentum in enumerate(grid):
        whole, own = median_of(each["error"][i] for each in tried), measured.get(momentum, [])
        cost = {
            p: median_of(rise(each[p][i], each["population"][0]) for each in tried) for p in parts
        }
        seen = median_of(own) if own else None
        found.append(Tried(momentum, whole, rise(whole, population), cost, seen, len(own)))
    return Forecast(
        values={path: rows[0][path] for path in fields if path in rows[0]},
        n=len(members),
        layers=_settings(members[0].configs[0], scales) if scales else {},
        tried=found,
        population=median_of(loss(row, "test_loss_population") for row in rows),
        best_by_seed={
            row["seed"]: min(zip(each["error"], grid, strict=True))[1]
            for row, each in zip(rows, tried, strict=True)
        },
    )


def _losses(
    record: "Record", config: RunConfig, grid: Sequence[float], parts: Sequence[str]
) -> dict[str, list[float]]:
    """One training's losses by part, a momentum each; what is not finite is the worst."""
    from normexp.engine.budget import budget
    from normexp.numerics import one_thread

    assert isinstance(config.norm, AveragedKind)  # noqa: S101
    plain = replace(config.norm, estimator="ema", momentum_schedule="constant")
    configs = [replace(config, norm=replace(plain, momentum=momentum)) for momentum in grid]
    with one_thread():
        found = budget(record, configs, points=[record.epochs])
        losses = training_losses_by_part(record, config, found, parts)
    return {
        name: [each if isfinite(each) else inf for each in values]
        for name, values in losses.items()
    }


def _measured(record: "Record", config: RunConfig) -> dict[str, tuple[float, float, float, float]]:
    """By layer: drift a step, random step, noise of an example's mean, initial error; in σ.

    Drift is the population's over the last epoch; `normexp.engine.budget` tells noise from random
    steps.
    """
    from normexp.engine.budget import drift_and_noise, in_units, living

    truth, var = (
        each[0].double().numpy() for each in (record.population_mean, record.population_var)
    )
    means, _ = in_units(record)
    found = {}
    for layer, alive in living(record.sites, np.all(var > 0, axis=0)):
        sigma, last = np.sqrt(var[-1, alive]), truth[-1, alive]
        drift = (last - truth[-2, alive]) / len(batch_sizes(config)) / sigma
        initial = (last - getattr(config.norm, "initial_mean", 0.0)) / sigma
        scatter = drift_and_noise(means[:, alive], config)
        d, r = (mean_of(np.square(each)) ** 0.5 for each in (drift, initial))
        found[layer] = (d, scatter.walk**0.5, scatter.noise, r)
    return found


def _settings(
    config: RunConfig, scales: Sequence[dict[str, tuple[float, float, float, float]]]
) -> dict[str, Setting]:
    """Each layer's mean as a setting for `normexp.theory`, medians over trainings of one kind.

    Nothing is said of trainings that have too few batches to measure their noise.
    """
    sizes = batch_sizes(config)
    parts = part_sizes(config, sizes[0])
    whole = len(parts) == 1
    found = {}
    for layer in scales[0]:
        drift, walk, noise, initial = (
            median_of(each[layer][i] for each in scales) for i in range(4)
        )
        if any(isnan(each[layer][2]) for each in scales):
            return {}
        found[layer] = Setting(
            updates=sum(len(part_sizes(config, size)) for size in sizes) * config.train.epochs,
            batch_size=parts[0],
            train_size=train_size(config) if whole else None,
            order=("shuffled" if config.train.shuffle else "fixed") if whole else "independent",
            drop_last=config.train.drop_last and whole,
            initial_error=initial,
            drift_per_step=drift / len(parts),
            walk_per_step=walk,
            noise_scale=noise,
        )
    return found
