"""Lines that workers on other machines leave for whoever follows them.

A file a worker, in one directory of a file system that all of them see: it needs no open port, and
what was said while nobody listened is still there.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


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

    def lines(self) -> Iterator[str]:
        """All whole lines that have come since, those of one worker in their order."""
        with suppress(OSError), os.scandir(self._directory) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                with suppress(OSError):
                    yield from self._new(Path(entry.path), entry.stat().st_size)

    def _new(self, path: Path, size: int) -> list[str]:
        start = self._read.get(path.name, 0)
        if size <= start:
            return []
        with path.open("rb") as file:
            file.seek(start)
            whole = file.read().rpartition(b"\n")[0]
        self._read[path.name] = start + len(whole) + bool(whole)
        return whole.decode(errors="replace").splitlines()
