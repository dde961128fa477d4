"""One task of a Slurm array: it works on some stacks until they are done or its time is over."""

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from normexp.errors import NormexpError
from normexp.executors import slurm
from normexp.nets.models import is_convolutional
from normexp.store.locks import Stop, StoppedError
from normexp.sweeps.events import Event, append, encode, pause, relay
from normexp.sweeps.execute import arrived, in_processes, in_threads
from normexp.sweeps.plan import Stack
from normexp.sweeps.worker import Worker

if TYPE_CHECKING:
    from submitit.core.utils import DelayedSubmission

GRACE_SECONDS = {signal.SIGTERM: 10.0, signal.SIGUSR2: 60.0}
"""To get to an evaluation point: Slurm kills 30 seconds after the one, 90 after the other."""

MOST_IDLE = 3


@dataclass
class ArrayTask:
    """A call that submitit makes in a task.

    Args:
        worker: does the work.
        stacks: by their numbers in the plan.
        news: the directory in which it reports.
        cpus: stacks at a time.
        workers: stacks that all tasks together work on at a time.
        idle: times in a row that its time was over and no evaluation point reached.
    """

    worker: Worker
    stacks: Mapping[int, Stack]
    news: Path
    cpus: int
    workers: int
    idle: int = 0
    _stop: Stop | None = field(default=None, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)
    _began: float = field(default=0.0, init=False)

    def __call__(self) -> None:
        """Work, in a thread: this one has to receive signals.

        Raises:
            NormexpError: this node has another normexp.
            OSError: the store cannot be used from here.
        """
        name = f"slurm-{slurm.name_here(os.environ)}"
        path = self.news / f"{name}.txt"
        self._began = time.time()
        signal.signal(signal.SIGTERM, self._terminated)
        errors: list[BaseException] = []

        def work() -> None:
            try:
                self._work(here, path)
            except BaseException as error:  # noqa: BLE001  for the thread that waits
                errors.append(error)

        with arrived(self.worker, name, path, self.workers) as here:
            self._stop = here.stop
            self._thread = threading.Thread(target=work, name="stacks", daemon=True)
            self._thread.start()
            self._thread.join()
        for error in errors:
            raise error

    def checkpoint(self) -> "DelayedSubmission":
        """Called by submitit when time is almost over; what it returns is called the next time.

        Raises:
            NormexpError: that would lead nowhere.
        """
        from submitit.core.utils import DelayedSubmission

        self._end(GRACE_SECONDS[signal.SIGUSR2])
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Slurm's, when it queues the task again
        idle = 0 if self._has_moved() else self.idle + 1
        if idle >= MOST_IDLE:
            raise NormexpError(
                f"{idle} times in a row no evaluation point was reached in executor.time minutes"
            )
        return DelayedSubmission(replace(self, idle=idle))

    def _has_moved(self) -> bool:
        """True if anything that lasts was written since it began, by the clock of this node."""
        study = self.worker.directory
        names = [each.id for stack in self.stacks.values() for each in stack.trajectories]
        paths = [*map(study.checkpoint, names), *map(study.trajectory, names)]
        return any(path.stat().st_mtime > self._began - 1 for path in paths if path.exists())

    def _terminated(self, number: int, _: FrameType | None) -> None:
        """Cancelled or pre-empted: whoever starts this task again, or the sweep, goes on."""
        self._end(GRACE_SECONDS[signal.SIGTERM])
        sys.exit(128 + number)

    def _end(self, seconds: float) -> None:
        if self._stop is not None and self._thread is not None:
            self._stop.ask(seconds)
            self._thread.join(seconds + 5)

    def _work(self, here: Worker, path: Path) -> None:
        send, seconds = partial(append, path), pause(self.workers)
        stacks = list(self.stacks.values())
        numbers = {stack.trajectories[0].id: number for number, stack in self.stacks.items()}
        if self.cpus > 1 and any(is_convolutional(stack.config) for stack in stacks):
            ended = in_processes(stacks, here, self.cpus, send, seconds)
        else:
            ended = in_threads(stacks, here, self.cpus, relay(send, seconds))
        for stack, done in ended:
            if isinstance(done.error, StoppedError) and not here.place.stop.exists():
                continue  # this task alone stops: the stack goes on when it is started again
            if not send(encode(Event("ended", numbers[stack.trajectories[0].id], done=done))):
                raise OSError(errno.EIO, "cannot report the end of a stack", str(path))
