"""Executors: every task ends, by its result or by its error."""

import os
import signal

from normexp.executors import processes


def work(task: int) -> None:
    """Some tasks fail."""
    if task == 2:
        raise ValueError("two")


def die(task: int) -> None:
    """One is killed, as by a machine that is out of memory."""
    if task == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def abandoned() -> None:
    """Nobody leaves early here."""


def test_a_task_that_raises_is_told_with_its_error() -> None:
    """The others go on, however many there are."""
    ended = dict(processes.run(range(40), work, 2, abandoned))

    assert ended.keys() == set(range(40))
    assert {task: str(error) for task, error in ended.items() if isinstance(error, Exception)} == {
        2: "two"
    }


def test_a_process_that_is_killed_leaves_no_task_untold() -> None:
    """All that had not ended by then are errors; the next call has new processes."""
    ended = dict(processes.run(range(5), die, 2, abandoned))

    assert ended.keys() == set(range(5))
    assert ended[2] is not None
    assert all(error is None for _, error in processes.run(range(2), work, 2, abandoned))
