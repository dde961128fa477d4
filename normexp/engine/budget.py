"""Error budgets: the error of running statistics, and the three parts that it is made of.

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

from normexp.config.norm import REFERENCE_ESTIMATORS, BatchKind, Norm
from normexp.config.schema import RunConfig, batch_sizes
from normexp.engine.estimators import INITIAL, Momenta, column, mask_of
from normexp.engine.scatter import straight
from normexp.nets.layout import Statistics
from normexp.nets.network import Network
from normexp.trained import Record


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
        mean, var = (
            initial + drift + noise
            for initial, drift, noise in zip(self.initial, self.drift, self.noise, strict=True)
        )
        return Statistics(mean, var)


class Weights(NamedTuple):
    """The weights of an average."""

    batches: torch.Tensor  # [runs, updates]
    initial: torch.Tensor  # [runs, 1]


def has_budget(norm: Norm) -> bool:
    """Return whether the norm's estimator is an average of linear weights."""
    known = (*REFERENCE_ESTIMATORS, "mixed")
    return isinstance(norm, BatchKind) and getattr(norm, "estimator", "ema") not in known


def weights(norms: Sequence[Norm], newest: torch.Tensor) -> Weights:
    """Return the weights of all batches and of the initial value, after so many updates.

    A batch of an average weighs a_i·Π_(j>i)(1 − a_j), the initial value Π(1 − a_j); see
    `normexp.engine.estimators` for the other estimators.

    Args:
        norms: of the runs.
        newest: the weight that each batch had when it was the newest, [runs, updates].
    """
    updates = newest.shape[1]
    if not updates:
        return Weights(newest, torch.ones(len(norms), 1, dtype=torch.float64))
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
    """Return the budgets of runs on a trajectory of one model, at all points or the given ones."""
    network, sizes = Network(configs[0]), batch_sizes(configs[0])
    counts = [network.counts(size).double() for size in sizes]  # each [parts, channels]
    norms, updates = [each.norm for each in configs], record.batch_mean.shape[1]
    newest = Momenta(norms, updates).weights()
    population = [each[0].double() for each in (record.population_mean, record.population_var)]
    steps = [step for step, parts in enumerate(counts) for _ in parts]
    gone = torch.tensor(steps, dtype=torch.float64) / len(sizes)
    truth = [straight(each, gone).flatten(0, 1) for each in population]
    mean, var = record.batch_mean[0].double(), record.batch_var[0].double()
    count = torch.cat(counts).repeat(record.epochs, 1)
    biased = mask_of(norms, "running_variance", "biased")
    start = [column(norms, name, value) for name, value in INITIAL.items()]
    parts: list[list[torch.Tensor]] = []
    chosen = list(range(record.epochs + 1) if points is None else points)
    for point in chosen:
        done = updates // record.epochs * point
        batches, left = weights(norms, newest[:, :done])
        total = batches.sum(1, keepdim=True)
        then = [batches @ each[:done] for each in truth]
        seen = [batches @ each[:done] for each in (mean, var)]
        if biased is not None:
            own = batches @ (var * ((count - 1) / count))[:done]
            seen[1] = torch.where(biased, own, seen[1])
        now = [each[point] for each in population]
        parts.append(
            [left * s - (1 - total) * p for s, p in zip(start, now, strict=True)]
            + [t - total * p for t, p in zip(then, now, strict=True)]
            + [s - t for s, t in zip(seen, then, strict=True)]
        )
    found = [torch.stack(each, 1) for each in zip(*parts, strict=True)]
    return Budget(
        Statistics(*(each[chosen][None] for each in population)),
        *(Statistics(*found[place : place + 2]) for place in (0, 2, 4)),
    )
