"""Lines that workers on other machines leave for whoever follows them.

A file a worker, in one directory of a file system that all of them see: it needs no open port, and
what was said while nobody listened is still there.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from normexp.store.regular import MOST_IN_MEMORY, open_regular


def leave(path: Path, line: str) -> bool:
    """Add a line to a worker's file; whether it could be added."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError:  # a full disk: the work itself says so
        return False
    return True


class Reader:
    """Reads what is new in a directory, once each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[str, int] = {}  # bytes, by file

    def lines(self, ended: Iterable[str] = ()) -> Iterator[str]:
        """All whole lines that have come since, those of one worker in their order.

        Args:
            ended: names of files in which nothing more will be written: these are opened, since
                what a shared file system tells of a directory and of sizes may be a minute old.
        """
        with suppress(OSError), os.scandir(self._directory) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                with suppress(OSError):
                    if entry.stat().st_size > self._read.get(entry.name, 0):
                        yield from self._new(entry.name)
        for name in ended:
            with suppress(OSError):
                yield from self._new(name)

    def _new(self, name: str) -> list[str]:
        start = self._read.get(name, 0)
        with os.fdopen(open_regular(self._directory / name), "rb") as file:
            file.seek(start)
            whole = file.read(MOST_IN_MEMORY).rpartition(b"\n")[0]
        self._read[name] = start + len(whole) + bool(whole)
        return whole.decode(errors="replace").splitlines()
