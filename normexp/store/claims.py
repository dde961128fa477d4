"""Claims: who works on a trajectory and its runs, so that two sweeps never make one twice.

A claim is a file that names a sweep and a process. It is taken and given back under a lock of the
file system, which the kernel takes from a process that dies; a claim whose sweep has ended, or
whose process has died, is taken over. What is claimed is looked at again before work begins, since
another may have finished it.
"""

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normexp.store.files import write_new
from normexp.store.layout import StudyDirectory
from normexp.store.process import lives, machine
from normexp.store.regular import FLAGS, read_json
from normexp.store.sign import MOST_BYTES, Sign, about_me
from normexp.store.sweep import SweepDirectory

SUFFIX = "claim"


@dataclass(frozen=True)
class Claims:
    """Of one sweep, on the trajectories of its study.

    Args:
        study: whose trajectories these are.
        sweep: name of the sweep's directory.
        worker: who works on it elsewhere; the same name is the same one, started again.
    """

    study: StudyDirectory
    sweep: str
    worker: str | None = None

    def take(self, trajectories: Iterable[str]) -> list[str]:
        """Claim trajectories; those that nobody else who lives works on."""
        with locked(self.study):
            taken = [name for name in trajectories if not self.is_held(name)]
            for name in taken:
                self._path(name).unlink(missing_ok=True)  # of the dead, or a link
                write_new(self._path(name), json.dumps(self._own()).encode())
        return taken

    def release(self, trajectories: Iterable[str]) -> None:
        """Give back what is this sweep's, whichever of its processes has claimed it."""
        with locked(self.study):
            for name in trajectories:
                if self._owner(name).get("sweep") == self.sweep:
                    self._path(name).unlink(missing_ok=True)

    def release_dead(self) -> None:
        """Remove the claims of sweeps that have ended or died."""
        with locked(self.study):
            for path in self.study.trajectories.glob(f".*.{SUFFIX}"):
                if not self.is_held(path.name.split(".")[1]):
                    path.unlink(missing_ok=True)

    def is_held(self, trajectory: str) -> bool:
        """Whether somebody who lives works on a trajectory."""
        owner = self._owner(trajectory)
        try:
            sweep, worker = Path(owner["sweep"]).name, owner.get("worker")
            here = owner["machine"] == machine()
            if here and not lives(int(owner["process"]), str(owner["started"])):
                return False
            if worker is not None and (sweep, worker) == (self.sweep, self.worker):
                return False
            return self._sign(sweep, worker).is_alive(
                self._sign(self.sweep, self.worker).last_beat()
            )
        except (KeyError, TypeError, ValueError):
            return False

    def _sign(self, sweep: str, worker: str | None) -> Sign:
        directory = SweepDirectory(self.study.sweeps / sweep)
        return directory.sign if worker is None else directory.sign_of(Path(worker).name)

    def _path(self, trajectory: str) -> Path:
        return self.study.trajectories / f".{trajectory}.{SUFFIX}"

    def _own(self) -> dict[str, Any]:
        return {"sweep": self.sweep, "worker": self.worker, **about_me()}

    def _owner(self, trajectory: str) -> dict[str, Any]:
        """What a claim says; nothing if there is none, or none that can be read."""
        with suppress(OSError, ValueError):
            return read_json(self._path(trajectory), MOST_BYTES)
        return {}


@contextmanager
def locked(study: StudyDirectory) -> Iterator[None]:
    """Alone, among all who use the study; without a lock where a file system has none."""
    study.trajectories.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(study.lock, os.O_RDWR | os.O_CREAT | FLAGS, 0o666)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                raise
        yield
