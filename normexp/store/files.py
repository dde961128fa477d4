"""Directories that appear whole or not at all, with a manifest that seals them."""

import errno
import hashlib
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from normexp.errors import NormexpError
from normexp.store.manifest import FILES, METRICS, OPTIONAL_FILES, parse
from normexp.store.process import lives, machine
from normexp.store.regular import FLAGS, MOST_BYTES, read_regular, reason, verified
from normexp.store.texts import to_json

MANIFEST = "manifest.json"
DAMAGE = "damage.json"
"""Left by `verify` in a directory that is not whole; whatever is made anew there has it not."""

CERTIFICATE = "certificate.json"
"""Left by `reproduce` in a run's directory; no file of the run."""

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS
"""To write a file that is not there."""

ZEROS = "0" * 64
SEAL = re.compile(rb'"[0-9a-f]{64}"\s*}\s*$')
"""The end of a manifest that has a seal."""

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
    _remove(old)


def remove_abandoned(directory: Path) -> None:
    """Delete what was left half-written by processes that were killed.

    Whether a process of another machine lives cannot be asked: its files go after a day. A whole
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
                _remove(partial)


def _remove(path: Path) -> None:
    """Remove a directory, a file or a link, itself and not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sealed(manifest: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """Return a manifest with the digests of files and, last, of itself (made with zeros there)."""
    digests = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    content = to_json({**manifest, "files": digests, "sha256": ZEROS})
    head, _, tail = content.rpartition(ZEROS.encode())
    return head + hashlib.sha256(content).hexdigest().encode() + tail


def read_sealed(directory: Path) -> dict[str, Any]:
    """Return the manifest of a directory, as it was written; OSError or ValueError if not."""
    content = read_regular(f"{directory}/{MANIFEST}", MOST_BYTES)
    manifest = parse(content)
    if not _is_as_written(content, manifest):
        raise ValueError("it is not what was written (SHA-256 differs)")
    return manifest


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the same for those who cannot go on without.

    Raises:
        NormexpError: it cannot be read, as after a power cut, or is not one.
    """
    try:
        return read_sealed(directory)
    except (OSError, ValueError) as error:
        raise NormexpError(
            f"the manifest in {directory} cannot be read ({reason(error)})",
            f"remove {directory} and sweep again: only what is missing is made again",
        ) from error


def intact(directory: Path) -> dict[str, Any] | None:
    """Return the manifest of a run or trajectory that is whole, None of another.

    A run's metrics are compared by their digest, since its manifest is shown for them; other files
    by their size, for all would be much to read. What `verify` has marked is not whole either.
    """
    if os.path.lexists(directory / DAMAGE):
        return None
    try:
        if not stat.S_ISDIR(os.lstat(directory).st_mode):  # a link
            return None
        manifest = read_sealed(directory)
        for name, about in manifest["files"].items():
            if name == METRICS:
                verified(f"{directory}/{name}", about)
                continue
            there = os.lstat(f"{directory}/{name}")
            if there.st_size != about["bytes"] or not stat.S_ISREG(there.st_mode):
                return None
    except (OSError, ValueError, KeyError):  # an older sweep's manifest names no files
        return None
    return manifest


def _is_as_written(content: bytes, manifest: Mapping[str, Any]) -> bool:
    """Return whether a seal fits; a manifest from before there was a seal has none."""
    digest = manifest.get("sha256")
    if digest is None:
        return not SEAL.search(content)  # under a damaged name
    head, _, tail = content.rpartition(digest.encode())
    return bool(digest == hashlib.sha256(head + ZEROS.encode() + tail).hexdigest())
