"""What verify advises: a command that mends, a name to give back; and what it leaves alone."""

import errno
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, STORED, Command
from tamper import write_manifest
from typer.testing import Result

import normexp as package
from normexp.errors import SweepInterruptedError
from normexp.store.locks import Stop
from normexp.sweeps.events import Event


def run_of(study: Path) -> Path:
    """A run with batch norm."""
    return next(study.glob("batch-m0.1-s0-*"))


def found(result: Result) -> dict[str, dict[str, Any]]:
    """The problems that `verify --json` has told, by directory."""
    assert result.exit_code == 4, result.output
    return {each["directory"]: each for each in json.loads(result.stdout)["problems"]}


def test_what_to_do_is_typed_out(study: Path, normexp: Command) -> None:
    """The sweep that had the run, else the run's own; for a sweep, that its runs are untouched."""
    run, sweep = run_of(study), next((study / "sweeps").iterdir())
    command = json.loads((run / "manifest.json").read_text())["command"]
    (run / "layers.parquet").unlink()
    (damaged,) = found(normexp("verify", "--json")).values()
    assert damaged["to_do"].startswith("normexp sweep model.depth=2 model.width=4 ")
    (sweep / "summary.parquet").unlink()
    problems = found(normexp("verify", "--json"))
    printed = normexp("verify").stdout

    assert problems[str(run.relative_to("runs"))]["to_do"] == command
    assert problems[str(sweep.relative_to("runs"))]["to_do"].startswith("remove it; its runs are")
    assert f"[1] {command}" in printed
    assert printed.endswith("verified: 6 runs, 4 trajectories, 1 sweep; 2 problems\n")


def test_a_manifest_that_cannot_be_believed_gives_no_command(study: Path, normexp: Command) -> None:
    """What a stranger wrote into it is not told as advice; the sweep that made the run is."""
    run = run_of(study)
    manifest = json.loads((run / "manifest.json").read_text())
    write_manifest(run, manifest | {"command": "normexp sweep seed=0; rm -rf ~"})
    problem = found(normexp("verify", "--json"))[str(run.relative_to("runs"))]

    assert problem["what"] == ["manifest.json: its command is not a sweep alone"]
    assert problem["to_do"].startswith("normexp sweep model.depth=2 model.width=4 ")
    assert "rm -rf" not in problem["to_do"]


def test_notes_of_a_user_are_reported_and_outlive_a_run_made_anew(
    study: Path, normexp: Command
) -> None:
    """What no manifest names damages nothing, and is moved to the new directory."""
    run = run_of(study)
    (run / "notes.txt").write_text("mine")
    (problem,) = found(normexp("verify", "--json")).values()
    is_marked = (run / "damage.json").exists()
    (run / "stats.parquet").unlink()
    normexp("verify")
    normexp("sweep", *STORED)

    assert problem["what"] == ["notes.txt: no manifest names it"]
    assert problem["marked"] is None
    assert not is_marked
    assert (run / "notes.txt").read_text() == "mine"
    assert (run / "stats.parquet").exists()


def test_a_missing_run_can_be_made_again_by_its_sweep(study: Path, normexp: Command) -> None:
    """Its sweep's summary is right: the run is what is missing."""
    shutil.rmtree(run_of(study))
    (problem,) = found(normexp("verify", "--json")).values()

    assert problem["to_do"].startswith("normexp sweep model.depth=2")
    assert "cannot be marked" not in normexp("verify").stdout
    assert normexp(*shlex.split(problem["to_do"])[1:]).exit_code == 0
    assert normexp("verify").exit_code == 0


def test_what_cannot_be_looked_at_is_not_called_damaged(
    study: Path, normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many open files, say: nothing is marked, and no marker taken away."""
    marked = run_of(study) / "damage.json"
    marked.write_text("{}")

    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("normexp.store.plain.open_regular", fail)
    result = normexp("verify", "--json")

    assert result.exit_code == 4
    assert {what for each in found(result).values() for what in each["what"]} == {
        "it cannot be looked at: Too many open files"
    }
    assert list(study.rglob("damage.json")) == [marked]


def test_an_interrupted_sweep_without_runs_is_whole(normexp: Command) -> None:
    """Its summary has columns and no row."""
    stop = Stop()

    def at_once(event: Event) -> None:
        if event.kind == "began":
            stop.ask(0)

    with pytest.raises(SweepInterruptedError):
        package.sweep(*SMALL, "seed=0", progress=at_once, stop=stop)
    result = normexp("verify")

    assert result.exit_code == 0, result.stdout


def test_many_problems_of_one_kind_are_told_once(study: Path, normexp: Command) -> None:
    """Three by name, the others counted; `--json` has all."""
    for number in range(20):
        copy = study / f"none-s{number}-{number:012x}"
        shutil.copytree(next(study.glob("none-s0-*")), copy, dirs_exist_ok=True)
        (copy / "manifest.json").unlink()
    result = normexp("verify")

    assert "and 17 more such runs" in result.stdout
    assert "26 runs" in result.stdout.splitlines()[-1]
    assert len(found(normexp("verify", "--json"))) == 20
