"""Progress of a sweep: live on a terminal and in a notebook, elsewhere a line a stack on stderr."""

import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Self

from rich.console import Console, Group
from rich.jupyter import JupyterMixin
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from rich.text import Text

from normexp.config.schema import total_steps
from normexp.console.curves import Curves
from normexp.console.output import stderr, warn
from normexp.console.words import counted, duration, number
from normexp.errors import describe
from normexp.store.locks import StoppedError, repeating
from normexp.study.study import Overrides
from normexp.sweeps import sweep as sweeps
from normexp.sweeps.cost import observing_seconds, training_seconds
from normexp.sweeps.events import Done, Event, Listener, ignore
from normexp.sweeps.outcome import Outcome
from normexp.sweeps.plan import Plan

DRAWINGS_PER_SECOND = 5

COMPILES = "compiling for this machine, once: about 15 seconds"

WINDOW_SECONDS = 10.0
"""Over which a speed is a mean."""

FEWEST_SECONDS = 2.0
"""Of work before the time left is estimated."""

BAR, SHORTEST_BAR, BESIDE_BAR = 20, 4, 48
"""Columns of the bar, and of what stands beside it."""

AROUND = 5
"""Lines of a terminal that are not for arms: two of status, a heading, how many more, one free."""


def is_drawable(console: Console) -> bool:
    """Return whether a console is a terminal that moves its cursor and knows blocks.

    `FORCE_COLOR` makes no terminal of a file, `NO_COLOR` takes nothing but colours.
    """
    able = console.file.isatty() and not console.is_dumb_terminal
    return able and not console.options.ascii_only


@wraps(sweeps.sweep)
def sweep(*overrides: Overrides, progress: Listener = ignore, **settings: Any) -> Outcome:  # noqa: ANN401
    """Sweep as `normexp.sweeps.sweep.sweep` does, and show in a notebook how it goes."""
    if progress is not ignore or not stderr().is_jupyter:
        return sweeps.sweep(*overrides, progress=progress, **settings)
    with LiveProgress() as shown:
        return sweeps.sweep(*overrides, progress=shown, **settings)


@contextmanager
def _drawing(console: Console, look: Callable[[], Any]) -> Iterator[None]:
    """Draw again and again meanwhile, and leave nothing of it."""
    if not console.is_jupyter:
        with Live(
            get_renderable=look,
            console=console,
            refresh_per_second=DRAWINGS_PER_SECOND,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        ):
            yield
        return
    from IPython.display import display  # there, in a notebook

    handle = display(look(), display_id=True)

    def draw() -> float:
        handle.update(look())
        return 1 / DRAWINGS_PER_SECOND

    with repeating(draw, 0.0):
        yield
    handle.update({"text/plain": ""}, raw=True)


class LiveProgress:
    """A listener that shows the events of a sweep; `at_start` is called before all else."""

    def __init__(self, at_start: Callable[[Plan], None] | None = None) -> None:
        self._at_start = at_start
        self._console = stderr()
        self._is_live = self._console.is_jupyter or is_drawable(self._console)
        self._display: Display | None = None
        self._live = ExitStack()
        self._warnings: list[warnings.WarningMessage] = []
        self._failures: list[str] = []
        self._stacks = self._ended = 0

    def __call__(self, event: Event) -> None:
        """Show what has happened."""
        if event.kind == "began" and event.plan is not None:
            self._begin(event.plan)
        elif self._is_live:
            if event.kind == "ended" and _has_failed(event):
                self._failures.append(_came_of(event.done))
            if self._display is not None:
                self._display.add(event)
        elif event.kind == "stopping":  # by a signal, which may come between a console's lines
            os.write(sys.stderr.fileno(), b"stopping within seconds; once more to leave at once\n")
        elif text := self._text(event):
            self._console.print(text)

    def _begin(self, plan: Plan) -> None:
        """Show how much there is to do; a second time what another sweep has left."""
        if self._at_start is not None:
            self._at_start(plan)
            self._at_start = None
        self._stacks, self._ended = len(plan.stacks), 0
        if not self._is_live:
            self._console.print(
                f"{counted(plan.to_train, 'trajectory')} to train and "
                f"{counted(plan.to_observe, 'run')} to observe in "
                f"{counted(len(plan.stacks), 'stack')}"
            )
            return
        before = self._display
        goes_on = before is not None and before.plan.study is plan.study
        curves = before.curves if before and goes_on else Curves(plan)
        self._display = Display(plan, self._console, curves, self._failures)
        if before is None:
            self._warnings = self._live.enter_context(warnings.catch_warnings(record=True))
            self._live.enter_context(_drawing(self._console, lambda: self._display or ""))

    def _text(self, event: Event) -> str:
        """A line about an event where there is no display; empty for steps and runs."""
        if event.kind == "ended" and not isinstance(event.done.error, StoppedError):
            self._ended += 1
            return f"stack {self._ended}/{self._stacks}: {_came_of(event.done)}"
        if event.kind == "compiling":
            return COMPILES
        if event.kind == "waiting":
            stacks = counted(event.count, "trajectory")
            return f"waiting for another sweep that works on {stacks}"
        if event.kind == "queued" and event.count:
            return f"{counted(event.count, 'task')} {_queued(event)}"
        return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: object, *_: object) -> None:
        """Take the display away; print warnings, and of a sweep that has no result the failures."""
        self._live.close()
        self._display = None
        for text in dict.fromkeys(str(each.message) for each in self._warnings):
            warn(text)
        for text in dict.fromkeys(self._failures) if error else []:
            self._console.print(Text(text, "bold red"))
        self._warnings, self._failures = [], []


def _has_failed(event: Event) -> bool:
    """Return whether a stack has ended by an error; to be stopped is none."""
    return event.done.error is not None and not isinstance(event.done.error, StoppedError)


def _queued(event: Event) -> str:
    return f"in Slurm's queue{f': {event.name}' if event.name else ''}"


def _came_of(done: Done) -> str:
    """The result of a stack, in words."""
    if done.error is not None:
        return f"failed: {describe(done.error)}"
    parts = [f"{counted(done.trained, 'trajectory')} trained"] if done.trained else []
    parts.append(f"{counted(done.observed, 'run')} stored")
    if done.held:
        parts.append(f"{counted(len(done.held), 'trajectory')} left to another sweep")
    return ", ".join(parts)


class Display(JupyterMixin):
    """The bar of a sweep, its speed, and a curve for each arm.

    Training and observing weigh what the plan estimates for them, so that a sweep whose training is
    done need not be nearly done; how long that takes here is measured.
    """

    def __init__(
        self,
        plan: Plan,
        console: Console,
        curves: Curves,
        failures: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan, self.curves, self._console = plan, curves, console
        work = [stack for stack in plan.stacks if not stack.stored]
        self._all_steps = sum(total_steps(s.config) * len(s.trajectories) for s in work)
        self._training = sum(training_seconds(s.config, len(s.trajectories)) for s in work)
        self._observing = sum(observing_seconds(s.config, s.runs) for s in plan.stacks)
        self._steps = self._resumed = self._runs = self._ended = 0
        self._failures, self._waits, self._stops = failures, "", False
        self._lock = threading.Lock()
        bar = max(SHORTEST_BAR, min(BAR, console.width - BESIDE_BAR))
        self._progress = Progress(
            TextColumn("stacks {task.fields[stacks]}"),
            BarColumn(bar),
            TaskProgressColumn(),
            TextColumn("{task.fields[state]}"),
            console=console,
            auto_refresh=False,
            speed_estimate_period=WINDOW_SECONDS,
            get_time=clock,
        )
        self._work = self._progress.add_task("", start=False, stacks="", state="")
        self._speed = self._progress.add_task("", start=False, visible=False)

    def add(self, event: Event) -> None:
        """Count what has happened."""
        if event.kind == "stopping":  # by a signal, which may come while the lock is held
            self._stops = True
            return
        with self._lock:
            if event.kind == "compiling":
                self._waits = COMPILES
            elif event.kind == "stepped":
                self._waits = ""
                self._steps += event.count
            elif event.kind == "resumed":
                self._resumed += event.count
            elif event.kind == "observed":
                self._runs += 1
                self.curves.add(event.name, event.losses)
            elif event.kind == "waiting":
                self._waits = "waiting for another sweep"
            elif event.kind == "queued":
                self._waits = _queued(event) if event.count else ""
            elif event.kind == "ended" and not isinstance(event.done.error, StoppedError):
                self._ended += 1

    def __rich__(self) -> Group:
        """The lines to draw now."""
        width, height = self._console.size
        with self._lock:
            self._update()
            parts = [self._progress.get_renderable(), self._counts()]
            if height > AROUND:
                parts.append(self.curves.table(width, height - AROUND))
            return Group(*parts)

    def _update(self) -> None:
        """Move the bar."""
        trained = min(1.0, self._steps / self._all_steps) if self._all_steps else 0.0
        observed = min(1.0, self._runs / self.plan.to_observe) if self.plan.to_observe else 0.0
        ahead = 1 - self._resumed / self._all_steps if self._all_steps else 0.0
        for task in (self._work, self._speed) if trained or observed else ():
            self._progress.start_task(task)
        self._progress.update(
            self._work,
            total=self._training * ahead + self._observing,
            completed=self._training * trained + self._observing * observed,
            stacks=f"{self._ended:,}/{len(self.plan.stacks):,}",
        )
        self._progress.update(self._work, state=self._state())
        self._progress.update(self._speed, completed=self._steps)

    def _state(self) -> str:
        """The time left, or why nothing can be said of it."""
        task = self._progress.tasks[self._work]
        if self._stops:
            return "[yellow]stopping; Ctrl-C: at once"
        if self._waits:
            return f"[yellow]{escape(self._waits)}"
        if task.finished:
            return "finishing"
        left = task.time_remaining
        known = left is not None and (task.elapsed or 0) > FEWEST_SECONDS
        if known:
            return f"about {duration(max(1, round(left or 0)))} left"
        return "" if task.started else "starting workers"

    def _counts(self) -> Text:
        """Speed, runs that are stored, stacks that failed."""
        parts = [f"{self._runs:,}/{self.plan.to_observe:,} runs stored"]
        if steps := self._progress.tasks[self._speed].speed:
            networks = steps * self.plan.to_train / self._all_steps if self._all_steps else 0.0
            parts = [f"{steps:,.0f} steps/s", f"{number(networks, 2)} networks/s", *parts]
        line = Text(" · ".join(parts), no_wrap=True, overflow="ellipsis")
        if self._failures:
            line.append(" · ").append(f"{counted(len(self._failures), 'stack')} failed", "red")
        return line
