"""Whether files are what a manifest says: regular ones, of that size and that digest."""

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any, NamedTuple

from normexp.store.files import FLAGS, reason

MOST_IN_MEMORY = 2**26
"""Bytes of a file that is read whole; of larger ones only the digest is made, piece by piece."""


LOST = (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, None)
"""Errors that say something of a file; others say that it could not be looked at."""


class Problem(NamedTuple):
    """One thing that is wrong.

    Attributes:
        what: in words, beginning with the file's name where it is one file's.
        damages: whether the directory has to be made anew; what merely lies about does not.
    """

    what: str
    damages: bool = True


def check_files(
    directory: Path, files: Mapping[str, Any]
) -> tuple[list[Problem], dict[str, bytes | None]]:
    """What is wrong with the files that a manifest names, and the contents of those that are right.

    A file too large for memory has None for its content.

    Raises:
        OSError: a file could not be looked at, as without the right to, which says nothing of it.
    """
    problems, contents = [], {}
    for name, about in files.items():
        try:
            contents[name] = verified(directory / name, about)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno not in LOST:
                raise
            problems.append(Problem(f"{name}: {reason(error)}"))
    return problems, contents


def open_regular(path: Path) -> BufferedReader:
    """A regular file, open for reading: no link is followed, no pipe waited for.

    Raises:
        OSError: it is missing, or a link.
        ValueError: it is something else than a file.
    """
    file = os.fdopen(os.open(path, FLAGS), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("not a regular file")
    return file


def verified(path: Path, about: Mapping[str, Any]) -> bytes | None:
    """A file's content, if it is what the manifest says."""
    there = path.lstat()
    if path.parent.is_symlink():
        raise ValueError("it is behind a link")
    if not stat.S_ISREG(there.st_mode):
        raise ValueError(f"it is {what_else(path)}, not a file")
    if there.st_size != about["bytes"]:
        raise ValueError(f"it has {there.st_size:,} bytes, its manifest says {about['bytes']:,}")
    with open_regular(path) as file:
        content = file.read() if there.st_size <= MOST_IN_MEMORY else None
        made = hashlib.file_digest(file, "sha256") if content is None else hashlib.sha256(content)
    if made.hexdigest() != about["sha256"]:
        raise ValueError("it is not what was written (SHA-256 differs)")
    return content


def what_else(path: Path) -> str:
    """What stands where a file should be."""
    mode = path.lstat().st_mode
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe"}
    return kinds.get(stat.S_IFMT(mode), "a device or socket")
