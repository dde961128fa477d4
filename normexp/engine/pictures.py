"""Pictures of runs: histograms of every layer's output, as S1 draws them, and fitted curves.

They are made when somebody looks, of the weights and batch statistics that a trajectory has kept.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import torch

from normexp.config.data import Quadratic
from normexp.config.schema import RunConfig, built, steps_per_epoch
from normexp.engine.observe import Watch
from normexp.engine.step import is_labels
from normexp.nets.models import ENTRANCE
from normexp.trained import Record

BINS = 10
BOUNDED = ("tanh", "sigmoid")
"""Activations whose values lie between −1 and 1."""

ENTERING = (ENTRANCE, "pre_activation")


class Histogram(NamedTuple):
    """Counts of values in bins of equal width; what lies outside is not counted."""

    low: float
    high: float
    counts: torch.Tensor  # [bins]
    total: int  # of all values, inside and outside


class Curve(NamedTuple):
    """Predictions of one number from one, over the test points."""

    x: torch.Tensor  # [tests]
    y: torch.Tensor  # [tests]
    prediction: torch.Tensor  # [tests]


class Picture(NamedTuple):
    """Histograms and curve of one run at one evaluation point, under its running statistics."""

    histograms: dict[tuple[str, str], Histogram]  # by layer and `pre_activation` or `activation`
    curve: Curve | None  # where one number is predicted from one


def pictures(
    record: Record,
    configs: Sequence[RunConfig],
    points: Collection[int],
    *,
    curves_only: bool = False,
) -> list[dict[int, Picture]]:
    """Pictures of runs on one trajectory, by run and by evaluation point.

    Args:
        record: of one model.
        configs: one a run.
        points: evaluation points to look at; the others are passed by.
        curves_only: whether histograms, which take half of the time, stay empty.
    """
    watch, per_epoch = Watch(record, configs, [0] * len(configs)), steps_per_epoch(configs[0])
    found: list[dict[int, Picture]] = [{} for _ in configs]
    for step in range(max(points) * per_epoch + 1):
        if step:
            watch.take(step)
        point, rest = divmod(step, per_epoch)
        if rest or point not in points:
            continue
        watch.reach(point)
        for run, config in enumerate(configs):
            found[run][point] = _look(watch, config, point, run, curves_only=curves_only)
    return found


def _look(watch: Watch, config: RunConfig, point: int, run: int, *, curves_only: bool) -> Picture:
    """The picture of a run at an evaluation point."""
    counts: dict[tuple[str, str], torch.Tensor] = {}
    totals: dict[tuple[str, str], int] = {}
    inputs: list[torch.Tensor] = []
    alone = range(run, run + 1)

    def listen(layer: str, values: str, x: torch.Tensor) -> None:
        key = layer, values
        if key == ENTERING:
            x = watch.examples.raw(alone, x)
            inputs.append(x)
        if curves_only:
            return
        counted = count(x, *limits(config, *key))[0]
        counts[key] = counts[key] + counted if key in counts else counted
        totals[key] = totals.get(key, 0) + x.numel()

    prediction, y = watch.predict(point, alone, listen)
    has_curve = (config.data.shape, config.data.outputs) == ((1,), 1) and not is_labels(y)
    curve = (torch.cat(inputs, -1), y, prediction) if has_curve else ()
    return Picture(
        {key: Histogram(*limits(config, *key), each, totals[key]) for key, each in counts.items()},
        Curve(*(each.flatten() for each in curve)) if curve else None,
    )


def limits(config: RunConfig, layer: str, values: str) -> tuple[float, float]:
    """Return the edges of a layer's histogram: S1's where it says so, −4 to 4 elsewhere.

    The data's own range at the input, −4 to 4 for pre-activations, −1 to 1 for bounded activations.
    """
    if layer == ENTRANCE and isinstance(config.data, Quadratic):
        return config.data.low, config.data.high
    bounded = built(config).activation in BOUNDED
    return (-1.0, 1.0) if values == "activation" and bounded and layer != ENTRANCE else (-4.0, 4.0)


def count(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Return the counts of each network's values by bin, [models, BINS].

    Bins are of equal width, closed below, the last one above too, as `numpy.histogram`; what lies
    outside or is not a number is not counted.
    """
    values = x.reshape(len(x), -1)
    inside = (values >= low) & (values <= high)
    place = ((values - low) / (high - low) * BINS).nan_to_num(0).clamp(0, BINS - 1).long()
    counts = torch.zeros(len(values), BINS, dtype=torch.int64)
    return counts.scatter_add_(1, place, inside.long())
