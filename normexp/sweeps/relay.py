"""What the work in another process tells, as lines."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from normexp.analysis.thinning import evenly
from normexp.executors import pipe
from normexp.sweeps.progress import Listener

PAUSE_SECONDS = 0.2
"""Between two lines that tell of steps."""

MOST_POINTS = (pipe.LONGEST - 64) // 12
"""Evaluation points whose losses a line holds."""


class Relay:
    """A listener in the process that works: sends what it hears."""

    def __init__(self, send: Callable[[str], bool], pause: float = PAUSE_SECONDS) -> None:
        """Nothing to send yet.

        Args:
            send: takes a line; whether it could be sent.
            pause: seconds between two lines that tell of steps.
        """
        self._send, self._pause, self._steps, self._sent = send, pause, 0, 0.0

    def stepped(self, networks: int) -> None:
        """Send how many steps there were, now and then."""
        self._steps += networks
        now = time.monotonic()
        if now - self._sent > self._pause:
            self._sent = now
            self._send_steps()

    def resumed(self, steps: int) -> None:
        """Send it."""
        self._send(f"resumed {steps}")

    def observed(self, run: str, test_losses: Sequence[float]) -> None:
        """Send the losses, or as many of them as a line holds."""
        self._send_steps()
        shown = evenly(len(test_losses), MOST_POINTS)
        losses = [f"{test_losses[point]:.4g}" for point in shown]
        self._send(" ".join(["observed", run, *losses]))

    def _send_steps(self) -> None:
        if self._steps and self._send(f"stepped {self._steps}"):
            self._steps = 0


def retell(line: str, listener: Listener) -> None:
    """Tell what a line of a relay says; nothing, of a line that no relay has written."""
    with suppress(ValueError):
        what, first, *rest = line.split()
        if what == "observed":
            listener.observed(first, [float(loss) for loss in rest])
        elif what == "stepped":
            listener.stepped(int(first))
        elif what == "resumed":
            listener.resumed(int(first))
