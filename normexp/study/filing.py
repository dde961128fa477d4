"""The name that a study is kept under: its own, or one that the user gives what is typed."""

import re
from collections.abc import Sequence

from normexp.config.answers import ANSWERS
from normexp.config.schema import RunConfig
from normexp.errors import UsageError
from normexp.study.axis import Axis

MOST_CHARACTERS = 100
"""Of a name that the user gives."""

TAKEN = ("reports", "sweeps", "trajectories")
"""Directories of a store or of a study that are none of a study's."""

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def safe(name: str) -> str:
    """A study's name as a directory: nothing that could lead out of the store.

    Raises:
        UsageError: it cannot be one.
    """
    flat = name.replace("/", "-")
    if not NAME.fullmatch(flat):
        raise UsageError(
            f"study name {name!r} cannot be a directory", "use letters, digits, '_', '-' and '.'"
        )
    return flat


def chosen_name(name: str, studies: Sequence[str]) -> str:
    """The name that the user gives a study.

    Args:
        name: as typed.
        studies: names in the configs; each has its own directory.

    Raises:
        UsageError: it cannot be a directory, or is somebody else's.
    """
    if not NAME.fullmatch(name) or len(name) > MOST_CHARACTERS:
        raise UsageError(
            f"--as {name!r}: a letter, a digit or '_' is needed, then more of these, '-' and '.'; "
            f"{MOST_CHARACTERS} characters at most",
            "type for example --as my_study",
        )
    if name in studies or name in TAKEN:
        whose = "the configs have a study of that name" if name in studies else "normexp uses it"
        raise UsageError(f"--as {name}: {whose}", f"type another name, such as --as my_{name}")
    return name


def is_about_data(axis: Axis) -> bool:
    """Whether it says which data, or which kind of model."""
    return axis.key in ("data", "model", "data.path", *ANSWERS) and not axis.drops


def foreign(axes: Sequence[Axis], own: RunConfig, swept: Sequence[Axis]) -> list[str]:
    """What is typed of other data, or of another kind of model, than a study has.

    Args:
        axes: as typed, about data or the model.
        own: the study's configuration.
        swept: the study's own axes.
    """
    values = {axis.key: axis.values for axis in swept}
    return [
        axis.spelled()
        for axis in axes
        if any(each not in values.get(axis.key, (_own(axis.key, own),)) for each in axis.values)
    ]


def _own(key: str, own: RunConfig) -> object:
    """The value that a study has; None where its data have no such field."""
    if key in ("data", "model"):
        return str(getattr(own, key).kind)
    return getattr(own.data, key.removeprefix("data."), None)
