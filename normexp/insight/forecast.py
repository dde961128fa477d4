"""Momenta tried on stored trainings, by the loss on training data in evaluation mode.

For any momentum the record gives the running statistics and their error's parts. The last weights
are evaluated with them on the training examples; no test example is looked at.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import inf, isfinite
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from normexp.config.norm import REFERENCES, AveragedKind
from normexp.config.schema import RunConfig
from normexp.errors import UsageError
from normexp.insight.budget import PARTS, loss, rise, training_losses_by_part
from normexp.insight.layers import settings
from normexp.insight.subject import Subject, subjects, with_data
from normexp.insight.telling import telling
from normexp.store.places import Place
from normexp.theory.memory import momentum_of
from normexp.theory.setting import Setting

if TYPE_CHECKING:
    from normexp.store.rows import Row

GRID = (0.001, 0.0015, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15,
        0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # fmt: skip
"""Momenta that are tried, such as people type."""


_BASIS = ("norm.initial_mean", "norm.initial_var", "norm.running_variance")
"""What an average starts from, and of what it is."""

_TRIED = ("norm.momentum", "norm.estimator", "norm.window", "norm.mix", "norm.precise_batches",
          "norm.momentum_schedule", "norm.final_momentum")  # fmt: skip
"""What is tried is a plain average of any momentum, whatever the stored runs have."""


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
        layers: what theory needs to know of each layer, measured.
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
    store: Path, wanted: str | None, momenta: Sequence[float] = (), places: Sequence[Place] = ()
) -> tuple[list[Forecast], list[str]]:
    """Return how well each momentum does on the trainings, and notes on runs left out.

    Args:
        store: where to look for names.
        wanted: a study, sweep or run, by name, id or path; None is the whole store.
        momenta: to try beside the grid and those of stored runs.
        places: where data in files may stand now.

    Raises:
        NotFoundError: there is no such run, or its training is not there.
        UsageError: no training whose momentum could be another, or whose data can be read.
    """
    for momentum in momenta:
        momentum_of(momentum)
    free = [each for each in subjects(store, wanted) if _is_free(each.configs[0])]
    if not free:
        raise UsageError(
            f"in every training of {wanted or store} momentum enters the weights",
            "name runs with norm=batch or norm=ghost: there it is for evaluation only",
        )
    kept, notes = with_data(free, places)
    return forecasts_of(kept, momenta), notes


def forecasts_of(
    found: Sequence[Subject], momenta: Sequence[float] = (), parts: Sequence[str] = PARTS
) -> list[Forecast]:
    """The same of these trainings; nothing of those in which momentum enters the weights.

    Args:
        found: the trainings, their data at hand.
        momenta: to try beside the grid and those of stored runs.
        parts: of the error that are told apart; each costs as much as the whole.
    """
    free = [each for each in found if _is_free(each.configs[0])]
    groups = [group for each in free for group in _parts(each)]
    fields = telling([group.rows[0] for group in groups], without=_TRIED)
    cells: dict[str, list[Subject]] = {}
    for group in groups:
        row = group.rows[0]
        key = repr([row.get(path) for path in row if _is_of_training(path)])
        cells.setdefault(key, []).append(group)
    made = [
        _forecast({path: row[path] for path in fields if path in row}, members, momenta, parts)
        for members in cells.values()
        for row in [members[0].rows[0]]
    ]
    return sorted(made, key=lambda each: [_sortable(each.values.get(path)) for path in fields])


def as_data(forecast: Forecast) -> dict[str, Any]:
    """The same for programs."""
    return {
        "values": forecast.values,
        "n": forecast.n,
        "population": forecast.population,
        "best": asdict(forecast.best),
        "best_measured": asdict(forecast.best_measured) if forecast.best_measured else None,
        "best_by_seed": forecast.best_by_seed,
        "tried": [asdict(each) for each in forecast.tried],
        "layers": {name: asdict(setting) for name, setting in forecast.layers.items()},
    }


def _sortable(value: Any) -> tuple[bool, float, str]:  # noqa: ANN401
    """Numbers by size, then texts."""
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else 0.0, str(value)


def _is_free(config: RunConfig) -> bool:
    """Whether momentum is observed only."""
    return isinstance(config.norm, AveragedKind)


def _is_of_training(path: str) -> bool:
    """Whether a column of a row is of what cells are told apart by."""
    return "." in path and path not in _TRIED and not path.startswith("log.")


def _parts(subject: Subject) -> list[Subject]:
    """The runs of a training by what they average and from where; references where that is all."""
    pairs = list(zip(subject.rows, subject.configs, strict=True))
    averages = [pair for pair in pairs if pair[0].get("norm.estimator") not in REFERENCES]
    groups: dict[str, list[tuple[Row, RunConfig]]] = {}
    for row, config in averages or pairs:
        groups.setdefault(repr([row.get(path) for path in _BASIS]), []).append((row, config))
    return [
        Subject(subject.directory, *(tuple(each) for each in zip(*group, strict=True)))
        for group in groups.values()
    ]


def _forecast(
    values: dict[str, Any],
    members: Sequence[Subject],
    momenta: Sequence[float],
    parts: Sequence[str],
) -> Forecast:
    measured: dict[float, list[float]] = {}
    for subject in members:
        for momentum, each in _measured(subject):
            measured.setdefault(momentum, []).append(each)
    grid = sorted({*GRID, *momenta, *measured})
    tried = [_tried(subject, grid, parts) for subject in members]
    population = median(each["population"][0] for each in tried)
    return Forecast(
        values,
        len(members),
        settings(members),
        [
            Tried(
                momentum,
                found := median(each["error"][i] for each in tried),
                rise(found, population),
                {name: median(rise(each[name][i], each["population"][0]) for each in tried)
                 for name in parts},
                median(measured[momentum]) if momentum in measured else None,
                len(measured.get(momentum, ())),
            )
            for i, momentum in enumerate(grid)
        ],
        median(loss(subject.rows[0], "test_loss_population") for subject in members),
        {
            subject.configs[0].seed: min(zip(each["error"], grid, strict=True))[1]
            for subject, each in zip(members, tried, strict=True)
        },
    )  # fmt: skip


def _measured(subject: Subject) -> list[tuple[float, float]]:
    """Momentum and test loss of the stored runs that are plain averages."""
    plain = {"norm.estimator": "ema", "norm.momentum_schedule": "constant"}
    return [
        (row["norm.momentum"], row["test_loss"])
        for row in subject.rows
        if row.get("norm.momentum") is not None
        and row["test_loss"] is not None
        and all(row.get(path, value) == value for path, value in plain.items())
    ]


def _tried(subject: Subject, grid: Sequence[float], parts: Sequence[str]) -> dict[str, list[float]]:
    """One training's losses by part, a momentum each; what is not finite is the worst."""
    from normexp.engine.budget import budget
    from normexp.engine.numerics import one_thread

    record, config = subject.record(), subject.configs[0]
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
