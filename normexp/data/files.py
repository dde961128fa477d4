"""Data that stand in the user's files: read once, described in the configuration. Needs no torch.

A run is named by what its data are, not by where they stand: a digest of the numbers is filled in,
and compared whenever it is given, such as in the command that makes a run again.

Answers y are labels of classes, or targets: whole numbers are labels and others are targets, unless
`data.y_size` says otherwise: of one column, 1 is a target, and more are classes.
"""

import hashlib
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from normexp.config.data import Arrays, Cifar10, Data
from normexp.config.field import expanded, spell
from normexp.data.arrays import FEWEST, Array, Contents, read_examples
from normexp.data.cifar10 import ARCHIVES, BINARY, FOLDERS, PYTHON, Images, read_release
from normexp.data.scale import Spread
from normexp.errors import UsageError

DIGEST = 12
"""Hex digits, as of a run."""

SHARE_FOR_TESTING = 5
"""One example of so many is for testing, unless the file or the user says otherwise."""


def settled_data(data: Data) -> Data:
    """Return the configuration with what its file says filled in.

    Raises:
        UsageError: the file is missing or damaged, or is not what the configuration says.
    """
    if isinstance(data, Cifar10):
        return _settled_cifar10(data)
    return _settled_arrays(data) if isinstance(data, Arrays) else data


def read_cifar10(data: Cifar10) -> tuple[Images, Images]:
    """Read the training and test images of a release.

    Raises:
        UsageError: it is missing or damaged, or its digest is not the one recorded.
    """
    path = _absolute(data.path)
    images, digest = _release(path, data.verify, _stamp(path))
    _compare(path, data, digest=digest)
    return images


def read_arrays(data: Arrays) -> Contents:
    """Read the examples of the user's file, y as labels or targets.

    Raises:
        UsageError: it is missing or damaged, or its digest is not the one recorded.
    """
    path, shape = _absolute(data.path), data.shape if data.x_shape is not None else None
    examples, digest = _examples(path, shape)
    _compare(path, data, digest=digest)
    return answered(data.path, examples, data.y_size)[0]


@lru_cache(maxsize=64)
def notes(data: Arrays) -> tuple[str, ...]:
    """Return what the user's file holds, and what of it is probably not meant."""
    path = _absolute(data.path)
    there, _ = _examples(path, data.shape)
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
    """Return how much every column varies, by feature or channel."""
    found = []
    for name, part in read_arrays(data)._asdict().items():
        if part is None or part.dtype.kind != "f":
            continue
        for number in range(part.shape[1]):
            values = part[:, number]
            largest = float(np.abs(values).max())
            std = largest * float((values / (largest or 1)).std())  # scaled: neither overflows
            found.append(Spread(f"{name}[:, {number}]", largest, std))
    return tuple(found)


def _settled_cifar10(data: Cifar10) -> Cifar10:
    path = _absolute(data.path)
    (train, test), digest = _release(path, data.verify, _stamp(path))
    for name, wanted, there in (
        ("train_size", data.train_size, len(train.y)),
        ("test_size", data.test_size, len(test.y)),
    ):
        if wanted > there:
            raise UsageError(
                f"data.{name}={wanted}: the files in {path} hold {there} such images",
                f"type data.{name}={there}",
            )
    _compare(path, data, digest=digest)
    return replace(data, path=path, digest=digest)


def _settled_arrays(data: Arrays) -> Arrays:
    path = _absolute(data.path)
    examples, digest = _examples(path, _typed_shape(data))
    there, own_tests = len(examples.y), None
    test_size = data.test_size or max(2, there // SHARE_FOR_TESTING)
    train_size = data.train_size or there - test_size
    needed, held = train_size + test_size, f"{there} examples"
    if examples.test_y is not None:
        own_tests = len(examples.test_y)
        test_size, train_size = data.test_size or own_tests, data.train_size or there
        needed, held = train_size, f"{there} examples and {own_tests} tests"
    if train_size < FEWEST or needed > there or test_size > (own_tests or there):
        raise UsageError(
            f"{path} holds {held}: not enough for {train_size} to train and {test_size} to test",
            "type smaller data.train_size and data.test_size, both from 2, or leave them out",
        )
    _, outputs = answered(path, examples, data.y_size)
    shape = "x".join(map(str, examples.x.shape[1:]))
    _compare(path, data, x_shape=shape, y_size=outputs, digest=digest)
    found = replace(data, path=path, x_shape=shape, y_size=outputs, digest=digest)
    return replace(found, train_size=train_size, test_size=test_size)


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


def _compare(path: str, data: Data, **found: object) -> None:
    """Refuse a file that is not what the configuration says."""
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


def _examples(path: str, shape: tuple[int, ...] | None) -> tuple[Contents, str]:
    """A file's arrays and their digest; they are read as vectors unless the shape is an image's."""
    image = shape if shape is not None and len(shape) > 1 else None
    return _read(path, image, _stamp(path))


@lru_cache(maxsize=4)
def _read(path: str, image: tuple[int, ...] | None, _: object) -> tuple[Contents, str]:
    examples = read_examples(Path(path), image)
    return examples, _digest([part for part in examples if part is not None])


def _digest(arrays: list[np.ndarray[Any, Any]]) -> str:
    whole = hashlib.sha256()
    for array in arrays:
        whole.update(f"{array.shape}{array.dtype}".encode())
        whole.update(np.ascontiguousarray(array).data)
    return whole.hexdigest()[:DIGEST]


def _absolute(path: str) -> str:
    return str(expanded(path).resolve())


def _stamp(path: str) -> object:
    """A value that changes when a file does, so that nothing old is remembered."""
    place = Path(path)
    names = (*PYTHON, *BINARY)
    files = [place, *(place / name for name in ARCHIVES)]
    files += [place / folder / name for folder in FOLDERS for name in names]
    found = []
    for file in files:
        with suppress(OSError):
            about = file.stat()
            found.append((str(file), about.st_mtime_ns, about.st_size))
    return tuple(found)


MOST_LABELS = 100_000

FEW_VALUES = 20
"""Floats with at most so many different whole values look like classes."""

RELABEL = "save numpy.unique(y, return_inverse=True)[1] as y"


def answered(path: str, examples: Contents, y_size: int | None) -> tuple[Contents, int]:
    """Return examples with y as int64 labels [examples] or float64 targets [examples, targets].

    Args:
        path: of the file, for messages.
        examples: as the file has them.
        y_size: what was typed or is recorded.

    Returns:
        The examples, and how many numbers a network predicts.

    Raises:
        UsageError: y has no labels from 0, or they are not what `y_size` says.
    """
    parts = [part for part in (examples.y, examples.test_y) if part is not None]
    columns = parts[0].shape[1] if parts[0].ndim > 1 else 1
    if parts[0].dtype.kind == "f":
        if columns > 1 or y_size in (None, 1):
            return examples, columns
        if not all(((part == part.round()) & (abs(part) < 2**53)).all() for part in parts):
            raise UsageError(
                f"data.y_size={y_size}, but y of {path} has numbers that are no labels",
                "leave out data.y_size for a regression",
            )
        parts = [part[:, 0].astype(np.int64) for part in parts]
        outputs = _classes(path, parts, y_size)
    elif y_size == columns:
        parts = [part.astype(np.float64).reshape(len(part), -1) for part in parts]
        outputs = columns
    else:
        outputs = _classes(path, parts, y_size)
    return examples._replace(y=parts[0], test_y=parts[1] if len(parts) > 1 else None), outputs


def described(examples: Contents, y_size: int | None) -> str:
    """Return `answered`'s y in words, such as "y 1 target (regression)"."""
    if examples.y.dtype.kind == "f":
        return f"y {y_size} target{'' if y_size == 1 else 's'} (regression)"
    parts = [part for part in (examples.y, examples.test_y) if part is not None]
    lowest, highest = min(part.min() for part in parts), max(part.max() for part in parts)
    return f"y labels from {lowest} to {highest} ({y_size} classes)"


def doubt(examples: Contents) -> str | None:
    """Return a note on floats of a file that look like classes, with what to type if they are."""
    y = examples.y
    if y.dtype.kind != "f" or not (y == y.round()).all():
        return None
    if y.shape[1] > 1:
        one_hot = ((y == 0) | (y == 1)).all() and (y.sum(1) == 1).all()
        return "each y has a single 1: for classes save y.argmax(1) as y" if one_hot else None
    values = np.unique(y)
    if not 1 < len(values) <= min(FEW_VALUES, len(y) / 2):
        return None
    named = ", ".join(f"{value:g}" for value in values)
    counted = np.array_equal(values, np.arange(len(values)))
    todo = f"type data.y_size={len(values)}" if counted else RELABEL
    return f"y is of floats that are {named} only: a regression; for classes {todo}"


def _classes(path: str, parts: list[Array], y_size: int | None) -> int:
    """The number of classes, every one with an example unless `y_size` is typed."""
    shape, whole = parts[0].shape, np.concatenate([part.ravel() for part in parts])
    lowest, highest = int(whole.min()), int(whole.max())
    if len(shape) > 1:
        raise UsageError(
            f"{path}: y is of whole numbers, so labels, but of shape {shape}",
            f"labels are [examples]: save y.argmax(1) where each has a single 1, or type "
            f"data.y_size={shape[1]} for targets",
        )
    if lowest < 0 or highest >= MOST_LABELS:
        raise UsageError(
            f"{path}: y is of whole numbers, so labels, from {lowest} up to {highest}",
            f"labels are from 0 and below {MOST_LABELS:,}: {RELABEL}, or type data.y_size=1 for a "
            "target",
        )
    if y_size is not None:
        if y_size <= highest:
            raise UsageError(
                f"data.y_size={y_size}, but {path} has labels up to {highest}",
                f"type data.y_size={highest + 1}, or leave it out",
            )
        return y_size
    counts = np.bincount(whole, minlength=2)
    if np.count_nonzero(counts) == 1:
        raise UsageError(
            f"{path}: y is {highest} everywhere, so there is one class only",
            f"give examples of two, or type data.y_size={len(counts)} if that is meant, or "
            "data.y_size=1 for a target",
        )
    if not counts.all():
        raise UsageError(
            f"{path}: labels from {lowest} to {highest} are {len(counts)} classes, counted from 0, "
            f"and class {np.argmin(counts)} has no example",
            f"{RELABEL}, or type data.y_size={len(counts)} if that is meant",
        )
    return highest + 1
