"""Sweeps in a real Ray cluster: the bits, the words and the exit codes of one machine."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, store_of
from ray_cluster import Cluster, below, cluster, drivers, free_port, in_session, need_ray
from running import ELSEWHERE, assert_same, began, checkpoints, ended, litter, resumed, until
from typer.testing import Result

AsJson = Callable[..., Any]
STUDY = [*SMALL[:-1], "norm=batch", "norm.momentum=0.1,0.5", "seed=range(32)", "train.epochs=600",
         "store.checkpoint_after=0"]  # fmt: skip
"""64 runs of 32 trainings, each of which may stop at 600 evaluation points."""

LONG = [*SMALL[:-1], "norm=batch", "norm.momentum=0.1,0.5", "seed=0,1", "train.epochs=4000",
        "store.checkpoint_after=0"]  # fmt: skip
"""Two trainings of some seconds, with evaluation points all along."""

SHORTER = [*LONG, "train.epochs=500"]


@pytest.fixture(autouse=True, scope="module")
def _ray() -> None:
    need_ray()


def same(store: Path) -> None:
    """What was made here through Ray is what that store has, and nothing else."""
    assert_same(Path("runs"), store, without=ELSEWHERE | {"environment"})


def stored_runs() -> list[Path]:
    """The runs that are whole by now."""
    return list(Path("runs").glob("*/*/manifest.json"))


def numbers(answer: dict[str, Any]) -> dict[str, Any]:
    """What a sweep's answer says of the study, and of its end."""
    names = ("runs", "trajectories", "failed", "failed_runs", "errors", "warnings", "diverged",
             "arms")  # fmt: skip
    return {name: answer[name] for name in names}


def test_no_run_is_lost_with_a_worker_or_a_node(as_json: AsJson) -> None:
    """Workers die in the middle of stacks, then a node: 64 runs as if nothing had been."""
    with cluster() as there:
        process = began(*STUDY, "executor=ray", f"executor.address={there.address}",
                        "executor.stack_size=4", "--json")  # fmt: skip
        until(lambda: checkpoints() and there.head.workers() and there.second.workers())
        for number in there.head.workers() + there.second.workers():
            os.kill(number, signal.SIGKILL)
        stored = len(stored_runs())
        until(lambda: len(stored_runs()) > stored and there.second.workers())
        assert process.poll() is None
        there.second.kill()
        code, out, err = ended(process)
        assert not there.head.workers()
    local = as_json("sweep", *STUDY, "executor.stack_size=4", "store.dir=local")
    answer = json.loads(out)

    assert code == 0, err
    assert answer["runs"] == 64
    assert max(resumed()) > 0
    assert numbers(answer) == numbers(local)
    same(Path("local"))
    assert as_json("ls")[0]["status"] == "complete"


def test_a_cluster_of_this_machine_lasts_as_long_as_its_sweep(
    normexp: Callable[..., Result],
) -> None:
    """Without an address: the store is as ever, and nothing of Ray is left or said."""
    study = [*SMALL, "norm=none,batch", "norm.momentum=0.1,0.5", "seed=range(4)"]
    with litter():
        process = began(*study, "executor=ray", "executor.workers=2", "executor.stack_size=2")
        until(lambda: drivers(process.pid))
        (driver,) = drivers(process.pid)
        code, out, err = ended(process)
    told = normexp("sweep", *study, "store.dir=local").stdout

    assert code == 0, err
    printed, expected = (" ".join(text.splitlines()[1:-1]).split() for text in (out, told))
    assert printed == expected
    assert out.splitlines()[-1].startswith("runs/bn_regression/sweeps/")
    assert err.splitlines()[0] == "8 trajectories to train and 12 runs to observe in 4 stacks"
    assert [line.partition("/")[0] for line in err.splitlines()[1:5]] == [
        f"stack {number}" for number in range(1, 5)
    ]
    assert not in_session(driver)
    same(Path("local"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_sweep_and_its_own_cluster(
    as_json: AsJson, number: signal.Signals, code: int
) -> None:
    """To the whole group, as a terminal sends it."""
    process = began(*LONG, "executor=ray", "executor.workers=2", "executor.stack_size=1")
    until(checkpoints)
    (driver,) = drivers(process.pid)
    os.killpg(process.pid, number)
    returned, out, err = ended(process)

    assert (returned, out) == (code, "")
    assert re.search(r"interrupted: [0-3] of 4 .* (?:go|goes) on from an evaluation point", err), (
        err
    )
    assert "Traceback" not in err
    until(lambda: not in_session(driver))
    assert as_json("ls")[0]["status"] == "interrupted"
    assert not list(Path("runs").rglob(".*.lock"))


def test_a_signal_leaves_a_cluster_that_was_there_to_others(
    two_nodes: Cluster, as_json: AsJson
) -> None:
    """What had not begun is taken back, and no worker goes on; the same command completes."""
    command = [*SHORTER, "executor=ray", f"executor.address={two_nodes.address}",
               "executor.stack_size=1"]  # fmt: skip
    process = began(*command)
    until(checkpoints)
    os.killpg(process.pid, signal.SIGINT)
    code, _, err = ended(process)

    assert code == 130, err
    assert re.search(r"interrupted: [0-3] of 4 runs are stored", err), err
    until(lambda: not two_nodes.head.workers() + two_nodes.second.workers())
    assert as_json("ls")[0]["status"] == "interrupted"
    assert ended(began(*command))[0] == 0
    same(store_of(Path("local"), *SHORTER))


def test_two_signals_end_a_sweep_and_its_cluster_at_once() -> None:
    """Neither a traceback nor a process is left."""
    process = began(*LONG, "executor=ray", "executor.workers=2")
    until(checkpoints)
    (driver,) = drivers(process.pid)
    place = below(process.pid)[driver].split()[-1]
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        until(lambda: process.poll() is not None or "once more" in said(process))
    code, _, err = ended(process)

    assert code == 130
    assert "Traceback" not in err
    until(lambda: not in_session(driver))
    assert not Path(place).exists()


def said(process: subprocess.Popen[str]) -> str:
    """The next line of its narration."""
    assert process.stderr is not None
    return process.stderr.readline()


@pytest.mark.parametrize(
    ("address", "more", "code", "error", "hint"),
    [
        ("THERE", ["executor.gpus=0.5"], 1,
         "no node of the Ray cluster has the 1 CPU and 0.5 GPUs", "executor.gpus=0 for none"),
        ("127.0.0.2:FREE", [], 1,
         "no Ray cluster answers at 127.0.0.2:FREE: Connection refused", "`ray status`"),
        ("ray://head:10001", [], 2,
         "ray://head:10001 is no address of a Ray cluster", "HOST:PORT"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_in_one_line(  # noqa: PLR0913, PLR0917
    two_nodes: Cluster, normexp: Callable[..., Result], address: str, more: list[str], code: int,
    error: str, hint: str,
) -> None:  # fmt: skip
    """GPUs that no node has, instead of waiting for them; where nothing listens; no address."""
    free = str(free_port())
    place = address.replace("THERE", two_nodes.address).replace("FREE", free)
    result = normexp(
        "sweep", *SMALL, "norm=none", "executor=ray", f"executor.address={place}", *more
    )

    assert result.exit_code == code
    assert error.replace("FREE", free) in result.stderr
    assert hint in result.stderr


def test_the_variable_by_which_ray_names_a_cluster_is_followed(
    two_nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by `ray.init`, and a note says so; without a cluster of its own."""
    monkeypatch.setenv("RAY_ADDRESS", two_nodes.address)
    study = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5", "executor=ray"]
    with litter():
        process = began(*study, "--json")
        until(lambda: two_nodes.head.workers() or two_nodes.second.workers())
        code, out, err = ended(process)
    answer = json.loads(out)

    assert code == 0, err
    assert answer["workers"] == 64
    assert f"RAY_ADDRESS is {two_nodes.address}" in answer["notes"][0]
    same(store_of(Path("local"), *study[:-1]))


def test_what_is_typed_goes_before_the_variable(
    two_nodes: Cluster, normexp: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address, or `local` for a cluster of the sweep's own; else the variable's is tried."""
    nobody = f"127.0.0.2:{free_port()}"
    monkeypatch.setenv("RAY_ADDRESS", nobody)
    study = [*SMALL, "norm=none", "seed=0", "executor=ray"]
    lost = normexp("sweep", *study)
    typed = normexp("sweep", *study, f"executor.address={two_nodes.address}", "--json")
    own = normexp("sweep", *study, "executor.address=local", "executor.workers=1", "store.dir=own")
    monkeypatch.setenv("RAY_ADDRESS", "http://head:8265")
    wrong = normexp("sweep", *study, "store.dir=wrong")

    assert lost.exit_code == 1
    assert f"no Ray cluster answers at {nobody}" in lost.stderr
    assert "executor.address=local" in lost.stderr
    assert (typed.exit_code, own.exit_code) == (0, 0), (typed.stderr, own.stderr)
    assert "RAY_ADDRESS" not in typed.stdout
    assert wrong.exit_code == 2
    assert "http://head:8265 is no address of a Ray cluster" in wrong.stderr
    assert "RAY_ADDRESS" in wrong.stderr


@pytest.mark.parametrize(
    ("variable", "typed", "workers"),
    [
        (None, "null", os.cpu_count()),
        ("", "null", os.cpu_count()),
        ("local", "null", os.cpu_count()),
        ("local", "auto", os.cpu_count()),
        ("head:6379", "local", os.cpu_count()),
        ("head:6379", "auto", 64),
        ("auto", "null", 64),
        (None, "auto", 64),
    ],
)
def test_a_plan_has_as_many_workers_as_where_it_goes(
    as_json: AsJson,
    monkeypatch: pytest.MonkeyPatch,
    variable: str | None,
    typed: str,
    workers: int,
) -> None:
    """One a core of this machine, or as many as a cluster of unknown size may have."""
    if variable is not None:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    plan = as_json("plan", *SMALL, "executor=ray", f"executor.address={typed}")

    assert plan["workers"] == workers
