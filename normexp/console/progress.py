"""Progress of a sweep: a bar on a terminal, a line a stack elsewhere."""

import os
import sys
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from normexp.config.batches import total_steps
from normexp.console.streams import stderr
from normexp.console.words import NOTHING, counted
from normexp.planning.plan import Plan
from normexp.session.result import describe
from normexp.session.stop import StoppedError

if TYPE_CHECKING:
    from normexp.session.work import Done


class LiveProgress:
    """Told by a sweep what happens, shows it on stderr."""

    def __init__(self) -> None:
        self._console = stderr()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            _Rate(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._ended = self._stacks = 0
        self._task: TaskID | None = None
        self._stops = False

    def began(self, plan: Plan) -> None:
        """Show how much there is to do."""
        self._ended, self._stacks = 0, len(plan.stacks)
        work = [s for s in plan.stacks if not s.stored]
        total = sum(total_steps(stack.config) * len(stack.trajectories) for stack in work)
        if self._task is not None:  # of the round before, whose rest this is
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(
            self._description(), total=total or None, networks=plan.to_train
        )
        if not self._console.is_terminal:
            self._console.print(
                f"{counted(plan.to_train, 'trajectory')} to train and "
                f"{counted(plan.to_observe, 'run')} to observe in {counted(self._stacks, 'stack')}"
            )
        self._bar.start()

    def stepped(self, networks: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bar.advance(self._task, networks)

    def ended(self, outcome: "Done | Exception") -> None:
        """Count a stack, unless it was stopped: how the sweep ends says that once for all."""
        error = outcome if isinstance(outcome, Exception) else outcome.error
        if isinstance(error, StoppedError):
            return
        self._ended += 1
        self._describe(self._description())
        if not self._console.is_terminal:
            self._console.print(
                f"stack {self._ended}/{self._stacks}: {_came_of(outcome)}", soft_wrap=True
            )

    def waiting(self, trajectories: int) -> None:
        """Say for whom."""
        what = f"waiting for another sweep that works on {counted(trajectories, 'trajectory')}"
        self._say(what, "waiting for another sweep")

    def stopping(self) -> None:
        """Say what happens, and what else can be done; called by a signal."""
        self._stops = True
        self._say("stopping within seconds; once more to leave at once", "stopping")

    def _say(self, what: str, short: str) -> None:
        if self._console.is_terminal:
            self._describe(short)
        else:  # not by the console, whose lines a signal may come between
            os.write(sys.stderr.fileno(), f"{what}\n".encode())

    def _describe(self, what: str) -> None:
        if self._task is not None:
            self._bar.update(self._task, description=what)

    def close(self) -> None:
        """Take the bar off the screen."""
        self._bar.stop()

    def _description(self) -> str:
        return "stopping" if self._stops else f"stacks {self._ended}/{self._stacks}"


def _came_of(outcome: "Done | Exception") -> str:
    """What came of a stack, in words."""
    if isinstance(outcome, Exception):
        return f"failed: {describe(outcome)}"
    if outcome.error is not None:
        return f"failed: {describe(outcome.error)}"
    parts = [f"{counted(outcome.observed, 'run')} stored"]
    if outcome.trained:
        parts.insert(0, f"{counted(outcome.trained, 'trajectory')} trained")
    if outcome.held:
        parts.append(f"{counted(len(outcome.held), 'trajectory')} left to another sweep")
    return ", ".join(parts)


class _Rate(ProgressColumn):
    """Steps done by all networks together, and how many networks are trained a second."""

    def render(self, task: Task) -> Text:
        if not task.total:
            return Text("observing")
        if task.finished:
            return Text("observing and storing")
        networks = task.fields["networks"] / task.total * (task.speed or 0)
        speed = f"{networks:.1f}" if networks else NOTHING
        return Text(f"{task.completed:,.0f}/{task.total:,.0f} steps · {speed} networks/s")
