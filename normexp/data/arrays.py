"""The user's own examples from a .npz or a Parquet file. Needs no torch.

A .npz has `x` and `y`, and may have `test_x` and `test_y`. A Parquet file has a column `y`, and a
column `x` of lists or one column a feature. x is [examples, features], [examples, height, width] or
[examples, channels, height, width]; y is whole numbers (labels, from 0) or others (targets).
"""

import json
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from normexp.errors import UsageError

Array = np.ndarray[Any, Any]

COLOURS = (1, 3, 4)
"""Usual numbers of channels."""

MOST_LABELS = 100_000

FORMATS = {
    ".npz": "save it with numpy.savez(FILE, x=..., y=...), and test_x, test_y if there are tests",
    ".parquet": "it needs a column y, and a column x of lists or one column of numbers a feature",
}
"""What a file should hold, for those whose file does not."""

FEWEST = 2
"""Examples for training, and for testing."""

VECTORS, IMAGES = 2, 4
"""Dimensions of x."""


class Examples(NamedTuple):
    """What a file holds, examples first."""

    x: Array  # float64 [examples, features] or [examples, channels, height, width]
    y: Array  # int64 [examples], labels, or float64 [examples, targets]
    test_x: Array | None
    test_y: Array | None


def read_examples(path: Path, shape: tuple[int, ...] | None) -> Examples:
    """The examples of a file.

    Args:
        path: ends in .npz or .parquet.
        shape: of one example's x, where its numbers stand in one row but are an image.

    Raises:
        UsageError: the file is missing or damaged, or x and y do not fit.
    """
    columns = _columns(path)
    missing = [name for name in ("x", "y") if name not in columns]
    foreign = [name for name in columns if name not in Examples._fields]
    if missing or foreign:
        what = f"no {missing[0]}" if missing else f"an array {foreign[0]}, which nothing would read"
        raise UsageError(
            f"{path} has {what}; it has {', '.join(columns) or 'nothing'}", FORMATS[path.suffix]
        )
    both = ("test_x" in columns) + ("test_y" in columns)
    if both == 1:
        raise UsageError(f"{path} has only one of test_x and test_y", "give both, or neither")
    x, y = _examples(path, "", columns["x"], columns["y"], shape)
    if not both:
        return Examples(x, y, None, None)
    test_x, test_y = _examples(path, "test_", columns["test_x"], columns["test_y"], shape)
    for name, train, test in (("x", x, test_x), ("y", y, test_y)):
        if (train.shape[1:], train.dtype) != (test.shape[1:], test.dtype):
            raise UsageError(
                f"{path}: {name} is {_spelled(train)}, but test_{name} is {_spelled(test)}",
                "give both the same shape of an example, and the same type",
            )
    return Examples(x, y, test_x, test_y)


def _columns(path: Path) -> dict[str, Array]:
    if not path.is_file():
        raise UsageError(f"data=arrays: there is no file {path}", "type data.path=FILE")
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return dict(archive)
        if path.suffix == ".parquet":
            return _parquet(path)
    except (OSError, ValueError, BadZipFile) as error:
        reason = str(error).splitlines()[0]
        if "allow_pickle" in reason:
            reason = "it holds Python objects, or is none"
        raise UsageError(
            f"{path} cannot be read as {path.suffix}: {reason}", FORMATS[path.suffix]
        ) from error
    raise UsageError(f"{path} is neither .npz nor .parquet", "save it as one of these")


def _parquet(path: Path) -> dict[str, Array]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    index = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    names = [name for name in table.column_names if name not in index]  # pandas keeps its index
    columns = {name: table[name].to_numpy() for name in names}
    if surplus := [name for name in names if "x" in names and name not in ("x", "y")]:
        raise UsageError(
            f"{path} has a column x and others beside it: {', '.join(surplus[:3])}",
            "keep x as a column of lists, or one column a feature and none called x",
        )
    if "y" not in columns:
        return columns  # and be told what is missing
    if "x" not in columns:
        features = [values for name, values in columns.items() if name != "y"]
        found = {"x": np.stack(features, 1)} if features else {}
    elif pa.types.is_nested(table.schema.field("x").type):
        found = {"x": np.stack([np.asarray(row) for row in columns["x"]])}
    else:
        found = {"x": columns["x"][:, None]}
    return found | {"y": columns["y"]}


def _examples(
    path: Path, prefix: str, x: Array, y: Array, shape: tuple[int, ...] | None
) -> tuple[Array, Array]:
    for name, values in ((f"{prefix}x", x), (f"{prefix}y", y)):
        if values.dtype.kind not in "biuf":
            raise UsageError(
                f"{path}: {name} is of {values.dtype}, numbers are needed",
                "save numbers; of labels for example numpy.unique(y, return_inverse=True)[1]",
            )
        if len(values) < FEWEST or not values.size:
            raise UsageError(
                f"{path}: {name} has shape {values.shape}",
                f"give {FEWEST} examples at least, each of one number at least",
            )
        if not (np.abs(values.astype(np.float64)) <= np.finfo(np.float32).max).all():
            raise UsageError(
                f"{path}: {name} has values that are not finite as 32-bit numbers",
                "leave them out, or scale them",
            )
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim == 3:  # noqa: PLR2004  images of one channel
        x = x[:, None]
    if shape is not None and x.ndim == VECTORS and np.prod(shape) == x.shape[1]:
        x = x.reshape(len(x), *shape)
    if x.ndim not in (VECTORS, IMAGES) or y.ndim not in (1, 2) or len(x) != len(y):
        raise UsageError(
            f"{path}: {prefix}x has shape {x.shape}, {prefix}y {y.shape}",
            "x is [examples, features] or [examples, channels, height, width], y [examples]",
        )
    if x.ndim == IMAGES and x.shape[3] in COLOURS and x.shape[1] not in COLOURS and shape is None:
        last = "x".join(map(str, x.shape[1:]))
        raise UsageError(
            f"{path}: {prefix}x has images of {last}, which looks like channels last",
            f"save numpy.moveaxis(x, 3, 1), or type data.x_shape={last} if it is channels first",
        )
    return x.astype(np.float64), _answers(path, f"{prefix}y", y)


def _answers(path: Path, name: str, y: Array) -> Array:
    """Labels [examples] or targets [examples, targets]."""
    if y.dtype.kind == "f":
        return y.astype(np.float64).reshape(len(y), -1)
    if y.ndim != 1 or y.min() < 0:
        raise UsageError(
            f"{path}: {name} is of whole numbers, so labels, of shape {y.shape} from {y.min()}",
            "labels are [examples] and count from 0; save targets as floats",
        )
    if y.max() >= MOST_LABELS:
        raise UsageError(
            f"{path}: {name} is of whole numbers, so labels, up to {y.max()}",
            f"labels are below {MOST_LABELS:,}; save targets as floats",
        )
    return y.astype(np.int64)


def _spelled(values: Array) -> str:
    return f"{values.dtype}[{', '.join(map(str, ('examples', *values.shape[1:])))}]"
