"""Trajectories on disk: what a training left, so that any momentum can be observed later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file

from normexp.config.field import Role
from normexp.config.rules import batch_sizes
from normexp.config.schema import RunConfig
from normexp.config.tree import field_specs, flatten, nest
from normexp.record import Record
from normexp.store import parquet
from normexp.store.files import config_yaml, staged, write_manifest


def write_trajectory(
    final: Path,
    config: RunConfig,
    record: Record,
    manifest: Mapping[str, Any],
) -> None:
    """Store a record of one model.

    Args:
        final: the trajectory's directory.
        config: any run's of this trajectory.
        record: of one model.
        manifest: what it says beyond the files' digests.
    """
    with staged(final) as directory:
        _write_config(directory, config)
        _write_steps(directory, config, record)
        _write_points(directory, config, record)
        weights = {name: values[0].contiguous() for name, values in record.weights.items()}
        save_file(weights, directory / "weights.safetensors")
        write_manifest(directory, manifest)


def read_trajectory(directory: Path) -> Record:
    """A stored record, one model, bit for bit what was written."""
    steps = parquet.read(directory / "steps.parquet")
    batch = parquet.read(directory / "batch_stats.parquet")
    points = parquet.read(directory / "points.parquet")
    population = parquet.read(directory / "population.parquet")
    weights = load_file(directory / "weights.safetensors")
    return Record(
        sites=_sites(population),
        train_loss=_tensor(steps, "train_loss"),
        batch_mean=_tensor(batch, "batch_mean", steps.num_rows),
        batch_var=_tensor(batch, "batch_var", steps.num_rows),
        population_mean=_tensor(population, "population_mean", points.num_rows),
        population_var=_tensor(population, "population_var", points.num_rows),
        train_loss_population=_tensor(points, "train_loss_population"),
        test_loss_population=_tensor(points, "test_loss_population"),
        test_loss_test_batch=_tensor(points, "test_loss_test_batch"),
        weights={name: values[None] for name, values in weights.items()},
    )


def point_steps(config: RunConfig) -> np.ndarray[Any, Any]:
    """The step of every evaluation point: before the first epoch and after each."""
    return np.arange(config.train.epochs + 1, dtype=np.int32) * len(batch_sizes(config))


def _write_config(directory: Path, config: RunConfig) -> None:
    """Only what the weights depend on: it is the same whichever run came first."""
    flat = flatten(config)
    roles = {path: spec.rule.role for path, spec in field_specs(nest(flat)).items()}
    weights = {p: v for p, v in flat.items() if roles[p] in (Role.STRUCTURAL, Role.STACKABLE)}
    (directory / "config.yaml").write_text(config_yaml(nest(weights)), encoding="utf-8")


def _write_steps(directory: Path, config: RunConfig, record: Record) -> None:
    sizes = batch_sizes(config)
    steps = np.arange(1, len(sizes) * config.train.epochs + 1, dtype=np.int32)
    columns = {
        "step": steps,
        "epoch": (steps - 1) // len(sizes) + 1,
        "batch_size": np.tile(sizes, config.train.epochs),
        "train_loss": record.train_loss[0].numpy(),
    }
    parquet.write(directory / "steps.parquet", "steps", config.train.dtype, columns)
    columns = _grid(steps, record.sites) | {
        "batch_mean": record.batch_mean[0].numpy().ravel(),
        "batch_var": record.batch_var[0].numpy().ravel(),
    }
    parquet.write(directory / "batch_stats.parquet", "batch_stats", config.train.dtype, columns)


def _write_points(directory: Path, config: RunConfig, record: Record) -> None:
    steps = point_steps(config)
    names = ("train_loss_population", "test_loss_population", "test_loss_test_batch")
    columns: dict[str, Any] = {"step": steps, "epoch": np.arange(len(steps), dtype=np.int32)}
    columns |= {name: getattr(record, name)[0].numpy() for name in names}
    parquet.write(directory / "points.parquet", "points", config.train.dtype, columns)
    columns = _grid(steps, record.sites) | {
        "population_mean": record.population_mean[0].numpy().ravel(),
        "population_var": record.population_var[0].numpy().ravel(),
    }
    parquet.write(directory / "population.parquet", "population", config.train.dtype, columns)


def _grid(steps: np.ndarray[Any, Any], sites: Mapping[str, int]) -> dict[str, Any]:
    """The columns step, layer and channel of every (step, channel)."""
    return {
        "step": np.repeat(steps, sum(sites.values())),
        "layer": parquet.layer_column(sites, len(steps)),
        "channel": parquet.channel_column(sites, len(steps)),
    }


def _sites(population: pa.Table) -> dict[str, int]:
    """The layers of the first point and their channels, in order."""
    first = population.filter(population["step"].to_numpy() == 0)
    layers = first["layer"].cast(pa.string()).to_pylist()
    return {layer: layers.count(layer) for layer in dict.fromkeys(layers)}


def _tensor(table: pa.Table, column: str, rows: int | None = None) -> torch.Tensor:
    """A column as [1, length], or as [1, rows, channels]."""
    values = torch.from_numpy(table[column].to_numpy().copy())
    return values[None] if rows is None else values.view(1, rows, -1)
