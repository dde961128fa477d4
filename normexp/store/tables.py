"""Trainings and runs as files: records and observations to tables, and back to records."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.numpy import save
from safetensors.torch import load, load_file

from normexp.config.identity import WEIGHTS as DECISIVE
from normexp.config.schema import (
    INSIDE,
    RunConfig,
    batch_sizes,
    part_sizes,
    steps_per_epoch,
)
from normexp.config.tree import field_specs, flatten, nest
from normexp.errors import NormexpError
from normexp.store import parquet
from normexp.store.columns import REFERENCE_COLUMNS, TABLES
from normexp.store.files import write_directory, write_file
from normexp.store.manifest import WEIGHTS, read_manifest
from normexp.store.parquet import Array, Form, grid, numbers
from normexp.store.plain import check_files, config_yaml, item_yaml, kept, open_regular, to_yaml
from normexp.trained import TENSORS, Kept, Observation, Record


def write_trajectory(
    final: Path, config: RunConfig, record: Record, manifest: Mapping[str, Any]
) -> None:
    """Store a record of one model, which `config` has; the manifest gets the files' digests."""
    flat = flatten(config)
    roles = {path: spec.rule.role for path, spec in field_specs(nest(flat)).items()}
    # The same whichever run of the trajectory came first.
    decisive = {path: value for path, value in flat.items() if roles[path] in DECISIVE}
    files = {"config.yaml": config_yaml(nest(decisive)), **encoded(config, record)}
    write_directory(final, files, manifest)


def encoded(config: RunConfig, record: Record) -> dict[str, bytes]:
    """Return the tables and weights of a record of one model as files' contents, by name."""
    files = {
        f"{name}.parquet": parquet.encode(name, config.train.dtype, columns)
        for name, columns in _tables(config, record).items()
    }
    return files | {WEIGHTS: _saved({name: values[0] for name, values in record.weights.items()})}


def _saved(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Return tensors in safetensors' format; from NumPy it takes a quarter of the time."""
    return save({name: values.contiguous().numpy() for name, values in tensors.items()})


def point_steps(config: RunConfig) -> Array:
    """Return the step of every evaluation point: before the first epoch and after each."""
    return np.arange(config.train.epochs + 1, dtype=np.int32) * steps_per_epoch(config)


def _tables(config: RunConfig, record: Record) -> dict[str, dict[str, Any]]:
    sizes, epochs = batch_sizes(config), config.train.epochs
    steps = np.arange(1, len(sizes) * epochs + 1, dtype=np.int32)
    points = point_steps(config)
    parts = [len(part_sizes(config, size)) for size in sizes] * epochs
    at = np.repeat(steps, parts)[: record.batch_mean.shape[1]]  # none where no batch was kept
    mean, var = record.batch_mean[0], record.batch_var[0]
    if record.start is not None:
        at = np.concatenate([np.zeros(1, np.int32), at])
        mean, var = (
            torch.cat([start.to(each.dtype)[None], each])
            for start, each in zip(record.start[0], (mean, var), strict=True)
        )
    updates = grid(at.tolist(), record.sites)
    if max(parts) > 1:
        each = np.concatenate([np.arange(n, dtype=np.int32) for n in parts])
        updates["part"] = np.repeat(each, sum(record.sites.values()))
    return {
        "steps": {
            "step": steps,
            "epoch": (steps - 1) // len(sizes) + 1,
            "batch_size": np.tile(sizes, epochs),
            "train_loss": record.train_loss[0].numpy(),
        },
        "batch_stats": {
            **updates,
            "batch_mean": mean.numpy().ravel(),
            "batch_var": var.numpy().ravel(),
        },
        "points": {
            "step": points,
            "epoch": np.arange(epochs + 1),
            **{name: values[0].numpy() for name, values in record.references.items()},
        },
        "population": {
            **grid(points.tolist(), record.sites),
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

    mean = tensor(batch["batch_mean"], updates, len(first))
    var = tensor(batch["batch_var"], updates, len(first))
    before = int((batch["step"].to_numpy() == 0).any())  # a recorded loop's first row
    content = contents[WEIGHTS]
    weights = load_file(directory / WEIGHTS) if content is None else load(content)
    return Record(
        sites=sites,
        train_loss=tensor(steps["train_loss"], -1),
        batch_mean=mean[:, before:],
        batch_var=var[:, before:],
        population_mean=tensor(population["population_mean"], points.num_rows, len(first)),
        population_var=tensor(population["population_var"], points.num_rows, len(first)),
        references={
            column.name: tensor(points[column.name], -1)
            for column in REFERENCE_COLUMNS
            if column.name in points.column_names
        },
        weights={name: values[None] for name, values in weights.items()},
        start=torch.stack([mean[:, 0], var[:, 0]], 1) if before else None,
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
    named = {f"{part}/{n}": each for part, some in parts.items() for n, each in some.items()}
    content = _saved(named)
    about = {"trajectory_id": trajectory, "sites": record.sites, "made_by": dict(made_by)}
    head = json.dumps(about).encode()
    digest = hashlib.sha256(head + content).hexdigest().encode()
    write_file(path, b"\n".join((digest, head, content)))


def read_checkpoint(path: Path, trajectory: str, made_by: Mapping[str, Any]) -> Kept | None:
    """Return what was kept; None if there is nothing, or nothing that may go on here."""
    try:
        with open_regular(path) as file:
            digest, head, content = file.read().split(b"\n", 2)
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


@dataclass(frozen=True)
class Provenance:
    """The origin of a run, and what its manifest says beyond results and digests."""

    overrides: list[str]  # that give this run alone
    choices: dict[str, str]  # of every config group
    hydra_version: str  # that composed it
    manifest: dict[str, Any]


class RunWriter:
    """Stores runs of a stack that log the same steps; what they share is made once."""

    def __init__(self, config: RunConfig, record: Record, rows: torch.Tensor) -> None:
        points, epochs = point_steps(config), np.arange(config.train.epochs + 1)
        sites, labels = record.sites, "test_accuracy_population" in record.references
        self._last = {"step": int(points[-1]), "epoch": config.train.epochs}
        self._references = {
            "train_loss": _train_losses(config, record.train_loss),
            **{name: each.double().numpy() for name, each in record.references.items()},
        }
        self._mean = record.population_mean.double().numpy()
        self._var = record.population_var.double().numpy()
        self._is_point = np.isin(rows.numpy(), points)
        self._starts = list(accumulate(sites.values(), initial=0))[:-1]
        known = np.repeat(self._is_point, sum(sites.values()))
        lacking = {"train_loss": epochs > 0, "population_mean": known, "population_var": known}
        self._forms: dict[str, Form] = {}
        for table, keys in {
            "metrics": {"step": numbers(points, pa.int32()), "epoch": numbers(epochs, pa.int32())},
            "stats": grid(rows.tolist(), sites),
            "layers": grid(points.tolist(), dict.fromkeys(sites, 1)),
        }.items():
            there = {
                column.name: lacking.get(column.name, np.ones(len(keys["step"]), bool))
                for column in TABLES[table]
                if column.name not in keys and (labels or not column.optional)
            }
            self._forms[table] = Form(table, config.train.dtype, keys, there)

    def write(
        self,
        final: Path,
        config: RunConfig,
        model: int,
        observation: Observation,
        provenance: Provenance,
    ) -> None:
        """Store one run, of a model of the record, in the place of what is there."""
        scores = {f"test_{n}": values.double().numpy() for n, values in observation.scores.items()}
        mean, var = observation.running_mean.numpy(), observation.running_var.numpy()
        references = {name: values[model] for name, values in self._references.items()}
        true_mean, true_var = self._mean[model], self._var[model]
        # Of a diverged training: inf − inf. Where nothing varies: 0 / 0.
        with np.errstate(divide="ignore", invalid="ignore"):
            scores["excess_loss"] = scores["test_loss"] - references["test_loss_population"]
            errors = ((mean[self._is_point] - true_mean) / np.sqrt(true_var)) ** 2
            ratios = np.log(var[self._is_point] / true_var)
            errors, ratios = (self._by_layer(each, true_var > 0) for each in (errors, ratios))
        tables = {
            "metrics": references | scores,
            "stats": {
                "running_mean": mean,
                "running_var": var,
                "population_mean": true_mean,
                "population_var": true_var,
            },
            "layers": {"mean_error": np.sqrt(errors), "log_var_ratio": ratios},
        }
        parts = [kept(name, getattr(config, name)) for name in (*INSIDE, "seed")]
        flat = {path: value for part, _ in parts for path, value in part.items()}
        files = _hydra(b"".join([text for _, text in parts]), provenance)
        for name, columns in tables.items():
            files[f"{name}.parquet"] = self._forms[name].fill(columns)
        last = {name: values[-1].item() for name, values in tables["metrics"].items()}
        about = provenance.manifest | {"config": flat, "metrics": self._last | last}
        write_directory(final, files, about)

    def _by_layer(self, values: Array, varies: Array) -> Array:
        """Return means over the channels of every layer, [points, layers].

        A channel that gives the same for every example has no σ, and is left out; where none
        varies the mean is not a number.
        """
        pairs = np.stack([np.where(varies, values, 0.0), varies])
        sums, varying = np.add.reduceat(pairs, self._starts, axis=2)
        means: Array = sums / varying
        return means


def _train_losses(config: RunConfig, per_batch: torch.Tensor) -> Array:
    """Return means over the examples of every epoch, [models, epochs]."""
    sizes = np.array(batch_sizes(config), dtype=np.float64)
    losses = per_batch.double().numpy().reshape(len(per_batch), config.train.epochs, -1)
    means: Array = (losses * sizes).sum(2) / sizes.sum()
    return means


def _hydra(config: bytes, provenance: Provenance) -> dict[str, bytes]:
    """Return the triple that Hydra leaves and other tools read; it does not depend on the place."""
    head = _hydra_head(provenance.hydra_version, tuple(provenance.choices.items()))
    items = [item_yaml(each) for each in provenance.overrides]
    return {
        ".hydra/config.yaml": config,
        ".hydra/overrides.yaml": b"".join(items),
        ".hydra/hydra.yaml": b"    ".join([head, *items]),
    }


@lru_cache
def _hydra_head(version: str, choices: tuple[tuple[str, str], ...]) -> bytes:
    """Cached, since the runs of a sweep differ in little of it."""
    job = {"name": "normexp", "config_name": "config"}
    about = {"job": job, "runtime": {"version": version, "choices": dict(choices)}}
    return to_yaml({"hydra": about}) + b"  overrides:\n    task:\n"
