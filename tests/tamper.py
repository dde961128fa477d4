"""Changing what is stored as somebody would who means it: the digests fit afterwards."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def edit_manifest(run: Path, section: str, entries: Mapping[str, object]) -> None:
    """Change what a run's manifest says."""
    manifest = json.loads((run / "manifest.json").read_text())
    manifest[section].update(entries)
    write_manifest(run, manifest)


def write_manifest(run: Path, manifest: Mapping[str, object]) -> None:
    """Put a manifest in the place of a run's, sealed as normexp seals it."""
    content = json.dumps({**manifest, "sha256": "0" * 64})
    digest = hashlib.sha256(content.encode()).hexdigest()
    (run / "manifest.json").write_text(content.replace("0" * 64, digest))


def tamper(run: Path, table: str, column: str, row: int, factor: float) -> None:
    """Multiply one number of a table, and make the manifest's digest fit."""
    path = run / f"{table}.parquet"
    old = pq.read_table(path)
    values = old[column].to_numpy().copy()
    values[row] *= factor
    place = old.column_names.index(column)
    new = old.set_column(place, old.field(column), pa.array(values, old.field(column).type))
    pq.write_table(new, path)
    content = path.read_bytes()
    about = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    edit_manifest(run, "files", {path.name: about})
