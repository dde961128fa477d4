"""The marker of a directory that `verify` has found damaged: the next sweep makes it anew."""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from normexp.store.files import DAMAGE, STAGING_SUFFIX
from normexp.store.texts import to_json


def mark(directory: Path, problems: Sequence[str]) -> bool:
    """Leave word of what is wrong; whether that was possible."""
    if _is_behind_link(directory):
        return False
    when = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        file, name = tempfile.mkstemp(STAGING_SUFFIX, f".{DAMAGE}.", directory)
    except OSError:
        return False
    try:
        with os.fdopen(file, "wb") as partial:
            partial.write(to_json({"found": when, "problems": list(problems)}))
        Path(name).replace(directory / DAMAGE)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        return False
    return True


def unmark(directory: Path) -> None:
    """Take the marker away, since the directory is whole."""
    if not _is_behind_link(directory):
        with suppress(OSError):
            (directory / DAMAGE).unlink()


def _is_behind_link(directory: Path) -> bool:
    """Whether it, or what has it in the store, is a link: nothing is changed there."""
    above = directory.parents[: 2 if directory.parent.name == "trajectories" else 1]
    return any(path.is_symlink() for path in (directory, *above))
