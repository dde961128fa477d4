"""Error budgets of a recorded network's own running statistics, layer by layer.

As `normexp.engine.budget` has them, for momenta of any layer and step: running − population is

- initial: what is left of the value before the first recorded batch, or applied: of statistics
  that were put in since;
- drift: the population has moved since the batches that are averaged;
- noise: those batches were not the population of their time.

The population's course is straight between two points at which it was computed, and still before
the first. Where only one is known, or not every batch is kept, drift and noise are one: the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from normexp.config.norm import BatchNorm
from normexp.engine.budget import weights
from normexp.own.evaluate import Kept
from normexp.own.recording import Recording


@dataclass(frozen=True)
class LayerBudget:
    """The parts of a layer's error, over its channels that vary.

    Attributes:
        layer: its name.
        mean: root mean squares of the parts of the means' errors, in σ of the population.
        mean_error: that of their sum.
        var: means of the parts of the variances' errors, relative to the population's.
        var_error: their sum.
    """

    layer: str
    mean: dict[str, float]
    mean_error: float
    var: dict[str, float]
    var_error: float


def budgets(recording: Recording, evaluations: Mapping[int, Kept]) -> list[LayerBudget]:
    """Return the budgets of all layers that are updated.

    Args:
        recording: of the model.
        evaluations: by updates until then, with the population; the last is that of now.
    """
    known = {
        updates: torch.cat(each["population"][0] or []) for updates, each in evaluations.items()
    }
    population, own = known[max(known)].double(), torch.cat(recording.layers.read())
    origin = recording.origin
    first = origin.left[recording.layer_of] * (origin.statistics - population)
    parts, rest = {origin.name: first}, own - population - first
    if len(known) > 1 and recording.history.is_whole:
        parts["drift"] = _drift(recording, known, population)
        parts["noise"] = rest - parts["drift"]
    else:
        parts["rest"] = rest
    parts["error"] = own - population
    return [
        _of_layer(name, span, parts, population)
        for name, span in recording.layers.spans.items()
        if name not in recording.still
    ]


def _drift(
    recording: Recording, points: dict[int, torch.Tensor], now: torch.Tensor
) -> torch.Tensor:
    """Return Σ w·(population at the time of each batch − that of now), [2 · channels]."""
    rows = recording.history.rows
    newest = torch.where(rows.updates > 0, rows.newest, 0.0)
    for since, until in ((0, recording.origin.first), *recording.origin.without):
        newest[since:until] = 0
    by_batch = weights([BatchNorm()] * newest.shape[1], newest.T).batches.T  # [rows, layers]
    times, order = np.arange(len(newest)), sorted(points)
    near = [np.interp(times, order, np.eye(len(order))[place]) for place in range(len(order))]
    of_points = torch.from_numpy(np.stack(near)) @ by_batch  # [points, layers]
    course = torch.stack([points[each].double() for each in order])
    return (of_points[:, recording.layer_of] * (course - now)).sum(0)


def _of_layer(
    name: str, span: slice, parts: dict[str, torch.Tensor], population: torch.Tensor
) -> LayerBudget:
    truth = population.chunk(2)[1][span]
    varies = truth > 0
    mean, var = {}, {}
    for part, values in parts.items():
        means, variances = (each[span][varies] for each in values.chunk(2))
        mean[part] = float((means.square() / truth[varies]).mean().sqrt())
        var[part] = float((variances / truth[varies]).mean())
    return LayerBudget(name, mean, mean.pop("error"), var, var.pop("error"))
