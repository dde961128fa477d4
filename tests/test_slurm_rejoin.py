"""Sweeps left to Slurm and found again: nothing is sent twice, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from typer.testing import Result

AsJson = Callable[..., Any]
Command = Callable[..., Result]

LEFT = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5", "seed=0,1", "executor=slurm",
        "executor.stack_size=1"]  # fmt: skip
LONG = [*LEFT, "train.epochs=2000", "store.checkpoint_after=0"]
"""Two stacks, of half a minute each."""


@pytest.fixture(autouse=True)
def _on_slurm(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(cluster))


@pytest.fixture
def deaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes Slurm answer no question any more, as while its controller is started again."""

    def now() -> None:
        squeue = tmp_path / "bin" / "squeue"
        squeue.parent.mkdir()
        squeue.write_text("#!/bin/sh\necho slurm_load_jobs error: Unable to contact >&2\nexit 1\n")
        squeue.chmod(0o755)
        monkeypatch.setenv("PATH", f"{squeue.parent}{os.pathsep}{os.environ['PATH']}")

    return now


def jobs() -> set[str]:
    """The numbers of all that waits or runs."""
    return set(subprocess.check_output(["squeue", "-h", "-o", "%F"], text=True).split())  # noqa: S607


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_slurm_does_not_answer_for_is_not_sent_again(
    as_json: AsJson, normexp: Command, deaf: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may well be in the queue; neither its files nor the job are touched."""
    sent = as_json("sweep", *LONG, "--detach")
    path = os.environ["PATH"]
    deaf()
    result = normexp("sweep", *LONG, "--detach")
    (row,) = as_json("ls")
    monkeypatch.setenv("PATH", path)

    assert result.exit_code == 1
    assert f"does not say what has become of its job {sent['job']}" in result.stderr
    assert (row["status"], row["job"]) in {("unknown", sent["job"]), ("running", sent["job"])}
    assert sent["job"] in jobs()
    assert list(Path(sent["directory"]).glob(".slurm/*_submitted.pkl"))
    subprocess.run(["scancel", sent["job"]], check=True)  # noqa: S607
    until(lambda: sent["job"] not in jobs())


def test_another_cluster_s_sweep_is_left_to_it(as_json: AsJson, normexp: Command) -> None:
    """Its numbers mean other jobs here."""
    sent = as_json("sweep", *LEFT, "--detach")
    until(lambda: sent["job"] not in jobs())
    job = Path(sent["directory"]) / ".slurm/job.json"
    job.write_text(json.dumps(json.loads(job.read_text()) | {"cluster": "far away"}))

    result = normexp("sweep", *LEFT)

    assert result.exit_code == 1
    assert "was left to the Slurm cluster far away, and this is normexp" in result.stderr
    assert job.exists()


def test_a_detached_sweep_that_is_all_stored_is_summed_up_in_its_directory(
    as_json: AsJson,
) -> None:
    """Also when --detach is typed again: there is nothing to send."""
    sent = as_json("sweep", *LEFT, "--detach")
    until(lambda: sent["job"] not in jobs())

    again = as_json("sweep", *LEFT, "--detach")

    assert again["directory"] == sent["directory"]
    assert (again["runs"], again["failed"]) == (4, 0)
    assert {path.name for path in Path(sent["directory"]).iterdir()} == {
        ".slurm", "environment.json", "manifest.json", "summary.parquet", "sweep.yaml"
    }  # fmt: skip


def test_a_sweep_picked_up_late_tells_what_its_tasks_did(as_json: AsJson, normexp: Command) -> None:
    """What was there before it began, what all of its jobs made, how long, and their logs."""
    as_json("sweep", *LEFT[:-3], "seed=0")
    first = as_json("sweep", *LEFT, "executor.setup='exit 3'", "--detach")
    until(lambda: first["job"] not in jobs())
    second = as_json("sweep", *LEFT, "--detach")
    until(lambda: second["job"] not in jobs())
    lasted = max(path.stat().st_mtime for path in Path(second["directory"]).glob(".news-*/*"))
    lasted -= Path(second["directory"], "sweep.yaml").stat().st_mtime

    began = time.monotonic()
    done = as_json("sweep", *LEFT)
    lasts = time.monotonic() - began

    assert first["directory"] == second["directory"] == done["directory"]
    figures = {"runs": 4, "cached": 2, "to_train": 1, "to_observe": 2, "stacks": 1,
               "trained": 1, "observed": 2, "jobs": [first["job"], second["job"]]}  # fmt: skip
    manifest = json.loads(Path(done["directory"], "manifest.json").read_text())
    assert {name: done[name] for name in figures} == figures
    assert {name: manifest[name] for name in figures} == figures
    assert lasted < manifest["seconds"] < lasted + lasts + 1
    listed = {row["directory"]: row["job"] for row in as_json("ls")}
    assert listed[done["directory"]] == second["job"]
    log = Path(done["directory"], ".slurm", f"{second['job']}_0_log.out")
    assert "completed successfully" in log.read_text()
    assert "hidden" not in normexp("verify").stderr


def test_what_others_have_made_meanwhile_is_taken_out_of_the_queue(as_json: AsJson) -> None:
    """A job that still waits would find nothing to do, and nothing to read."""
    sent = as_json("sweep", *LEFT, "executor.options='begin=now+1hour'", "--detach")
    assert sent["job"] in jobs()
    as_json("sweep", *LEFT[:-2])

    done = as_json("sweep", *LEFT)

    assert (done["directory"], done["cached"]) == (sent["directory"], 4)
    assert sent["job"] not in jobs()


def test_after_ctrl_c_twice_the_same_command_goes_on(as_json: AsJson) -> None:
    """Whoever left at once has taken nothing back, and has left no word to stop behind."""
    command = [sys.executable, "-m", "normexp", "sweep", *LONG]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        until(lambda: list(Path().glob("runs/*/trajectories/.*.checkpoint")))
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        process.communicate()

    assert process.returncode == 130
    done = as_json("sweep", *LONG, "store.checkpoint_after=null")
    assert (done["failed"], done["errors"]) == (0, [])
    assert [row["status"] for row in as_json("ls")] == ["complete"]
