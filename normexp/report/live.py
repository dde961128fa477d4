"""A report that follows a study while it grows, made again whenever the study has changed."""

import hashlib
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread

from normexp.console.words import counted
from normexp.errors import NormexpError, NotFoundError
from normexp.report.compose import Report, compose
from normexp.report.page import page
from normexp.report.source import Source, gather
from normexp.store.layout import StudyDirectory, look_around, studies
from normexp.store.selection import select
from normexp.store.sweep import SweepDirectory

LOOK_SECONDS = 1.0

PATIENCE = 3.0
"""A report is not made again before so many times what it took has passed: sweeps come first."""

STATE = "/state"
"""Where the page asks whether there is a newer one."""


@dataclass(frozen=True)
class Version:
    """The report at one time."""

    number: str
    html: str


class Live:
    """Makes the report of a study again whenever it has changed, in a thread of its own."""

    def __init__(self, study: StudyDirectory) -> None:
        self._study = study
        self._ended, self._lock = Event(), Lock()
        self._seen = self._trouble = ""
        self._version = Version("", page(self._empty("The report is being made."), live=STATE))

    def version(self) -> Version:
        """The newest one."""
        with self._lock:
            return self._version

    def words(self) -> str:
        """The state of the study, for the page."""
        running = sum(SweepDirectory(path).is_alive() for path in self._study.sweep_directories())
        runs = counted(len(self._study.run_directories()), "run")
        if self._trouble:
            return f"live, but not of this moment: {self._trouble}"
        if running:
            return f"live: {counted(running, 'sweep')} running, {runs} so far"
        return f"live: no sweep is running, {runs}"

    def start(self) -> None:
        """Follow the study until `stop`."""
        Thread(target=self._follow, daemon=True, name="report").start()

    def stop(self) -> None:
        """Follow no longer."""
        self._ended.set()

    def _follow(self) -> None:
        pause = 0.0
        while not self._ended.wait(pause):
            pause = LOOK_SECONDS
            if self._fingerprint() != self._seen:
                began = time.monotonic()
                self._make()
                pause = max(LOOK_SECONDS, PATIENCE * (time.monotonic() - began))

    def _fingerprint(self) -> str:
        """Changes with every run, and when a sweep begins or ends."""
        hashed = hashlib.sha256()
        for path in [*self._study.run_directories(), *self._study.sweep_directories()]:
            hashed.update(path.name.encode())
            with suppress(OSError):
                hashed.update(str(path.stat().st_mtime_ns).encode())
        return hashed.hexdigest()[:12]

    def _make(self) -> None:
        """A new version; the last one stays where something is wrong, and the page says so."""
        seen, made, trouble = self._fingerprint(), None, ""
        try:
            made = Version(seen, page(self._report(), live=STATE, number=seen))
        except (NormexpError, OSError) as error:  # replaced while we read: look again
            seen, trouble = "", str(error)
        except Exception as error:  # noqa: BLE001  whatever it is, the page goes on
            trouble = f"{type(error).__name__}: {error}"
        with self._lock:
            self._seen, self._trouble = seen, trouble
            self._version = made or self._version

    def _report(self) -> Report:
        """The report of the study; an empty one as long as no run has ended."""
        if not self._study.runs():
            return self._empty("No run has ended yet. This page fills by itself.")
        return compose(gather(self._study.path, [str(self._study.path)]))

    def _empty(self, about: str) -> Report:
        """A report without a figure."""
        name = self._study.path.name
        return Report(name, about, (), (), Source((name,)))


def study_of(store: Path, wanted: str | None) -> StudyDirectory:
    """The study that is meant: by name, path, a sweep of it, or that of the newest sweep.

    Raises:
        NotFoundError: there is none.
    """
    if wanted is not None:
        found = select(store, wanted).studies
        if len(found) == 1:
            return found[0]
    sweeps = [(path.name, study) for study in studies(store) for path in study.sweep_directories()]
    if wanted is not None or not sweeps:
        raise NotFoundError(
            f"no study {wanted} in {store}" if wanted else f"nothing in {store}",
            look_around(store) if wanted else "type normexp sweep --watch, or --dir for a store",
        )
    return max(sweeps, key=lambda each: each[0])[1]
