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
from running import assert_same, checkpoints, ended, killing, litter, resumed, until
from typer.testing import Result

AsJson = Callable[..., Any]
Command = Callable[..., Result]
Sweeping = Callable[..., subprocess.Popen[str]]
Queue = Callable[[], dict[str, str]]

LONG = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5", "seed=range(3)", "train.epochs=4000",
        "store.checkpoint_after=0", "executor.stack_size=2"]  # fmt: skip
"""Two stacks of three trainings, long enough to be met in the middle."""

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


def middle(
    queue: Queue,
    sweep: subprocess.Popen[str] | None = None,
    *,
    tasks: int = 2,
    trainings: int = 3,
) -> list[str]:
    """So many array tasks, once all train, and so many trainings have checkpoints."""

    def training(task: str) -> bool:
        news = Path().glob(f"runs/*/sweeps/*/.news-*/slurm-{task}.txt")
        return any("stepped" in path.read_text() for path in news)

    def running() -> list[str]:
        states = sorted(queue().items())
        return [task for task, state in states if state == "RUNNING" and training(task)]

    until(lambda: len(running()) == tasks and len(checkpoints()) >= trainings, sweep)
    return running()


def preempt() -> None:
    """Ask for the whole node, for a moment."""
    told("sbatch", "--cpus-per-task=4", "--output=/dev/null", "--wrap=sleep 1")


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


def test_killed_requeued_and_timed_out_tasks_go_on(
    sweeping: Sweeping, queue: Queue, long_store: Path
) -> None:
    """Every file of runs and trainings is what this machine alone makes; no file here is run."""
    with litter():
        sweep = sweeping(*LONG, "executor.stack_size=1")
        killed, requeued, late = middle(queue, sweep, tasks=3)
        os.kill(busiest(killed), signal.SIGKILL)
        told("scontrol", "requeue", requeued)
        told("scancel", "--signal=USR2", late)  # Slurm's warning before the limit
        code, out, err = ended(sweep)

    assert code == 0, err
    assert Path(out.splitlines()[-1]).is_dir()
    assert min(resumed()) > 0
    store_of(Path("runs"), *LONG)  # clears away what the killed one was writing
    assert_same(Path("runs"), long_store)


def test_cancelled_and_pre_empted_tasks_are_told_and_made_up_for(
    sweeping: Sweeping, queue: Queue, long_store: Path
) -> None:
    """By number and the end of a log; the same command completes the sweep."""
    sweep = sweeping(*LONG, "executor.partition=cancel")
    cancelled, _ = middle(queue, sweep)
    told("scancel", cancelled)
    preempt()
    code, _, err = ended(sweep)
    left = list(Path().glob("runs/*/sweeps/*/.news-*"))
    again, _, complaint = ended(sweeping(*LONG))
    log = next(Path().glob(f"runs/*/sweeps/*/.slurm/{cancelled}_0_log.err")).read_text()

    assert code == 1, err
    assert f"{cancelled} was cancelled" in err
    assert "was pre-empted" in err
    assert any(line.strip() in err for line in log.splitlines() if line.strip())
    assert left == []
    assert "Traceback" not in err
    assert again == 0, complaint
    assert min(resumed()) > 0
    assert_same(Path("runs"), long_store)


def test_a_detached_sweep_is_listed_pre_empted_and_picked_up(
    sweeping: Sweeping, queue: Queue, as_json: AsJson, long_store: Path
) -> None:
    """Queued for a reason, running, begun again by Slurm, then waited for without --detach."""
    code, out, err = ended(
        sweeping("--detach", "--json", *LONG, "executor.options=hold", "executor.partition=requeue")
    )
    assert code == 0, err
    job = json.loads(out)["job"]
    assert {task.split("_")[0] for task in queue()} == {job}
    row = as_json("ls")[-1]
    assert (row["status"], row["job"], row["reason"]) == ("queued", job, "JobHeldUser")

    told("scontrol", "release", job)
    middle(queue)
    assert "running" in as_json("ls")[-1]["status"]
    preempt()
    code, out, err = ended(sweeping(*LONG))

    assert code == 0, err
    assert Path(out.splitlines()[-1]).is_dir()
    assert min(resumed()) > 0
    assert queue().keys().isdisjoint({f"{job}_{task}" for task in range(2)})
    row = as_json("ls")[-1]
    assert (row["status"], row["job"], row["reason"]) == ("complete", job, None)
    assert_same(Path("runs"), long_store)


def test_ctrl_c_empties_the_queue_and_twice_leaves_at_once(
    sweeping: Sweeping, queue: Queue, as_json: AsJson, long_store: Path
) -> None:
    """What runs stops at an evaluation point, what waits is taken back; twice takes nothing back.

    The same command goes on after either, and finds no word to stop.
    """
    command = [*LONG, "executor.array_parallelism=1"]
    sweep = sweeping(*command)
    middle(queue, sweep, tasks=1, trainings=1)
    assert sorted(queue().values()) == ["PENDING", "RUNNING"]
    os.killpg(sweep.pid, signal.SIGINT)
    code, out, err = ended(sweep)
    until(lambda: not queue())

    assert (code, out) == (130, ""), err
    assert re.search(r"interrupted: 0 of 6 runs are stored; \d \w+ go(es)? on from an", err), err
    assert "failed" not in err
    assert "Traceback" not in err

    sweep = sweeping(*command)
    middle(queue, sweep, tasks=1, trainings=1)
    sweep.send_signal(signal.SIGINT)
    time.sleep(0.3)
    sweep.send_signal(signal.SIGINT)

    assert ended(sweep)[0] == 130
    again, _, complaint = ended(sweeping(*command))
    assert again == 0, complaint
    assert max(resumed()) > 0
    assert [row["status"] for row in as_json("ls")] == ["interrupted", "complete"]
    assert_same(Path("runs"), long_store)


def test_slurm_s_reason_for_waiting_is_told(sweeping: Sweeping, normexp: Command) -> None:
    """To whoever follows, and in the listing meanwhile."""
    sweep = sweeping(*LONG, "executor.options='begin=now+1hour'")
    assert sweep.stderr is not None
    lines = iter(sweep.stderr.readline, "")

    assert "2 tasks in Slurm's queue: BeginTime\n" in lines
    assert re.search(r"queued \(job \d+: BeginTime\)|queued.*, BeginTime", normexp("ls").stdout)
    os.killpg(sweep.pid, signal.SIGINT)
    assert ended(sweep)[0] == 130


def test_what_slurm_does_not_answer_for_is_not_sent_again_nor_what_others_have_made(
    queue: Queue, as_json: AsJson, normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its files nor the job are touched; then it would find nothing to do, and goes."""
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

    as_json("sweep", *LEFT[:-2])
    done = as_json("sweep", *LEFT)

    assert (done["directory"], done["cached"]) == (sent["directory"], 4)
    assert not queue()


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
