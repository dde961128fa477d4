"""One row a run: what a sweep's summary and `normexp.read` show, made from the runs' manifests."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from normexp.config.field import specs
from normexp.config.schema import IDENTITY_GROUPS, KINDS, SECTIONS, RunConfig
from normexp.store.columns import TABLES
from normexp.store.files import read_manifest

FINAL = tuple(column for column in TABLES["metrics"] if column.name not in ("step", "epoch"))
"""The metrics of the last evaluation point, which a row repeats."""

HEAD = ("run_id", "status", "study", *IDENTITY_GROUPS)
TAIL = {
    "half_life_steps": pa.float64(),
    "diverged_step": pa.int64(),
    "label": pa.string(),
    "trajectory_id": pa.string(),
    "directory": pa.string(),
}

Row = dict[str, Any]


def row(manifest: Mapping[str, Any], directory: Path) -> Row:
    """A run's row.

    Args:
        manifest: the run's.
        directory: where it stands, for those who want to go there.
    """
    config = manifest["config"]
    kinds = {group: config[f"{group}.kind"] for group in IDENTITY_GROUPS}
    named = {name: manifest[name] for name in ("run_id", "status", "study")}
    tail = {name: manifest[name] for name in TAIL if name != "directory"}
    final = {column.name: manifest["metrics"][column.name] for column in FINAL}
    return {**named, **kinds, **config, **final, **tail, "directory": str(directory)}


def rows_of(directories: Iterable[Path]) -> list[Row]:
    """The rows of complete runs."""
    return [row(read_manifest(path), path) for path in directories]


def table(rows: Sequence[Row]) -> pa.Table:
    """The rows with the types of the schema; a column that no run has is left out.

    A loss that is not finite is null: the run's `metrics.parquet` has it as it was.
    """
    types = {name: pa.string() for name in HEAD} | _config_types()
    types |= {column.name: pa.float64() for column in FINAL} | TAIL
    present = {name for each in rows for name in each}
    fields = [pa.field(name, kind) for name, kind in types.items() if name in present]
    columns = [pa.array([each.get(f.name) for each in rows], f.type) for f in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def write_summary(path: Path, rows: Sequence[Row]) -> None:
    """Write a sweep's summary."""
    pq.write_table(table(rows), path, compression="zstd")


def _config_types() -> dict[str, pa.DataType]:
    """The dotted columns; `norm.kind` and its like are the columns `norm`, ... already."""
    arrow = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    types = {name: arrow[spec.type] for name, spec in specs(RunConfig).items()}
    sections = [(name, cls) for name, kinds in KINDS.items() for cls in kinds.values()]
    for section, cls in [*sections, *SECTIONS.items()]:
        for name, spec in specs(cls).items():
            if name != "kind" and section not in ("store", "executor"):
                types[f"{section}.{name}"] = arrow[spec.type]
    return types
