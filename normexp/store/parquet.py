"""Parquet: Arrow tables to bytes and back, the same bits for the same numbers."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from normexp.errors import NormexpError
from normexp.store.arrays import numbers, texts
from normexp.store.columns import TABLES
from normexp.store.regular import reason, require_regular, verified

UNREADABLE = (OSError, ValueError, LookupError, MemoryError, pa.ArrowException)
"""What PyArrow raises on rubbish; its errors are some of these, and not all of one root."""

MOST_BYTES = 2**28
"""Memory that any table may ask for."""

SWIFTLY = ("metrics", "stats", "layers")
"""The tables of every run, which are small and many: packed by LZ4 in half the time.

Zstandard sets itself up for every column anew. For stats of 81 channels at 49 steps that makes 0.45
ms for 0.28, and 36 kB for 38; trajectories gain too much to do without it.
"""

MOST_COMPRESSED = 1000
"""And larger ones, so many times the size of their file: of zeros there can be very many."""


def encode(table: str, dtype: str, columns: Mapping[str, Any]) -> bytes:
    """One table as a file's content; equal numbers give equal bits.

    Args:
        table: its name in `TABLES`.
        dtype: of the training, float32 or float64.
        columns: by name, all of one length; NumPy arrays, or Arrow's where values repeat or lack.
            Optional ones may be left out.
    """
    names = tuple(c.name for c in TABLES[table] if not c.optional or c.name in columns)
    fields = schema(table, dtype, names)
    arrays = [_array(columns[field.name], field.type) for field in fields]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, schema=fields), sink, **_options(table, names))
    content: bytes = sink.getvalue().to_pybytes()
    return content


@cache
def _options(table: str, names: tuple[str, ...]) -> dict[str, Any]:
    """How PyArrow is to write a table of these columns."""
    kinds = {column.name: column.kind for column in TABLES[table]}
    numbers = [name for name in names if kinds[name] in ("loss", "statistic")]
    return {
        "compression": "lz4" if table in SWIFTLY else "zstd",
        "use_dictionary": [name for name in names if name not in numbers],
        "column_encoding": dict.fromkeys(numbers, "BYTE_STREAM_SPLIT"),
        "write_statistics": False,
    }


@cache
def schema(table: str, dtype: str, names: tuple[str, ...]) -> pa.Schema:
    """The Arrow schema of a table, for a training of this dtype and the columns that it has."""
    types = {
        "int": pa.int32(),
        "loss": pa.float64(),
        "statistic": pa.float64() if dtype == "float64" else pa.float32(),
        "text": pa.dictionary(pa.int32(), pa.string()),
    }
    return pa.schema(
        pa.field(column.name, types[column.kind], metadata={"unit": column.unit, "doc": column.doc})
        for column in TABLES[table]
        if column.name in names
    )


def read(path: Path, files: Mapping[str, Any] | None) -> pa.Table:
    """Return one table as it was written; the name of its file says which of `TABLES` it is.

    Args:
        path: of the file.
        files: what a manifest says of the files of its directory; None where none does, or where
            their digests have just been compared.

    Raises:
        NormexpError: it is missing, damaged or another table.
    """
    try:
        content = None
        if files is None:
            require_regular(path)
        elif path.name not in files:
            raise ValueError("its manifest does not name it")
        else:
            content = verified(path, files[path.name])
        table = _read(path if content is None else pa.BufferReader(content))
        if problem := unlike(table.schema, path.stem):
            raise ValueError(problem)
    except UNREADABLE as error:
        raise NormexpError(
            f"{path} cannot be read ({reason(error)})",
            f"remove {path.parent} and sweep again: only what is missing is made again",
        ) from error
    return table


def _read(source: Path | pa.NativeFile) -> pa.Table:
    """A table, checked as far as its own format goes.

    Raises:
        ValueError: it promises more than memory should be given for.
    """
    with pq.ParquetFile(source) as file:
        about = file.metadata
        size = source.size() if isinstance(source, pa.NativeFile) else source.stat().st_size
        if about.num_rows * about.num_columns * 8 > max(MOST_BYTES, size * MOST_COMPRESSED):
            raise ValueError("it promises more rows than it can hold")
        table = file.read()
        table.validate(full=True)
        if table.num_rows != about.num_rows:
            raise ValueError("it has not the rows that it promises")
        return table


def decode(content: bytes) -> pa.Table:
    """A table from a file's content.

    Raises:
        One of `UNREADABLE`.
    """
    return _read(pa.BufferReader(content))


def unlike(found: pa.Schema, table: str) -> str | None:
    """What is wrong with the columns of a table, if it is in `TABLES`; None if they fit."""
    if table not in TABLES:
        return None
    names = found.names
    wanted = [c.name for c in TABLES[table] if not c.optional or c.name in names]
    if names != wanted:
        return f"its columns are not those of {table}"
    schemas = [schema(table, dtype, tuple(names)) for dtype in ("float32", "float64")]
    if not any(found.equals(each) for each in schemas):
        return f"its types are not those of {table}"
    return None


def grid(steps: Sequence[int], sites: Mapping[str, int]) -> dict[str, Any]:
    """The columns step, layer and channel of every (step, channel), channels innermost."""
    return _grid(tuple(steps), tuple(sites.items()))


@lru_cache(maxsize=4)
def _grid(steps: tuple[int, ...], sites: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    """Cached, since all runs of a stack have the same; Arrow arrays do not change."""
    names, widths = [name for name, _ in sites], [width for _, width in sites]
    codes = np.repeat(np.arange(len(sites), dtype=np.int32), widths)
    channels = np.concatenate(
        [np.empty(0, np.int32), *(np.arange(w, dtype=np.int32) for w in widths)]
    )
    layers = numbers(np.tile(codes, len(steps)))
    return {
        "step": numbers(np.repeat(np.array(steps, dtype=np.int32), sum(widths))),
        "layer": pa.DictionaryArray.from_arrays(layers, texts(names)),
        "channel": numbers(np.tile(channels, len(steps))),
    }


def _array(values: Any, kind: pa.DataType) -> pa.Array:  # noqa: ANN401
    if isinstance(values, pa.Array):
        return values
    return numbers(np.asarray(values, dtype=kind.to_pandas_dtype()))
