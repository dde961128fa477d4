"""The user's own examples from a .npz or a Parquet file. Needs no torch.

A .npz has `x` and `y`, and may have `test_x` and `test_y`. A Parquet file has a column `y`, and a
column `x` of lists or one column a feature. x is [examples, features], [examples, height, width] or
[examples, channels, height, width]; y is whole numbers (labels, from 0) or others (targets), unless
`data.y_size` says otherwise.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from normexp.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Array = np.ndarray[Any, Any]

COLOURS = (1, 3, 4)
"""Usual numbers of channels."""

FORMATS = {
    ".npz": "save it with numpy.savez(FILE, x=..., y=...), and test_x, test_y if there are tests",
    ".parquet": "it needs a column y, and a column x of lists or one column of numbers a feature",
}
"""Contents that each format needs, for messages."""

FEWEST = 2
"""Examples for training, and for testing."""

VECTORS, GREY, IMAGES = 2, 3, 4
"""Dimensions of x: of vectors, of images without a channel, of images with channels."""

MOST_NAMES = 10
"""Names of columns listed in a message."""


class Contents(NamedTuple):
    """The arrays of a file, examples first."""

    x: Array  # float64 [examples, features] or [examples, channels, height, width]
    y: Array  # int64 [examples] or [examples, targets], or float64 [examples, targets]
    test_x: Array | None
    test_y: Array | None


def read_examples(path: Path, shape: tuple[int, ...] | None) -> Contents:
    """Read the examples of a file.

    Args:
        path: ends in .npz or .parquet.
        shape: of one example's x, where its numbers stand in one row but are an image.

    Raises:
        UsageError: the file is missing or damaged, or x and y do not fit.
    """
    columns = _columns(path)
    both = ("test_x" in columns) + ("test_y" in columns)
    if both == 1:
        raise UsageError(f"{path} has only one of test_x and test_y", "give both, or neither")
    x, y = _examples(path, "", columns, shape)
    if not both:
        return Contents(x, y, None, None)
    test_x, test_y = _examples(path, "test_", columns, shape)
    for name, train, test in (("x", x, test_x), ("y", y, test_y)):
        if (train.shape[1:], train.dtype) != (test.shape[1:], test.dtype):
            spelled, of_test = (
                f"{each.dtype}[{', '.join(map(str, ('examples', *each.shape[1:])))}]"
                for each in (train, test)
            )
            raise UsageError(
                f"{path}: {name} is {spelled}, but test_{name} is {of_test}",
                "give both the same shape of an example, and the same type",
            )
    return Contents(x, y, test_x, test_y)


def _columns(path: Path) -> dict[str, Array]:
    if path.suffix not in FORMATS:
        raise UsageError(f"{path} is neither .npz nor .parquet", "save it as one of these")
    try:
        if path.is_file():
            return _npz(path) if path.suffix == ".npz" else _parquet(path)
    except UsageError:
        raise
    except Exception as error:  # a damaged file raises whatever its bytes say
        text = getattr(error, "strerror", None) or str(error) or error.__class__.__name__
        reason = text.splitlines()[0]
        if "allow_pickle" in reason:
            reason = "it holds Python objects, or is none"
        raise UsageError(
            f"{path} cannot be read as {path.suffix}: {reason}", FORMATS[path.suffix]
        ) from error
    raise UsageError(f"data=arrays: there is no file {path}", "type data.path=FILE")


def _npz(path: Path) -> dict[str, Array]:
    with path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise UsageError(f"{path} is a single array, as in a .npy", FORMATS[".npz"])
        with archive:
            _check_arrays(path, archive.files)
            columns = {name: archive[name] for name in archive.files}
    for name, values in columns.items():
        if not isinstance(values, np.ndarray):
            raise UsageError(f"{path}: {name} is no array", FORMATS[".npz"])
    return columns


def _check_arrays(path: Path, names: list[str]) -> None:
    for name in ("x", "y"):
        if name not in names:
            raise _lacking(path, name, names)
    if foreign := [name for name in names if name not in Contents._fields]:
        near = _meant(foreign[0])
        raise UsageError(
            f"{path} has an array {foreign[0]}, which nothing would read; it has {_listed(names)}",
            f"did you mean {near}?" if near else FORMATS[".npz"],
        )


def _parquet(path: Path) -> dict[str, Array]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:  # read_table adds what a folder's name=value says
        table = file.read()
    index = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    names = [name for name in table.column_names if name not in index]  # pandas keeps its index
    _check_names(path, names)
    for name in names:
        _check_column(path, name, table[name])
    y = table["y"].to_numpy()
    if "x" not in names:
        return {"x": np.stack([table[name].to_numpy() for name in names if name != "y"], 1), "y": y}
    x = table["x"].to_numpy()
    if pa.types.is_nested(table.schema.field("x").type):
        sizes = {len(row) for row in x}
        if len(sizes) > 1:
            raise UsageError(
                f"{path}: column x has lists of {min(sizes)} to {max(sizes)} numbers",
                "give every example as many",
            )
        x = np.stack(list(x))
    return {"x": x, "y": y}


def _check_names(path: Path, names: list[str]) -> None:
    """Refuse columns that would be features and are something else, such as the answers."""
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"{path} has two columns {twice[0]}", "leave one out, or rename it")
    if "y" not in names:
        raise _lacking(path, "y", names)
    for name in names:
        meant = _meant(name)
        if meant in ("test_x", "test_y"):
            raise UsageError(
                f"{path} has a column {name}, and a Parquet file has no test set of its own",
                "save numpy.savez(FILE, x=..., y=..., test_x=..., test_y=...), or leave it out",
            )
        if meant == "y" and name != "y":
            raise UsageError(
                f"{path} has a column y and a column {name}: which has the answers?",
                f"leave {name} out, or rename it if it is a feature",
            )
    if "x" not in names and len(names) == 1:
        raise _lacking(path, "x", names)
    if surplus := [name for name in names if "x" in names and name not in ("x", "y")]:
        raise UsageError(
            f"{path} has a column x and others beside it: {', '.join(surplus[:3])}",
            "keep x as a column of lists, or one column a feature and none called x",
        )


def _check_column(path: Path, name: str, column: "pa.ChunkedArray") -> None:
    import pyarrow.types as of

    kind = column.type
    is_list = of.is_list(kind) or of.is_large_list(kind) or of.is_fixed_size_list(kind)
    each = kind.value_type if is_list and name == "x" else kind
    if not (of.is_integer(each) or of.is_floating(each) or of.is_boolean(each)):
        near = _meant(name) if is_list else None
        raise UsageError(
            f"{path}: column {name} is of {kind}, numbers are needed",
            f"did you mean {near}?" if near and near != name else _as_numbers(name),
        )
    if column.null_count:
        raise UsageError(
            f"{path}: column {name} lacks {column.null_count} of {len(column)} values",
            "leave these examples out, or fill them in",
        )
    if not is_list:
        _check_numbers(path, f"column {name}", column.to_numpy())


def _examples(
    path: Path, prefix: str, columns: dict[str, Array], shape: tuple[int, ...] | None
) -> tuple[Array, Array]:
    """Return x as float64, and y as int64 or as float64 [examples, targets]."""
    x, y = columns[f"{prefix}x"], columns[f"{prefix}y"]
    for name, values in ((f"{prefix}x", x), (f"{prefix}y", y)):
        if values.dtype.kind not in "biuf":
            raise UsageError(
                f"{path}: {name} is of {values.dtype}, numbers are needed", _as_numbers(name)
            )
        if not values.ndim or len(values) < FEWEST or not values.size:
            raise UsageError(
                f"{path}: {name} has shape {values.shape}",
                f"give {FEWEST} examples at least, each of one number at least",
            )
        _check_numbers(path, name, values)
    if x.ndim in (1, GREY):
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
    if y.dtype.kind == "f":
        return x.astype(np.float64), y.astype(np.float64).reshape(len(y), -1)
    return x.astype(np.float64), y.astype(np.int64)


def _check_numbers(path: Path, name: str, values: Array) -> None:
    if values.dtype == np.uint64 and values.max(initial=0) > np.iinfo(np.int64).max:
        raise UsageError(f"{path}: {name} has whole numbers from 2⁶³", "save them as floats")
    finite = np.isfinite(values.astype(np.float64, copy=False))
    if not finite.all():
        first = ", ".join(map(str, np.argwhere(~finite)[0]))
        raise UsageError(
            f"{path}: {name} has values that are not finite, {np.sum(~finite)} of {finite.size}, "
            f"the first at [{first}]",
            "leave these examples out, or fill them in",
        )


def _meant(name: str) -> str | None:
    """The array that a name means in other letters, such as `Y`, `x_train` or `y-test`."""
    plain = re.sub("[^a-z0-9]|train", "", name.lower())
    letter, test = plain.replace("test", ""), "test" in plain
    if letter not in ("x", "y"):
        return None
    return f"test_{letter}" if test else letter


def _lacking(path: Path, name: str, there: Iterable[str]) -> UsageError:
    near = [each for each in there if _meant(each) == name]
    return UsageError(
        f"{path} has no {name}; it has {_listed(there)}",
        f"did you mean {near[0]}? Rename it to {name}" if near else FORMATS[path.suffix],
    )


def _listed(names: Iterable[str]) -> str:
    first = list(names)
    more = ", ..." if len(first) > MOST_NAMES else ""
    return ", ".join(first[:MOST_NAMES]) + more or "nothing"


def _as_numbers(name: str) -> str:
    if name.endswith("y"):
        return "save numbers; of labels for example numpy.unique(y, return_inverse=True)[1]"
    return "save numbers, or leave it out"
