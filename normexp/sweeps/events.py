"""Events of a sweep: input of its progress display, from threads and from other processes.

A worker in another process or on another machine appends its events as lines of JSON to a file of
its own, in a directory that everybody sees. This needs no open port, and what was written while
nobody followed is still there.
"""

import errno
import json
import os
import shlex
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from normexp.errors import NormexpError, describe
from normexp.store.layout import StudyDirectory
from normexp.store.locks import Stop, StoppedError, repeating
from normexp.store.plain import MOST_IN_MEMORY, open_regular
from normexp.store.stored import whole_runs
from normexp.store.sweep import SweepDirectory

if TYPE_CHECKING:
    from normexp.sweeps.plan import Plan

PAUSE_SECONDS = 0.2
"""Between two lines about steps."""

SHORTEST_PAUSE_SECONDS = 2.0
WORKERS_A_SECOND = 100
"""Workers that may look at a file, or write to one, within a second: no burden to a server."""

NEWS = ".news-"
"""Prefix of the directories of a sweep in which its workers report, one for each submission."""

EXPORT_SECONDS, EXPORT_SHARE = 5.0, 10
"""Before an export of what a sweep has made since; so many times what the last one took."""

MOST_POINTS = 300
"""Evaluation points whose losses a line holds."""

ERRORS = {"stopped": StoppedError, "system": OSError, "other": NormexpError}
"""Kinds of errors that a sweep distinguishes, as a line names them."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a store that every worker would meet; others may be one node's."""


class Done(NamedTuple):
    """The result of the work on a stack."""

    trained: int = 0  # trajectories
    observed: int = 0  # runs
    held: tuple[str, ...] = ()  # trajectories that another sweep works on
    error: Exception | None = None  # what ended the work early


NOTHING_DONE = Done()


@dataclass(frozen=True)
class Event:
    """Something that happened in a sweep.

    kind      | means
    --------- | ---------------------------------------------------------------------------
    began     | the work on `plan` begins; again if another sweep has left something
    compiling | what trains is compiled, which this machine then has
    stepped   | `count` steps were taken, of all networks together
    resumed   | `count` steps, of all networks together, were taken by an earlier sweep
    observed  | run `name` is stored: `losses` at the evaluation points, none if it diverged
    ended     | a stack has ended: `done`; from a cluster, stack number `count`
    waiting   | all that is left are `count` trajectories that another sweep works on
    queued    | `count` tasks wait in a cluster's queue because of `name`; 0 once one runs
    stopping  | somebody has asked to stop
    """

    kind: Literal[
        "began",
        "compiling",
        "stepped",
        "resumed",
        "observed",
        "ended",
        "waiting",
        "queued",
        "stopping",
    ]
    count: int = 0
    name: str = ""
    losses: tuple[float, ...] = ()
    done: Done = NOTHING_DONE
    plan: "Plan | None" = None


OF_WORKERS = ("compiling", "stepped", "resumed", "observed", "ended")
"""Kinds of events that a worker reports."""

Listener = Callable[[Event], None]
"""Is called with every event, from several threads."""


def ignore(event: Event) -> None:
    """The listener of a sweep that nobody watches."""


def relay(send: Callable[[str], bool], pause: float = PAUSE_SECONDS) -> Listener:
    """Return a listener that sends events as lines, steps summed over `pause` seconds.

    What cannot be sent is lost.

    Args:
        send: takes a line; returns whether it could be sent.
        pause: seconds between two lines about steps.
    """
    steps, sent, lock = 0, 0.0, threading.Lock()

    def listen(event: Event) -> None:
        nonlocal steps, sent
        with lock:
            if event.kind == "stepped":
                steps += event.count
                if time.monotonic() - sent <= pause:
                    return
            sent = time.monotonic()
            if steps and send(encode(Event("stepped", steps))):
                steps = 0
            if event.kind != "stepped":
                send(encode(event))

    return listen


def encode(event: Event) -> str:
    """An event as a line, without the plan."""
    every = -(-len(event.losses) // MOST_POINTS) or 1
    losses = [float(f"{loss:.4g}") for loss in (*event.losses[:-1:every], *event.losses[-1:])]
    done = [*event.done[:3], _encoded(event.done.error)]
    return json.dumps([event.kind, event.count, event.name, losses, done])


def decode(line: str) -> Event | None:
    """The event of a line; None for a line that no worker has written."""
    try:
        kind, count, name, losses, (trained, observed, held, error) = json.loads(line)
        done = Done(int(trained), int(observed), tuple(map(str, held)))
        if error is not None:
            done = done._replace(error=ERRORS[error[0]](*error[1:]))
        event = Event(kind, int(count), str(name), tuple(map(float, losses)), done)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None
    return event if kind in OF_WORKERS else None


def _encoded(error: Exception | None) -> list[Any] | None:
    """An error as data: its kind if a sweep distinguishes it, else its text."""
    if error is None:
        return None
    if isinstance(error, StoppedError):
        return ["stopped"]
    if isinstance(error, OSError) and error.errno in FULL:
        return ["system", error.errno, error.strerror or str(error), error.filename]
    return ["other", describe(error)]


def pause(workers: int) -> float:
    """Seconds between two looks, or two lines about steps, of one of so many workers."""
    return max(SHORTEST_PAUSE_SECONDS, workers / WORKERS_A_SECOND)


def append(path: Path, line: str) -> bool:
    """Add a line to a worker's file, and return whether it could be added."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError:  # a full disk: the work itself says so
        return False
    return True


class Reader:
    """Reads what is new in a directory of news, once each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[str, int] = {}  # bytes, by file

    def events(self, ended: Iterable[str] = ()) -> Iterator[Event]:
        """The events that have come since, those of one worker in their order.

        Args:
            ended: names of files in which nothing more will be written: these are opened, since
                a shared file system may list a directory and sizes as they were a minute ago.
        """
        names = list(ended)
        with suppress(OSError), os.scandir(self._directory) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                with suppress(OSError):
                    if entry.stat().st_size > self._read.get(entry.name, 0):
                        names.append(entry.name)
        for name in names:
            with suppress(OSError), open_regular(self._directory / name) as file:
                start = file.seek(self._read.get(name, 0))
                whole = file.read(MOST_IN_MEMORY).rpartition(b"\n")[0]
                self._read[name] = start + len(whole) + bool(whole)
                lines = whole.decode(errors="replace").splitlines()
                yield from filter(None, map(decode, lines))


@contextmanager
def listening(news: Path, listen: Listener, seconds: float) -> Iterator[None]:
    """Pass on meanwhile what workers report, with so many seconds between two looks."""
    reader = Reader(news)

    def look() -> float:
        for event in reader.events():
            listen(event)
        return seconds

    try:
        with repeating(look, seconds):
            yield
    finally:
        look()  # at the last


class Exports:
    """A listener that passes events on, and meanwhile exports the runs that are stored.

    Args:
        tool: that gets them, see `normexp.export`; None: nothing is exported.
        study: of the runs.
        listen: gets the events.
        stop: of the sweep: a tool that has not ended when its time is over is left behind.

    Raises:
        UsageError: the tool is not installed.
    """

    def __init__(
        self, tool: str | None, study: StudyDirectory, listen: Listener, stop: Stop
    ) -> None:
        self._tool, self._study, self._listen, self._stop = tool, study, listen, stop
        self._stored: set[str] = set()
        if tool is not None:
            from normexp.export import refuse_missing

            refuse_missing(tool)

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if event.kind == "observed":
            self._stored.add(event.name)
        self._listen(event)

    @contextmanager
    def meanwhile(self) -> Iterator[None]:
        """Export on a thread of its own, a small part of the time; what fails is tried again."""
        handed = set[str]()

        def export_new() -> float:
            start = time.monotonic()
            if self._stored > handed:
                handed.update(self._stored)
                self.export([*handed])
            return max(EXPORT_SECONDS, EXPORT_SHARE * (time.monotonic() - start))

        with repeating(export_new, EXPORT_SECONDS):
            try:
                yield
            except BaseException:
                self._stop.ask(0)
                raise

    def export(self, runs: Collection[str]) -> list[str]:
        """Export those of these runs that are whole; return a line if that fails."""
        if self._tool is None or not runs:
            return []
        from normexp.export import export

        study, tool = self._study, self._tool
        store = study.path.parent
        problems = ["it had not ended when the sweep did"]

        def hand_over() -> None:
            try:
                export(tool, [*whole_runs(study.runs(runs).values())], store)
                problems.clear()
            except Exception as error:  # noqa: BLE001  a tool's own: the runs are stored all the same
                problems[:] = [describe(error)]

        thread = threading.Thread(target=hand_over, daemon=True, name="export")
        if not self._stop.is_over:  # else one that was left behind may be at work
            thread.start()
        while thread.is_alive() and not self._stop.is_over:
            thread.join(PAUSE_SECONDS)
        later = ["normexp", "export", study.path.name, "--to", tool, "--dir", str(store)]
        return [f"log.to={tool}: {each}; to do it later: {shlex.join(later)}" for each in problems]


def new_news(place: SweepDirectory) -> Path:
    """A directory for the reports of those who are sent now, and of nobody else."""
    return Path(tempfile.mkdtemp(prefix=NEWS, dir=place.path))


def has_news(place: SweepDirectory) -> bool:
    """Return whether anybody has begun to work on the sweep elsewhere."""
    return any(place.path.glob(f"{NEWS}*/*"))


def done_elsewhere(place: SweepDirectory) -> Done:
    """Trajectories trained and runs observed by all who have worked on the sweep elsewhere."""
    found = [e.done for path in place.path.glob(f"{NEWS}*") for e in Reader(path).events()]
    return Done(sum(done.trained for done in found), sum(done.observed for done in found))


def seconds_elsewhere(place: SweepDirectory) -> float:
    """From the beginning of a sweep to its workers' last report, by the file system's clock."""
    with suppress(OSError):
        times = [path.stat().st_mtime for path in place.path.glob(f"{NEWS}*/*")]
        return max(0.0, max(times, default=0.0) - place.began)
    return 0.0


def forget_news(place: SweepDirectory) -> None:
    """Remove all that workers have reported."""
    for path in place.path.glob(f"{NEWS}*"):
        shutil.rmtree(path, ignore_errors=True)
