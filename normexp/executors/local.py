"""This process: a few threads, each working on one task at a time.

Threads suffice, since PyTorch, Parquet and the file system release the interpreter's lock; each
runs its operations on itself alone, so that the number of workers changes no bit.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def run(
    tasks: Sequence[Task],
    work: Callable[[Task], Result],
    workers: int,
    abandon: Callable[[], None],
) -> Iterator[tuple[Task, Result | Exception]]:
    """Work on all tasks and yield each as it ends, with what it gave or raised.

    Args:
        tasks: started in this order.
        work: called with a task.
        workers: tasks worked on at the same time.
        abandon: called if the caller leaves the iteration early, to make `work` return soon.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="normexp") as pool:
        futures: dict[Future[Result], Task] = {pool.submit(work, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                outcome: Result | Exception = _outcome(future)
                yield futures[future], outcome
        except BaseException:
            abandon()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _outcome(future: Future[Result]) -> Result | Exception:
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001  whatever it is, the caller is told
        return error
