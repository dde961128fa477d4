"""Several sweeps at once, in one store: each run is made once, and by somebody."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, run_files

import normexp
from normexp.store.files import machine
from normexp.store.layout import StudyDirectory
from normexp.sweeps.events import Event

AsJson = Callable[..., Any]
COMMAND = [sys.executable, "-m", "normexp", "sweep"]
PROCESSES = 4


def begin(*overrides: str, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """A sweep in a process of its own, which answers in JSON."""
    command = [*before, *COMMAND, *overrides, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def answers_of(started: Sequence[subprocess.Popen[bytes]]) -> list[dict[str, Any]]:
    """The answers of sweeps that have begun."""
    answers = []
    for process in started:
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err.decode()
        answers.append(json.loads(out))
    return answers


def test_four_sweeps_at_once_make_every_run_once(as_json: AsJson) -> None:
    """Four processes over overlapping seeds and momenta: the sums are those of one sweep."""
    study = [*SMALL, "train.epochs=12", "norm=none,batch", "executor.stack_size=8"]
    sweeps = [
        [*study, f"seed=range({start},{start + 12})", f"norm.momentum=0.1,{0.2 + start / 40:g}"]
        for start in range(0, 2 * PROCESSES, 2)
    ]
    answers = answers_of([begin(*each) for each in sweeps])
    for each in sweeps:
        as_json("sweep", *each, "store.dir=alone", "executor.stack_size=64")
    trajectories = list(Path("runs").glob("*/trajectories/*"))
    names = [path.name[-12:] for path in Path("runs/bn_regression").iterdir() if "-s" in path.name]

    assert all(len(answer["arms"]) == 3 and not answer["failed"] for answer in answers)
    assert sum(answer["trained"] for answer in answers) == len(trajectories)
    assert sum(answer["observed"] for answer in answers) == len(names) == len(set(names))
    assert run_files(Path("runs")) == run_files(Path("alone"))
    assert [path for path in Path("runs").rglob(".*") if path.name != ".hydra"] == []


UNSHARE = "/usr/bin/unshare"


def test_two_machines_share_a_store(as_json: AsJson) -> None:
    """A container is another machine: own host name, own process numbers, the same files."""
    elsewhere = [UNSHARE, "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if not Path(UNSHARE).exists() or subprocess.run([*elsewhere, "true"], check=False).returncode:
        pytest.skip("making a container needs unshare, and root")
    study = [*SMALL, "train.epochs=20", "norm=none,batch", "norm.momentum=0.1", "seed=range(12)",
             "executor.stack_size=4"]  # fmt: skip
    machines: list[list[str]] = [[], elsewhere, elsewhere]
    answers = answers_of([begin(*study, before=before) for before in machines])
    as_json("sweep", *study, "store.dir=alone")

    assert sum(answer["trained"] for answer in answers) == 24
    assert sum(answer["observed"] for answer in answers) == 24
    assert [answer["failed"] for answer in answers] == [0, 0, 0]
    assert run_files(Path("runs")) == run_files(Path("alone"))


class Meddle:
    """Does something in the middle of a sweep."""

    def __init__(self, deed: Callable[[], object]) -> None:
        self._deed = [deed]
        self.waited: list[int] = []

    def __call__(self, event: Event) -> None:
        """Once, at any step; and remember for how many trainings it waits."""
        if event.kind == "stepped" and self._deed:
            self._deed.pop()()
        if event.kind == "waiting":
            self.waited.append(event.count)


STUDY = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=range(3)"]


HOLD = """
import os, sys
from pathlib import Path
from normexp.store.locks import Locks
from normexp.store.files import machine, start_of
from normexp.store.layout import StudyDirectory
from normexp.store.plain import to_json

study, name = StudyDirectory(Path("study")), sys.argv[1]
(study.sweeps / name).mkdir(parents=True)
owner = {"machine": machine(), "process": os.getpid(), "started": start_of(os.getpid())}
(study.sweeps / name / "alive.json").write_bytes(to_json(owner))
locks, held, dead = Locks(study, name), 0, study.trajectories / ".aaaaaaaaaaaa.lock"
for turn in range(400):
    if locks.take(["aaaaaaaaaaaa"]):
        held += 1
        with Path("held").open("x"):
            pass
        Path("held").unlink()
        if turn % 3:
            locks.release(["aaaaaaaaaaaa"])
        else:
            dead.write_text('{"sweep": "nobody", "machine": "x", "process": 1, "started": "1"}')
print(held)
"""


def test_a_lock_has_one_owner_at_a_time() -> None:
    """Four processes that take, give back and die of one lock, as fast as they can."""
    started = [
        subprocess.Popen([sys.executable, "-c", HOLD, f"sweep{n}"], stdout=subprocess.PIPE)
        for n in range(4)
    ]
    held = [int(process.communicate(timeout=600)[0]) for process in started]

    assert [process.returncode for process in started] == [0] * 4
    assert min(held) > 0


def test_a_sweep_waits_for_what_another_makes(as_json: AsJson) -> None:
    """Then it finds that made, and makes what is its own."""
    slow = [*SMALL, "norm=batch", "train.epochs=150", "seed=0,1"]
    begun = []
    meddle = Meddle(lambda: begun.append(begin(*slow, "norm.momentum=0.1,0.3")))
    first = normexp.sweep(*slow, "norm.momentum=0.1", progress=meddle)
    (second,) = answers_of(begun)

    assert (first.trained, first.observed) == (2, 2)
    assert (second["trained"], second["observed"], second["failed"]) == (0, 2, 0)
    assert as_json("sweep", *slow, "norm.momentum=0.1,0.3")["cached"] == 4


def test_a_sweep_says_what_another_has_made() -> None:
    """It plans two trainings, and finds them made; one that comes later has them from the store."""
    slow = [*SMALL, "norm=batch", "norm.momentum=0.1", "train.epochs=150", "seed=0,1"]
    begun = []

    def begin_as_text() -> None:
        pipe = subprocess.PIPE
        begun.append(subprocess.Popen([*COMMAND, *slow], stdout=pipe, stderr=pipe, text=True))
        assert begun[0].stderr is not None
        assert begun[0].stderr.readline().startswith("2 trajectories to train")

    normexp.sweep(*slow, progress=Meddle(begin_as_text))
    (other,) = begun
    answer = " ".join(str(other.communicate(timeout=600)[0]).split())  # whatever the line's width

    assert other.returncode == 0
    assert "0 cached, 0 observed, 2 made by another sweep; 0 trajectories trained" in answer
    assert "another" not in subprocess.check_output([*COMMAND, *slow], text=True)


def owned_by(owner: dict[str, Any]) -> StudyDirectory:
    """A study in which a sweep of this owner has locked every trajectory of `STUDY`."""
    study = StudyDirectory(Path("runs/bn_regression"))
    sweep = study.sweeps / "20200101T000000Z-00000000"
    sweep.mkdir(parents=True)
    (sweep / "alive.json").write_text(json.dumps(owner))
    study.trajectories.mkdir()
    for run in normexp.load(*STUDY).runs:
        lock = study.trajectories / f".{run.trajectory_id}.lock"
        lock.write_text(json.dumps(owner | {"sweep": sweep.name}))
    return study


def test_the_locks_of_the_dead_are_taken_over(as_json: AsJson) -> None:
    """A sweep of this machine whose process is gone, or is another one by now."""
    for number, process in enumerate((2**22 + 1, os.getpid())):
        owned_by({"machine": machine(), "process": process, "started": "1"})
        answer = as_json("sweep", *STUDY)

        assert (answer["trained"], answer["failed"]) == (3, 0)
        assert not list(Path("runs").rglob(".*.lock"))
        Path("runs").rename(f"runs{number}")


def test_a_sweep_of_another_machine_lives_as_long_as_its_heart_beats(as_json: AsJson) -> None:
    """Its process cannot be asked; its sign of life is a minute old, or it is not."""
    study = owned_by({"machine": "elsewhere", "process": 1, "started": "1"})
    (alive,) = study.sweeps.glob("*/alive.json")
    progress = Meddle(lambda: None)
    os.utime(alive, (alive.stat().st_atime, alive.stat().st_mtime - 58))
    result = normexp.sweep(*STUDY, progress=progress)

    assert progress.waited == [3]
    assert result.trained == 3
    assert as_json("ls")[0]["status"] == "unfinished"
