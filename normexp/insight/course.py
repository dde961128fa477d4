"""Expected errors of running statistics, from the records of their trainings.

Of an average the engine knows exactly what is left of the initial value and how far the population
has moved (`normexp.engine.budget`), theory how much is left of the batches' noise, given how large
that is in one batch: it is measured on batches of an epoch, the second half of the training's.

For batches of n_j examples with weights w_j, drawn from N without replacement,

    Var = c·(Σ w_j²·σ_j²/n_j − Σ_epochs (Σ w_j·σ_j)²/N),

the identity of `normexp.theory.setting` with the very weights of an estimator, and with σ_j of the
time of each batch. c is 1 for independent examples. With one order of batches for ever, the weights
and σ of a batch's appearances are added up first. The variance's noise has σ_j⁴ for σ_j².

Between two evaluation points the population is known to start and to end somewhere; beside the
straight line it takes random steps, of variance w·σ² an update, which come back to the line: a
Brownian bridge, whose covariance i and j updates after the first point is w·(min(i, j) − i·j/K).

So the mean square error of C channels is m² + s², m of initial value and drift, s of noise, and it
scatters by (2s⁴ + 4m²s²)/f: a noncentral χ² in which f channels are free, fewer than C where the
channels' noise is alike (Satterthwaite 1946, Biometrics Bulletin 2: C²/tr R² for correlations R).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.special import gammaln

from normexp.config.network import Own
from normexp.config.schema import RunConfig, batch_sizes, part_sizes, train_size
from normexp.engine.budget import (
    INDEPENDENT_PAIRS,
    Budget,
    budget,
    drift_and_noise,
    in_units,
    living,
    means_over_living,
    straight,
    weights,
)
from normexp.engine.estimators import Momenta
from normexp.insight.budget import Array, averaging
from normexp.insight.training import Training
from normexp.nets.network import Network
from normexp.numerics import one_thread
from normexp.trained import Record

if TYPE_CHECKING:
    import pandas as pd

MANY = 1e4
"""Degrees of freedom from which the root of χ² is as good as normal."""


NAMES = ("error", "error_variance", "ratio", "ratio_variance")


class _Left(NamedTuple):
    """Rest of the noise with c = 1 and steps with w = 1, each [runs, points, channels]."""

    mean: Array  # variance of the running mean's noise
    var: Array  # of the running variance's
    mean_steps: Array  # of what the running mean lags behind random steps
    var_steps: Array  # of what the running variance does
    bias: Array  # of the running variance, where batch variances are biased


class _Scales(NamedTuple):
    """Noise and random steps of the layers, each [2, layers], over σ² and σ⁴."""

    mean: Array
    var: Array
    together: Array  # of the mean over channels of the variance over σ²
    freedom: Array  # of how many channels the mean's noise is, [layers]


def courses(trainings: Sequence[Training], points: Sequence[int]) -> "pd.DataFrame":
    """Return the expected errors of runs that are averages; none of a user's network.

    Args:
        trainings: the trainings and their runs.
        points: evaluation points to look at, in order; what lies beyond the end is left out.

    Returns:
        By run_id, step and layer: `error`, the expected root mean square over channels of the
        mean's error, in σ; `ratio`, the expected mean over channels of ln(running / population
        variance); their variances, had the batches been drawn anew. NaN where no noise was
        measured.

    Raises:
        NormexpError: a training is damaged.
    """
    import pandas as pd

    found = [pd.DataFrame(columns=["run_id", "step", "layer", *NAMES], dtype=float)]
    for each in averaging(trainings):
        if isinstance(each.runs[0].config.model, Own):  # who knows how many values a channel has?
            continue
        record, configs = each.record(), each.configs
        chosen = [point for point in points if point <= record.epochs]
        with one_thread(), np.errstate(all="ignore"):  # of channels that do not vary
            left = zip(*_remaining(record, configs, chosen), strict=True)
            parts = _expected(
                budget(record, configs, chosen),
                _Left(*(np.stack(values, 1) for values in left)),
                _scales(record, configs[0]),
                record.sites,
            )
        per_epoch = record.train_loss.shape[1] // record.epochs
        steps = [point * per_epoch for point in chosen]
        axes: list[Sequence[Any]] = [[run.id for run in each.runs], steps, [*record.sites]]
        index = pd.MultiIndex.from_product(axes, names=["run_id", "step", "layer"])
        columns = {name: part.ravel() for name, part in zip(NAMES, parts, strict=True)}
        found.append(pd.DataFrame(columns, index).reset_index())
    return pd.concat(found[1:] or found, ignore_index=True)


def _expected(
    exact: Budget, left: _Left, scales: _Scales, sites: dict[str, int]
) -> tuple[Array, ...]:
    """Error, its variance, log ratio and its variance, each [runs, points, layers]."""
    var = exact.population.var[0].numpy()
    mean, relative = (
        (getattr(exact.initial, of) + getattr(exact.drift, of)).numpy() / unit
        for of, unit in (("mean", np.sqrt(var)), ("var", var))
    )
    gain = 1 + relative + left.bias / var

    def over(values: Array) -> Array:
        return means_over_living(sites, var > 0, values)

    own, its = (
        np.stack([over(each / unit) for each in parts], -2)  # [runs, points, 2, layers]
        for parts, unit in (
            ((left.mean, left.mean_steps), var),
            ((left.var, left.var_steps), np.square(var * gain)),
        )
    )
    noise, spread, together = (
        (scale * parts).sum(-2)
        for scale, parts in ((scales.mean, own), (scales.var, its), (scales.together, its))
    )
    known = over(np.square(mean))
    error = _root(known + noise, (2 * noise + 4 * known) * noise / scales.freedom)
    return (*error, over(np.log(gain)) - spread / 2, together)


def _root(mean: Array, variance: Array) -> tuple[Array, Array]:
    """Mean and variance of the root of a scaled χ² with these."""
    freedom = np.where(variance > 0, 2 * mean**2 / variance, np.inf)
    few = np.minimum(freedom, MANY)
    short = 2 / few * np.exp(2 * (gammaln((few + 1) / 2) - gammaln(few / 2)))
    missing = np.where(freedom < MANY, 1 - short, 1 / (2 * freedom))
    missing = np.where(np.isnan(variance), np.nan, missing)
    return np.sqrt(mean * (1 - missing)), mean * missing


def _remaining(
    record: Record, configs: Sequence[RunConfig], points: Sequence[int]
) -> Iterator[_Left]:
    """The rest of a training's noise and random steps at evaluation points, in order."""
    config, network, sizes = configs[0], Network(configs[0]), batch_sizes(configs[0])
    parts = [part_sizes(config, size) for size in sizes]
    norms = [each.norm for each in configs]
    newest = Momenta(norms, record.batch_mean.shape[1]).weights()
    shares = 1 / np.array([each for part in parts for each in part], dtype=float)
    missing = 1 / torch.cat([network.counts(size) for size in sizes]).double().numpy()
    gone = np.repeat(np.arange(len(sizes)) / len(sizes), [len(part) for part in parts])
    course = straight(record.population_var[0].double().numpy(), gone)  # [epochs, updates, ...]
    biased = [getattr(norm, "running_variance", "") == "biased" for norm in norms]

    def variance(by_epoch: Array, unit: Array) -> Array:
        """The identity, for noise of one example that is as large as `unit`."""
        epochs = np.einsum("rek,ekc->rec", by_epoch, unit, optimize=True)
        if config.train.shuffle:
            squares = np.square(by_epoch) * shares
            own = np.einsum("rek,ekc->rc", squares, np.square(unit), optimize=True)
            shared = np.square(epochs).sum(1)
        else:
            batches = np.einsum("rek,ekc->rkc", by_epoch, unit, optimize=True)
            own = np.einsum("rkc,k->rc", np.square(batches), shares, optimize=True)
            shared = np.square(epochs.sum(1))
        left: Array = np.maximum(0.0, own - shared / train_size(config))
        return left

    for point in points:
        if not point:
            yield _Left(*(np.zeros((len(norms), course.shape[2])) for _ in range(5)))
            continue
        batches = weights(norms, newest[:, : point * len(shares)]).batches
        by_epoch, var = batches.numpy().reshape(len(norms), point, -1), course[:point]
        bias = -np.einsum("rek,ekc,kc->rc", by_epoch, var, missing, optimize=True)
        yield _Left(
            variance(by_epoch, np.sqrt(var)),
            variance(by_epoch, var),
            _steps(by_epoch, var),
            _steps(by_epoch, np.square(var)),
            np.where(np.array(biased)[:, None], bias, 0.0),
        )


def _steps(by_epoch: Array, unit: Array) -> Array:
    """The bridge's, for steps that are as large as the root of `unit`."""
    later = np.cumsum(by_epoch[..., ::-1], axis=2)[..., ::-1]
    end = by_epoch @ np.arange(by_epoch.shape[2])
    bridge = np.square(later[..., 1:]).sum(2) - np.square(end) / by_epoch.shape[2]
    left: Array = np.maximum(0.0, bridge) @ unit.mean(1)
    return left


def _scales(record: Record, config: RunConfig) -> _Scales:
    """Of all layers, by how batches differ from the straight course of the population."""
    means, variances = in_units(record)
    var = record.population_var[0].double().numpy()
    found = []
    for _, alive in living(record.sites, np.all(var > 0, axis=0)):
        together = variances[:, alive].mean(1, keepdims=True)
        several = (means[:, alive], variances[:, alive], together)
        scatter = (drift_and_noise(each, config) for each in several)
        found.append((*scatter, _freedom(means[:, alive])))
    return _Scales(*(np.array(each).T for each in zip(*found, strict=True)))


def _freedom(batches: Array) -> float:
    """The number of independent channels that would scatter as much, from 1 to all of them."""
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
