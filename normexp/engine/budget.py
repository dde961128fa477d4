"""Error budgets: what running statistics are off by, and of which three things it is made.

An average of linear weights is off from the population by exactly

    running − population = initial + drift + noise,

- initial: what is left of the value before the first batch;
- drift: the population has moved since the batches that are averaged;
- noise: those batches were not the population of their time. Small batches are off on average
  too, since the layers below were normalised by the batch itself.

The population's course between two evaluation points is taken as straight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from normexp.config.norm import REFERENCES, BatchKind, Norm
from normexp.config.schema import RunConfig, batch_sizes
from normexp.engine.estimators import Momenta, column, mask_of
from normexp.nets.layout import Statistics
from normexp.nets.network import Network
from normexp.record import Record


@dataclass(frozen=True)
class Budget:
    """The parts of the error of some runs, each [runs, points, channels], in float64.

    Of means in units of the activation, of variances in its square.
    """

    population: Statistics
    initial: Statistics
    drift: Statistics
    noise: Statistics

    @property
    def error(self) -> Statistics:
        """Running statistics minus the population's: the sum of the parts."""
        parts = (self.initial, self.drift, self.noise)
        mean, var = (sum(each[i] for each in parts) for i in (0, 1))
        return Statistics(mean, var)  # type: ignore[arg-type]


class Weights(NamedTuple):
    """What an average consists of."""

    batches: torch.Tensor  # [runs, updates]
    initial: torch.Tensor  # [runs, 1]


def has_budget(norm: Norm) -> bool:
    """Whether the norm's estimator is an average of linear weights."""
    known = (*REFERENCES, "mixed")
    return isinstance(norm, BatchKind) and getattr(norm, "estimator", "ema") not in known


def weights(norms: Sequence[Norm], newest: torch.Tensor) -> Weights:
    """The weights of all batches and of the initial value, after so many updates.

    A batch of an average weighs a_i·Π_(j>i)(1 − a_j), the initial value Π(1 − a_j); see
    `normexp.engine.estimators` for what the other estimators make of that.

    Args:
        norms: of the runs.
        newest: the weight that each batch had when it was the newest, [runs, updates].
    """
    updates = newest.shape[1]
    products = torch.cumprod((1 - newest).flip(1), 1).flip(1)  # from each batch to the newest
    later = torch.cat([products[:, 1:], torch.ones(len(norms), 1, dtype=torch.float64)], 1)
    batches, left = newest * later, products[:, :1]
    gone = 1 - left
    for name, remains in (("debiased", torch.zeros_like(left)), ("divided", left / gone)):
        if (mask := mask_of(norms, "estimator", name)) is not None:
            known = mask & (gone > 0)
            batches = torch.where(known, batches / gone, batches)
            left = torch.where(known, remains, left)
    if (mask := mask_of(norms, "estimator", "window")) is not None:
        age = torch.arange(updates, 0, -1)
        inside = (age <= column(norms, "window", 1)).double()
        batches = torch.where(mask, inside / inside.sum(1, keepdim=True), batches)
        left = torch.where(mask, 0.0, left)
    return Weights(batches, left)


def budget(
    record: Record, configs: Sequence[RunConfig], points: Sequence[int] | None = None
) -> Budget:
    """The budgets of runs on one trajectory.

    Args:
        record: of the trajectory, one model.
        configs: one a run; of norms that have a budget.
        points: the evaluation points to look at; all by default.
    """
    chosen = range(record.epochs + 1) if points is None else points
    series = _Series(record, configs)
    parts = [series.at(point) for point in chosen]
    population = Statistics(
        *(torch.stack([each[point] for point in chosen])[None] for each in series.population)
    )
    each_part = (
        Statistics(*(torch.stack(each, 1) for each in zip(*part, strict=True)))
        for part in zip(*parts, strict=True)
    )
    return Budget(population, *each_part)


class _Series:
    """The batches of a trajectory in order, and the population at the time of each."""

    def __init__(self, record: Record, configs: Sequence[RunConfig]) -> None:
        config, network = configs[0], Network(configs[0])
        sizes = batch_sizes(config)
        counts = torch.cat([network.counts(size) for size in sizes]).double()
        parts = [len(network.counts(size)) for size in sizes]
        self._norms = [each.norm for each in configs]
        self._per_epoch, updates = len(counts), record.batch_mean.shape[1]
        momenta = Momenta(self._norms, updates)
        self._newest = torch.cat([momenta.weight(update) for update in range(updates)], 1)
        self.population = Statistics(
            record.population_mean[0].double(), record.population_var[0].double()
        )
        steps = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(parts))
        gone = steps.double() / len(sizes)
        self._truth = Statistics(*(_between(each, gone) for each in self.population))
        var = record.batch_var[0].double()
        share = ((counts - 1) / counts).repeat(record.epochs, 1)
        self._batches = Statistics(record.batch_mean[0].double(), var)
        self._biased_var = var * share

    def at(self, point: int) -> tuple[Statistics, ...]:
        """Initial, drift and noise at an evaluation point, each [runs, channels]."""
        updates = self._per_epoch * point
        start = Statistics(
            column(self._norms, "initial_mean", 0.0), column(self._norms, "initial_var", 1.0)
        )
        now = Statistics(*(each[point] for each in self.population))
        if not updates:
            nothing = torch.zeros(len(self._norms), len(now.mean), dtype=torch.float64)
            initial = Statistics(*(s - p for s, p in zip(start, now, strict=True)))
            return initial, Statistics(nothing, nothing), Statistics(nothing, nothing)
        batches, left = weights(self._norms, self._newest[:, :updates])
        total = batches.sum(1, keepdim=True)
        truth = [batches @ each[:updates] for each in self._truth]
        seen = batches @ self._batches.mean[:updates], self._seen_var(batches)
        return (
            Statistics(*(left * s - (1 - total) * p for s, p in zip(start, now, strict=True))),
            Statistics(*(t - total * p for t, p in zip(truth, now, strict=True))),
            Statistics(*(s - t for s, t in zip(seen, truth, strict=True))),
        )

    def _seen_var(self, batches: torch.Tensor) -> torch.Tensor:
        """The average of the batches' variances, by `norm.running_variance`."""
        updates = batches.shape[1]
        found = batches @ self._batches.var[:updates]
        if (biased := mask_of(self._norms, "running_variance", "biased")) is None:
            return found
        return torch.where(biased, batches @ self._biased_var[:updates], found)


def _between(points: torch.Tensor, gone: torch.Tensor) -> torch.Tensor:
    """Straight lines between evaluation points, [points · updates of an epoch, channels]."""
    steps = points[1:] - points[:-1]
    return (points[:-1, None] + gone[:, None] * steps[:, None]).flatten(0, 1)
