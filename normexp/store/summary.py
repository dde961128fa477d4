"""The rows of runs as a table, typed by the schema: a sweep's summary, and what `read` gives."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from normexp.config.schema import IDENTITY_GROUPS, OUTSIDE
from normexp.config.tree import field_types
from normexp.errors import NormexpError
from normexp.store import parquet
from normexp.store.parquet import column
from normexp.store.stored import FINAL, HEAD, TAIL, Row
from normexp.store.sweep import SUMMARY

NUMBERS = {"half_life_steps": pa.float64(), "diverged_step": pa.int64()}
"""Of the columns that follow the losses; the others are text."""


def table(rows: Sequence[Row]) -> pa.Table:
    """The rows with the types of the schema; a column that no run has is left out.

    A loss that is not finite is null: the run's `metrics.parquet` has it as it was.
    """
    types = column_types()
    present = {name for each in rows for name in each} or {*HEAD, *FINAL}
    fields = [pa.field(name, kind) for name, kind in types.items() if name in present]
    columns = [column([each.get(f.name) for each in rows], f.type) for f in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def column_types() -> dict[str, pa.DataType]:
    """The type of every column that a summary may have, in their order."""
    types = dict.fromkeys((*HEAD, *IDENTITY_GROUPS), pa.string()) | _config_types()
    types |= dict.fromkeys(FINAL, pa.float64())
    return types | dict.fromkeys((*TAIL, "directory"), pa.string()) | NUMBERS


def read(path: Path, files: Mapping[str, Any] | None = None) -> pa.Table:
    """Return a sweep's summary; see `parquet.read`.

    Raises:
        NormexpError: it cannot be read, or its columns are not those of a summary.
    """
    found = parquet.read(path, files)
    types = column_types()
    names = found.column_names
    fits = all(types.get(field.name) == field.type for field in found.schema)
    if not fits or "run_id" not in names or len({*names}) < len(names):
        raise NormexpError(
            f"{path} cannot be read (its columns are not those of a summary)",
            f"remove {path.parent}: its runs are untouched",
        )
    return found


def ids(sweep: Path, *, with_trajectories: bool = False) -> list[str]:
    """Return the ids of a sweep's runs; none where its summary cannot be read."""
    names = ("run_id", "trajectory_id")[: 1 + with_trajectories]
    with suppress(NormexpError):
        found = read(sweep / SUMMARY)
        return [str(each) for name in names if name in found.schema.names for each in found[name]]
    return []


def encode(rows: Sequence[Row]) -> bytes:
    """The table as a Parquet file's content."""
    sink = pa.BufferOutputStream()
    pq.write_table(table(rows), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _config_types() -> dict[str, pa.DataType]:
    """The dotted columns; `norm.kind` and its like are the columns `norm`, ... already."""
    arrow = {bool: pa.bool_(), float: pa.float64(), int: pa.int64(), str: pa.string()}
    return {
        path: next(arrow[kind] for kind in arrow if kind in types)
        for path, types in field_types().items()
        if not path.endswith(".kind") and path.partition(".")[0] not in OUTSIDE
    }
