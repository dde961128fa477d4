"""Executors: every task ends, by its result or by its error."""

import os
import signal
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path

import pytest

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


def die_once(task: int) -> None:
    """The first process that gets task 2 is killed; the next one does it."""
    if task == 2 and not Path("died").exists():
        Path("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_once_fails_nothing(tmp_path: Path) -> None:
    """Others take its place, and what had not ended is begun again."""
    ended = dict(processes.run(range(5), partial(in_place, str(tmp_path), die_once), 2, abandoned))

    assert ended == dict.fromkeys(range(5))
    assert (tmp_path / "died").exists()


def in_place(place: str, work: Callable[[int], None], task: int) -> None:
    """Some work in a directory: processes may be older than a test's own."""
    with chdir(place):
        work(task)


def number(_: int) -> int:
    """In which process a task runs."""
    return os.getpid()


@pytest.mark.parametrize(("tasks", "workers"), [(1, 1), (1, 2), (3, 1), (3, 2)])
def test_no_task_runs_in_the_process_that_asks(tasks: int, workers: int) -> None:
    """Not even a single one; with one worker they come one after the other."""
    ended = dict(processes.run(range(tasks), number, workers, abandoned))

    assert ended.keys() == set(range(tasks))
    assert os.getpid() not in ended.values()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
