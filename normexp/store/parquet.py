"""Parquet: Arrow tables to bytes and back, the same bits for the same numbers."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from normexp.config.schema import IDENTITY_GROUPS, OUTSIDE
from normexp.config.tree import field_types
from normexp.errors import NormexpError
from normexp.store.columns import RUN_TABLES, TABLES
from normexp.store.plain import open_regular, reason, verified
from normexp.store.stored import FINAL, HEAD, TAIL, Row

Array = np.ndarray[Any, Any]

UNREADABLE = (OSError, ValueError, LookupError, MemoryError, pa.ArrowException)
"""What PyArrow raises on rubbish; its errors are some of these, and not all of one root."""

MOST_BYTES = 2**28
MOST_COMPRESSED = 1000
"""Memory that a table may ask for: so much, or so many times its file, since zeros pack well."""

NUMBERS = {"half_life_steps": pa.float64(), "diverged_step": pa.int64()}
"""Of a row's columns that follow the losses; the others are text."""


def encode(table: str, dtype: str, columns: Mapping[str, Any]) -> bytes:
    """Return one table as a file's content; equal numbers give equal bits.

    Args:
        table: its name in `TABLES`.
        dtype: of the training, float32 or float64.
        columns: by name, all of one length; NumPy arrays, or Arrow's where values repeat or lack.
            Optional ones may be left out.
    """
    names = tuple(c.name for c in TABLES[table] if not c.optional or c.name in columns)
    fields = schema(table, dtype, names)
    arrays = [
        values if isinstance(values, pa.Array) else numbers(values, field.type)
        for field in fields
        for values in [columns[field.name]]
    ]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, schema=fields), sink, **_options(table, names))
    content: bytes = sink.getvalue().to_pybytes()
    return content


@cache
def _options(table: str, names: tuple[str, ...]) -> dict[str, Any]:
    kinds = {column.name: column.kind for column in TABLES[table]}
    numeric = [name for name in names if kinds[name] in ("loss", "statistic")]
    of_a_run = table in RUN_TABLES  # the numbers are in one piece each, for a form
    one_piece = {"row_group_size": 2**26, "max_rows_per_page": 2**26, "data_page_size": 2**30}
    return {
        "compression": {n: "none" if of_a_run and n in numeric else "zstd" for n in names},
        "column_encoding": dict.fromkeys(numeric, "PLAIN" if of_a_run else "BYTE_STREAM_SPLIT"),
        "use_dictionary": [name for name in names if name not in numeric],
        "write_statistics": False,
        **(one_piece if of_a_run else {}),
    }


class Form:
    """The table of a run without its numbers, for runs that have the same rows.

    Only numbers differ between such runs. Those of a column lie in the file as they are, in one
    piece, so that a table is made by putting them between the other bytes. It is what PyArrow
    writes for the same columns, in a twentieth of the time; packed it would be a seventh smaller.

    Args:
        table: one of a run.
        dtype: of the training.
        keys: whole numbers and texts by column, Arrow's.
        there: the columns of numbers, and which rows have one.

    Raises:
        ValueError: there are more rows, 67 million, than PyArrow puts into one piece.
    """

    def __init__(
        self, table: str, dtype: str, keys: Mapping[str, pa.Array], there: Mapping[str, Array]
    ) -> None:
        columns, samples = dict(keys), dict[str, Array]()
        for field in schema(table, dtype, (*keys, *there)):
            if (mask := there.get(field.name)) is not None:
                sample = np.arange(len(mask), dtype=field.type.to_pandas_dtype()) + np.pi
                columns[field.name] = numbers(sample, field.type, mask)
                if mask.any():
                    samples[field.name] = sample[mask]
        content, end = encode(table, dtype, columns), 0
        self._columns: list[tuple[bytes, str, Array]] = []  # what is before each, and like what
        for name, sample in samples.items():
            start = content.index(sample.tobytes(), end)
            self._columns.append((content[end:start], name, sample))
            end = start + sample.nbytes
        self._rest = content[end:]

    def fill(self, columns: Mapping[str, Array]) -> bytes:
        """Return the table with these numbers, those that are there, as a file's content."""
        parts = []
        for before, name, like in self._columns:
            values = np.ascontiguousarray(columns[name], like.dtype).reshape(like.shape)
            parts += [before, values.tobytes()]
        return b"".join([*parts, self._rest])


@cache
def schema(table: str, dtype: str, names: tuple[str, ...]) -> pa.Schema:
    """Return the Arrow schema of a table, of a training's dtype and with these columns."""
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
            open_regular(path).close()  # it is no link, and no pipe to wait for
        elif path.name not in files:
            raise ValueError("its manifest does not name it")
        else:
            content = verified(path, files[path.name])
        table = decoded(path, content)
    except UNREADABLE as error:
        raise NormexpError(
            f"{path} cannot be read ({reason(error)})",
            f"remove {path.parent} and sweep again: only what is missing is made again",
        ) from error
    return table


def has_batches(directory: Path, channels: int) -> bool:
    """Return whether a recorded loop's trajectory has more than what its averages began from.

    True where its table cannot be read: whoever reads the trajectory hears why.
    """
    try:
        with open_regular(directory / "batch_stats.parquet") as file:
            return bool(pq.read_metadata(file).num_rows > channels)
    except UNREADABLE:
        return True


def decoded(path: Path, content: bytes | None) -> pa.Table:
    """Return the table that the name of its file says, from the file's content if that is known.

    Raises:
        One of `UNREADABLE`: it is none, or another table.
    """
    table = decode(path if content is None else content)
    if problem := unlike(table.schema, path.stem):
        raise ValueError(problem)
    return table


def decode(source: bytes | Path) -> pa.Table:
    """Return a table from a file or its content, checked as far as its own format goes.

    Raises:
        One of `UNREADABLE`: it is none, or promises more than memory should be given for.
    """
    size = len(source) if isinstance(source, bytes) else source.stat().st_size
    with pq.ParquetFile(pa.BufferReader(source) if isinstance(source, bytes) else source) as file:
        about = file.metadata
        if about.num_rows * about.num_columns * 8 > max(MOST_BYTES, size * MOST_COMPRESSED):
            raise ValueError("it promises more rows than it can hold")
        table = file.read()
        table.validate(full=True)
        if table.num_rows != about.num_rows:
            raise ValueError("it has not the rows that it promises")
        return table


def unlike(found: pa.Schema, table: str, dtype: str | None = None) -> str | None:
    """Return how columns differ from those in `TABLES`, None if they fit or the table is another.

    Meanings may be worded otherwise.

    Args:
        found: the schema of a file.
        table: the name of its table.
        dtype: of the training, if known.
    """
    if table not in TABLES:
        return None
    optional = {column.name for column in TABLES[table] if column.optional}
    left_out = optional if optional.isdisjoint(found.names) else ()  # all of them, or none
    names = tuple(column.name for column in TABLES[table] if column.name not in left_out)
    if tuple(found.names) != names:
        return f"its columns are not those of {table}"
    dtypes = ("float32", "float64") if dtype is None else (dtype,)
    schemas = [schema(table, each, names) for each in dtypes]
    wanted = next((each for each in schemas if found.equals(each)), schemas[0])
    for there, field in zip(found, wanted, strict=True):
        if there.type != field.type:
            return f"its column {there.name} is {there.type}, not {field.type}"
        about = there.metadata or {}
        if about.get(b"unit") != field.metadata[b"unit"] or b"doc" not in about:
            return f"its column {there.name} does not say what it is"
    return None


def rows_table(rows: Sequence[Row]) -> pa.Table:
    """Return rows with the types of the schema; a column that no run has is left out.

    A loss that is not finite is null: the run's `metrics.parquet` has it as it was.
    """
    present = {name for each in rows for name in each} or {*HEAD, *FINAL}
    fields = [pa.field(name, kind) for name, kind in column_types().items() if name in present]
    columns = [column([each.get(f.name) for each in rows], f.type) for f in fields]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def encode_summary(rows: Sequence[Row]) -> bytes:
    """Return the summary of a sweep as a Parquet file's content."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows_table(rows), sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


def column_types() -> dict[str, pa.DataType]:
    """Return the type of every column that a summary may have, in their order.

    `norm.kind` and its like are the columns `norm`, ...
    """
    arrow = {bool: pa.bool_(), float: pa.float64(), int: pa.int64(), str: pa.string()}
    config = {
        path: next(arrow[kind] for kind in arrow if kind in types)
        for path, types in field_types().items()
        if not path.endswith(".kind") and path.partition(".")[0] not in OUTSIDE
    }
    return {
        **dict.fromkeys((*HEAD, *IDENTITY_GROUPS), pa.string()),
        **config,
        **dict.fromkeys(FINAL, pa.float64()),
        **dict.fromkeys((*TAIL, "directory"), pa.string()),
        **NUMBERS,
    }


def grid(steps: Sequence[int], sites: Mapping[str, int]) -> dict[str, Any]:
    """Return the columns step, layer and channel of every (step, channel), channels innermost."""
    return _grid(tuple(steps), tuple(sites.items()))


@lru_cache(maxsize=4)
def _grid(steps: tuple[int, ...], sites: tuple[tuple[str, int], ...]) -> dict[str, Any]:
    """Cached, since all runs of a stack have the same; Arrow arrays do not change."""
    names, widths = [name for name, _ in sites], [width for _, width in sites]
    codes = np.repeat(np.arange(len(sites)), widths)
    channels = np.concatenate([np.empty(0), *(np.arange(width) for width in widths)])
    layers = numbers(np.tile(codes, len(steps)), pa.int32())
    return {
        "step": numbers(np.repeat(steps, sum(widths)), pa.int32()),
        "layer": pa.DictionaryArray.from_arrays(layers, strings(names)),
        "channel": numbers(np.tile(channels, len(steps)), pa.int32()),
    }


# `pa.array` imports pandas, which takes 0.3 s. These do without.


def numbers(values: Any, kind: pa.DataType, there: Array | None = None) -> pa.Array:  # noqa: ANN401
    """Return an Arrow array of numbers or truths, null where `there` is false."""
    array = np.asarray(values, dtype=kind.to_pandas_dtype())
    data = _bits(array) if array.dtype == bool else pa.py_buffer(np.ascontiguousarray(array))
    missing = None if there is None or there.all() else _bits(there)
    return pa.Array.from_buffers(kind, len(array), [missing, data])


def strings(values: Sequence[str | None]) -> pa.Array:
    """Return an Arrow array of texts, null for None."""
    encoded = [b"" if value is None else value.encode() for value in values]
    there = np.array([value is not None for value in values], dtype=bool)
    ends = pa.py_buffer(np.cumsum([0, *map(len, encoded)], dtype=np.int32))
    missing = None if there.all() else _bits(there)
    return pa.Array.from_buffers(
        pa.string(), len(values), [missing, ends, pa.py_buffer(b"".join(encoded))]
    )


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Return an Arrow array of numbers, truths or texts, null for None."""
    if kind == pa.string():
        return strings(values)
    there = np.array([value is not None for value in values], dtype=bool)
    return numbers([0 if value is None else value for value in values], kind, there)


def _bits(truths: Array) -> pa.Buffer:
    return pa.py_buffer(np.packbits(truths, bitorder="little"))
