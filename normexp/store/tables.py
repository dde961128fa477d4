"""Trainings and runs as files: records and observations to tables, and back to records."""

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save

from normexp.config.identity import WEIGHTS as DECISIVE
from normexp.config.schema import (
    OUTSIDE,
    PLACES,
    SOURCE,
    RunConfig,
    batch_sizes,
    part_sizes,
    steps_per_epoch,
)
from normexp.config.tree import field_specs, flatten, nest
from normexp.errors import NormexpError
from normexp.store import parquet
from normexp.store.columns import REFERENCE_COLUMNS
from normexp.store.files import write_directory, write_file
from normexp.store.manifest import WEIGHTS, read_manifest
from normexp.store.parquet import Array, column, numbers
from normexp.store.plain import check_files, config_yaml, list_yaml, open_regular, to_yaml
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
    weights = {name: values[0].contiguous() for name, values in record.weights.items()}
    return files | {WEIGHTS: save(weights)}


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
    updates = parquet.grid(at.tolist(), record.sites)
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
        self._grid = parquet.grid(self._steps.tolist(), dict.fromkeys(record.sites, 1))
        self._mean, self._var = mean.astype(float), var.astype(float)
        self._layers = _Layers(var > 0, record.sites)

    def write(
        self, final: Path, config: RunConfig, observation: Observation, provenance: Provenance
    ) -> None:
        """Store one run, in the place of what is there."""
        flat = _kept(config)
        scores = {f"test_{n}": values.double().numpy() for n, values in observation.scores.items()}
        mean, var = observation.running_mean.numpy(), observation.running_var.numpy()
        # Of a diverged training: inf − inf. Where nothing varies: 0 / 0.
        with np.errstate(divide="ignore", invalid="ignore"):
            scores["excess_loss"] = scores["test_loss"] - self._best_loss
            errors = (mean[self._is_point].astype(float) - self._mean) / np.sqrt(self._var)
            errors = np.sqrt(self._layers.means(errors**2))
            ratios = self._layers.means(np.log(var[self._is_point].astype(float) / self._var))
        tables = {
            "metrics": self._metrics | scores,
            "stats": self._stats | {"running_mean": mean.ravel(), "running_var": var.ravel()},
            "layers": self._grid | {"mean_error": errors, "log_var_ratio": ratios},
        }
        files = _hydra(flat, provenance)
        for name, columns in tables.items():
            files[f"{name}.parquet"] = parquet.encode(name, self._dtype, columns)
        metrics = self._last | {name: values[-1].item() for name, values in scores.items()}
        write_directory(final, files, {**provenance.manifest, "config": flat, "metrics": metrics})


class _Layers:
    """Means over the channels of every layer, [points × layers] in float64.

    A channel that gives the same for every example has no σ, and is left out.
    """

    def __init__(self, varies: Array, sites: Mapping[str, int]) -> None:
        edges = itertools.accumulate(sites.values(), initial=0)
        self._slices = [slice(*pair) for pair in itertools.pairwise(edges)]
        self._varies, self._varying = varies, self._sums(varies)

    def means(self, values: Array) -> Array:
        """Return means of values [points, channels]; not a number where nothing varies."""
        averages: Array = self._sums(np.where(self._varies, values, 0.0)) / self._varying
        return averages.ravel()

    def _sums(self, values: Array) -> Array:
        sums = np.empty((len(values), len(self._slices)))
        for layer, channels in enumerate(self._slices):
            values[:, channels].sum(1, out=sums[:, layer])
        return sums


def _kept(config: RunConfig) -> dict[str, Any]:
    """Return the configuration as a run keeps it, by dotted names: what it is, not where."""
    return {
        path: value
        for path, value in flatten(config).items()
        if path.partition(".")[0] not in OUTSIDE and path not in (*PLACES, SOURCE)
    }


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
