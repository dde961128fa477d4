"""A sweep's worker on another machine: what it takes along, and who it is once it is there."""

import errno
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normexp.errors import NormexpError
from normexp.executors.news import Reader
from normexp.store.layout import StudyDirectory
from normexp.store.manifest import parse_value
from normexp.store.process import machine
from normexp.store.sweep import SweepDirectory
from normexp.sweeps.result import describe
from normexp.sweeps.stop import Stop, StoppedError

if TYPE_CHECKING:
    from normexp.sweeps.work import Done, Worker

NEWS = ".news-"
"""How the directories begin in which workers say how it goes, one for all that are sent at once."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a store that every worker would meet; others may be one node's."""

HEARTBEAT_SECONDS = 20.0
"""Of a worker: a third of its lease."""

SHORTEST_PAUSE_SECONDS = 2.0
WORKERS_A_SECOND = 100
"""That look whether to stop, or say how far they are: together no burden to a file system."""

ENDED = "ended"


def pause(workers: int) -> float:
    """Seconds between two looks, or two lines that tell of steps, of one of so many workers."""
    return max(SHORTEST_PAUSE_SECONDS, workers / WORKERS_A_SECOND)


def listening_pause(workers: int) -> float:
    """Seconds between two looks at the news of so many workers."""
    return pause(workers) / 4


def leaving(worker: "Worker") -> "Worker":
    """A worker that knows its way from any working directory."""
    study = StudyDirectory(worker.directory.path.absolute())
    return replace(worker, directory=study, claims=replace(worker.claims, study=study))


def place_of(worker: "Worker") -> SweepDirectory:
    """The directory of a worker's sweep."""
    return SweepDirectory(worker.directory.sweeps / worker.claims.sweep)


def new_news(place: SweepDirectory) -> Path:
    """A directory for the news of those who are sent now; nobody else's are in it."""
    return Path(tempfile.mkdtemp(prefix=NEWS, dir=place.path))


def has_news(place: SweepDirectory) -> bool:
    """Whether anybody has begun to work on the sweep elsewhere."""
    return any(place.path.glob(f"{NEWS}*/*"))


def done_elsewhere(place: SweepDirectory) -> tuple[int, int]:
    """Trajectories trained and runs observed, by the words of all who have worked on the sweep."""
    lines = (line for path in place.path.glob(f"{NEWS}*") for line in Reader(path).lines())
    done = [outcome for _, outcome in filter(None, map(heard, lines))]
    return sum(each.trained for each in done), sum(each.observed for each in done)


def seconds_elsewhere(place: SweepDirectory) -> float:
    """From the beginning of a sweep to the last word of those who work on it, by its own clock."""
    with suppress(OSError):
        said = [path.stat().st_mtime for path in place.path.glob(f"{NEWS}*/*")]
        return max(0.0, max(said, default=0.0) - place.began)
    return 0.0


def forget_news(place: SweepDirectory) -> None:
    """Remove all that workers have said."""
    for path in place.path.glob(f"{NEWS}*"):
        shutil.rmtree(path, ignore_errors=True)


def news_file(news: Path, name: str) -> Path:
    """Where the worker of this name says how it goes."""
    return news / f"{name}.txt"


def name_in_slurm(task: str) -> str:
    """The name of the worker that a task of Slurm is."""
    return f"slurm-{task}"


@contextmanager
def arrived(worker: "Worker", name: str, news: Path, workers: int) -> Iterator["Worker"]:
    """The worker on this machine: alive under its name, with the environment that is here.

    Args:
        worker: as it was sent.
        name: the same for a worker that a cluster starts again in the place of one that has died.
        news: the directory in which it says how it goes.
        workers: of the sweep, who use the same file system.

    Raises:
        NormexpError: another normexp is installed here.
    """
    from normexp.sweeps.environment import device_environment, environment, torch_environment

    device = device_environment(worker.standard.environment["device"])
    here = {**environment(), **torch_environment(), **device}
    if here["code"] != worker.origin.environment["code"]:
        raise NormexpError(
            f"{machine()} has another normexp than the sweep was planned with, or it was changed "
            "since: install the same on every node, and type the command again"
        )
    place = place_of(worker)
    sign, own = place.sign_of(name), place.path / f".{name}.stop"
    own.unlink(missing_ok=True)  # of whom it was started again for
    sign.show()
    news_file(news, name).touch()  # it has begun
    try:
        with sign.beating(HEARTBEAT_SECONDS):
            yield replace(
                worker,
                origin=replace(worker.origin, environment=here),
                claims=replace(worker.claims, worker=name),
                standard=replace(worker.standard, environment=here),
                stop=Stop(place.stop, own, pause=pause(workers)),
            )
    finally:
        own.unlink(missing_ok=True)


def said(number: int, outcome: "Done | Exception") -> str:
    """A line that says what came of a stack."""
    from normexp.sweeps.work import Done

    done = Done(error=outcome) if isinstance(outcome, Exception) else outcome
    return (
        f"{ENDED} {json.dumps([number, done.trained, done.observed, done.held, _of(done.error)])}"
    )


def heard(line: str) -> tuple[int, "Done"] | None:
    """What such a line says; None of a line that says something else, or nothing."""
    from normexp.sweeps.work import Done

    what, _, rest = line.partition(" ")
    if what != ENDED:
        return None
    try:
        number, trained, observed, held, error = parse_value(rest.encode())
        return int(number), Done(int(trained), int(observed), tuple(held), _error(error))
    except (ValueError, TypeError, LookupError):
        return None


def retold(done: "Done") -> "Done":
    """What came of a stack, as if it had been said in a line."""
    return done._replace(error=_error(_of(done.error)))


def _of(error: Exception | None) -> list[Any] | None:
    """An error as data: those that a sweep tells apart by kind, others by their words."""
    if error is None:
        return None
    if isinstance(error, StoppedError):
        return ["stopped"]
    if isinstance(error, OSError) and error.errno in FULL:
        return ["system", error.errno, error.strerror or str(error), error.filename]
    return ["other", describe(error)]


def _error(told: list[Any] | None) -> Exception | None:
    if told is None:
        return None
    kind, *rest = told
    if kind == "stopped":
        return StoppedError()
    if kind == "system":
        return OSError(*rest)
    return NormexpError(str(rest[0]))
