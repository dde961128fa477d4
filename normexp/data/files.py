"""Data that stand in the user's files: read once, described in the configuration. Needs no torch.

A run is named by what its data are, not by where they stand: a digest of the numbers is filled in,
and compared whenever it is given, such as in the command that makes a run again.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from normexp.config.data import Arrays, Cifar10, Data
from normexp.config.field import expanded, spell
from normexp.data.answers import answered, described, doubt
from normexp.data.arrays import Examples, read_examples
from normexp.data.cifar10 import ARCHIVES, BINARY, FOLDERS, PYTHON, Images, read_release
from normexp.data.scale import Spread
from normexp.errors import UsageError

DIGEST = 12
"""Hex digits, as of a run."""

SHARE_FOR_TESTING = 5
"""Of so many examples one is for testing, unless the file or the user says otherwise."""


def settled_data(data: Data) -> Data:
    """The configuration with what its file says filled in.

    Raises:
        UsageError: the file is missing or damaged, or is not what the configuration says.
    """
    if isinstance(data, Cifar10):
        return _settled_cifar10(data)
    return _settled_arrays(data) if isinstance(data, Arrays) else data


def read_cifar10(data: Cifar10) -> tuple[Images, Images]:
    """The training and test images of a release.

    Raises:
        UsageError: it is missing or damaged, or its digest is not the one recorded.
    """
    path = _absolute(data.path)
    images, digest = _release(path, data.verify, _stamp(data.path))
    _compare(path, data, {"digest": digest})
    return images


def read_arrays(data: Arrays) -> Examples:
    """The examples of the user's file, y as labels or targets.

    Raises:
        UsageError: it is missing or damaged, or its digest is not the one recorded.
    """
    path, shape = _absolute(data.path), data.shape if data.x_shape is not None else None
    examples, digest = _examples(path, shape, _stamp(data.path))
    _compare(path, data, {"digest": digest})
    return answered(data.path, examples, data.y_size)[0]


@lru_cache(maxsize=64)
def notes(data: Arrays) -> tuple[str, ...]:
    """What the user's file holds, and what of it is probably not meant."""
    path, shape = _absolute(data.path), data.shape
    there, _ = _examples(path, shape, _stamp(path))
    examples = answered(path, there, data.y_size)[0]
    first, last = ("the first ", "the last ") if data.order == "file" else ("", "")
    own = "" if examples.test_y is None else " of its own"
    held = (
        f"{data.path}: {first}{data.train_size} examples for training, "
        f"{'' if own else last}{data.test_size}{own} for testing; "
        f"x {data.x_shape}, {described(examples, data.y_size)}"
    )
    return tuple(filter(None, (held, doubt(there) if examples is there else None)))


@lru_cache(maxsize=64)
def spreads(data: Arrays) -> tuple[Spread, ...]:
    """How large the numbers of every column are and how much they vary, by feature or channel."""
    examples = read_arrays(data)._asdict().items()
    return tuple(
        _spread(f"{name}[:, {number}]", part[:, number])
        for name, part in examples
        if part is not None and part.dtype.kind == "f"
        for number in range(part.shape[1])
    )


def _settled_cifar10(data: Cifar10) -> Cifar10:
    path = _absolute(data.path)
    (train, test), digest = _release(path, data.verify, _stamp(data.path))
    for name, wanted, there in (
        ("train_size", data.train_size, len(train.y)),
        ("test_size", data.test_size, len(test.y)),
    ):
        if wanted > there:
            raise UsageError(
                f"data.{name}={wanted}: the files in {path} hold {there} such images",
                f"type data.{name}={there}",
            )
    _compare(path, data, {"digest": digest})
    return replace(data, path=path, digest=digest)


def _settled_arrays(data: Arrays) -> Arrays:
    path = _absolute(data.path)
    shape = _typed_shape(data)
    examples, digest = _examples(path, shape, _stamp(data.path))
    own_test = examples.test_y is not None
    there = len(examples.y)
    test_size = data.test_size or (
        len(examples.test_y) if examples.test_y is not None else max(2, there // SHARE_FOR_TESTING)
    )
    train_size = data.train_size or (there if own_test else there - test_size)
    _check_sizes(path, examples, train_size, test_size)
    _, outputs = answered(path, examples, data.y_size)
    found: dict[str, Any] = {
        "x_shape": "x".join(map(str, examples.x.shape[1:])),
        "y_size": outputs,
        "digest": digest,
    }
    _compare(path, data, found)
    found |= {"train_size": train_size, "test_size": test_size}
    return replace(data, path=path, **found)


def _typed_shape(data: Arrays) -> tuple[int, ...] | None:
    if data.x_shape is None:
        return None
    try:
        shape = data.shape
    except ValueError:
        shape = ()
    if len(shape) not in (1, 3) or min(shape) < 1:
        raise UsageError(
            f"data.x_shape={data.x_shape}: features, or channels, height and width are needed",
            "type for example data.x_shape=12 or data.x_shape=3x32x32",
        )
    return shape


def _check_sizes(path: str, examples: Examples, train_size: int, test_size: int) -> None:
    there = len(examples.y)
    own_test = None if examples.test_y is None else len(examples.test_y)
    needed = train_size if own_test is not None else train_size + test_size
    if train_size < 2 or needed > there or (own_test is not None and test_size > own_test):  # noqa: PLR2004
        held = f"{there} examples" + (f" and {own_test} tests" if own_test is not None else "")
        raise UsageError(
            f"{path} holds {held}: not enough for {train_size} to train and {test_size} to test",
            "type smaller data.train_size and data.test_size, both from 2, or leave them out",
        )


def _compare(path: str, data: Data, found: Mapping[str, Any]) -> None:
    for name, value in found.items():
        typed = getattr(data, name)
        if typed is not None and typed != value:
            raise UsageError(
                f"data.{name}={spell(typed)}, but {path} has {spell(value)}: not the same data",
                f"leave out data.{name} to take the file as it is",
            )


@lru_cache(maxsize=2)
def _release(path: str, verify: bool, _: object) -> tuple[tuple[Images, Images], str]:  # noqa: FBT001
    train, test = read_release(Path(path), verify=verify)
    return (train, test), _digest([*train, *test])


@lru_cache(maxsize=4)
def _examples(path: str, shape: tuple[int, ...] | None, _: object) -> tuple[Examples, str]:
    examples = read_examples(Path(path), shape)
    return examples, _digest([part for part in examples if part is not None])


def _digest(arrays: list[np.ndarray[Any, Any]]) -> str:
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(f"{array.shape}{array.dtype}".encode())
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()[:DIGEST]


def _spread(name: str, values: np.ndarray[Any, Any]) -> Spread:
    """Scaled, so that neither overflows."""
    largest = float(np.abs(values).max())
    return Spread(name, largest, largest * float((values / (largest or 1)).std()))


def _absolute(path: str) -> str:
    return str(expanded(path).resolve())


def _stamp(path: str) -> object:
    """Changes when a file does, so that nothing old is remembered."""
    place = expanded(path)
    names = (*PYTHON, *BINARY)
    files = [place, *(place / name for name in ARCHIVES)]
    files += [place / folder / name for folder in FOLDERS for name in names]
    found = []
    for file in files:
        with suppress(OSError):
            about = file.stat()
            found.append((str(file), about.st_mtime_ns, about.st_size))
    return tuple(found)
