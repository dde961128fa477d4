"""This process: a few threads, each working on one task at a time.

Threads suffice, since PyTorch, Parquet and the file system release the interpreter's lock; each
runs its operations on itself alone, so that the number of workers changes no bit.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from threading import Event
from typing import TypeVar

Task = TypeVar("Task")


class StoppedError(Exception):
    """A task was told to stop."""


def run(
    tasks: Sequence[Task], work: Callable[[Task, Callable[[], None]], None], workers: int
) -> Iterator[tuple[Task, Exception | None]]:
    """Work on all tasks and yield each as it ends, with what it raised if it did.

    Args:
        tasks: started in this order.
        work: called with a task and a function to call now and then, which raises `StoppedError`
            once the caller has left the iteration.
        workers: tasks worked on at the same time.
    """
    leaving = Event()

    def breathe() -> None:
        if leaving.is_set():
            raise StoppedError

    with ThreadPoolExecutor(workers, thread_name_prefix="normexp") as pool:
        futures = {pool.submit(work, task, breathe): task for task in tasks}
        try:
            for future in as_completed(futures):
                error = future.exception()
                if error is not None and not isinstance(error, Exception):
                    raise error
                yield futures[future], error
        finally:
            leaving.set()
            pool.shutdown(wait=True, cancel_futures=True)
