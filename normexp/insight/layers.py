"""How the statistics of each layer have moved and scattered, as theory wants to know it."""

from collections.abc import Sequence
from math import isnan, nan
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from normexp.config.schema import RunConfig, batch_sizes, part_sizes, train_size
from normexp.insight.budget import Array
from normexp.insight.subject import Subject
from normexp.theory.setting import Setting

if TYPE_CHECKING:
    from normexp.record import Record

FEWEST_PAIRS = 2
"""Pairs of batches without which nothing is said of their noise."""


def settings(subjects: Sequence[Subject]) -> dict[str, Setting]:
    """Each layer's mean as a setting for `normexp.theory`, medians over trainings of one kind.

    Drift is the population's over the last epoch; noise and random steps are told apart by batches
    one and two updates from each other in the last quarter of the training (nothing is said of a
    training that has no such pairs): where the truth takes
    random steps of variance w and a batch's mean has variance v about it, E(s_(t+k) − s_t)² is
    2v + k·w.
    """
    config = subjects[0].configs[0]
    measured = [_measured(subject.record(), config) for subject in subjects]
    if any(isnan(each[layer][2]) for each in measured for layer in each):
        return {}
    return {
        layer: _setting(config, *(median(each[layer][i] for each in measured) for i in range(4)))
        for layer in measured[0]
    }


def _setting(config: RunConfig, drift: float, walk: float, noise: float, initial: float) -> Setting:
    """Noise is a batch's variance over σ²."""
    sizes = batch_sizes(config)
    parts = part_sizes(config, sizes[0])
    whole = len(parts) == 1
    order = "shuffled" if config.train.shuffle else "fixed"
    return Setting(
        updates=sum(len(part_sizes(config, size)) for size in sizes) * config.train.epochs,
        batch_size=parts[0],
        train_size=train_size(config) if whole else None,
        order=order if whole else "independent",  # type: ignore[arg-type]
        drop_last=config.train.drop_last and whole,
        initial_error=initial,
        drift_per_step=drift / len(parts),
        walk_per_step=walk,
        noise_scale=noise * parts[0],
    )


def _measured(record: "Record", config: RunConfig) -> dict[str, tuple[float, float, float, float]]:
    """By layer: drift a step, random step, variance of a batch's mean, initial error; in σ."""
    sizes, truth = batch_sizes(config), record.population_mean[0].double().numpy()
    sigma = np.sqrt(record.population_var[0, -1].double().numpy())
    batches = record.batch_mean[0].double().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):  # of a channel that does not vary
        drift = ((truth[-1] - truth[-2]) / len(sizes) / sigma) ** 2
        initial = ((truth[-1] - getattr(config.norm, "initial_mean", 0.0)) / sigma) ** 2
        near, far = (_apart(batches, config, k) / sigma**2 for k in (1, 2))
    found, start = {}, 0
    for layer, width in record.sites.items():
        channels = slice(start, start + width)
        d, r, n, f = (_mean(each[channels]) for each in (drift, initial, near, far))
        walk = f - n if isnan(f) else max(0.0, f - n)
        noise = (n - walk) / 2
        found[layer] = (d**0.5, walk**0.5, noise if isnan(noise) else max(0.0, noise), r**0.5)
        start += width
    return found


def _apart(batches: Array, config: RunConfig, updates: int) -> Array:
    """Mean square of what full batches so many updates from each other differ by, by channel."""
    sizes = [part for size in batch_sizes(config) for part in part_sizes(config, size)]
    full = np.tile(np.array(sizes) == max(sizes), len(batches) // len(sizes))
    late = np.arange(len(batches)) >= len(batches) * 3 // 4
    pairs = (full & late)[updates:] & (full & late)[:-updates]
    if pairs.sum() < FEWEST_PAIRS:
        return np.full(batches.shape[1], np.nan)
    squares: Array = np.square(batches[updates:] - batches[:-updates])[pairs].mean(0)
    return squares


def _mean(values: Array) -> float:
    """Of the channels of which anything is known."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else nan
