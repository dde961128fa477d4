"""Which runs are measured by the same answers: losses on other data are on another scale."""

from collections.abc import Iterable, Mapping
from typing import Any

from normexp.config.defaults import typed
from normexp.config.tree import known_keys

OTHER_QUESTIONS = ("train_size", "test_size", "features", "motion", "rate", "path", "verify",
                   "x_shape")  # fmt: skip
"""Fields of data that leave the answers as they are: how many examples, and what x is like."""

ANSWERS = tuple(
    path
    for path in known_keys()
    if path.startswith("data.") and path.removeprefix("data.") not in OTHER_QUESTIONS
)
"""Fields of data that say what the answers are: the kind, a file's digest, noise, classes."""

DataSet = tuple[Any, ...]


def data_set(values: Mapping[str, Any]) -> DataSet:
    """Equal for runs whose losses can be compared, of a row or of the fields that differ."""
    return tuple(values.get(path) for path in ANSWERS)


def data_sets(rows: Iterable[Mapping[str, Any]]) -> dict[DataSet, str]:
    """The data sets of some runs, and a name for each that tells it from the others."""
    found = {data_set(row): row for row in rows}
    telling = [
        path
        for path in ANSWERS
        if len({repr(row.get(path)) for row in found.values() if path in row}) > 1
    ]
    return {
        key: " ".join(typed(path, row[path]) for path in telling if path in row)
        for key, row in found.items()
    }
