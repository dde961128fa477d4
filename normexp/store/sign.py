"""Signs of life: files that say who is at work, and that he still is, on whichever machine."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from normexp.store.files import write_file
from normexp.store.process import lives, machine, start_of
from normexp.store.regular import read_json
from normexp.store.texts import to_json

HEARTBEAT_SECONDS = 5.0
LEASE_SECONDS = 60.0
"""Without a heartbeat for so long, somebody on another machine counts as dead."""

MOST_BYTES = 4096
"""Of a file that says who is at work."""


@dataclass(frozen=True)
class Sign:
    """A file, touched every few seconds while its owner works and gone afterwards."""

    path: Path

    def show(self) -> None:
        """This process works here from now on, in the place of whoever did so before."""
        write_file(self.path, owner())

    @contextmanager
    def beating(self, every: float = HEARTBEAT_SECONDS) -> Iterator[None]:
        """Be seen to be alive, on every machine that sees the store, every so many seconds."""
        ended = Event()

        def beat() -> None:
            while not ended.wait(every):
                with suppress(OSError):
                    self._beat()

        thread = Thread(target=beat, daemon=True, name="heartbeat")
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()  # else its last beat may come after the end
            self.remove()

    def _beat(self) -> None:
        """Again, if others thought it dead, as after the lid of a laptop was closed."""
        try:
            os.utime(self.path, follow_symlinks=False)
        except FileNotFoundError:
            self.show()

    def last_beat(self) -> float:
        """When it was last seen alive, by the clock of the file system; now if it is not there."""
        try:
            return os.lstat(self.path).st_mtime
        except OSError:
            return time.time()

    def is_alive(self, now: float | None = None) -> bool:
        """Whether its owner still works; `now` by the clock of the file system, if known."""
        try:
            who = read_json(self.path, MOST_BYTES)
            if who["machine"] == machine():
                return lives(who["process"], who["started"])
            beat = os.lstat(self.path).st_mtime
            return (clock(self.path.parent) if now is None else now) - beat < LEASE_SECONDS
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def remove(self) -> None:
        """Nobody works here any more."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def clock(directory: Path) -> float:
    """Return the time by the clock of a directory's file system, else by our own.

    Another machine may keep it, which dates the files: by our own, the living could seem dead.
    """
    with suppress(OSError), tempfile.TemporaryFile(prefix=".clock", dir=directory) as probe:
        return os.fstat(probe.fileno()).st_mtime
    return time.time()


def about_me() -> dict[str, Any]:
    """What others have to know of this process."""
    process = os.getpid()
    return {"machine": machine(), "process": process, "started": start_of(process)}


def owner() -> bytes:
    """The content of this process's sign."""
    return to_json(about_me())
