"""How the error of running statistics should go, from what their trainings have left.

Of an average the engine knows exactly what is left of the initial value and how far the population
has moved (`normexp.engine.budget`), theory how much is left of the batches' noise, and of random
steps between evaluation points (`normexp.insight.remaining`), given how large these are in one
batch. That is measured on batches of an epoch, the second half of the training's.

So the mean square error of C channels is m² + s², m of initial value and drift, s of noise, and it
scatters by (2s⁴ + 4m²s²)/f: a noncentral χ² in which f channels are free, fewer than C where the
channels' noise is alike (Satterthwaite 1946, Biometrics Bulletin 2: C²/tr R² for correlations R).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from normexp.config.schema import RunConfig, batch_sizes, part_sizes
from normexp.insight.budget import Array, averaged
from normexp.insight.subject import Subject
from normexp.store.rows import Row

if TYPE_CHECKING:
    from normexp.engine.budget import Budget
    from normexp.insight.remaining import Left
    from normexp.record import Record

INDEPENDENT_PAIRS = 2 / 3
"""Of pairs of neighbours, which share batches: their mean squares scatter 1.5 times as much."""

MANY = 1e4
"""Degrees of freedom from which the root of χ² is as good as normal."""


@dataclass(frozen=True)
class Course:
    """What one run's errors should be, each [points, layers]; NaN where no noise was measured.

    Attributes:
        row: of the run.
        layers: norm sites in order.
        steps: of the evaluation points.
        error: expected root mean square over channels of the mean's error, in σ.
        error_variance: of that, had the batches been drawn anew.
        ratio: expected mean over channels of ln(running / population variance).
        ratio_variance: the same of that.
    """

    row: Row
    layers: tuple[str, ...]
    steps: Array
    error: Array
    error_variance: Array
    ratio: Array
    ratio_variance: Array


class _Scale(NamedTuple):
    """How noisy one example's statistic is, and how large random steps are."""

    noise: float
    steps: float


class _Layer(NamedTuple):
    """A layer's scales: over σ² and σ⁴, and of its mean over channels of the variance over σ²."""

    mean: _Scale
    var: _Scale
    together: _Scale
    freedom: float  # of how many channels the mean's noise is


def courses(subject: Subject, points: Sequence[int]) -> list[Course]:
    """The courses of the runs of a training that are normalised by an average.

    Args:
        subject: the training and its runs.
        points: evaluation points to look at, in order; what lies beyond the end is left out.

    Raises:
        NormexpError: the training is damaged.
    """
    from normexp.engine.budget import budget
    from normexp.engine.numerics import one_thread
    from normexp.insight.remaining import Remaining

    index = averaged(subject)
    if not index:
        return []
    record, configs = subject.record(), [subject.configs[i] for i in index]
    chosen = [point for point in points if point <= record.epochs]
    with one_thread(), np.errstate(all="ignore"):  # of channels that do not vary
        exact, remaining = budget(record, configs, chosen), Remaining(record, configs)
        layers = _layers(record, configs[0])
        found = [
            _at(exact, i, remaining.at(point), record.sites, layers)
            for i, point in enumerate(chosen)
        ]
    parts: Array = np.array(found)  # [points, layers, parts, runs]
    steps = np.array(chosen) * (record.train_loss.shape[1] // record.epochs)
    return [
        Course(subject.rows[i], tuple(record.sites), steps,
               *(parts[:, :, part, run] for part in range(4)))
        for run, i in enumerate(index)
    ]  # fmt: skip


def _at(
    exact: "Budget", point: int, left: "Left", sites: dict[str, int], layers: Sequence[_Layer]
) -> list[list[Array]]:
    """By layer: error, its variance, log ratio and its variance, of each run."""
    var = exact.population.var[0, point].numpy()
    mean, relative = (
        (getattr(exact.initial, of)[:, point] + getattr(exact.drift, of)[:, point]).numpy() / unit
        for of, unit in (("mean", np.sqrt(var)), ("var", var))
    )
    gain = 1 + relative + left.bias / var
    own = left.mean / var, left.mean_steps / var
    its = left.var / (var * gain) ** 2, left.var_steps / (var * gain) ** 2
    found, start = [], 0
    for width, layer in zip(sites.values(), layers, strict=True):
        alive = start + np.flatnonzero(var[start : start + width] > 0)
        known = np.square(mean[:, alive]).mean(1)
        noise, spread, together = (
            sum(of * each[:, alive].mean(1) for of, each in zip(scale, parts, strict=True))
            for scale, parts in ((layer.mean, own), (layer.var, its), (layer.together, its))
        )
        error = _root(known + noise, (2 * noise + 4 * known) * noise / layer.freedom)
        found.append([*error, np.log(gain[:, alive]).mean(1) - spread / 2, together])
        start += width
    return found


def _root(mean: Array, variance: Array) -> tuple[Array, Array]:
    """Mean and variance of the root of a scaled χ² with these."""
    from scipy.special import gammaln

    freedom = np.where(variance > 0, 2 * mean**2 / variance, np.inf)
    few = np.minimum(freedom, MANY)
    short = 2 / few * np.exp(2 * (gammaln((few + 1) / 2) - gammaln(few / 2)))
    missing = np.where(freedom < MANY, 1 - short, 1 / (2 * freedom))
    missing = np.where(np.isnan(variance), np.nan, missing)
    return np.sqrt(mean * (1 - missing)), mean * missing


def _layers(record: "Record", config: RunConfig) -> list[_Layer]:
    """Of all layers, by how batches differ from the straight course of the population."""
    mean, var = (each[0].double().numpy() for each in (record.population_mean,
                                                       record.population_var))  # fmt: skip
    per_epoch = record.batch_mean.shape[1] // record.epochs
    course, unit = _straight(mean, per_epoch), _straight(var, per_epoch)
    means = (record.batch_mean[0].double().numpy() - course) / np.sqrt(unit)
    variances = record.batch_var[0].double().numpy() / unit
    found, start = [], 0
    for width in record.sites.values():
        alive = start + np.flatnonzero((var[:, start : start + width] > 0).all(0))
        together = variances[:, alive].mean(1, keepdims=True)
        several = (means[:, alive], variances[:, alive], together)
        mine, its, all_of_it = (_scale(each, config) for each in several)
        found.append(_Layer(mine, its, all_of_it, _freedom(means[:, alive])))
        start += width
    return found


def _straight(points: Array, updates: int) -> Array:
    """The population at every update, straight between evaluation points."""
    gone = np.arange(updates)[:, None] / updates
    between = points[:-1, None] + gone * (points[1:] - points[:-1])[:, None]
    course: Array = between.reshape(-1, points.shape[1])
    return course


def _scale(batches: Array, config: RunConfig) -> _Scale:
    """By batches of an epoch that are neighbours, and half an epoch apart.

    E(e_(i+k) − e_i)² = 2v + w·k·(1 − k/K) for noise v beside a bridge of steps w, which count
    where they are more than twice what chance makes of noise.
    """
    sizes = [part for size in batch_sizes(config) for part in part_sizes(config, size)]
    updates, examples = len(sizes), max(sizes)
    late = batches.reshape(-1, updates, batches.shape[1])
    late = late[len(late) // 2 :, np.array(sizes) == examples]
    near, far = (_apart(late, k) for k in (1, max(1, updates // 2)))
    bridge = [k * (1 - k / updates) for k in (1, max(1, updates // 2))]
    longer = bridge[1] - bridge[0]
    chance = 2 * near * math.sqrt(2 / INDEPENDENT_PAIRS / max(1, len(late) * updates))
    steps = (far - near) / longer if longer > 0 and far - near > chance else 0.0
    noise = (near - steps * bridge[0]) / 2
    return _Scale(examples * max(0.0, noise) if np.isfinite(noise) else noise, steps)


def _apart(late: Array, updates: int) -> float:
    """Mean square of what batches of an epoch so many updates apart differ by."""
    pairs = np.square(late[:, updates:] - late[:, :-updates])
    return float(pairs.mean()) if pairs.size else float("nan")


def _freedom(batches: Array) -> float:
    """How many independent channels would scatter as much, from 1 to all of them."""
    steps = np.diff(batches[len(batches) * 3 // 4 :], axis=0)
    if not steps.size:
        return 1.0
    steps = steps / np.sqrt(np.square(steps).mean(0))
    pairs, channels = steps.shape
    if not pairs or not channels or not np.isfinite(steps).all():
        return 1.0
    alike = steps @ steps.T if pairs < channels else steps.T @ steps
    chance = channels**2 / (pairs * INDEPENDENT_PAIRS)  # of correlations of so few pairs
    squares = np.square(alike / pairs).sum() - chance
    return float(channels**2 / np.clip(squares, channels, channels**2))
