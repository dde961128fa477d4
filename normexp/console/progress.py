"""Progress of a sweep: on a terminal a picture that renews itself, a line a stack elsewhere."""

import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from rich.text import Text

from normexp.console.curves import Curves
from normexp.console.pace import Pace
from normexp.console.screen import Screen, is_drawable
from normexp.console.status import Status
from normexp.console.streams import stderr
from normexp.console.words import counted
from normexp.errors import describe
from normexp.sweeps.events import Done, Event
from normexp.sweeps.plan import Plan
from normexp.sweeps.stop import StoppedError

DRAW_SECONDS = 0.2
"""Between two pictures."""

AROUND = 5
"""Lines of a terminal that are not for arms: two of status, a heading, how many more, one free."""


class LiveProgress:
    """Told by a sweep what happens, shows it on stderr."""

    def __init__(self, at_start: Callable[[Plan], None] | None = None) -> None:
        """Nothing to show yet.

        Args:
            at_start: called once, before anything is shown.
        """
        self._at_start = at_start
        self._console = stderr()
        self._screen = Screen(self._console) if is_drawable(self._console) else None
        self._status = Status()
        self._pace: Pace | None = None
        self._curves: Curves | None = None
        self._plan: Plan | None = None
        self._failures: list[str] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._undone = ExitStack()
        self._heard: list[warnings.WarningMessage] = []

    def __call__(self, event: Event) -> None:
        """Show what has happened."""
        if event.kind == "began" and event.plan is not None:
            self._begin(event.plan)
        elif event.kind == "stepped":
            self._stepped(event.count)
        elif event.kind == "resumed":
            self._resumed(event.count)
        elif event.kind == "observed":
            self._observed(event.name, event.losses)
        elif event.kind == "ended":
            self._ended(event.done)
        elif event.kind == "waiting":
            self._waiting(event.count)
        elif event.kind == "queued":
            self._queued(event.count, event.name)
        elif event.kind == "stopping":
            self._stopping()

    def _begin(self, plan: Plan) -> None:
        """Show how much there is to do; a second time what another sweep has left."""
        if self._at_start is not None:
            self._at_start(plan)
            self._at_start = None
        self._status.stacks, self._status.ended = len(plan.stacks), 0
        self._status.waiting = 0
        if self._screen is None:
            self._console.print(
                f"{counted(plan.to_train, 'trajectory')} to train and "
                f"{counted(plan.to_observe, 'run')} to observe in "
                f"{counted(len(plan.stacks), 'stack')}"
            )
            return
        pace = Pace(plan)
        curves = self._curves if self._plan and self._plan.study is plan.study else Curves(plan)
        with self._lock:
            self._pace, self._curves, self._plan = pace, curves, plan
        if self._thread is None:
            self._heard = self._undone.enter_context(warnings.catch_warnings(record=True))
            self._over.clear()
            self._thread = threading.Thread(target=self._keep_drawing, daemon=True, name="screen")
            self._thread.start()

    def _stepped(self, networks: int) -> None:
        """Count a step."""
        if self._pace is not None:
            with self._lock:
                self._pace.stepped(networks)

    def _resumed(self, steps: int) -> None:
        """Expect fewer steps."""
        if self._pace is not None:
            with self._lock:
                self._pace.resumed(steps)

    def _observed(self, run: str, test_losses: Sequence[float]) -> None:
        """Put the run into its arm's curve."""
        if self._pace is not None and self._curves is not None:
            with self._lock:
                self._pace.observed()
                self._curves.add(run, test_losses)

    def _ended(self, outcome: Done) -> None:
        """Count a stack, unless it was stopped: how the sweep ends says that once for all."""
        error = outcome.error
        if isinstance(error, StoppedError):
            return
        self._status.ended += 1
        if self._screen is None:
            number = f"{self._status.ended}/{self._status.stacks}"
            self._console.print(f"stack {number}: {_came_of(outcome)}", soft_wrap=True)
        elif error is not None:
            self._status.failed += 1
            self._failures.append(describe(error))

    def _waiting(self, trajectories: int) -> None:
        """Say for whom."""
        self._status.waiting = trajectories
        self._say(f"waiting for another sweep that works on {counted(trajectories, 'trajectory')}")

    def _queued(self, tasks: int, reason: str) -> None:
        """Say why nothing happens."""
        why = f"in Slurm's queue{f': {reason}' if reason else ''}"
        self._status.queued = why if tasks else ""
        if tasks:
            self._say(f"{counted(tasks, 'task')} {why}")

    def _stopping(self) -> None:
        """Say what happens, and what else can be done; called by a signal, so without the lock."""
        self._status.stops = True
        self._say("stopping within seconds; once more to leave at once")

    def close(self, *, told: bool = True) -> None:
        """Take the picture off the screen, and say what came up meanwhile.

        Args:
            told: whether somebody else says which stacks have failed.
        """
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None
            self._undone.close()
        for text in dict.fromkeys(str(each.message) for each in self._heard):
            self._console.print(Text("warning: ", "bold yellow") + Text(text), soft_wrap=True)
        for text in [] if told else dict.fromkeys(self._failures):
            self._console.print(Text("failed: ", "bold red") + Text(text), soft_wrap=True)
        self._heard, self._failures = [], []

    def _say(self, what: str) -> None:
        """Not by the console, whose lines a signal may come between; the picture says it too."""
        if self._screen is None:
            os.write(sys.stderr.fileno(), f"{what}\n".encode())

    def _keep_drawing(self) -> None:
        if self._screen is not None:
            while not self._over.wait(DRAW_SECONDS):
                self._screen.draw(self._lines())
            self._screen.clear()

    def _lines(self) -> list[Text]:
        if self._pace is None or self._curves is None:
            return []
        width, height = self._console.size
        with self._lock:
            return [
                *self._status.lines(self._pace, width),
                *self._curves.lines(width, height - AROUND),
            ][: max(1, height - 1)]


def _came_of(outcome: Done) -> str:
    """What came of a stack, in words."""
    if outcome.error is not None:
        return f"failed: {describe(outcome.error)}"
    parts = [f"{counted(outcome.observed, 'run')} stored"]
    if outcome.trained:
        parts.insert(0, f"{counted(outcome.trained, 'trajectory')} trained")
    if outcome.held:
        parts.append(f"{counted(len(outcome.held), 'trajectory')} left to another sweep")
    return ", ".join(parts)
