"""What there is: sweeps, runs, one run whole. Reads manifests, imports neither torch nor pandas."""

import os
from pathlib import Path
from typing import Any

from normexp.errors import NormexpError, NotFoundError, UsageError
from normexp.registry import did_you_mean
from normexp.store.files import MANIFEST, intact
from normexp.store.layout import find_run, look_around, studies
from normexp.store.rows import read_run
from normexp.store.sweep import SweepDirectory, read_end

Rows = list[dict[str, Any]]


def sweeps(store: Path) -> tuple[list[str], Rows]:
    """The columns and rows of all sweeps, oldest first within each study.

    Raises:
        NotFoundError: the store is empty.
    """
    rows = []
    for study in studies(store):
        for path in study.sweep_directories():
            end = read_end(path)
            rows.append(
                {
                    "study": study.path.name,
                    "sweep": path.name,
                    "status": end["status"] if end else _without_end(path),
                    "runs": end["runs"] if end else None,
                    "trained": end["trained"] if end else None,
                    "seconds": end["seconds"] if end else None,
                    "directory": str(path),
                }
            )
    if not rows:
        raise NotFoundError(
            f"no sweep in {store}", "type normexp sweep, or --dir for another store"
        )
    return ["study", "sweep", "status", "runs", "trained"], rows


def _without_end(path: Path) -> str:
    """Of a sweep without a manifest that can be read."""
    if os.path.lexists(path / MANIFEST):
        return "damaged"
    return "running" if SweepDirectory(path).is_alive() else "unfinished"


def runs(store: Path, name: str) -> tuple[list[str], Rows]:
    """The columns and rows of one study's complete runs, by name.

    Raises:
        NotFoundError: no such study.
    """
    known = {study.path.name: study for study in studies(store)}
    if "=" in name:
        raise UsageError(f"ls takes the name of a study, not {name}", "type --dir DIR for a store")
    name = Path(name).name  # completed by a shell, it ends in a slash
    if name not in known:
        raise NotFoundError(
            f"no study {name!r} in {store}",
            did_you_mean(name, known, look_around(store)),
        )
    rows = []
    for path in known[name].run_directories():
        manifest = intact(path)
        name, _, identity = path.name.rpartition("-")
        row = {"run": identity, "label": name, "status": "damaged", "directory": str(path)}
        if manifest is not None and manifest.get("run_id") == identity:
            metrics = manifest["metrics"]
            row |= {"status": manifest["status"], "test_loss": metrics["test_loss"]}
            if "norm.momentum" in manifest["config"]:
                row |= {"excess_loss": metrics["excess_loss"]}
        rows.append(row)
    return ["run", "label", "status", "test_loss", "excess_loss"], rows


def run(store: Path, wanted: str) -> tuple[dict[str, Any], Rows]:
    """A run's manifest, its directory added, and its metrics at every evaluation point.

    Raises:
        NotFoundError: no such run, or several.
    """
    from normexp.store import parquet

    directory = find_run(store, wanted)
    manifest = read_run(directory)
    metrics: Rows = parquet.read(directory / "metrics.parquet").to_pylist()
    if not metrics:
        raise NormexpError(f"{directory / 'metrics.parquet'} has no rows")
    return {**manifest, "directory": str(directory)}, metrics
