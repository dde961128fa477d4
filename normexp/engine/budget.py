"""Error budgets: the error of running statistics, and the three parts that it is made of.

An average of linear weights is off from the population by exactly

    running − population = initial + drift + noise,

- initial: what is left of the value before the first batch;
- drift: the population has moved since the batches that are averaged;
- noise: those batches were not the population of their time. Small batches are off on average
  too, since the layers below were normalised by the batch itself.

The population's course between two evaluation points is taken as straight.

Noise of batches and random steps of the population are measured on the batch statistics.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from normexp.config.norm import REFERENCE_ESTIMATORS, BatchKind, Norm
from normexp.config.schema import RunConfig, batch_sizes, part_sizes
from normexp.engine.estimators import INITIAL, Momenta, column, mask_of
from normexp.nets.layout import Statistics
from normexp.nets.network import Network
from normexp.trained import Record

Array = np.ndarray[Any, Any]

Values = TypeVar("Values", Array, torch.Tensor)

FEWEST_PAIRS = 2
"""Fewest pairs of batches from which noise is measured."""

INDEPENDENT_PAIRS = 2 / 3
"""Share among pairs of neighbours, which share batches: their mean squares scatter 1.5 times as
much."""


class Scatter(NamedTuple):
    """Scatter of batches about the straight course of the population."""

    noise: float  # variance of one example's statistic; NaN where there are too few batches
    walk: float  # variance of a random step of the population, an update


def living(sites: Mapping[str, int], varies: Array) -> Iterator[tuple[str, Array]]:
    """Yield each site with the numbers of its channels that vary, `varies` being [channels]."""
    start = 0
    for site, width in sites.items():
        yield site, start + np.flatnonzero(varies[start : start + width])
        start += width


def means_over_living(sites: Mapping[str, int], varies: Array, values: Array) -> Array:
    """Return means over each site's channels that vary; the last axis, of channels, is of sites."""
    starts = np.cumsum([0, *sites.values()])[:-1]
    kept = np.where(varies, values, 0.0)
    means: Array = np.add.reduceat(kept, starts, -1) / np.add.reduceat(varies * 1.0, starts, -1)
    return means


def straight(points: Values, gone: Values) -> Values:
    """Return the population between points [points, channels]: [epochs, updates of one, channels].

    `gone` is the share of an epoch that has gone at each of its updates.
    """
    course: Values = points[:-1, None] + gone[:, None] * (points[1:] - points[:-1])[:, None]
    return course


def in_units(record: Record) -> tuple[Array, Array]:
    """Return batch means less the population's course, in σ, and batch variances in σ².

    Both are [updates, channels], of one model; σ² is the population's of the time.
    """
    per_epoch = record.batch_mean.shape[1] // record.epochs
    gone = np.arange(per_epoch) / per_epoch
    course, unit = (
        straight(each[0].double().numpy(), gone).reshape(-1, each.shape[2])
        for each in (record.population_mean, record.population_var)
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # of a channel that does not vary
        means = (record.batch_mean[0].double().numpy() - course) / np.sqrt(unit)
        return means, record.batch_var[0].double().numpy() / unit


def drift_and_noise(batches: Array, config: RunConfig) -> Scatter:
    """Tell noise from random steps by neighbouring batches and those half an epoch apart.

    The rule: of full batches in the second half of the training, within an epoch, since at
    evaluation points the course is known. E(e_(i+k) − e_i)² = 2v + w·k·(1 − k/K) for noise v beside
    a Brownian bridge of steps w over the K updates of an epoch; steps count where they are more
    than twice what chance makes of noise. Batches are as `in_units` gives them.
    """
    sizes = np.array([part for size in batch_sizes(config) for part in part_sizes(config, size)])
    updates, examples = len(sizes), int(sizes.max())
    epochs = batches.reshape(-1, updates, batches.shape[1])
    late = epochs[len(epochs) // 2 :, sizes == examples]
    lags = (1, max(1, updates // 2))
    near, far = (_apart(late, lag) for lag in lags)
    bridge = [k * (1 - k / updates) for k in lags]
    longer = bridge[1] - bridge[0]
    chance = 2 * near * math.sqrt(2 / INDEPENDENT_PAIRS / max(1, len(late) * updates))
    walk = (far - near) / longer if longer > 0 and far - near > chance else 0.0
    noise = (near - walk * bridge[0]) / 2
    return Scatter(examples * max(0.0, noise) if math.isfinite(noise) else noise, walk)


def _apart(late: Array, lag: int) -> float:
    """Mean square difference of batches so many updates apart; NaN where there are too few."""
    squares = np.square(late[:, lag:] - late[:, :-lag])
    enough = squares.size and math.prod(squares.shape[:2]) >= FEWEST_PAIRS
    return float(squares.mean()) if enough else math.nan


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
    config, sizes = configs[0], batch_sizes(configs[0])
    norms, updates = [each.norm for each in configs], record.batch_mean.shape[1]
    newest = Momenta(norms, updates).weights()
    population = [each[0].double() for each in (record.population_mean, record.population_var)]
    steps = [step for step, size in enumerate(sizes) for _ in part_sizes(config, size)]
    gone = torch.tensor(steps, dtype=torch.float64) / len(sizes)
    truth = [straight(_known_at_first(each), gone).flatten(0, 1) for each in population]
    mean, var = record.batch_mean[0].double(), record.batch_var[0].double()
    biased = mask_of(norms, "running_variance", "biased")
    start = [column(norms, name, value) for name, value in INITIAL.items()]
    if record.start is not None:
        start = [each.double()[None] for each in record.start[0]]
    if biased is not None:
        count = torch.cat([Network(config).counts(size).double() for size in sizes])
        biased_var = var * ((count - 1) / count).repeat(record.epochs, 1)
    parts: list[list[torch.Tensor]] = []
    chosen = list(range(record.epochs + 1) if points is None else points)
    for point in chosen:
        done = updates // record.epochs * point
        batches, left = weights(norms, newest[:, :done])
        total = batches.sum(1, keepdim=True)
        then = [batches @ each[:done] for each in truth]
        seen = [batches @ each[:done] for each in (mean, var)]
        if biased is not None:
            seen[1] = torch.where(biased, batches @ biased_var[:done], seen[1])
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


def _known_at_first(points: torch.Tensor) -> torch.Tensor:
    """Return the population at points, the second's at the first where a loop did not look."""
    return torch.cat([torch.where(points[:1].isnan(), points[1:2], points[:1]), points[1:]])
