"""Directories and files that appear whole or not at all, and the processes that write them."""

import errno
import os
import platform
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from normexp.store.manifest import CERTIFICATE, DAMAGE, FILES, MANIFEST, OPTIONAL_FILES, sealed
from normexp.store.plain import FLAGS

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS
"""To write a file that is not there."""

STAGING_SUFFIX = ".partial"
OWNER = re.compile(r"\.(?P<process>\d+)-\d+-(?P<what>\w+)-(?P<machine>[^.]*)\.partial$")
A_DAY = 24 * 60 * 60
"""Seconds after which nobody still writes."""


def write_directory(final: Path, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Write a directory whole, in the place of what is there.

    Args:
        final: its place.
        files: contents by relative name.
        manifest: what it says beyond the digests; written last.
    """
    partial = staging(final, "new")
    partial.mkdir(parents=True)
    try:
        for folder in {name.rpartition("/")[0] for name in files} - {""}:
            (partial / folder).mkdir(parents=True)
        for name, content in {**files, MANIFEST: sealed(manifest, files)}.items():
            write_new(f"{partial}/{name}", content)
        _take_name(partial, final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def write_new(path: str | Path, content: bytes) -> None:
    """Write a file that is not there, by as few system calls as can be."""
    file = os.open(path, NEW, 0o666)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(file, left) :]
    finally:
        os.close(file)


def write_file(final: Path, content: bytes) -> None:
    """Write a file whole, in the place of what is there."""
    partial = staging(final, "new")
    try:
        partial.unlink(missing_ok=True)  # of a process that had this one's number, or a link
        write_new(partial, content)
        partial.replace(final)
    finally:
        partial.unlink(missing_ok=True)


def staging(final: Path, what: str) -> Path:
    """Return a hidden name beside the final one that says which process writes there."""
    owner = f"{os.getpid()}-{threading.get_ident()}-{what}-{machine()}"
    return final.parent / f".{final.name}.{owner}{STAGING_SUFFIX}"


def _take_name(partial: Path, final: Path) -> None:
    """Rename a finished directory to its place, and keep what a user has put into the old one.

    A link that stands there goes, and is not followed.

    Raises:
        OSError: something else stands there, or there is no room; the old one is there still.
    """
    with suppress(OSError):  # almost always nothing is there: one call, a million times
        partial.rename(final)
        return
    old = staging(final, "old")
    if final.exists() and not final.is_dir() and not final.is_symlink():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(final))
    with suppress(OSError):  # nothing there, or another process is a moment ahead of us
        final.rename(old)
    try:
        partial.rename(final)
    except OSError:
        if old.exists() and not final.exists():
            old.rename(final)
        if not (final / MANIFEST).is_file():
            raise
    ours = {MANIFEST, DAMAGE, CERTIFICATE, ".hydra"}.union(OPTIONAL_FILES, *FILES.values())
    for path in sorted(old.iterdir()) if old.is_dir() and not old.is_symlink() else ():
        if path.name not in ours and not (final / path.name).exists():
            path.rename(final / path.name)
    remove(old)


def remove_abandoned(directory: Path) -> None:
    """Delete what was left half-written by processes that were killed."""
    for partial in abandoned(directory):
        with suppress(OSError):
            remove(partial)


def abandoned(directory: Path) -> Iterator[Path]:
    """Yield what was left half-written by processes that were killed.

    Whether a process of another machine lives cannot be asked: its files count after a day. A whole
    directory that was about to be replaced gets its name back.
    """
    for partial in directory.glob(f".*{STAGING_SUFFIX}"):
        owner = OWNER.search(partial.name)
        with suppress(OSError):
            if owner is None:
                continue
            if owner["machine"] == machine():
                at_work = lives(int(owner["process"]))
            else:
                at_work = time.time() - partial.lstat().st_mtime < A_DAY
            final = directory / partial.name[1 : owner.start()]
            if at_work:
                continue
            if owner["what"] == "old" and not final.exists() and not partial.is_symlink():
                partial.rename(final)
            else:
                yield partial


def remove(path: Path) -> None:
    """Remove a directory, a file or a link, itself and not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@cache
def machine() -> str:
    """Return a name of the place where process numbers mean the same: host, boot and container.

    It has letters, digits, `_` and `-` only.
    """
    namespace = ""
    with suppress(OSError):
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  the text, which is no path
    parts = [platform.node(), _line("/proc/sys/kernel/random/boot_id"), namespace]
    digest = sha256("/".join(parts).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', platform.node())[:40]}-{digest}"


def lives(process: int, started: str | None = None) -> bool:
    """Return whether a process of this machine lives, and is the one that started then."""
    if process < 1:  # to the system, a group of processes
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # it is another user's
    return _about(process)[:1] != ["Z"] and started in (None, start_of(process))


def start_of(process: int) -> str:
    """Return when a process began, in the kernel's ticks; empty where this cannot be known."""
    return "".join(_about(process)[19:20])


def _about(process: int) -> list[str]:
    """Return Linux's fields on a process, from its state on; nothing elsewhere."""
    return _line(f"/proc/{process}/stat").rpartition(")")[2].split()


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
