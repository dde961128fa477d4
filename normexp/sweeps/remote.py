"""Workers in other processes and on other machines: who they are there, and how they report.

A worker appends its events as lines to a file of its own, in a directory that everybody sees. This
needs no open port, and what was written while nobody followed is still there.
"""

import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from normexp.errors import NormexpError
from normexp.store.locks import sign_of
from normexp.store.process import machine
from normexp.store.regular import MOST_IN_MEMORY, open_regular
from normexp.store.sweep import SweepDirectory
from normexp.sweeps.events import Done, Event, Listener, decode
from normexp.sweeps.stop import Stop

if TYPE_CHECKING:
    from normexp.sweeps.worker import Worker

NEWS = ".news-"
"""Prefix of the directories of a sweep in which its workers report, one for each submission."""

HEARTBEAT_SECONDS = 20.0
"""Of a worker: a third of its lease."""

SHORTEST_PAUSE_SECONDS = 2.0
WORKERS_A_SECOND = 100
"""Workers that may look at a file, or write to one, within a second: no burden to a server."""


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
            with suppress(OSError):
                yield from filter(None, map(decode, self._new_lines(name)))

    def _new_lines(self, name: str) -> list[str]:
        start = self._read.get(name, 0)
        with os.fdopen(open_regular(self._directory / name), "rb") as file:
            file.seek(start)
            whole = file.read(MOST_IN_MEMORY).rpartition(b"\n")[0]
        self._read[name] = start + len(whole) + bool(whole)
        return whole.decode(errors="replace").splitlines()


@contextmanager
def listening(news: Path, listen: Listener, seconds: float) -> Iterator[None]:
    """Pass on meanwhile what workers report, with so many seconds between two looks."""
    reader, over = Reader(news), threading.Event()

    def keep_listening() -> None:
        while not over.wait(seconds):
            for event in reader.events():
                listen(event)

    thread = threading.Thread(target=keep_listening, daemon=True, name="news")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for event in reader.events():  # the last
            listen(event)


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


@contextmanager
def arrived(worker: "Worker", name: str, news: Path, workers: int) -> Iterator["Worker"]:
    """The worker on this machine: alive under its name, with the environment that is here.

    Args:
        worker: as it was sent.
        name: the same for a worker that a cluster starts again in the place of one that has died.
        news: the file in which it reports.
        workers: of the sweep, who use the same file system.

    Raises:
        NormexpError: another normexp is installed here.
    """
    from normexp.sweeps.environment import device_environment, environment, torch_environment

    device = device_environment(worker.standard.environment["device"])
    here = {**environment(), **torch_environment(), **device}
    if here["code"] != worker.environment["code"]:
        raise NormexpError(
            f"{machine()} has another normexp than the sweep was planned with, or it was changed "
            "since: install the same on every node, and type the command again"
        )
    place = worker.place
    sign, own = sign_of(place.path, name), place.path / f".{name}.stop"
    own.unlink(missing_ok=True)  # of whom it was started again for
    sign.show()
    news.touch()  # it has begun
    try:
        with sign.beating(HEARTBEAT_SECONDS):
            yield replace(
                worker,
                environment=here,
                locks=replace(worker.locks, worker=name),
                standard=replace(worker.standard, environment=here),
                stop=Stop(place.stop, own, pause=pause(workers)),
            )
    finally:
        own.unlink(missing_ok=True)
