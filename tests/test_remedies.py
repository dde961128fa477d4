"""What verify advises: a command that mends, a name to give back; and what it leaves alone."""

import errno
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SMALL
from typer.testing import Result

import normexp as package
from normexp.errors import SweepInterruptedError
from normexp.sweeps.events import Event
from normexp.sweeps.stop import Stop

Normexp = Callable[..., Result]


@pytest.fixture
def study(normexp: Normexp) -> Path:
    """A study of two runs, swept once."""
    assert normexp("sweep", *SMALL, "norm=none,batch", "norm.momentum=0.1", "seed=0").exit_code == 0
    return Path("runs/bn_regression")


def run_of(study: Path) -> Path:
    """The run with batch norm."""
    return next(study.glob("batch-*"))


def found(result: Result) -> dict[str, Any]:
    """The problems by directory."""
    return {each["directory"]: each for each in json.loads(result.stdout)["problems"]}


@pytest.mark.parametrize("place", ["runs/bn_regression/trajectories", "runs/bn_regression/sweeps"])
def test_parts_of_a_study_are_taken_for_what_they_are(
    study: Path, normexp: Normexp, place: str
) -> None:
    """Neither a folder of trajectories nor a study given as a store is damaged."""
    by_path = normexp("verify", place)
    as_store = normexp("verify", "--dir", "runs/bn_regression")

    assert (by_path.exit_code, as_store.exit_code) == (0, 0), by_path.stdout
    assert not list(study.rglob("damage.json"))


def test_an_interrupted_sweep_without_runs_is_whole(normexp: Normexp) -> None:
    """Its summary has columns and no row."""
    stop = Stop()
    with pytest.raises(SweepInterruptedError):
        package.sweep(*SMALL, "seed=0", progress=AtOnce(stop), stop=stop)
    result = normexp("verify")

    assert result.exit_code == 0, result.stdout


class AtOnce:
    """Asks a sweep to stop as soon as it begins."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop

    def __call__(self, event: Event) -> None:
        """Ask."""
        if event.kind == "began":
            self._stop.ask(0)


def test_a_renamed_run_is_not_damaged(study: Path, normexp: Normexp) -> None:
    """It is told what to do, and marked it is not."""
    run = run_of(study)
    run.rename(run.with_name("renamed"))
    problem = found(normexp("verify", "--json"))["bn_regression/renamed"]

    assert problem["to_do"].startswith("give it back the name")
    assert not list(study.rglob("damage.json"))


def test_a_missing_run_can_be_made_again_by_its_sweep(study: Path, normexp: Normexp) -> None:
    """Its sweep's summary is right: the run is what is missing."""
    shutil.rmtree(run_of(study))
    (problem,) = found(normexp("verify", "--json")).values()

    assert problem["to_do"].startswith("normexp sweep model.depth=2")
    assert "cannot be marked" not in normexp("verify").stdout
    assert normexp(*shlex.split(problem["to_do"])[1:]).exit_code == 0
    assert normexp("verify").exit_code == 0


def test_notes_of_a_user_outlive_a_run_made_anew(study: Path, normexp: Normexp) -> None:
    """What no manifest names is moved to the new directory."""
    run = run_of(study)
    (run / "notes.txt").write_text("mine")
    (run / "stats.parquet").unlink()
    normexp("verify")
    (sweep,) = (study / "sweeps").iterdir()
    words = yaml.safe_load((sweep / "sweep.yaml").read_text())["overrides"]
    normexp("sweep", *words)

    assert (run / "notes.txt").read_text() == "mine"
    assert (run / "stats.parquet").exists()


def test_what_cannot_be_looked_at_is_not_called_damaged(
    study: Path, normexp: Normexp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files, say: nothing is marked, and no marker taken away."""
    marked = run_of(study) / "damage.json"
    marked.write_text("{}")

    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("normexp.store.regular.open_regular", fail)
    result = normexp("verify", "--json")

    assert result.exit_code == 4
    assert {what for each in found(result).values() for what in each["what"]} == {
        "it cannot be looked at: Too many open files"
    }
    assert list(study.rglob("damage.json")) == [marked]
