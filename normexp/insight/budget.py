"""Error budgets of stored runs: what running statistics are off by, and of what it is made."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from normexp.config.schema import RunConfig
from normexp.errors import UsageError
from normexp.insight.subject import Subject, subjects, with_data
from normexp.store.places import Place, typed_places
from normexp.store.rows import Row

if TYPE_CHECKING:
    import pandas as pd

    from normexp.engine.budget import Budget
    from normexp.record import Record

Array = np.ndarray[Any, Any]

PARTS = ("initial", "drift", "noise")
ALL = (*PARTS, "error")

ROUNDING = 1e-12
"""Of a loss in float64: a difference below is none."""


@dataclass(frozen=True)
class RunBudget:
    """One run's budget at every evaluation point.

    Errors of means are in units of the population's σ, of variances relative to the population's:
    each of their parts add up to the error exactly.

    Attributes:
        row: of the run.
        sites: layers and their channels.
        steps: of the evaluation points.
        population: means and variances, each [points, channels].
        mean: by part, and `error`, their sum; each [points, channels].
        var: the same.
        log_var_ratio: ln(running / population variance), [points, channels].
        cost: by part, and `error`, the training loss at the last point if statistics were off by
            that alone, minus the loss under the population's; see `normexp.engine.predict`.
    """

    row: Row
    sites: dict[str, int]
    steps: Array
    population: tuple[Array, Array]
    mean: dict[str, Array]
    var: dict[str, Array]
    log_var_ratio: Array
    cost: dict[str, float]


def loss(row: Row, name: str) -> float:
    """A loss of a run; NaN where it is not finite, which rows have as nothing."""
    value = row[name]
    return float("nan") if value is None else float(value)


def budgets(
    store: Path, wanted: str | None, places: Sequence[Place] = (), *, last_only: bool = False
) -> tuple[list[RunBudget], list[str]]:
    """The budgets of the runs that are meant, run by run, and notes on runs left out.

    Args:
        store: where to look for names.
        wanted: a study, sweep or run, by name, id or path; None is the whole store.
        places: where data in files may stand now.
        last_only: at the last evaluation point only, not at all of them.

    Raises:
        NotFoundError: there is no such run, or its trajectory is not there.
        UsageError: no run is normalised by an average, which alone has a budget; or the data of
            none can be read.
    """
    chosen = [each for each in subjects(store, wanted) if averaged(each)]
    if not chosen:
        raise UsageError(
            f"no run of {wanted or store} is normalised by an average of its batches",
            "name runs with norm.estimator=ema, debiased, warmup, window or divided",
        )
    kept, notes = with_data(chosen, places)
    return list(budgets_of(kept, last_only=last_only)), notes


def averaged(subject: Subject) -> list[int]:
    """Which runs are normalised by an average of their batches, which alone has a budget."""
    from normexp.engine.budget import has_budget

    return [i for i, config in enumerate(subject.configs) if has_budget(config.norm)]


def budgets_of(chosen: Sequence[Subject], *, last_only: bool = False) -> Iterator[RunBudget]:
    """The budgets of the runs that have one, run by run; their data must be at hand."""
    for subject in chosen:
        if index := averaged(subject):
            yield from _of_subject(subject, index, last_only=last_only)


def budget(path: str | Path, *places: str) -> "pd.DataFrame":
    """The budgets of a run, a sweep or a study, one row a run, evaluation point and channel.

    Args:
        path: the directory of any of these.
        places: where data in files stand now, such as `data.path=FILE`.

    Returns:
        run_id, step, layer, channel; mean_error = mean_initial + mean_drift + mean_noise in the
        population's σ; var_error and its parts relative to its variance; log_var_ratio.

    Raises:
        NotFoundError: there is no such run, or its trajectory is not there.
        UsageError: no run is normalised by an average, which alone has a budget; or the data of
            none can be read. Of some, a warning says which.
    """
    import pandas as pd

    found, notes = budgets(Path(path), str(path), typed_places(places))
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return pd.concat([pd.DataFrame(_columns(each)) for each in found], ignore_index=True)


def rise(loss: float, population: float) -> float:
    """How far a loss is above that under the population's statistics; 0 where it is rounding."""
    above = loss - population
    return 0.0 if abs(above) < ROUNDING * population else above


def training_losses_by_part(
    record: "Record", config: RunConfig, found: "Budget", parts: Sequence[str] = PARTS
) -> dict[str, list[float]]:
    """Return training losses if statistics were off by one part alone, and by all (`error`).

    Args:
        record: of the trajectory, one model.
        config: of any of its runs.
        found: budgets of its runs; their last point is looked at.
        parts: of the error.

    Returns:
        A loss a run by part; `population` has one, under the population's statistics.
    """
    import torch

    from normexp.engine.predict import training_losses
    from normexp.nets.layout import Statistics

    truth, names = [each[:, -1] for each in found.population], (*parts, "error")
    sets = [truth] + [
        [there + each[:, -1] for there, each in zip(truth, getattr(found, name), strict=True)]
        for name in names
    ]
    means, variances = (torch.cat(each) for each in zip(*sets, strict=True))
    losses = training_losses(record, config, Statistics(means, variances)).tolist()
    runs = (len(losses) - 1) // len(names)
    by_part = {name: losses[1 + i * runs :][:runs] for i, name in enumerate(names)}
    return {"population": losses[:1], **by_part}


def _of_subject(subject: Subject, index: Sequence[int], *, last_only: bool) -> Iterator[RunBudget]:
    from normexp.engine.budget import budget as attribute
    from normexp.engine.numerics import one_thread

    record = subject.record()
    with one_thread():
        points = range(record.epochs if last_only else 0, record.epochs + 1)
        found = attribute(record, [subject.configs[i] for i in index], points)
        losses = training_losses_by_part(record, subject.configs[0], found)
    (population,) = losses.pop("population")
    for run, i in enumerate(index):
        cost = {name: rise(values[run], population) for name, values in losses.items()}
        yield _scaled(subject.rows[i], record, found, run, points, cost)


def _scaled(  # noqa: PLR0913, PLR0917  what one run's budget is of
    row: Row,
    record: "Record",
    found: "Budget",
    run: int,
    points: Sequence[int],
    cost: dict[str, float],
) -> RunBudget:
    """One run's budget in units of the population."""
    truth, var = (each[0].numpy() for each in found.population)
    with np.errstate(all="ignore"):  # of a channel that does not vary, or an absurd start
        mean, relative = (
            {
                name: getattr(getattr(found, name), of)[run].numpy() / unit
                for name in (*PARTS, "error")
            }
            for of, unit in (("mean", np.sqrt(var)), ("var", var))
        )
        return RunBudget(
            row=row,
            sites=record.sites,
            steps=np.array(points) * (record.train_loss.shape[1] // record.epochs),
            population=(truth, var),
            mean=mean,
            var=relative,
            log_var_ratio=np.log1p(relative["error"]),
            cost=cost,
        )


def _columns(each: RunBudget) -> dict[str, Any]:
    layers = [layer for layer, width in each.sites.items() for _ in range(width)]
    channels = [channel for width in each.sites.values() for channel in range(width)]
    points = len(each.steps)
    columns: dict[str, Any] = {
        "run_id": each.row["run_id"],
        "step": np.repeat(each.steps, len(layers)),
        "layer": layers * points,
        "channel": channels * points,
    }
    for of, parts in (("mean", each.mean), ("var", each.var)):
        columns |= {f"{of}_{name}": values.ravel() for name, values in parts.items()}
    return columns | {"log_var_ratio": each.log_var_ratio.ravel()}
