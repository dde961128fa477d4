"""Files by which processes of a store hear of one another: locks, signs of life, and to stop.

Locks say which sweep works on a trajectory, so that two sweeps never make one twice.

A lock is a file that names a sweep and a process. It is taken and released under an `flock` of the
study, which the kernel takes from a process that dies. A lock counts while its owner lives: the
kernel knows of those on this machine; others show a sign of life, a file that they touch every few
seconds. Who works on a sweep looks now and then whether somebody has asked it to stop.
"""

import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

import msgspec

from normexp.store.files import lives, machine, start_of, write_file, write_new
from normexp.store.layout import StudyDirectory
from normexp.store.plain import FLAGS, from_json, read_regular

HEARTBEAT_SECONDS = 5.0
LEASE_SECONDS = 60.0
"""A process on another machine counts as dead after so long without a heartbeat."""

GRACE_SECONDS = 5.0
"""For what can be finished soon, once a sweep has been asked to stop: more is left for later."""

LOOK_SECONDS = 0.2
"""Between two looks at the file that asks processes to stop."""

MOST_BYTES = 4096
"""The largest of these files that is read."""

ALIVE = "alive.json"
SUFFIX = "lock"


class Owner(msgspec.Struct, omit_defaults=True):
    """The process that holds a lock or shows a sign of life."""

    machine: str
    process: int
    started: str
    sweep: str = ""
    worker: str | None = None

    def lives_here(self) -> bool | None:
        """Return whether it still runs on this machine; None if it is another machine's."""
        return lives(self.process, self.started) if self.machine == machine() else None


def myself(sweep: str = "", worker: str | None = None) -> bytes:
    """Return the content of a lock or sign of life of this process."""
    process = os.getpid()
    return msgspec.json.encode(Owner(machine(), process, start_of(process), sweep, worker))


@dataclass(frozen=True)
class Sign:
    """A sign of life: a file that its owner touches while it works and removes afterwards."""

    path: Path

    def show(self) -> None:
        """Say that this process works here from now on."""
        write_file(self.path, myself())

    @contextmanager
    def beating(self, every: float = HEARTBEAT_SECONDS) -> Iterator[None]:
        """Touch the file every so many seconds, and remove it at the end."""

        def beat() -> float:
            with suppress(OSError):
                try:
                    os.utime(self.path, follow_symlinks=False)
                except FileNotFoundError:  # others thought us dead, as of a laptop that slept
                    self.show()
            return every

        try:
            with repeating(beat, every):
                yield
        finally:
            self.remove()

    def last_beat(self) -> float:
        """Return when it was last touched, by the file system's clock; now if it is not there."""
        try:
            return os.lstat(self.path).st_mtime
        except OSError:
            return time.time()

    def is_alive(self, now: float | None = None) -> bool:
        """Return whether its owner still works; `now` by the file system's clock, if known."""
        try:
            here = from_json(read_regular(self.path, MOST_BYTES), Owner).lives_here()
            if here is not None:
                return here
            beat = os.lstat(self.path).st_mtime
            return (_clock(self.path.parent) if now is None else now) - beat < LEASE_SECONDS
        except (OSError, ValueError):
            return False

    def remove(self) -> None:
        """Say that nobody works here any more."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def sign_of(sweep: Path, worker: str | None = None) -> Sign:
    """Return the sign of life of a sweep, or of one who works on it elsewhere."""
    return Sign(sweep / (ALIVE if worker is None else f".{Path(worker).name}.{ALIVE}"))


@dataclass(frozen=True)
class Locks:
    """The locks of one sweep on trajectories of its study.

    Args:
        study: of the trajectories.
        sweep: name of the sweep's directory.
        worker: who works on it elsewhere; a worker that is started again keeps its name.
    """

    study: StudyDirectory
    sweep: str
    worker: str | None = None

    def take(self, trajectories: Iterable[str]) -> list[str]:
        """Lock trajectories, and return those that nobody else who lives has locked."""
        with locked(self.study):
            taken = [name for name in trajectories if not self.is_held(name)]
            for name in taken:
                self._path(name).unlink(missing_ok=True)  # of the dead, or a link
                write_new(self._path(name), myself(self.sweep, self.worker))
        return taken

    def release(self, trajectories: Iterable[str]) -> None:
        """Remove the locks that are this sweep's, whichever of its processes took them."""
        with locked(self.study):
            for name in trajectories:
                owner = self._owner(name)
                if owner is not None and owner.sweep == self.sweep:
                    self._path(name).unlink(missing_ok=True)

    def remove_stale(self) -> None:
        """Remove the locks of sweeps that have ended or died."""
        with locked(self.study):
            for path in self.study.trajectories.glob(f".*.{SUFFIX}"):
                if not self.is_held(path.name.split(".")[1]):
                    path.unlink(missing_ok=True)

    def is_held(self, trajectory: str) -> bool:
        """Return whether somebody else who lives works on a trajectory."""
        owner = self._owner(trajectory)
        if owner is None or owner.lives_here() is False:
            return False
        sweep = Path(owner.sweep).name
        if owner.worker is not None and (sweep, owner.worker) == (self.sweep, self.worker):
            return False
        now = sign_of(self.study.sweeps / self.sweep, self.worker).last_beat()
        return sign_of(self.study.sweeps / sweep, owner.worker).is_alive(now)

    def _path(self, trajectory: str) -> Path:
        return self.study.trajectories / f".{trajectory}.{SUFFIX}"

    def _owner(self, trajectory: str) -> Owner | None:
        """Return who holds a lock; None if there is none that can be read."""
        with suppress(OSError, ValueError):
            return from_json(read_regular(self._path(trajectory), MOST_BYTES), Owner)
        return None


@contextmanager
def repeating(work: Callable[[], float], seconds: float) -> Iterator[None]:
    """Meanwhile do some work again and again, on a thread.

    Args:
        work: returns the seconds before it is done again.
        seconds: before it is done first.
    """
    over = Event()

    def repeat() -> None:
        pause = seconds
        while not over.wait(pause):
            pause = work()

    thread = Thread(target=repeat, daemon=True, name="repeating")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()  # else its last time may come after the end


@contextmanager
def locked(study: StudyDirectory) -> Iterator[None]:
    """Be alone among all who use the study, where the file system has locks."""
    study.trajectories.mkdir(parents=True, exist_ok=True)
    with flocked(study.lock, flags=os.O_RDWR | os.O_CREAT | FLAGS):
        yield


@contextmanager
def unchanging(study: StudyDirectory, *, alone: bool = False) -> Iterator[None]:
    """Have nobody remove from the study what is there; those who remove are `alone`.

    Others may look and begin sweeps at the same time.
    """
    if study.path.is_dir():
        with flocked(study.path, fcntl.LOCK_EX if alone else fcntl.LOCK_SH):
            yield
    else:
        yield


@contextmanager
def flocked(path: Path, operation: int = fcntl.LOCK_EX, flags: int = os.O_RDONLY) -> Iterator[None]:
    """Hold a lock of the kernel on a file or directory, where the file system has locks."""
    file = os.open(path, flags, 0o666)
    try:
        try:
            fcntl.flock(file, operation)
        except OSError as error:  # of file servers EBADF, of directories
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF):
                raise
        yield
    finally:
        os.close(file)


def _clock(directory: Path) -> float:
    """Return the time by the clock of a directory's file system, else by our own.

    A file server may date the files: by our own clock, the living could seem dead.
    """
    with suppress(OSError), tempfile.TemporaryFile(prefix=".clock", dir=directory) as probe:
        return os.fstat(probe.fileno()).st_mtime
    return time.time()


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

    @property
    def is_over(self) -> bool:
        """True once the time for the work is over."""
        left = self.seconds_left()
        return left is not None and left <= 0

    def raise_if_over(self) -> None:
        """Leave the work if its time is over; to be called now and then.

        Raises:
            StoppedError: it is.
        """
        if self.is_over:
            raise StoppedError

    def _shorten(self, seconds: float) -> None:
        """Asked twice, the earlier end counts; the same file read again asks for nothing new."""
        if self._end is None or seconds <= 0:
            self._end = time.monotonic() + seconds
