"""A Ray cluster: one that is there, or one of this machine's own that ends with the work.

Ray's driver is a process of its own, `ray_driver.py`: Ray replaces signal handlers, changes the
environment, prints, and ends its process where it loses the cluster. None of that reaches the
caller, and no signal to the caller's group reaches Ray.
"""

import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, TypeVar

from normexp.errors import NormexpError, UsageError
from normexp.executors.processes import ATTEMPTS, SAFE, LostError, places

Task = TypeVar("Task")
Result = TypeVar("Result")

GRACE_SECONDS = 5.0
"""For tasks that run when the caller leaves early."""

END_SECONDS = 20.0
"""For the driver to end after that."""


def run(  # noqa: PLR0913  what a pool needs, and what a cluster does
    tasks: Sequence[Task],
    work: Callable[[Task], Result],
    workers: int,
    abandon: Callable[[], None],
    *,
    address: str | None,
    gpus: float,
) -> Iterator[tuple[Task, Result | Exception]]:
    """Work on all tasks and yield each as it ends, with what it gave or raised.

    Args:
        tasks: started in this order; each takes one CPU.
        work: can be sent to a process, as can the tasks.
        workers: tasks worked on at the same time, if the cluster has as many CPUs.
        abandon: called if the caller leaves the iteration early, to make `work` return soon.
        address: HOST:PORT of a cluster that this machine belongs to, or "auto" to find it; None
            for a cluster of this machine's own.
        gpus: of a node, for each task; a fraction lets tasks share one.

    Raises:
        UsageError: Ray is not installed, or does not know such an address or number of GPUs.
        NormexpError: there is no such cluster, it does not suit this process or the tasks, or it
            was lost.
    """
    check(address, gpus)
    from joblib.externals.loky.backend.reduction import dumps

    order = {
        "path": places(),
        "address": address,
        "workers": workers,
        "gpus": gpus,
        "attempts": ATTEMPTS,
        "grace": GRACE_SECONDS,
        "work": bytes(dumps(work)),
        "tasks": [bytes(dumps(task)) for task in tasks],
    }
    with _driver() as (driver, log):
        try:
            with suppress(BrokenPipeError):  # an error below
                driver.send_bytes(pickle.dumps(order))
            for _ in tasks:
                number, outcome = _next(driver, log)
                yield tasks[number], outcome
        except BaseException:
            driver.close()  # first, so that nothing new is begun in place of what ends now
            abandon()
            raise


def check(address: str | None, gpus: float) -> None:
    """Check what can be checked before anything is started.

    Raises:
        UsageError: Ray is not installed, or does not know such an address or number of GPUs.
    """
    if find_spec("ray") is None:
        raise UsageError("executor=ray needs Ray", "type pip install ray")
    if gpus < 0 or (gpus > 1 and gpus != int(gpus)):
        raise UsageError(
            f"a Ray task cannot have {gpus:g} GPUs", "executor.gpus is 0, a fraction of 1, or whole"
        )
    host, _, port = (address or "auto").rpartition(":")
    if address not in (None, "auto") and (not host or "/" in host or not port.isdigit()):
        raise UsageError(
            f"{address} is no address of a Ray cluster",
            "executor.address, or RAY_ADDRESS in the environment, is HOST:PORT as `ray start "
            "--head` says, or auto; on a node of it. executor.address=local starts one here",
        )


@contextmanager
def _driver() -> Iterator[tuple[Connection, IO[str]]]:
    """A process that is connected to Ray, and what it writes; it ends when nobody listens."""
    here, there = Pipe()
    # The names of Ray's sockets are too long for the system in a directory whose own is long.
    short = "/tmp"  # noqa: S108  made with a name that nobody knows
    with (
        tempfile.TemporaryDirectory(prefix="normexp-", dir=short, ignore_cleanup_errors=True) as at,
        Path(at, "driver.log").open("w+") as log,
    ):
        process = subprocess.Popen(  # noqa: S603  this very Python, on a file of our own
            [sys.executable, "-m", "normexp.executors.ray_driver", str(there.fileno()), at],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[there.fileno()],
            start_new_session=True,  # signals of a terminal are for the caller
            cwd=at,  # else Ray adds the user's to its workers' path
            env=os.environ | {"PYTHONPATH": os.pathsep.join(places()), SAFE: "1"},
        )
        there.close()
        try:
            yield here, log
        finally:
            here.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS + END_SECONDS)
            if process.returncode != 0:
                with suppress(ProcessLookupError):  # its group: a cluster of its own is in it
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _next(driver: Connection, log: IO[str]) -> tuple[int, Any]:
    """The number and the outcome of the next task that has ended.

    Raises:
        NormexpError: the driver has given up, or died.
    """
    try:
        kind, number, content = pickle.loads(driver.recv_bytes())  # noqa: S301  from our own process
    except (EOFError, OSError):
        log.seek(0)
        *_, last = ["", *(line.strip() for line in log if line.strip())]
        why = re.sub(r"^\[.*?\] \S+ ", "", last).split(". ")[0].rstrip(".")
        raise NormexpError(
            f"the connection with the Ray cluster was lost{why and f': {why}'}",
            "type the same command again: it makes what is missing",
        ) from None
    if kind == "failed":
        raise NormexpError(*content)
    if kind == "lost":
        return number, LostError(content)
    try:
        return number, pickle.loads(content)  # noqa: S301  from our own work
    except Exception as error:  # noqa: BLE001  passed on, whatever it is
        return number, error
