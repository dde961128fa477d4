"""Several processes, each working on one task at a time.

For work that leaves the interpreter so little that threads would wait for each other: two threads
with a small LeNet each step as fast as one, two processes twice as fast. Starting them takes some
seconds. joblib's processes need no `if __name__ == "__main__"` in the user's script.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Task = TypeVar("Task")


def run(
    tasks: Sequence[Task], work: Callable[[Task], None], workers: int
) -> Iterator[tuple[Task, Exception | None]]:
    """Work on all tasks and yield each as it ends, with what it raised if it did.

    Args:
        tasks: started in this order.
        work: can be sent to a process, as can the tasks.
        workers: processes.
    """
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    pool = Parallel(n_jobs=min(workers, len(tasks)), return_as="generator_unordered", batch_size=1)
    left = dict(enumerate(tasks))
    # joblib's tracker, a process too, says that it cleans up after an interrupted command.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    try:
        for number, error in pool(delayed(_outcome)(work, n, task) for n, task in enumerate(tasks)):
            yield left.pop(number), error
    except BrokenProcessPool as broken:  # killed, as by a machine that is out of memory
        for task in left.values():
            yield task, broken


def _outcome(work: Callable[[Task], None], number: int, task: Task) -> tuple[int, Exception | None]:
    try:
        work(task)
    except Exception as error:  # noqa: BLE001  whatever it is, the caller is told
        return number, error
    return number, None
