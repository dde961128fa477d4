"""Stopping a sweep early: asked by a signal, noticed by everybody who works on it, wherever.

What a training has come to by then is kept as a checkpoint.
"""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from normexp.store.files import write_file
from normexp.store.locks import MOST_BYTES
from normexp.store.plain import read_regular

if TYPE_CHECKING:
    from normexp.trained import Kept

GRACE_SECONDS = 5.0
"""For what can be finished soon, once a sweep has been asked to stop: more is left for later."""

LOOK_SECONDS = 0.2
"""Between two looks at the file that asks processes to stop."""


SHARE = 50
"""A checkpoint is written when so many times what the last one took has passed: 2 % of the time."""


class StoppedError(Exception):
    """The work was left early, since somebody asked."""


class Stop:
    """A request to stop, and how long the work may still take.

    Threads share it; processes have copies, and read a file in the sweep's directory.
    """

    def __init__(self, *flags: Path, pause: float = LOOK_SECONDS) -> None:
        """Nobody has asked yet.

        Args:
            flags: files by which others ask; the last is this one's own, to ask others by.
            pause: seconds between two looks at them.
        """
        self._flags, self._pause = flags, pause
        self._end: float | None = None
        self._looked = 0.0

    def begin(self, flag: Path) -> None:
        """A sweep begins, whose flag this is; nobody has asked it to stop yet."""
        self._flags, self._end = (flag,), None

    @property
    def has_begun(self) -> bool:
        """True once there is something to stop."""
        return bool(self._flags)

    def ask(self, seconds: float) -> None:
        """Ask everybody to stop within so many seconds."""
        self._shorten(seconds)
        for flag in self._flags[-1:]:
            with suppress(OSError):  # a full disk: threads know, processes fail on their own
                write_file(flag, str(seconds).encode())

    def seconds_left(self) -> float | None:
        """Seconds that the work may still take; None while nobody has asked."""
        now = time.monotonic()
        if now - self._looked > self._pause:
            self._looked = now
            for flag in self._flags:
                with suppress(OSError, ValueError):
                    self._shorten(float(read_regular(flag, MOST_BYTES)))
        return None if self._end is None else self._end - now

    def raise_if_over(self) -> None:
        """Leave the work if its time is over; to be called now and then.

        Raises:
            StoppedError: it is.
        """
        left = self.seconds_left()
        if left is not None and left <= 0:
            raise StoppedError

    def _shorten(self, seconds: float) -> None:
        """Asked twice, the earlier end counts; the same file read again asks for nothing new."""
        if self._end is None or seconds <= 0:
            self._end = time.monotonic() + seconds


class Checkpoints:
    """Decides at the evaluation points of a training whether to write one, and whether to stop.

    Args:
        write: stores a checkpoint.
        epochs: from the first that is trained to the last.
        after: seconds of training before the first checkpoint; None: none is written.
        stop: whether to stop.
    """

    def __init__(
        self, write: Callable[["Kept"], None], epochs: range, after: float | None, stop: Stop
    ) -> None:
        self._write, self._epochs, self._after, self._stop = write, epochs, after, stop
        self._began = self._last = time.perf_counter()
        self._cost = 0.0

    def __call__(self, epochs: int, kept: Callable[[], "Kept"]) -> None:
        """`epochs` are done, and `kept` makes what is needed to go on.

        Raises:
            StoppedError: the sweep is to stop and the rest would take too long.
        """
        now, left = time.perf_counter(), self._stop.seconds_left()
        leaves = False
        if left is not None:
            each = (now - self._began) / (epochs - self._epochs.start)
            soon = math.inf if self._after is None else GRACE_SECONDS  # else its work were lost
            leaves = each * (self._epochs.stop - epochs) > min(left, soon)
        if self._after is not None:
            lasts = left is not None or now - self._began >= self._after
            if leaves or (lasts and now - self._last >= SHARE * self._cost):
                with suppress(OSError):  # no room: the training may end all the same
                    self._write(kept())
                self._last = time.perf_counter()
                self._cost = self._last - now
        if leaves:
            raise StoppedError
