"""When a training is kept: at evaluation points, once it has lasted long enough to be a loss."""

import math
import time
from collections.abc import Callable
from contextlib import suppress

from normexp.record import Kept
from normexp.sweeps.stop import GRACE_SECONDS, Stop, StoppedError

SHARE = 50
"""A checkpoint is written when so many times what the last one took has passed: 2 % of the time."""


class Keeper:
    """Decides at the evaluation points of one training whether to keep it, and whether to stop.

    Args:
        write: stores what was kept.
        epochs: from the first that is trained to the last.
        after: seconds of training before the first checkpoint; None: none is written.
        stop: whether to stop.
    """

    def __init__(
        self, write: Callable[[Kept], None], epochs: range, after: float | None, stop: Stop
    ) -> None:
        self._write, self._epochs, self._after, self._stop = write, epochs, after, stop
        self._began = self._last = time.perf_counter()
        self._cost = 0.0

    def __call__(self, epochs: int, kept: Callable[[], Kept]) -> None:
        """`epochs` are done, and `kept` makes what is needed to go on.

        Raises:
            StoppedError: the sweep is to stop and the rest would take too long.
        """
        left = self._stop.seconds_left()
        stops = left is not None
        soon = math.inf if self._after is None else GRACE_SECONDS  # unkept, it would be lost
        leaves = left is not None and self._seconds_to_go(epochs) > min(left, soon)
        if self._after is not None and (leaves or self._is_due(self._after, stops=stops)):
            start = time.perf_counter()
            with suppress(OSError):  # no room: the training may end all the same
                self._write(kept())
            self._last = time.perf_counter()
            self._cost = self._last - start
        if leaves:
            raise StoppedError

    def _is_due(self, after: float, *, stops: bool) -> bool:
        now = time.perf_counter()
        lasts = stops or now - self._began >= after
        return lasts and now - self._last >= SHARE * self._cost

    def _seconds_to_go(self, epochs: int) -> float:
        each = (time.perf_counter() - self._began) / (epochs - self._epochs.start)
        return each * (self._epochs.stop - epochs)
