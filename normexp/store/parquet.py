"""Parquet: plain Arrow tables in and out, the same bits for the same numbers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from normexp.store.columns import TABLES, schema


def write(path: Path, table: str, dtype: str, columns: Mapping[str, Any]) -> None:
    """Write one table; columns are NumPy arrays, or Arrow arrays where they repeat or have nulls.

    Args:
        path: of the file.
        table: its name in `TABLES`.
        dtype: of the training, float32 or float64.
        columns: by name, all of one length.
    """
    fields = schema(table, dtype)
    arrays = [_array(columns[field.name], field.type) for field in fields]
    numbers = [column.name for column in TABLES[table] if column.kind in ("loss", "statistic")]
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=fields),
        path,
        compression="zstd",
        use_dictionary=[column.name for column in TABLES[table] if column.name not in numbers],
        column_encoding=dict.fromkeys(numbers, "BYTE_STREAM_SPLIT"),
        write_statistics=False,
    )


def read(path: Path) -> pa.Table:
    """One table as it was written."""
    return pq.ParquetFile(path).read()


def layer_column(sites: Mapping[str, int], rows: int) -> pa.DictionaryArray:
    """The layer of each (row, channel), channels innermost."""
    codes = np.repeat(np.arange(len(sites), dtype=np.int32), list(sites.values()))
    return pa.DictionaryArray.from_arrays(np.tile(codes, rows), pa.array(list(sites), pa.string()))


def channel_column(sites: Mapping[str, int], rows: int) -> np.ndarray[Any, Any]:
    """The channel within its layer of each (row, channel)."""
    ranges = [np.arange(features, dtype=np.int32) for features in sites.values()]
    return np.tile(np.concatenate([np.arange(0, dtype=np.int32), *ranges]), rows)


def _array(values: Any, kind: pa.DataType) -> pa.Array:  # noqa: ANN401
    return values if isinstance(values, pa.Array) else pa.array(values, kind)
