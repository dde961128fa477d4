"""Error budgets of stored runs: what running statistics are off by, and of what it is made."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from normexp.config.identity import varying
from normexp.config.network import Own
from normexp.config.schema import RunConfig
from normexp.errors import UsageError
from normexp.insight.training import Training, readable, trainings
from normexp.store.stored import Stored
from normexp.study.asked import NOTHING, Asked, as_asked

if TYPE_CHECKING:
    import pandas as pd

    from normexp.engine.budget import Budget
    from normexp.trained import Record

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
        run: that it is of.
        sites: layers and their channels.
        steps: of the evaluation points.
        varies: whether a channel has a variance, [points, channels].
        mean: by part, and `error`, their sum; each [points, channels].
        var: the same.
        log_var_ratio: ln(running / population variance), [points, channels].
        cost: by part, and `error`, the training loss at the last point if statistics were off by
            that alone, minus the loss under the population's; see `normexp.engine.predict`. Empty
            of a user's own network, whose code readers do not run.
    """

    run: Stored
    sites: dict[str, int]
    steps: Array
    varies: Array
    mean: dict[str, Array]
    var: dict[str, Array]
    log_var_ratio: Array
    cost: dict[str, float]


@dataclass(frozen=True)
class ArmBudget:
    """Medians over the seeds of an arm, at the last evaluation point.

    Attributes:
        values: the fields that tell the arms apart.
        n: runs.
        mean: by part, the root mean square over all channels, in σ.
        cost: what a part alone, and the whole error, raise the training loss by.
        excess: what evaluation does cost.
    """

    values: dict[str, Any]
    n: int
    mean: dict[str, float]
    cost: dict[str, float]
    excess: float


def budget(path: str | Path, *words: str) -> "pd.DataFrame":
    """The budgets of a run, a sweep or a study, one row a run, evaluation point and channel.

    Args:
        path: the directory of any of these.
        words: fields that the runs must have, such as `norm.momentum=0.1,0.5`; and where data in
            files stand now, such as `data.path=FILE`.

    Returns:
        run_id, step, layer, channel; mean_error = mean_initial + mean_drift + mean_noise in the
        population's σ; var_error and its parts relative to its variance; log_var_ratio.

    Raises:
        NotFoundError: there is no such run, or its trajectory is not there.
        UsageError: no run is normalised by an average, which alone has a budget; or the data of
            none can be read. Of some, a warning says which.
    """
    import pandas as pd

    found, notes = budgets(Path(path), str(path), as_asked(words))
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return pd.concat([_frame(each) for each in found], ignore_index=True)


def budgets(
    store: Path,
    wanted: str | None,
    asked: Asked = NOTHING,
    *,
    last_only: bool = False,
    lost: list[Path] | None = None,
) -> tuple[list[RunBudget], list[str]]:
    """Return the budgets of the runs that are meant, and notes on runs left out.

    Of all evaluation points, or of the last one only; `lost` gets the directories of damaged runs.
    See `trainings` and `readable`.

    Raises:
        UsageError: no run is normalised by an average, which alone has a budget.
    """
    chosen = averaging(trainings(store, wanted, lost, asked.where))
    if not chosen:
        raise UsageError(
            f"no run of {wanted or store} is normalised by an average of its batches",
            "name runs with norm.estimator=ema, debiased, warmup, window or divided",
        )
    kept, notes = readable(chosen, asked.places)
    return list(budgets_of(kept, last_only=last_only)), notes


def averaging(found: Sequence[Training]) -> list[Training]:
    """Return trainings with those of their runs that are normalised by an average of batches."""
    from normexp.engine.budget import has_budget

    kept = (
        replace(each, runs=tuple(run for run in each.runs if has_budget(run.config.norm)))
        for each in found
    )
    return [each for each in kept if each.runs]


def budgets_of(chosen: Sequence[Training], *, last_only: bool = False) -> Iterator[RunBudget]:
    """Return the budgets of `averaging` runs, whose data are at hand."""
    from normexp.engine.budget import budget as attribute
    from normexp.numerics import one_thread

    for training in chosen:
        record, configs = training.record(), training.configs
        has_network = not isinstance(configs[0].model, Own)
        with one_thread():
            points = range(record.epochs if last_only else 0, record.epochs + 1)
            found = attribute(record, configs, points)
            losses = training_losses_by_part(record, configs[0], found) if has_network else {}
        (population,) = losses.pop("population", [nan])
        var = found.population.var[0].numpy()
        steps = np.array(points) * (record.train_loss.shape[1] // record.epochs)
        for place, run in enumerate(training.runs):
            with np.errstate(all="ignore"):  # of a channel that does not vary, or an absurd start
                mean, relative = (
                    {name: getattr(getattr(found, name), of)[place].numpy() / unit for name in ALL}
                    for of, unit in (("mean", np.sqrt(var)), ("var", var))
                )
                ratio = np.log1p(relative["error"])
            cost = {name: rise(values[place], population) for name, values in losses.items()}
            yield RunBudget(run, record.sites, steps, var > 0, mean, relative, ratio, cost)


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


def rise(loss: float, population: float) -> float:
    """Return a loss minus that under the population's statistics; 0 where it is rounding."""
    above = loss - population
    return 0.0 if abs(above) < ROUNDING * population else above


def report(found: RunBudget) -> dict[str, Any]:
    """Return one run's budget at the last evaluation point, as data.

    By layer, over the channels that vary: root mean squares of the means' errors in σ, means of the
    variances' relative errors and of their log ratio.
    """
    from normexp.engine.budget import living

    layers = [
        {
            "layer": name,
            "mean": {part: _rms(found.mean[part][-1, channels]) for part in ALL},
            "var": {part: mean_of(found.var[part][-1, channels]) for part in ALL},
            "log_var_ratio": mean_of(found.log_var_ratio[-1, channels]),
        }
        for name, channels in living(found.sites, found.varies[-1])
    ]
    return {
        "run_id": found.run.id,
        "label": found.run.label,
        "step": int(found.steps[-1]),
        "excess_loss": found.run.row["excess_loss"],
        "cost": found.cost,
        "layers": layers,
    }


def by_arm(found: Sequence[RunBudget]) -> tuple[list[ArmBudget], list[str]]:
    """Return the arms in the order of their first runs, and the fields that tell them apart."""
    differing = varying(each.run.row for each in found)
    fields = ["norm.momentum", *(p for p in differing if p not in ("norm.momentum", "seed"))]
    grouped: dict[str, list[RunBudget]] = {}
    for each in found:
        grouped.setdefault(repr([each.run.row.get(path) for path in fields]), []).append(each)
    arms = []
    for members in grouped.values():
        rows = [each.run.row for each in members]
        last = {part: [each.mean[part][-1] for each in members] for part in ALL}
        arms.append(
            ArmBudget(
                {path: rows[0][path] for path in fields if path in rows[0]},
                len(members),
                {p: median_of(_rms(each[np.isfinite(each)]) for each in last[p]) for p in ALL},
                {part: median_of(each.cost.get(part, nan) for each in members) for part in ALL},
                median_of(loss(row, "excess_loss") for row in rows),
            )
        )
    return arms, fields


def loss(row: Mapping[str, Any], name: str) -> float:
    """A loss of a run; NaN where it is not finite, which rows have as nothing."""
    return nan if row[name] is None else float(row[name])


def _frame(each: RunBudget) -> "pd.DataFrame":
    import pandas as pd

    layers = [layer for layer, width in each.sites.items() for _ in range(width)]
    channels = [channel for width in each.sites.values() for channel in range(width)]
    points = len(each.steps)
    columns: dict[str, Any] = {
        "run_id": each.run.id,
        "step": np.repeat(each.steps, len(layers)),
        "layer": layers * points,
        "channel": channels * points,
    }
    for of, parts in (("mean", each.mean), ("var", each.var)):
        columns |= {f"{of}_{name}": values.ravel() for name, values in parts.items()}
    return pd.DataFrame(columns | {"log_var_ratio": each.log_var_ratio.ravel()})


def _rms(values: Array) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.square(values).mean())) if values.size else nan


def median_of(values: Iterable[float]) -> float:
    """The median; NaN if one is NaN, wherever it stands."""
    return float(np.median([*values]))


def mean_of(values: Array) -> float:
    """The mean; NaN of nothing."""
    return float(values.mean()) if values.size else nan
