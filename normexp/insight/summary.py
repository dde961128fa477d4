"""Error budgets summed up: by layer, and by arm over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from normexp.insight.budget import ALL, RunBudget, loss
from normexp.insight.telling import telling


@dataclass(frozen=True)
class LayerBudget:
    """A layer's budget at the last evaluation point.

    Attributes:
        name: of the layer.
        mean: root mean squares over its channels, by part and of their sum, the `error`; in σ.
        log_var_ratio: mean of ln(running / population variance).
        var: means of the variance's error and its parts, relative to the population's variance.
    """

    name: str
    mean: dict[str, float]
    log_var_ratio: float
    var: dict[str, float]


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


def layers_of(budget: RunBudget) -> list[LayerBudget]:
    """The budget layer by layer; channels that do not vary are left out."""
    found, start = [], 0
    for name, width in budget.sites.items():
        channels = slice(start, start + width)
        varies = budget.population[1][-1, channels] > 0
        found.append(
            LayerBudget(
                name,
                {part: _rms(budget.mean[part][-1, channels][varies]) for part in ALL},
                _mean(budget.log_var_ratio[-1, channels][varies]),
                {part: _mean(budget.var[part][-1, channels][varies]) for part in ALL},
            )
        )
        start += width
    return found


def arms_of(budgets: Sequence[RunBudget]) -> tuple[list[ArmBudget], list[str]]:
    """The arms in the order of their first runs, and the fields that tell them apart."""
    found = telling([each.row for each in budgets], without=["norm.momentum"])
    fields = ["norm.momentum", *found]
    grouped: dict[str, list[RunBudget]] = {}
    for each in budgets:
        grouped.setdefault(repr([each.row.get(path) for path in fields]), []).append(each)
    return [_arm(members, fields) for members in grouped.values()], fields


def report(budget: RunBudget) -> dict[str, Any]:
    """One run's budget as data."""
    row = budget.row
    return {
        "run_id": row["run_id"],
        "label": row["label"],
        "step": int(budget.steps[-1]),
        "excess_loss": row["excess_loss"],
        "cost": budget.cost,
        "layers": [
            {"layer": layer.name, "mean": layer.mean, "var": layer.var,
             "log_var_ratio": layer.log_var_ratio}
            for layer in layers_of(budget)
        ],
    }  # fmt: skip


def _arm(members: Sequence[RunBudget], fields: Sequence[str]) -> ArmBudget:
    row = members[0].row
    return ArmBudget(
        {path: row[path] for path in fields if path in row},
        len(members),
        {part: median(_rms(_finite(each.mean[part][-1])) for each in members) for part in ALL},
        {part: median(each.cost[part] for each in members) for part in ALL},
        median(loss(each.row, "excess_loss") for each in members),
    )


def _finite(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    known: np.ndarray[Any, Any] = values[np.isfinite(values)]
    return known


def _rms(values: np.ndarray[Any, Any]) -> float:
    with np.errstate(over="ignore"):
        return float(np.sqrt(np.square(values).mean())) if values.size else float("nan")


def _mean(values: np.ndarray[Any, Any]) -> float:
    return float(values.mean()) if values.size else float("nan")
