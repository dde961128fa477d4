"""Sweeps on Slurm: the same bits, whatever happens to its tasks, and a clear word about it.

Slurm's own daemons are started here, see slurm.py; `.ci/run` installs what they need and sets
NORMEXP_NEEDS_CLUSTER.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import slurm
from conftest import SMALL, store_of
from running import assert_same, began, checkpoints, ended, killing, resumed, until
from typer.testing import Result

AsJson = Callable[..., Any]
Command = Callable[..., Result]
Sweeping = Callable[..., subprocess.Popen[str]]
Queue = Callable[[], dict[str, str]]

LONG = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5", "seed=0,1", "train.epochs=1500",
        "store.checkpoint_after=0", "executor.stack_size=1"]  # fmt: skip
"""Two stacks of a training each, long enough to be met in the middle."""

WIDE = [*SMALL, "norm=batch", "norm.momentum=0.01,0.1,0.3,0.5,0.9", "seed=range(48)",
        "train.epochs=400", "store.checkpoint_after=0", "executor.stack_size=8"]  # fmt: skip
"""240 runs in six stacks."""

LEFT = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5", "seed=0,1", "executor=slurm",
        "executor.stack_size=1"]  # fmt: skip


@pytest.fixture(autouse=True)
def queue(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    """Slurm's queue: the state of each array task; nothing is left for the next test."""
    monkeypatch.setenv("SLURM_CONF", str(cluster))

    def states() -> dict[str, str]:
        lines = told("squeue", "--noheader", "--array", "--format=%F_%K %T").splitlines()
        return dict(line.split() for line in lines)

    yield states
    slurm.end_jobs(cluster)


@pytest.fixture
def sweeping() -> Iterator[Sweeping]:
    """Starts a sweep on Slurm that ends with the test."""
    with killing() as start:
        yield lambda *overrides: start("executor=slurm", "executor.time=10", *overrides)


@pytest.fixture(scope="module")
def long_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What this machine makes of `LONG`."""
    return store_of(tmp_path_factory.mktemp("long") / "runs", *LONG)


def told(*command: str) -> str:
    """What a program of Slurm's answers."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    return done.stdout


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
    store_of(Path("runs"), *WIDE)  # clears away what the killed one was writing
    assert_same(Path("runs"), store_of(tmp_path / "local", *WIDE))


def test_a_task_out_of_time_goes_on(sweeping: Sweeping, queue: Queue, long_store: Path) -> None:
    """Slurm's signal before the limit: the task is queued again and resumes its training."""
    sweep = sweeping(*LONG)
    told("scancel", "--signal=USR2", middle(sweep, queue)[0])
    code, _, err = ended(sweep)

    assert code == 0, err
    assert max(resumed()) > 0
    assert_same(Path("runs"), long_store)


def test_a_cancelled_task_is_told_and_made_up_for(
    sweeping: Sweeping, queue: Queue, long_store: Path
) -> None:
    """By its number and the end of its log; the same command completes the sweep."""
    sweep = sweeping(*LONG)
    cancelled = middle(sweep, queue)[0]
    told("scancel", cancelled)
    code, _, err = ended(sweep)
    left = list(Path().glob("runs/*/sweeps/*/.news-*"))
    again, _, complaint = ended(sweeping(*LONG))
    log = next(Path().glob(f"runs/*/sweeps/*/.slurm/{cancelled}_0_log.err")).read_text()

    assert code == 1, err
    assert "cancelled" in err
    assert cancelled in err
    assert any(line.strip() in err for line in log.splitlines() if line.strip())
    assert left == []
    assert "Traceback" not in err
    assert again == 0, complaint
    assert max(resumed()) > 0
    assert_same(Path("runs"), long_store)


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
    assert_same(Path("runs"), long_store)


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
    assert_same(Path("runs"), long_store)


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


def test_after_ctrl_c_twice_the_same_command_goes_on(as_json: AsJson) -> None:
    """Whoever left at once has taken nothing back, and has left no word to stop behind."""
    sweep = began(*LONG, "executor=slurm")
    until(checkpoints, sweep)
    sweep.send_signal(signal.SIGINT)
    time.sleep(0.3)
    sweep.send_signal(signal.SIGINT)

    assert ended(sweep)[0] == 130
    done = as_json("sweep", *LONG, "executor=slurm", "store.checkpoint_after=null")
    assert (done["failed"], done["errors"]) == (0, [])
    assert [row["status"] for row in as_json("ls")] == ["complete"]


def test_slurm_s_reason_for_waiting_is_told(sweeping: Sweeping, normexp: Command) -> None:
    """To whoever follows, and in the listing meanwhile."""
    sweep = sweeping(*LONG, "executor.options='begin=now+1hour'")
    assert sweep.stderr is not None
    lines = iter(sweep.stderr.readline, "")

    assert "2 tasks in Slurm's queue: BeginTime\n" in lines
    assert re.search(r"queued \(job \d+: BeginTime\)|queued.*, BeginTime", normexp("ls").stdout)
    os.killpg(sweep.pid, signal.SIGINT)
    assert ended(sweep)[0] == 130


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
    assert_same(Path("runs"), long_store)


def test_what_slurm_does_not_answer_for_is_not_sent_again(
    queue: Queue, as_json: AsJson, normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may well be in the queue; neither its files nor the job are touched."""
    sent = as_json("sweep", *LEFT, "executor.options=hold", "--detach")
    squeue = Path("bin/squeue").absolute()
    squeue.parent.mkdir()
    squeue.write_text("#!/bin/sh\necho slurm_load_jobs error: Unable to contact >&2\nexit 1\n")
    squeue.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{squeue.parent}{os.pathsep}{os.environ['PATH']}")
        result = normexp("sweep", *LEFT, "--detach")
        (row,) = as_json("ls")

    assert result.exit_code == 1
    assert f"does not say what has become of its job {sent['job']}" in result.stderr
    assert (row["status"], row["job"]) == ("unknown", sent["job"])
    assert {task.split("_")[0] for task in queue()} == {sent["job"]}
    assert list(Path(sent["directory"]).glob(".slurm/*_submitted.pkl"))


def test_a_sweep_picked_up_late_tells_what_its_tasks_did(
    queue: Queue, as_json: AsJson, normexp: Command
) -> None:
    """What was there before it began, what all of its jobs made, how long, and their logs."""
    as_json("sweep", *LEFT[:-3], "seed=0")
    first = as_json("sweep", *LEFT, "executor.setup='exit 3'", "--detach")
    until(lambda: not queue())
    second = as_json("sweep", *LEFT, "--detach")
    until(lambda: not queue())
    lasted = max(path.stat().st_mtime for path in Path(second["directory"]).glob(".news-*/*"))
    lasted -= Path(second["directory"], "sweep.yaml").stat().st_mtime
    job = Path(second["directory"]) / ".slurm/job.json"
    own = job.read_text()
    job.write_text(json.dumps(json.loads(own) | {"cluster": "far away"}))
    elsewhere = normexp("sweep", *LEFT)
    job.write_text(own)

    start = time.monotonic()
    done = as_json("sweep", *LEFT, "--detach")  # there is nothing to send
    lasts = time.monotonic() - start

    assert elsewhere.exit_code == 1
    assert "was left to the Slurm cluster far away, and this is normexp" in elsewhere.stderr
    assert first["directory"] == second["directory"] == done["directory"]
    figures = {"runs": 4, "cached": 2, "to_train": 1, "to_observe": 2, "stacks": 1, "failed": 0,
               "trained": 1, "observed": 2, "jobs": [first["job"], second["job"]]}  # fmt: skip
    manifest = json.loads(Path(done["directory"], "manifest.json").read_text())
    assert {name: done[name] for name in figures} == figures
    assert {name: manifest[name] for name in figures} == figures | {"failed": []}
    assert lasted < manifest["seconds"] < lasted + lasts + 1
    listed = {row["directory"]: row["job"] for row in as_json("ls")}
    assert listed[done["directory"]] == second["job"]
    log = Path(done["directory"], ".slurm", f"{second['job']}_0_log.out")
    assert "completed successfully" in log.read_text()
    assert "hidden" not in normexp("verify").stderr
    assert {path.name for path in Path(done["directory"]).iterdir()} == {
        ".slurm", "environment.json", "manifest.json", "summary.parquet", "sweep.yaml"
    }  # fmt: skip


def test_what_others_have_made_meanwhile_is_taken_out_of_the_queue(
    queue: Queue, as_json: AsJson
) -> None:
    """A job that still waits would find nothing to do, and nothing to read."""
    sent = as_json("sweep", *LEFT, "executor.options='begin=now+1hour'", "--detach")
    assert queue()
    as_json("sweep", *LEFT[:-2])

    done = as_json("sweep", *LEFT)

    assert (done["directory"], done["cached"]) == (sent["directory"], 4)
    assert not queue()
