"""Trajectories on disk: what a training left, whole or so far, from which any run is observed."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save

from normexp.config.schema import RunConfig, batch_sizes, part_sizes, steps_per_epoch
from normexp.errors import NormexpError
from normexp.store import parquet
from normexp.store.columns import REFERENCE_COLUMNS
from normexp.store.files import read_manifest, write_directory, write_file
from normexp.store.manifest import WEIGHTS
from normexp.store.parquet import Array
from normexp.store.places import weights_yaml
from normexp.store.regular import check_files, require_regular
from normexp.trained import TENSORS, Kept, Record


def write_trajectory(
    final: Path, config: RunConfig, record: Record, manifest: Mapping[str, Any]
) -> None:
    """Store a record of one model, which `config` has; the manifest gets the files' digests."""
    files = {"config.yaml": weights_yaml(config)}
    for name, columns in _tables(config, record).items():
        files[f"{name}.parquet"] = parquet.encode(name, config.train.dtype, columns)
    weights = {name: values[0].contiguous() for name, values in record.weights.items()}
    write_directory(final, {**files, WEIGHTS: save(weights)}, manifest)


def point_steps(config: RunConfig) -> Array:
    """Return the step of every evaluation point: before the first epoch and after each."""
    return np.arange(config.train.epochs + 1, dtype=np.int32) * steps_per_epoch(config)


def _tables(config: RunConfig, record: Record) -> dict[str, dict[str, Any]]:
    sizes, epochs = batch_sizes(config), config.train.epochs
    steps = np.arange(1, len(sizes) * epochs + 1, dtype=np.int32)
    points = point_steps(config)
    parts = [len(part_sizes(config, size)) for size in sizes] * epochs
    updates = parquet.grid(np.repeat(steps, parts).tolist(), record.sites)
    if max(parts) > 1:
        numbers = np.concatenate([np.arange(n, dtype=np.int32) for n in parts])
        updates["part"] = np.repeat(numbers, sum(record.sites.values()))
    return {
        "steps": {
            "step": steps,
            "epoch": (steps - 1) // len(sizes) + 1,
            "batch_size": np.tile(sizes, epochs),
            "train_loss": record.train_loss[0].numpy(),
        },
        "batch_stats": {
            **updates,
            "batch_mean": record.batch_mean[0].numpy().ravel(),
            "batch_var": record.batch_var[0].numpy().ravel(),
        },
        "points": {
            "step": points,
            "epoch": np.arange(epochs + 1),
            **{name: values[0].numpy() for name, values in record.references.items()},
        },
        "population": {
            **parquet.grid(points.tolist(), record.sites),
            "population_mean": record.population_mean[0].numpy().ravel(),
            "population_var": record.population_var[0].numpy().ravel(),
        },
    }


def read_trajectory(directory: Path) -> Record:
    """Return a stored record of one model, bit for bit what was written.

    Raises:
        NormexpError: a file is missing or damaged, or it is another trajectory's.
    """
    try:
        manifest = read_manifest(directory)
        if manifest.get("trajectory_id") != directory.name:
            raise ValueError("it is another trajectory's")
        wrong, contents = check_files(directory, manifest["files"])
        if wrong:
            raise ValueError("a file is not as it was written")
        return _read(directory, contents)
    except (*parquet.UNREADABLE, RuntimeError, SafetensorError, NormexpError) as error:
        raise NormexpError(
            f"the trajectory {directory} cannot be read ({type(error).__name__}); remove it and "
            "sweep again"
        ) from error


def _read(directory: Path, contents: Mapping[str, bytes | None]) -> Record:
    """Return the record in files whose contents are known, those too large for memory apart."""
    steps, batch, points, population = (
        parquet.decoded(directory / name, contents[name])
        for name in ("steps.parquet", "batch_stats.parquet", "points.parquet", "population.parquet")
    )
    first = population.filter(population["step"].to_numpy() == 0)["layer"].to_pylist()
    sites = {layer: first.count(layer) for layer in dict.fromkeys(first)}
    updates = batch.num_rows // len(first) if first else steps.num_rows

    def tensor(values: Any, *shape: int) -> torch.Tensor:  # noqa: ANN401  a column
        return torch.from_numpy(values.to_numpy().copy()).view(1, *shape)

    content = contents[WEIGHTS]
    weights = load_file(directory / WEIGHTS) if content is None else load(content)
    return Record(
        sites=sites,
        train_loss=tensor(steps["train_loss"], -1),
        batch_mean=tensor(batch["batch_mean"], updates, len(first)),
        batch_var=tensor(batch["batch_var"], updates, len(first)),
        population_mean=tensor(population["population_mean"], points.num_rows, len(first)),
        population_var=tensor(population["population_var"], points.num_rows, len(first)),
        references={
            column.name: tensor(points[column.name], -1)
            for column in REFERENCE_COLUMNS
            if column.name in points.column_names
        },
        weights={name: values[None] for name, values in weights.items()},
    )


def write_checkpoint(path: Path, trajectory: str, kept: Kept, made_by: Mapping[str, Any]) -> None:
    """Store what one network's training needs to go on, in the place of an older checkpoint.

    The file has a digest of the rest, a line of JSON, and tensors in safetensors' format. Only the
    same trajectory may go on from it, and only with the same `made_by`: what its bits depend on
    beside the configuration.
    """
    record = kept.record
    parts = {
        "record": {name: getattr(record, name) for name in TENSORS},
        "references": record.references,
        "weights": record.weights,
        "memory": kept.memory,
    }
    content = save(
        {
            f"{part}/{name}": values.contiguous()
            for part, tensors in parts.items()
            for name, values in tensors.items()
        }
    )
    about = {"trajectory_id": trajectory, "sites": record.sites, "made_by": dict(made_by)}
    head = json.dumps(about).encode()
    digest = hashlib.sha256(head + content).hexdigest().encode()
    write_file(path, b"\n".join((digest, head, content)))


def read_checkpoint(path: Path, trajectory: str, made_by: Mapping[str, Any]) -> Kept | None:
    """Return what was kept; None if there is nothing, or nothing that may go on here."""
    try:
        require_regular(path)
        digest, head, content = path.read_bytes().split(b"\n", 2)
        if hashlib.sha256(head + content).hexdigest().encode() != digest:
            return None
        about = json.loads(head)
        mine = {"trajectory_id": trajectory, "made_by": json.loads(json.dumps(dict(made_by)))}
        if any(about[name] != value for name, value in mine.items()):
            return None
        parts: dict[str, dict[str, torch.Tensor]] = {"references": {}, "weights": {}, "memory": {}}
        for name, values in load(content).items():
            part, _, rest = name.partition("/")
            parts.setdefault(part, {})[rest] = values
        references, weights = parts["references"], parts["weights"]
        record = Record(
            sites=about["sites"], references=references, weights=weights, **parts["record"]
        )
        return Kept(record, parts["memory"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None
