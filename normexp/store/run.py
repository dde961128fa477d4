"""Run directories: one run's configuration, tables and manifest, readable far from home."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from normexp.config.batches import batch_sizes
from normexp.config.schema import RunConfig
from normexp.config.tree import nest
from normexp.record import Observation, Record
from normexp.store import parquet
from normexp.store.expected import kept
from normexp.store.files import write_directory
from normexp.store.pictures import picture_tables
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


def write_run(
    final: Path,
    config: RunConfig,
    record: Record,
    observation: Observation,
    provenance: Provenance,
) -> None:
    """Store one run, in the place of what is there.

    Args:
        final: the run's directory.
        config: of the run.
        record: of its trajectory, one model.
        observation: its own.
        provenance: goes into `.hydra/` and the manifest.
    """
    flat = kept(config)
    metrics = _metrics(config, record, observation)
    tables = {
        "metrics": metrics,
        "stats": _stats(config, record, observation),
        "layers": _layers(config, record, observation),
    }
    if observation.pictures is not None:
        tables |= picture_tables(point_steps(config), observation.pictures)
    dtype = config.train.dtype
    files = _hydra(flat, provenance) | {
        f"{name}.parquet": parquet.encode(name, dtype, columns) for name, columns in tables.items()
    }
    last = {name: _plain(column[-1]) for name, column in metrics.items()}
    manifest = {**provenance.manifest, "config": flat, "metrics": last}
    write_directory(final, files, manifest)


def _hydra(flat: Mapping[str, Any], provenance: Provenance) -> dict[str, bytes]:
    """The triple that Hydra leaves and other tools read; nothing in it depends on the place."""
    job = {"name": "normexp", "config_name": "config"}
    runtime = {"version": provenance.hydra_version, "choices": provenance.choices}
    head = to_yaml({"hydra": {"job": job, "runtime": runtime}})
    task = b"  overrides:\n    task:\n" + list_yaml(provenance.overrides, indent=4)
    return {
        ".hydra/config.yaml": config_yaml(nest(flat)),
        ".hydra/overrides.yaml": list_yaml(provenance.overrides),
        ".hydra/hydra.yaml": head + task,
    }


def _metrics(config: RunConfig, record: Record, observation: Observation) -> dict[str, Any]:
    points = config.train.epochs + 1
    sizes = np.array(batch_sizes(config), dtype=np.float64)
    per_batch = record.train_loss[0].double().numpy().reshape(config.train.epochs, -1)
    per_epoch = (per_batch * sizes).sum(1) / sizes.sum()
    scores = {
        f"test_{name}": values.double().numpy() for name, values in observation.scores.items()
    }
    references = {n: values[0].double().numpy() for n, values in record.references.items()}
    with np.errstate(invalid="ignore"):  # of a diverged training: inf − inf
        excess = scores["test_loss"] - references["test_loss_population"]
    return {
        "step": point_steps(config),
        "epoch": np.arange(points, dtype=np.int32),
        "train_loss": pa.array([None, *per_epoch.tolist()], pa.float64()),
        **references,
        **scores,
        "excess_loss": excess,
    }


def _stats(config: RunConfig, record: Record, observation: Observation) -> dict[str, Any]:
    rows = observation.rows.numpy()
    at_points = np.isin(rows, point_steps(config))
    return {
        **parquet.grid(rows.tolist(), record.sites),
        "running_mean": observation.running_mean.numpy().ravel(),
        "running_var": observation.running_var.numpy().ravel(),
        "population_mean": _at_points(record.population_mean[0].numpy(), at_points),
        "population_var": _at_points(record.population_var[0].numpy(), at_points),
    }


def _at_points(values: np.ndarray[Any, Any], at_points: np.ndarray[Any, Any]) -> pa.Array:
    """Values [points, channels] at the rows that are evaluation points, null elsewhere."""
    whole = np.zeros((len(at_points), values.shape[1]), dtype=values.dtype)
    whole[at_points] = values
    mask = np.repeat(~at_points, values.shape[1])
    return pa.array(whole.ravel(), mask=mask)


def _layers(config: RunConfig, record: Record, observation: Observation) -> dict[str, Any]:
    """How far the running statistics are off, per evaluation point and layer."""
    sites, steps = record.sites, point_steps(config)
    at_points = np.isin(observation.rows.numpy(), steps)
    mean = record.population_mean[0].double().numpy()
    var = record.population_var[0].double().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        error = (observation.running_mean.double().numpy()[at_points] - mean) / np.sqrt(var)
        ratio = np.log(observation.running_var.double().numpy()[at_points] / var)
    edges = np.cumsum([0, *sites.values()])
    parts = [slice(a, b) for a, b in itertools.pairwise(edges)]
    alive = var > 0  # a unit that gives the same for every example has no σ
    rms = [np.sqrt(_mean(error[:, part] ** 2, alive[:, part])) for part in parts]
    mean_ratio = [_mean(ratio[:, part], alive[:, part]) for part in parts]
    nothing = np.empty((len(steps), 0))
    return {
        **parquet.grid(steps.tolist(), dict.fromkeys(sites, 1)),
        "mean_error": np.stack(rms, 1).ravel() if rms else nothing.ravel(),
        "log_var_ratio": np.stack(mean_ratio, 1).ravel() if rms else nothing.ravel(),
    }


def _mean(values: np.ndarray[Any, Any], counted: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The means of rows over what counts; not a number where nothing does."""
    with np.errstate(invalid="ignore"):  # nothing to count, or a diverged training
        total: np.ndarray[Any, Any] = np.where(counted, values, 0.0).sum(1) / counted.sum(1)
    return total


def _plain(value: Any) -> int | float | None:  # noqa: ANN401
    """A table's cell as a Python number."""
    plain: int | float | None = value.as_py() if isinstance(value, pa.Scalar) else value.item()
    return plain
