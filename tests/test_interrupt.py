"""Sweeps that end early: by a signal, by two, by SIGKILL; and what continues them."""

import hashlib
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
from conftest import SMALL, run_files
from kills import main as kill_sweeps
from running import began, checkpoints, resumed, until

import normexp
from normexp.errors import SweepInterruptedError
from normexp.store.locks import Stop
from normexp.sweeps.events import Event

AsJson = Callable[..., Any]
LONG = ["norm=batch", "norm.momentum=0.1", "seed=0,1", "train.epochs=4000",
        "store.checkpoint_after=0"]  # fmt: skip
LONG_PROCESSES = ["data=digits", "model=lenet", "norm=batch,layer", "norm.momentum=0.1", "seed=0",
                  "train.epochs=400", "executor.processes=true",
                  "store.checkpoint_after=0"]  # fmt: skip


def begun(*overrides: str) -> subprocess.Popen[str]:
    """A sweep once both of its trainings have a checkpoint."""
    process = began(*overrides)
    until(lambda: len(checkpoints()) > 1, process)
    return process


def group(process: subprocess.Popen[str]) -> list[str]:
    """The process numbers of a group that live, zombies aside."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = stat.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(number) == process.pid and state != "Z":
            found.append(stat.parent.name)
    return found


@pytest.mark.parametrize(
    ("overrides", "number", "code"),
    [(LONG, signal.SIGINT, 130), (LONG, signal.SIGTERM, 143), (LONG_PROCESSES, signal.SIGINT, 130)],
    ids=["SIGINT", "SIGTERM", "processes"],
)
def test_a_signal_ends_a_sweep_in_good_order(
    as_json: AsJson, overrides: list[str], number: int, code: int
) -> None:
    """What goes on is said, nothing is left running, and `ls` knows that it was interrupted."""
    process = begun(*overrides)
    assert as_json("ls")[0]["status"] == "running"
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=600)

    assert (process.returncode, out) == (code, "")
    assert "stopping within seconds; once more to leave at once" in err
    assert "interrupted: 0 of 2 runs are stored; 2 trainings go on from an evaluation point" in err
    assert "hint: type the same command again" in err
    assert "Traceback" not in err
    assert as_json("ls")[0]["status"] == "interrupted"
    assert not list(Path("runs").rglob(".*.lock"))


@pytest.mark.parametrize("overrides", [LONG, LONG_PROCESSES], ids=["threads", "processes"])
def test_two_signals_end_a_sweep_at_once(as_json: AsJson, overrides: list[str]) -> None:
    """Neither a traceback nor a process is left; the dead sweep holds nothing.

    One that stops in good order within the tenth of a second before the second says so.
    """
    process = begun(*overrides)
    for _ in range(2):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.1)
    _, err = process.communicate(timeout=600)

    assert process.returncode == 130
    assert "Traceback" not in err
    if Path("/proc/self/stat").exists():
        until(lambda: not group(process))
    assert as_json("ls")[0]["status"] in {"unfinished", "interrupted"}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are listed in /proc")
def test_processes_end_with_the_sweep_that_started_them() -> None:
    """SIGKILL to the sweep alone: its processes notice, and write nothing any more."""
    process = begun(*LONG_PROCESSES)
    process.kill()
    process.communicate()

    until(lambda: not group(process))


class StopAfter:
    """Asks a sweep to stop after so many steps."""

    def __init__(self, stop: Stop, steps: int) -> None:
        self._stop, self._left = stop, steps

    def __call__(self, event: Event) -> None:
        """Count steps, of all networks together."""
        self._left -= event.count if event.kind == "stepped" else 0
        if self._left <= 0:
            self._stop.ask(0)


@pytest.mark.parametrize(
    ("norm", "optim"),
    [("none", "adam"), ("batch", "sgd"), ("ghost", "adamw"), ("batch_renorm", "adam"),
     ("ema_train", "sgd"), ("ema_train", "adamw")],
)  # fmt: skip
def test_a_training_goes_on_from_its_last_checkpoint_bit_for_bit(norm: str, optim: str) -> None:
    """Stopped three times on its way: moments, running statistics and batches are as before."""
    study = [*SMALL, f"norm={norm}", f"optim={optim}", "seed=range(3)", "train.epochs=9",
             "train.schedule=cosine", "store.checkpoint_after=0"]  # fmt: skip
    study += ["norm.size=8"] if norm == "ghost" else []
    study += ["optim.momentum=0.9"] if optim == "sgd" else []
    networks = normexp.plan(*study).trajectories
    for steps in (7, 11, 9):
        stop = Stop()
        with pytest.raises(SweepInterruptedError):
            normexp.sweep(
                *study, "store.dir=often", progress=StopAfter(stop, steps * networks), stop=stop
            )
    for store in ("often", "once"):
        normexp.sweep(*study, f"store.dir={store}")

    assert run_files(Path("often")) == run_files(Path("once"))
    assert min(resumed("often")) > 0
    assert set(resumed("once")) == {0}
    assert not list(Path("often").rglob("*.checkpoint"))


CHECKED = [*SMALL, "norm=batch", "norm.momentum=0.1", "store.checkpoint_after=0"]


def left(*words: str) -> Path:
    """The checkpoint of a training that was stopped in its middle."""
    stop = Stop()
    with pytest.raises(SweepInterruptedError):
        normexp.sweep(*words, progress=StopAfter(stop, 20), stop=stop)
    trajectory = normexp.plan(*words).study.runs[0].trajectory_id
    return Path(f"runs/bn_regression/trajectories/.{trajectory}.checkpoint")


def edited(content: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A checkpoint that says something else of itself, whole."""
    _, head, tensors = content.split(b"\n", 2)
    about = json.loads(head)
    change(about)
    head = json.dumps(about).encode()
    digest = hashlib.sha256(head + tensors).hexdigest().encode()
    return b"\n".join((digest, head, tensors))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "flipped": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "cut": lambda content: content[:-9],
    "other code": lambda content: edited(content, lambda it: it["made_by"].update(torch="1.0")),
    "nobody's, as once": lambda content: edited(content, lambda it: it.pop("trajectory_id")),
    "another seed's": lambda _: left(*CHECKED, "seed=1", "train.epochs=9").read_bytes(),
    "a longer training's": lambda _: left(*CHECKED, "seed=0", "train.epochs=40").read_bytes(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_checkpoint_that_cannot_be_trusted_is_not(as_json: AsJson, damage: str) -> None:
    """Damaged, of other code, or of another training under this one's name: it begins anew."""
    study = [*CHECKED, "seed=0", "train.epochs=9"]
    path = left(*study)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    as_json("sweep", *study)
    as_json("sweep", *study, "store.dir=once")

    assert resumed("runs") == [0]
    assert run_files(Path("runs")) == run_files(Path("once"))


def test_the_store_says_when_checkpoints_are_written(as_json: AsJson) -> None:
    """Never, where the user wants none."""
    study = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0", "train.epochs=9"]
    stop = Stop()
    with pytest.raises(SweepInterruptedError, match=r"0 of 1 runs are stored$"):
        normexp.sweep(
            *study, "store.checkpoint_after=null", progress=StopAfter(stop, 20), stop=stop
        )

    assert not list(Path("runs").rglob("*.checkpoint"))
    assert as_json("sweep", *study)["trained"] == 1


def test_killed_sweeps_leave_no_trace_in_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A few of the kills of `make kills`: the same bits, nothing twice, nothing left over."""
    monkeypatch.setattr(sys, "argv", ["kills.py", "--kills", "2", "--seed", "1", "seed=range(4)"])
    broken = kill_sweeps()

    assert not broken, capsys.readouterr().out
