"""Executors: every task ends, by its result or by its error."""

import os
import signal
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL
from typer.testing import Result

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


def test_a_sweep_leaves_pytorch_as_it_found_it(normexp: Callable[..., Result]) -> None:
    """No state leaks from stack to stack, nor to whoever has called: seeds, dtype, gradients."""
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002  the state that all share
    before = state()
    for arm in (["norm=batch"], ["norm=none", "train.dtype=float64"], ["optim.lr=1e9"]):
        result = normexp("sweep", *SMALL, *arm, "seed=0,1", "executor.stack_size=1")
        assert result.exit_code == 0, result.stderr

    assert state() == before


def state() -> list[object]:
    """What all who use PyTorch in this process share."""
    drawn = [torch.get_rng_state().tolist(), str(np.random.get_state())]  # noqa: NPY002
    settings = [torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()]
    return [*drawn, *settings, torch.are_deterministic_algorithms_enabled()]
