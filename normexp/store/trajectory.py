"""Trajectories on disk: what a training left, so that any momentum can be observed later."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from normexp.config.batches import batch_sizes, part_sizes, steps_per_epoch
from normexp.config.schema import RunConfig
from normexp.errors import NormexpError
from normexp.record import Record
from normexp.store import parquet
from normexp.store.columns import REFERENCE_ACCURACIES, REFERENCE_LOSSES
from normexp.store.expected import weights_yaml
from normexp.store.files import read_manifest, write_directory
from normexp.store.regular import check_files, require_regular

REFERENCES = (*REFERENCE_LOSSES, *REFERENCE_ACCURACIES)


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
    files = {
        "config.yaml": weights_yaml(config),
        **{f"{name}.parquet": content for name, content in _tables(config, record).items()},
        "weights.safetensors": save(
            {name: w[0].contiguous() for name, w in record.weights.items()}
        ),
    }
    write_directory(final, files, manifest)


def read_trajectory(directory: Path) -> Record:
    """A stored record, one model, bit for bit what was written.

    Raises:
        NormexpError: a file is missing or damaged.
    """
    try:
        _check(directory)
        return _read(directory)
    except (*parquet.UNREADABLE, RuntimeError, SafetensorError, NormexpError) as error:
        raise NormexpError(
            f"the trajectory {directory} cannot be read ({type(error).__name__}); remove it and "
            "sweep again"
        ) from error


def _check(directory: Path) -> None:
    """What is observed was stored so, under its own id: all else would go into runs made from it.

    Raises:
        ValueError: it was not.
    """
    manifest = read_manifest(directory)
    if manifest.get("trajectory_id") != directory.name:
        raise ValueError("it is another trajectory's")
    problems, _ = check_files(directory, manifest["files"])
    if problems:
        raise ValueError(problems[0].what)


def _read(directory: Path) -> Record:
    steps = parquet.read(directory / "steps.parquet", None)
    batch = parquet.read(directory / "batch_stats.parquet", None)
    points = parquet.read(directory / "points.parquet", None)
    population = parquet.read(directory / "population.parquet", None)
    require_regular(directory / "weights.safetensors")
    weights = load_file(directory / "weights.safetensors")
    sites = _sites(population)
    updates = batch.num_rows // sum(sites.values()) if sites else steps.num_rows
    return Record(
        sites=sites,
        train_loss=_tensor(steps, "train_loss"),
        batch_mean=_tensor(batch, "batch_mean", updates),
        batch_var=_tensor(batch, "batch_var", updates),
        population_mean=_tensor(population, "population_mean", points.num_rows),
        population_var=_tensor(population, "population_var", points.num_rows),
        references={
            column.name: _tensor(points, column.name)
            for column in REFERENCES
            if column.name in points.column_names
        },
        weights={name: values[None] for name, values in weights.items()},
    )


def point_steps(config: RunConfig) -> np.ndarray[Any, Any]:
    """The step of every evaluation point: before the first epoch and after each."""
    return np.arange(config.train.epochs + 1, dtype=np.int32) * steps_per_epoch(config)


def _tables(config: RunConfig, record: Record) -> dict[str, bytes]:
    sizes = batch_sizes(config)
    steps = np.arange(1, len(sizes) * config.train.epochs + 1, dtype=np.int32)
    points = point_steps(config)
    tables = {
        "steps": {
            "step": steps,
            "epoch": (steps - 1) // len(sizes) + 1,
            "batch_size": np.tile(sizes, config.train.epochs),
            "train_loss": record.train_loss[0].numpy(),
        },
        "batch_stats": _updates(config, record, steps)
        | {name: _column(record, name) for name in ("batch_mean", "batch_var")},
        "points": {"step": points, "epoch": np.arange(len(points), dtype=np.int32)}
        | {name: values[0].numpy() for name, values in record.references.items()},
        "population": parquet.grid(points.tolist(), record.sites)
        | {name: _column(record, name) for name in ("population_mean", "population_var")},
    }
    dtype = config.train.dtype
    return {name: parquet.encode(name, dtype, columns) for name, columns in tables.items()}


def _updates(config: RunConfig, record: Record, steps: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Step, layer and channel of every update; and its part of the step, where there are parts."""
    parts = [len(part_sizes(config, size)) for size in batch_sizes(config)] * config.train.epochs
    grid = parquet.grid(np.repeat(steps, parts).tolist(), record.sites)
    if max(parts) == 1:
        return grid
    numbers = np.concatenate([np.arange(n, dtype=np.int32) for n in parts])
    return grid | {"part": np.repeat(numbers, sum(record.sites.values()))}


def _column(record: Record, name: str) -> np.ndarray[Any, Any]:
    """A part of the first model's record, flat."""
    part: torch.Tensor = getattr(record, name)
    return part[0].numpy().ravel()


def _sites(population: pa.Table) -> dict[str, int]:
    """The layers of the first point and their channels, in order."""
    first = population.filter(population["step"].to_numpy() == 0)
    layers = first["layer"].cast(pa.string()).to_pylist()
    return {layer: layers.count(layer) for layer in dict.fromkeys(layers)}


def _tensor(table: pa.Table, column: str, rows: int | None = None) -> torch.Tensor:
    """A column as [1, length], or as [1, rows, channels]."""
    values = torch.from_numpy(table[column].to_numpy().copy())
    return values[None] if rows is None else values.view(1, rows, -1)
