"""Noise of batches, and random steps of the population, measured on batch statistics."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from normexp.config.schema import RunConfig, batch_sizes, part_sizes
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
