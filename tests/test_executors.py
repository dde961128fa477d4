"""Executors: every task ends, by its result or its error, and no file of the directory is run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL, in_new_process, run_files, store_of
from running import began, ended, litter
from tasks import Unreadable, abandoned, alone, die_once, leave, work
from typer.testing import Result

import normexp as package
from normexp.executors import processes, slurm
from normexp.store.locks import Stop
from normexp.sweeps import array_task
from normexp.sweeps.events import Done, Event, Listener

IMAGES = ["data=digits", "data.train_size=64", "data.test_size=20", "model=lenet", "norm=batch",
          "norm.momentum=0.1", "train.epochs=1", "executor.stack_size=1", "seed=0,1"]  # fmt: skip
TESTS = [str(Path(__file__).parent), str(Path(__file__).parent / "harness")]


def test_a_task_that_raises_or_whose_process_is_killed_once_fails_no_other(tmp_path: Path) -> None:
    """Others take its place, and what had not ended is begun again."""
    ended = dict(
        processes.run([*range(4), *range(5, 40)], partial(work, str(tmp_path)), 2, abandoned)
    )
    errors = {task: str(error) for task, error in ended.items() if isinstance(error, Exception)}

    assert ended.keys() == {*range(40)} - {4}
    assert errors == {2: "two"}
    assert (tmp_path / "died").exists()


def test_a_process_that_is_always_killed_leaves_no_task_untold(tmp_path: Path) -> None:
    """All that had not ended by then are errors; the next call has new processes."""
    todo = partial(work, str(tmp_path))
    ended = dict(processes.run([0, 1, 4, 5], todo, 2, abandoned))

    assert ended.keys() == {0, 1, 4, 5}
    assert isinstance(ended[4], processes.LostError)
    assert all(isinstance(out, int) for _, out in processes.run(range(2), todo, 2, abandoned))


def test_processes_may_be_lost_as_often_as_tasks_end_between(tmp_path: Path) -> None:
    """Four are killed, each after the task of the one before has ended."""
    ended = dict(processes.run(range(8), partial(die_once, str(tmp_path)), 1, abandoned))

    assert len(list(tmp_path.iterdir())) == 4
    assert ended == dict.fromkeys(range(8))


@pytest.mark.parametrize(("tasks", "workers"), [(1, 1), (3, 1), (3, 2)])
def test_no_task_runs_in_the_process_that_asks(tmp_path: Path, tasks: int, workers: int) -> None:
    """Not even a single one."""
    numbers = [0, 1, 5][:tasks]
    ended = dict(processes.run(numbers, partial(work, str(tmp_path)), workers, abandoned))

    assert ended.keys() == {*numbers}
    assert os.getpid() not in ended.values()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_one_worker_works_on_one_task_at_a_time(tmp_path: Path) -> None:
    """In the order in which they were given."""
    todo = [4, 0, 3, 1, 2]
    ended = list(processes.run(todo, partial(alone, str(tmp_path)), 1, abandoned))

    assert ended == [(task, task) for task in todo]


def test_a_process_that_cannot_import_says_so() -> None:
    """The module that it lacks; one that ends by itself, with which code. Memory there was."""
    ((_, lacking),) = processes.run([Unreadable()], id, 1, abandoned)
    ((_, left),) = processes.run([7], leave, 1, abandoned)

    assert "ModuleNotFoundError: No module named 'nosuch'" in str(lacking)
    assert "EXIT(7)" in str(left)
    assert "memory" not in str(lacking) + str(left)


def test_processes_that_cannot_start_say_so() -> None:
    """A broken library that only they meet, in a place that the user has named."""
    Path("own").mkdir()
    Path("own/joblib.py").write_text("raise ImportError('this joblib is broken')\n")
    code = (
        "import joblib, os\n"
        "from normexp.executors import processes\n"
        "os.environ['PYTHONPATH'] = 'own'\n"
        "print([str(out) for _, out in processes.run([1, 2], id, 2, lambda: None)])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "EXIT(1)" in done.stdout
    assert "memory" not in done.stdout
    assert "this joblib is broken" in done.stderr


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of `IMAGES`, made by threads."""
    place = tmp_path_factory.mktemp("images") / "runs"
    return run_files(store_of(place, *IMAGES, "executor.processes=false"))


@pytest.mark.parametrize(
    "way",
    [["executor.processes=true", "executor.workers=2"],
     ["executor=slurm", "executor.time=10", "executor.cpus_per_task=2"]],
    ids=["here", "in a task of Slurm"],
)  # fmt: skip
def test_processes_run_no_file_of_the_current_directory(
    images: dict[str, bytes],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    way: list[str],
) -> None:
    """And give the bits that threads give elsewhere."""
    if "executor=slurm" in way:
        monkeypatch.setenv("SLURM_CONF", str(request.getfixturevalue("cluster")))
    with litter():
        code, _, err = ended(began(*IMAGES, *way))

    assert code == 0, err
    assert run_files(Path("runs")) == images


def test_a_script_of_the_directory_changes_nothing(images: dict[str, bytes]) -> None:
    """Its own modules are loaded by then, as a notebook's are: those of its processes are not."""
    code = (
        "import sys; sys.path[:0] = [*TESTS, '']\n"
        "import normexp, normexp.cli, running, joblib\n"
        "normexp.sweep(*WORDS, 'store.dir=before')\n"
        "del sys.path[:2]\n"
        "from joblib.externals.loky import get_reusable_executor\n"
        "get_reusable_executor().shutdown()\n"
        "with running.litter():\n"
        "    result = normexp.sweep(*WORDS)\n"
        "assert not result.errors, result.errors\n"
        "assert sys.path[0] == '' and 'PYTHONSAFEPATH' not in __import__('os').environ\n"
    )
    words = [*IMAGES, "executor.processes=true", "executor.workers=1"]
    in_new_process(code.replace("TESTS", repr(TESTS)).replace("WORDS", repr(words)))

    assert run_files(Path("runs")) == images


class Stepper:
    """A worker whose stacks take eight steps within a second."""

    def work(self, _: object, listen: Listener) -> Done:
        """Take them."""
        for _step in range(8):
            listen(Event("stepped", 1))
            time.sleep(0.1)
        return Done()


def test_processes_of_a_slurm_task_write_as_seldom_as_its_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line about steps in two seconds: many tasks write to one file server."""
    stacks = dict(enumerate(package.plan(*IMAGES).stacks))
    monkeypatch.setattr(array_task, "arrived", lambda worker, *_: nullcontext(worker))
    monkeypatch.setattr(processes, "run", lambda tasks, do, *_: ((one, do(one)) for one in tasks))
    monkeypatch.setattr(slurm, "name_here", lambda _: "1_0")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    worker: Any = Stepper()
    worker.stop = Stop()
    array_task.ArrayTask(worker, stacks, tmp_path, cpus=2, workers=2)()
    kinds = [json.loads(line)[0] for line in (tmp_path / "slurm-1_0.txt").read_text().splitlines()]

    assert kinds == ["stepped", "ended"] * len(stacks)


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
