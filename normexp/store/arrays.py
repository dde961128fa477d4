"""Arrow arrays from NumPy's and from texts, without `pa.array`: that imports pandas, for 0.3 s."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

Array = np.ndarray[Any, Any]


def numbers(values: Array, there: Array | None = None) -> pa.Array:
    """The same numbers, or truths; null where `there` is false."""
    kind = pa.from_numpy_dtype(values.dtype)
    data = _bits(values) if values.dtype == bool else pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, len(values), [_validity(there), data])


def texts(values: Sequence[str | None]) -> pa.Array:
    """The same texts, null for None."""
    encoded = [b"" if value is None else value.encode() for value in values]
    there = np.array([value is not None for value in values], dtype=bool)
    ends = pa.py_buffer(np.cumsum([0, *map(len, encoded)], dtype=np.int32))
    buffers = [_validity(there), ends, pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(values), buffers)


def column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Numbers, truths or texts of an Arrow type, null for None."""
    if kind == pa.string():
        return texts(values)
    there = np.array([value is not None for value in values], dtype=bool)
    filled = [0 if value is None else value for value in values]
    return numbers(np.array(filled, dtype=kind.to_pandas_dtype()), there)


def _validity(there: Array | None) -> pa.Buffer | None:
    return None if there is None or there.all() else _bits(there)


def _bits(truths: Array) -> pa.Buffer:
    return pa.py_buffer(np.packbits(truths, bitorder="little"))
