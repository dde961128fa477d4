"""Several processes, each working on one task at a time.

For work that leaves the interpreter so little that threads would wait for each other: two threads
with a small LeNet each step as fast as one, two processes twice as fast. Starting them takes some
seconds. joblib's processes need no `if __name__ == "__main__"` in the user's script.
"""

import os
import pickle
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOOK_SECONDS = 0.5
ATTEMPTS = 3
"""In a row at which processes are lost and no task ends; those that have are not begun again."""

KILLED = re.compile(r"\bSIG\w+\(")
"""joblib's words for a process that was ended by a signal."""

SAFE = "PYTHONSAFEPATH"
"""Set, it keeps Python, and those whom that Python starts, from adding the current directory."""


class LostError(Exception):
    """A task's process, worker or node was lost, and lost again wherever it was begun anew."""


def run(
    tasks: Sequence[Task],
    work: Callable[[Task], Result],
    workers: int,
    abandon: Callable[[], None],
) -> Iterator[tuple[Task, Result | Exception]]:
    """Work on all tasks and yield each as it ends, with what it gave or raised.

    A signal to the whole group, as a terminal sends it, is for the caller: processes ignore it.

    Args:
        tasks: started in this order.
        work: can be sent to a process, as can the tasks.
        workers: processes.
        abandon: called if the caller leaves the iteration early, to make `work` return soon.
    """
    from joblib.externals.loky.backend.reduction import dumps
    from joblib.externals.loky.process_executor import BrokenProcessPool

    # Packed here, so that a process follows its parent before it imports what the work needs.
    packed = bytes(dumps(work))
    left = dict(enumerate(tasks))
    attempts, why = 0, ""
    # joblib's tracker, a process too, says that it cleans up after an interrupted command.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    try:
        with _safe_start():
            while left and attempts < ATTEMPTS:
                try:
                    for number, outcome in _started(packed, left, workers):
                        attempts = 0
                        yield left.pop(number), outcome
                except BrokenProcessPool as error:  # as by a machine that is out of memory
                    attempts, why = attempts + 1, _why(error)
        for task in left.values():
            yield task, LostError(f"{ATTEMPTS} times in a row {why}")
    except BaseException:
        abandon()
        raise


def _why(error: Exception) -> str:
    """Return what has become of a process."""
    if error.__cause__ is not None:  # of one that could not read what it was sent
        lines = [line for line in str(error.__cause__).splitlines() if line.strip(" '\"")]
        return f"a process could not begin: {lines[-1]}"
    _, _, codes = str(error).partition("The exit codes of the workers are ")
    if not codes or KILLED.search(codes):
        return "a process was killed: out of memory?"
    return f"a process could not begin, or ended by itself: {codes.strip('{} ')}; see what it wrote"


def _started(
    packed: bytes, tasks: Mapping[int, Task], workers: int
) -> Iterator[tuple[int, Result | Exception]]:
    """The outcomes of numbered tasks as they come."""
    from joblib import Parallel, delayed

    jobs = min(workers, len(tasks))
    pool = Parallel(
        n_jobs=max(2, jobs),  # of one joblib would make none: it would work in this process
        return_as="generator_unordered",
        batch_size=1,
        initializer=exec,  # first of all, since it needs no module itself
        initargs=(f"import sys; sys.path[:] = {places()}",),
    )
    todo = list(tasks.items())  # `tasks` shrinks while they end
    # joblib may hand out a task for each of its two processes: a single worker gets each alone.
    for together in [todo] if jobs > 1 else [[one] for one in todo]:
        with _ignoring_signals():  # processes inherit it
            ended = pool(delayed(_outcome)(packed, os.getpid(), n, task) for n, task in together)
        outcomes: Iterator[tuple[int, Result | Exception]] = ended
        yield from outcomes


def _outcome(packed: bytes, parent: int, number: int, task: Task) -> tuple[int, Any]:
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    _follow(parent)
    try:
        return number, pickle.loads(packed)(task)  # noqa: S301  from our own parent
    except Exception as error:  # noqa: BLE001  passed on, whatever it is
        return number, error


@cache
def _follow(parent: int) -> None:
    """End this process when its parent has died: nobody wants what it does by then."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="follow").start()


@contextmanager
def _ignoring_signals() -> Iterator[None]:
    """For the moment in which processes are started; only the main thread can and need do so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, signal.SIG_IGN) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def places() -> list[str]:
    """Return where modules are found here, without the current directory, and normexp's own.

    Python looks in the current directory first: a user's `queue.py` would be run as the standard
    library's.
    """
    first = sys.path[:1] if sys.path[:1] == [os.getcwd()] else []  # noqa: PTH109  a text
    own = str(Path(__file__).parents[2])
    found = [os.path.abspath(place) for place in sys.path[len(first) :] if place]  # noqa: PTH100
    return found if own in found else [*found, own]


@contextmanager
def _safe_start() -> Iterator[None]:
    """Keep the current directory from all Pythons that are started meanwhile."""
    before = os.environ.get(SAFE)
    os.environ[SAFE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE]
        else:
            os.environ[SAFE] = before
