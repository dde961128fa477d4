"""Answers y: labels of classes, or targets. Needs no torch.

Whole numbers are labels and others are targets, unless `data.y_size` says otherwise: of one column,
1 is a target, and more are classes.
"""

import numpy as np

from normexp.data.arrays import Array, Examples
from normexp.errors import UsageError

MOST_LABELS = 100_000

FEW_VALUES = 20
"""Floats with at most so many different whole values look like classes."""

RELABEL = "save numpy.unique(y, return_inverse=True)[1] as y"


def answered(path: str, examples: Examples, y_size: int | None) -> tuple[Examples, int]:
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


def described(examples: Examples, y_size: int | None) -> str:
    """Return `answered`'s y in words, such as "y 1 target (regression)"."""
    if examples.y.dtype.kind == "f":
        return f"y {y_size} target{'' if y_size == 1 else 's'} (regression)"
    parts = [part for part in (examples.y, examples.test_y) if part is not None]
    lowest, highest = min(part.min() for part in parts), max(part.max() for part in parts)
    return f"y labels from {lowest} to {highest} ({y_size} classes)"


def doubt(examples: Examples) -> str | None:
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
