"""The rows of runs as a table, typed by the schema: a sweep's summary, and what `read` gives."""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from normexp.config.field import specs
from normexp.config.schema import IDENTITY_GROUPS, KINDS, SECTIONS, RunConfig
from normexp.store.rows import FINAL, HEAD, TAIL, Row

NUMBERS = {"half_life_steps": pa.float64(), "diverged_step": pa.int64()}
"""Of the columns that follow the losses; the others are text."""


def table(rows: Sequence[Row]) -> pa.Table:
    """The rows with the types of the schema; a column that no run has is left out.

    A loss that is not finite is null: the run's `metrics.parquet` has it as it was.
    """
    types = dict.fromkeys((*HEAD, *IDENTITY_GROUPS), pa.string()) | _config_types()
    types |= dict.fromkeys(FINAL, pa.float64())
    types |= dict.fromkeys((*TAIL, "directory"), pa.string()) | NUMBERS
    present = {name for each in rows for name in each}
    fields = [pa.field(name, kind) for name, kind in types.items() if name in present]
    columns = [pa.array([each.get(f.name) for each in rows], f.type) for f in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def encode(rows: Sequence[Row]) -> bytes:
    """The table as a Parquet file's content."""
    sink = pa.BufferOutputStream()
    pq.write_table(table(rows), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


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
