"""Run directories: one run's configuration, tables and manifest, readable far from home."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from normexp.config.batches import batch_sizes
from normexp.config.schema import RunConfig
from normexp.config.tree import nest
from normexp.record import Observation, Record
from normexp.store import parquet
from normexp.store.arrays import Array, column, numbers
from normexp.store.distance import Population
from normexp.store.expected import kept
from normexp.store.files import write_directory
from normexp.store.texts import config_yaml, list_yaml, to_yaml
from normexp.store.trajectory import point_steps


@dataclass(frozen=True)
class Provenance:
    """Where a run comes from.

    Attributes:
        overrides: that give this run alone.
        choices: of every config group.
        hydra_version: that composed it.
        manifest: what the manifest says beyond results and digests.
    """

    overrides: list[str]
    choices: dict[str, str]
    hydra_version: str
    manifest: dict[str, Any]


class RunWriter:
    """Stores runs of one trajectory that log equally densely; what they share is made once.

    Args:
        config: of any of them.
        record: of trajectories.
        model: which of these is theirs.
        rows: steps that they log.
    """

    def __init__(self, config: RunConfig, record: Record, model: int, rows: torch.Tensor) -> None:
        self._dtype, self._steps = config.train.dtype, point_steps(config)
        self._is_point = np.isin(rows.numpy(), self._steps)
        references = {n: values[model].double().numpy() for n, values in record.references.items()}
        self._metrics = {
            "step": numbers(self._steps),
            "epoch": numbers(np.arange(len(self._steps), dtype=np.int32)),
            "train_loss": _train_loss(config, record.train_loss[model]),
            **{name: numbers(values) for name, values in references.items()},
        }
        self._last = {name: column[-1].as_py() for name, column in self._metrics.items()}
        self._best_loss = references["test_loss_population"]
        mean, var = record.population_mean[model].numpy(), record.population_var[model].numpy()
        self._stats = {
            **parquet.grid(rows.tolist(), record.sites),
            "population_mean": _at_points(mean, self._is_point),
            "population_var": _at_points(var, self._is_point),
        }
        self._layers = parquet.grid(self._steps.tolist(), dict.fromkeys(record.sites, 1))
        widths = list(record.sites.values())
        self._population = Population(mean.astype(float), var.astype(float), widths)

    def write(
        self, final: Path, config: RunConfig, observation: Observation, provenance: Provenance
    ) -> None:
        """Store one run, in the place of what is there.

        Args:
            final: the run's directory.
            config: of the run.
            observation: its own.
            provenance: goes into `.hydra/` and the manifest.
        """
        flat = kept(config)
        scores = self._scores(observation)
        tables = {
            "metrics": self._metrics | scores,
            "stats": self._stats | _running(observation),
            "layers": self._layers | self._distances(observation),
        }
        files = _hydra(flat, provenance)
        for name, columns in tables.items():
            files[f"{name}.parquet"] = parquet.encode(name, self._dtype, columns)
        metrics = self._last | {name: column[-1].item() for name, column in scores.items()}
        write_directory(final, files, {**provenance.manifest, "config": flat, "metrics": metrics})

    def _scores(self, observation: Observation) -> dict[str, Array]:
        """The columns of `metrics` that are the run's own."""
        scores = {f"test_{n}": values.double().numpy() for n, values in observation.scores.items()}
        with np.errstate(invalid="ignore"):  # of a diverged training: inf − inf
            return {**scores, "excess_loss": scores["test_loss"] - self._best_loss}

    def _distances(self, observation: Observation) -> dict[str, Array]:
        """The columns of `layers` that are the run's own."""
        mean = observation.running_mean.numpy()[self._is_point].astype(float)
        var = observation.running_var.numpy()[self._is_point].astype(float)
        return {
            "mean_error": self._population.mean_error(mean).ravel(),
            "log_var_ratio": self._population.log_var_ratio(var).ravel(),
        }


def _running(observation: Observation) -> dict[str, Array]:
    """The columns of `stats` that are the run's own."""
    return {
        "running_mean": observation.running_mean.numpy().ravel(),
        "running_var": observation.running_var.numpy().ravel(),
    }


def _train_loss(config: RunConfig, per_batch: torch.Tensor) -> pa.Array:
    """Means over the epochs' examples; none before the first."""
    sizes = np.array(batch_sizes(config), dtype=np.float64)
    losses = per_batch.double().numpy().reshape(config.train.epochs, -1)
    per_epoch = (losses * sizes).sum(1) / sizes.sum()
    return column([None, *per_epoch.tolist()], pa.float64())


def _at_points(values: Array, is_point: Array) -> pa.Array:
    """Values [points, channels] at the rows that are evaluation points, null elsewhere."""
    whole = np.zeros((len(is_point), values.shape[1]), dtype=values.dtype)
    whole[is_point] = values
    return numbers(whole.ravel(), np.repeat(is_point, values.shape[1]))


def _hydra(flat: Mapping[str, Any], provenance: Provenance) -> dict[str, bytes]:
    """The triple that Hydra leaves and other tools read; nothing in it depends on the place."""
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
