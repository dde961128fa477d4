"""Run directories: one run's configuration, tables and manifest, readable far from home."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from normexp.config.schema import RunConfig, batch_sizes
from normexp.config.tree import nest
from normexp.store import parquet
from normexp.store.files import write_directory
from normexp.store.parquet import Array, column, numbers
from normexp.store.places import kept
from normexp.store.texts import config_yaml, list_yaml, to_yaml
from normexp.store.trajectory import point_steps
from normexp.trained import Observation, Record


@dataclass(frozen=True)
class Provenance:
    """The origin of a run, and what its manifest says beyond results and digests."""

    overrides: list[str]  # that give this run alone
    choices: dict[str, str]  # of every config group
    hydra_version: str  # that composed it
    manifest: dict[str, Any]


class RunWriter:
    """Stores runs of one trajectory that log the same steps; what they share is made once."""

    def __init__(self, config: RunConfig, record: Record, model: int, rows: torch.Tensor) -> None:
        self._dtype, self._steps = config.train.dtype, point_steps(config)
        self._is_point = np.isin(rows.numpy(), self._steps)
        references = {n: values[model].double().numpy() for n, values in record.references.items()}
        self._metrics = {
            "step": numbers(self._steps, pa.int32()),
            "epoch": numbers(np.arange(len(self._steps)), pa.int32()),
            "train_loss": _train_loss(config, record.train_loss[model]),
            **{name: numbers(values, pa.float64()) for name, values in references.items()},
        }
        self._last = {name: values[-1].as_py() for name, values in self._metrics.items()}
        self._best_loss = references["test_loss_population"]
        mean, var = record.population_mean[model].numpy(), record.population_var[model].numpy()
        self._stats = {
            **parquet.grid(rows.tolist(), record.sites),
            "population_mean": _at_points(mean, self._is_point),
            "population_var": _at_points(var, self._is_point),
        }
        self._layers = parquet.grid(self._steps.tolist(), dict.fromkeys(record.sites, 1))
        self._population = Population(mean.astype(float), var.astype(float), record.sites)

    def write(
        self, final: Path, config: RunConfig, observation: Observation, provenance: Provenance
    ) -> None:
        """Store one run, in the place of what is there."""
        flat = kept(config)
        scores = {f"test_{n}": values.double().numpy() for n, values in observation.scores.items()}
        with np.errstate(invalid="ignore"):  # of a diverged training: inf − inf
            scores["excess_loss"] = scores["test_loss"] - self._best_loss
        mean, var = observation.running_mean.numpy(), observation.running_var.numpy()
        tables = {
            "metrics": self._metrics | scores,
            "stats": self._stats | {"running_mean": mean.ravel(), "running_var": var.ravel()},
            "layers": {
                **self._layers,
                "mean_error": self._population.mean_error(mean[self._is_point].astype(float)),
                "log_var_ratio": self._population.log_var_ratio(var[self._is_point].astype(float)),
            },
        }
        files = _hydra(flat, provenance)
        for name, columns in tables.items():
            files[f"{name}.parquet"] = parquet.encode(name, self._dtype, columns)
        metrics = self._last | {name: values[-1].item() for name, values in scores.items()}
        write_directory(final, files, {**provenance.manifest, "config": flat, "metrics": metrics})


class Population:
    """Distances of running statistics from the population's, [points, channels] in float64.

    A channel that gives the same for every example has no σ, and is left out.
    """

    def __init__(self, mean: Array, var: Array, sites: Mapping[str, int]) -> None:
        self._mean, self._var, self._varies = mean, var, var > 0
        edges = itertools.accumulate(sites.values(), initial=0)
        self._layers = [slice(*pair) for pair in itertools.pairwise(edges)]
        self._varying = self._sums(self._varies)
        with np.errstate(invalid="ignore"):  # of a diverged training
            self._std = np.sqrt(var)

    def mean_error(self, mean: Array) -> Array:
        """Return the RMS of (running − population mean) / σ over a layer, [points × layers]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            error = (mean - self._mean) / self._std
        return np.sqrt(self._averages(error**2)).ravel()

    def log_var_ratio(self, var: Array) -> Array:
        """Return the mean of ln(running / population variance) over a layer, [points × layers]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log(var / self._var)
        return self._averages(ratio).ravel()

    def _averages(self, values: Array) -> Array:
        """Return means over the varying channels; not a number where there are none."""
        totals = self._sums(np.where(self._varies, values, 0.0))
        with np.errstate(invalid="ignore"):  # nothing varies, or a diverged training
            averages: Array = totals / self._varying
        return averages

    def _sums(self, values: Array) -> Array:
        """Return sums over the channels of every layer, [points, layers]."""
        sums = np.empty((len(values), len(self._layers)))
        for layer, channels in enumerate(self._layers):
            values[:, channels].sum(1, out=sums[:, layer])
        return sums


def _train_loss(config: RunConfig, per_batch: torch.Tensor) -> pa.Array:
    """Return means over the epochs' examples; null before the first."""
    sizes = np.array(batch_sizes(config), dtype=np.float64)
    losses = per_batch.double().numpy().reshape(config.train.epochs, -1)
    per_epoch = (losses * sizes).sum(1) / sizes.sum()
    return column([None, *per_epoch.tolist()], pa.float64())


def _at_points(values: Array, is_point: Array) -> pa.Array:
    """Return values [points, channels] at the rows that are evaluation points, null elsewhere."""
    whole = np.zeros((len(is_point), values.shape[1]), dtype=values.dtype)
    whole[is_point] = values
    kind = pa.from_numpy_dtype(values.dtype)
    return numbers(whole.ravel(), kind, np.repeat(is_point, values.shape[1]))


def _hydra(flat: Mapping[str, Any], provenance: Provenance) -> dict[str, bytes]:
    """Return the triple that Hydra leaves and other tools read; it does not depend on the place."""
    head = _hydra_head(provenance.hydra_version, tuple(provenance.choices.items()))
    task = b"  overrides:\n    task:\n" + list_yaml(provenance.overrides, indent=4)
    return {
        ".hydra/config.yaml": config_yaml(nest(flat)),
        ".hydra/overrides.yaml": list_yaml(provenance.overrides),
        ".hydra/hydra.yaml": head + task,
    }


@lru_cache
def _hydra_head(version: str, choices: tuple[tuple[str, str], ...]) -> bytes:
    """Cached, since the runs of a sweep differ in little of it."""
    job = {"name": "normexp", "config_name": "config"}
    runtime = {"version": version, "choices": dict(choices)}
    return to_yaml({"hydra": {"job": job, "runtime": runtime}})
