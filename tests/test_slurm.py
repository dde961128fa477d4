"""Sweeps on Slurm: the same bits, whatever happens to its tasks, and a clear word about it.

Slurm's own daemons are started here, see slurm.py; `.ci/run` installs what they need and sets
NORMEXP_NEEDS_CLUSTER.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import slurm
from conftest import SMALL
from kills import files
from typer.testing import Result

AsJson = Callable[..., Any]
Command = Callable[..., Result]
Sweeping = Callable[..., subprocess.Popen[str]]
Queue = Callable[[], dict[str, str]]

NORMEXP = [sys.executable, "-m", "normexp"]
ON_SLURM = ["executor=slurm", "executor.time=10"]
LONG = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5", "seed=0,1", "train.epochs=2000",
        "store.checkpoint_after=0", "executor.stack_size=1"]  # fmt: skip
"""Two stacks of a training each, long enough to be met in the middle."""

WIDE = [*SMALL, "norm=batch", "norm.momentum=0.01,0.1,0.3,0.5,0.9", "seed=range(48)",
        "train.epochs=400", "store.checkpoint_after=0", "executor.stack_size=8"]  # fmt: skip
"""240 runs in six stacks."""

ELSEWHERE = {"created", "seconds", "resumed_after_epochs", "sha256"}
"""What a manifest says of when and how it was made; its digest covers that."""


@pytest.fixture
def queue(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """What Slurm's queue holds: the state of each array task; nothing is left for the next test."""
    monkeypatch.setenv("SLURM_CONF", str(cluster))

    def states() -> dict[str, str]:
        lines = told("squeue", "--noheader", "--array", "--format=%F_%K %T").splitlines()
        return dict(line.split() for line in lines)

    yield states
    slurm.end_jobs(cluster)


@pytest.fixture
def sweeping(queue: object) -> Iterator[Sweeping]:  # noqa: ARG001  the queue outlives the sweeps
    """Starts a sweep on Slurm in a process group of its own, which ends with the test."""
    started = []

    def start(*overrides: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*NORMEXP, "sweep", *ON_SLURM, *overrides],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture(scope="module")
def long_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What this machine makes of `LONG`."""
    return local(tmp_path_factory.mktemp("long") / "runs", *LONG)


def local(store: Path, *overrides: str) -> Path:
    """A store that no cluster has seen."""
    command = [*NORMEXP, "sweep", *overrides, f"store.dir={store}"]
    subprocess.run(command, check=True, capture_output=True)
    return store


def told(*command: str) -> str:
    """What a program of Slurm's answers."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


def until(condition: Callable[[], object], sweep: subprocess.Popen[str] | None = None) -> None:
    """Wait for a condition, as long as the sweep lives."""
    deadline = time.monotonic() + 120
    while not condition():
        assert sweep is None or sweep.poll() is None, sweep.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def ended(sweep: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a sweep."""
    out, err = sweep.communicate(timeout=240)
    return sweep.returncode, out, err


def checkpoints(store: str = "runs") -> list[Path]:
    """Of trainings that are in the middle."""
    return list(Path(store).rglob("*.checkpoint"))


def manifests(store: Path) -> dict[str, dict[str, Any]]:
    """Those of runs and trajectories, without what may differ."""
    return {
        str(path.relative_to(store)): {
            name: value
            for name, value in json.loads(path.read_text()).items()
            if name not in ELSEWHERE
        }
        for path in store.rglob("manifest.json")
        if "sweeps" not in path.parts
    }


def log_of(task: str) -> list[str]:
    """What a task said, and Slurm of it."""
    path = next(Path().glob(f"runs/*/sweeps/*/.slurm/{task}_0_log.err"))
    return [line.strip() for line in path.read_text().splitlines()]


def resumed(store: str = "runs") -> list[int]:
    """After how many epochs the trainings of a store went on."""
    found = Path(store).glob("*/trajectories/*/manifest.json")
    return [json.loads(path.read_text())["resumed_after_epochs"] for path in found]


def assert_same(store: Path) -> None:
    """What was made here through Slurm is what that store has, to the bit, and nothing else."""
    assert files(Path("runs")) == files(store)
    assert manifests(Path("runs")) == manifests(store)


def middle(sweep: subprocess.Popen[str], queue: Queue, together: int = 1) -> list[str]:
    """The array tasks that train, once two stacks of so many trainings have checkpoints."""

    def training(task: str) -> bool:
        news = Path().glob(f"runs/*/sweeps/*/.news-*/slurm-{task}.txt")
        return any("stepped" in path.read_text() for path in news)

    def running() -> list[str]:
        states = sorted(queue().items())
        return [task for task, state in states if state == "RUNNING" and training(task)]

    until(lambda: len(running()) > 1 and len(checkpoints()) > together, sweep)
    return running()


def busiest(task: str) -> int:
    """The process of an array task that has computed the longest."""
    job, _, number = task.partition("_")
    mark = f"\0SLURM_ARRAY_JOB_ID={job}\0", f"\0SLURM_ARRAY_TASK_ID={number}\0"
    seconds = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environment = f"\0{process.joinpath('environ').read_bytes().decode()}\0"
            if all(each in environment for each in mark):
                spent = process.joinpath("stat").read_text().rpartition(")")[2].split()[11]
                seconds[int(process.name)] = int(spent)
    return max(seconds, key=lambda process: seconds[process])


def test_a_sweep_survives_a_killed_worker_and_a_requeue(
    sweeping: Sweeping, queue: Queue, tmp_path: Path
) -> None:
    """240 runs: every file of every run and training is what this machine alone makes."""
    sweep = sweeping(*WIDE)
    killed, requeued = middle(sweep, queue, together=8)[:2]
    os.kill(busiest(killed), signal.SIGKILL)
    told("scontrol", "requeue", requeued)
    code, out, err = ended(sweep)

    assert code == 0, err
    assert Path(out.splitlines()[-1]).is_dir()
    assert max(resumed()) > 0
    local(Path("runs"), *WIDE)  # clears away what the killed one was writing
    assert_same(local(tmp_path / "local", *WIDE))


def test_a_cancelled_task_is_told_and_made_up_for(
    sweeping: Sweeping, queue: Queue, long_store: Path
) -> None:
    """By its number and the end of its log; the same command completes the sweep."""
    sweep = sweeping(*LONG)
    cancelled = middle(sweep, queue)[0]
    told("scancel", cancelled)
    code, _, err = ended(sweep)
    left = list(Path().glob("runs/*/sweeps/*/.slurm-*"))
    again, _, complaint = ended(sweeping(*LONG))

    assert code == 1, err
    assert "cancelled" in err
    assert cancelled in err
    assert any(line in err for line in log_of(cancelled) if line)
    assert left == []
    assert "Traceback" not in err
    assert again == 0, complaint
    assert max(resumed()) > 0
    assert_same(long_store)


def test_a_detached_sweep_is_listed_and_picked_up(
    sweeping: Sweeping, queue: Queue, as_json: AsJson, long_store: Path
) -> None:
    """Queued for a reason, running, then waited for by the same command without --detach."""
    code, out, err = ended(sweeping("--detach", "--json", *LONG, "executor.options=hold"))
    assert code == 0, err
    job = json.loads(out)["job"]
    assert {task.split("_")[0] for task in queue()} == {job}
    row = as_json("ls")[-1]
    assert (row["status"], row["job"], row["reason"]) == ("queued", job, "JobHeldUser")

    told("scontrol", "release", job)
    until(checkpoints)
    assert "running" in as_json("ls")[-1]["status"]
    code, out, err = ended(sweeping(*LONG))

    assert code == 0, err
    assert Path(out.splitlines()[-1]).is_dir()
    assert queue() == {}
    row = as_json("ls")[-1]
    assert (row["status"], row["job"], row["reason"]) == ("complete", job, None)
    assert_same(long_store)


def test_a_detached_sweep_that_has_ended_is_summed_up(
    sweeping: Sweeping, queue: Queue, as_json: AsJson, long_store: Path
) -> None:
    """Nothing is submitted again, and what its tasks trained is told."""
    code, out, err = ended(sweeping("--detach", *LONG))
    assert code == 0, err
    assert Path(out.splitlines()[-1]).is_dir()
    until(lambda: not queue())
    code, out, err = ended(sweeping("--json", *LONG))

    assert code == 0, err
    assert queue() == {}
    answer = json.loads(out)
    assert (answer["cached"], answer["observed"], answer["trained"]) == (0, 4, 2)
    assert as_json("ls")[-1]["status"] == "complete"
    assert_same(long_store)


def test_a_task_out_of_time_goes_on(sweeping: Sweeping, queue: Queue, long_store: Path) -> None:
    """Slurm's signal before the limit: the task is queued again and resumes its training."""
    sweep = sweeping(*LONG)
    told("scancel", "--signal=USR2", middle(sweep, queue)[0])
    code, _, err = ended(sweep)

    assert code == 0, err
    assert max(resumed()) > 0
    assert_same(long_store)


@pytest.mark.parametrize(("partition", "code"), [("requeue", 0), ("cancel", 1)])
def test_preempted_tasks_go_on_or_are_told(
    sweeping: Sweeping, queue: Queue, long_store: Path, partition: str, code: int
) -> None:
    """As the cluster has it: begun again by itself, or by the same command."""
    sweep = sweeping(*LONG, f"executor.partition={partition}")
    middle(sweep, queue)
    told("sbatch", "--cpus-per-task=4", "--output=/dev/null", "--wrap=sleep 1")
    found, _, err = ended(sweep)

    assert found == code, err
    if code:
        assert "pre-empted" in err
        again, _, complaint = ended(sweeping(*LONG))
        assert again == 0, complaint
    assert min(resumed()) > 0
    assert_same(long_store)


def test_ctrl_c_empties_the_queue(
    sweeping: Sweeping, queue: Queue, as_json: AsJson, long_store: Path
) -> None:
    """What runs stops at an evaluation point, and goes on when the command is typed again."""
    sweep = sweeping(*LONG)
    middle(sweep, queue)
    os.killpg(sweep.pid, signal.SIGINT)
    code, out, err = ended(sweep)
    until(lambda: not queue())
    again, _, complaint = ended(sweeping(*LONG))

    assert (code, out) == (130, ""), err
    assert "2 trainings go on from an evaluation point" in err
    assert "Traceback" not in err
    assert again == 0, complaint
    assert min(resumed()) > 0
    assert as_json("ls")[-1]["status"] == "complete"
    assert_same(long_store)


def test_ctrl_c_takes_back_what_waits(sweeping: Sweeping, queue: Queue) -> None:
    """One task runs and one waits its turn: neither has failed."""
    sweep = sweeping(*LONG, "executor.array_parallelism=1")
    until(checkpoints, sweep)
    assert sorted(queue().values()) == ["PENDING", "RUNNING"]
    os.killpg(sweep.pid, signal.SIGINT)
    code, out, err = ended(sweep)
    until(lambda: not queue())

    assert (code, out) == (130, ""), err
    assert "interrupted: 0 of 4 runs are stored; 1 training goes on" in err
    assert "failed" not in err


def test_slurm_s_reason_for_waiting_is_told(sweeping: Sweeping, normexp: Command) -> None:
    """To whoever follows, and in the listing meanwhile."""
    sweep = sweeping(*LONG, "executor.options='begin=now+1hour'")
    assert sweep.stderr is not None
    told = iter(sweep.stderr.readline, "")

    assert "2 tasks in Slurm's queue: BeginTime\n" in told
    assert re.search(r"queued \(job \d+: BeginTime\)|queued.*, BeginTime", normexp("ls").stdout)
    os.killpg(sweep.pid, signal.SIGINT)
    assert ended(sweep)[0] == 130
