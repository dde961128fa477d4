"""Files that anybody may have put there: regular ones, so much and no more, as a manifest says.

All that normexp reads of a store is opened here, large Parquet files and weights apart. Functions
raise OSError where a file is missing, too large or something else than a file, and ValueError where
its content is not what it should be.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from normexp.store.texts import from_json

T = TypeVar("T")

FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_CLOEXEC")
)
"""To open what may be a link or a pipe; not every platform has all of them."""

MOST_BYTES = 2**24
"""The largest manifest that is read; a sweep's names all of its failed runs."""

MOST_IN_MEMORY = 2**26
"""The largest file that is read whole; a larger one is digested piece by piece."""

LOST = (
    errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO, errno.EINVAL, errno.EFBIG,
    None,
)  # fmt: skip
"""Errors that say something of a file; others say that it could not be looked at."""


def open_regular(path: str | Path) -> int:
    """Return a descriptor of a regular file: no link is followed, no pipe waited for."""
    file = os.open(path, FLAGS)
    if not stat.S_ISREG(mode := os.fstat(file).st_mode):
        os.close(file)
        raise _no_file(mode, path)
    return file


def require_regular(path: Path) -> None:
    """Make sure that a library may open a file, which would follow links and wait for pipes."""
    if not stat.S_ISREG(mode := path.lstat().st_mode):
        raise _no_file(mode, path)


def read_regular(path: str | Path, most: int) -> bytes:
    """Return the content of a regular file of at most so many bytes."""
    file = open_regular(path)
    try:
        content = _read(file, most + 1)
    finally:
        os.close(file)
    if len(content) > most:
        raise OSError(errno.EFBIG, "too large", str(path))
    return content


def read_json(path: str | Path, kind: type[T], most: int = MOST_BYTES) -> T:
    """Return the content of a file of JSON as a value of a type."""
    return from_json(read_regular(path, most), kind)


def verified(path: str | Path, about: Mapping[str, Any]) -> bytes | None:
    """Return a file's content if it is what the manifest says; None if too large for memory."""
    file = open_regular(path)
    try:
        size = os.fstat(file).st_size
        if size != about["bytes"]:
            raise ValueError(f"it has {size:,} bytes, its manifest says {about['bytes']:,}")
        if size <= MOST_IN_MEMORY:
            content = _read(file, size)
            digest = hashlib.sha256(content).hexdigest()
        else:
            content = None
            with os.fdopen(file, "rb", closefd=False) as whole:
                digest = hashlib.file_digest(whole, "sha256").hexdigest()
    finally:
        os.close(file)
    if digest != about["sha256"]:
        raise ValueError("it is not what was written (SHA-256 differs)")
    return content


def check_files(
    directory: Path, files: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, bytes | None]]:
    """Return what is wrong with files that a manifest names, and the contents of the right ones.

    A file too large for memory has None for its content.

    Raises:
        OSError: a file could not be looked at, as without the right to, which says nothing of it.
    """
    wrong, contents = {}, {}
    for name, about in files.items():
        try:
            if (directory / name).parent.is_symlink():
                raise ValueError("it is behind a link")  # noqa: TRY301
            contents[name] = verified(directory / name, about)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError) and error.errno not in LOST:
                raise
            wrong[name] = reason(error)
    return wrong, contents


def reason(error: BaseException) -> str:
    """Return in a few words why something cannot be read."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error) if type(error) is ValueError else type(error).__name__
    words = {
        errno.ELOOP: "it is a link, not a file",
        errno.ENOENT: "it is missing",
        errno.ENXIO: "it is a device or socket, not a file",
    }
    return words.get(error.errno or 0, error.strerror[:1].lower() + error.strerror[1:])


def _read(file: int, most: int) -> bytes:
    content = os.read(file, most)
    while len(content) < most and (rest := os.read(file, most - len(content))):
        content += rest
    return content


def _no_file(mode: int, path: str | Path) -> OSError:
    kinds = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a directory", stat.S_IFIFO: "a pipe"}
    what = kinds.get(stat.S_IFMT(mode), "a device or socket")
    return OSError(errno.EINVAL, f"it is {what}, not a file", str(path))
