"""`rm`, `gc` and `du`: what goes is said to the byte, and what is left is sound."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SMALL, STORED, AsJson, Command

import normexp
from normexp.store.manifest import sealed

STUDY = Path("runs/bn_regression")


def below(path: Path) -> int:
    """The bytes of all files."""
    return sum(each.lstat().st_size for each in path.rglob("*") if not each.is_dir())


@pytest.fixture(autouse=True)
def store(command: Command) -> None:
    """Six runs of four trainings, the second sweep with two of them."""
    assert command("sweep", *STORED).exit_code == 0
    assert command("sweep", *SMALL, "norm=none", "seed=0,1").exit_code == 0


def sound(as_json: AsJson) -> bool:
    """Whether verify finds nothing."""
    return not as_json("verify")["problems"]


def sweeps(as_json: AsJson) -> list[int]:
    """The numbers of runs that reading each sweep gives."""
    return [len(normexp.read(row["directory"])) for row in as_json("ls")]


@pytest.mark.parametrize(
    ("words", "runs", "trainings", "left"),
    [
        (["norm=none"], 2, 2, [4]),  # both sweeps had them: the second one goes with its last
        (["norm.momentum=0.1"], 2, 0, [4, 2]),  # another run needs each training
        (["norm=batch", "seed=1"], 2, 1, [4, 2]),
        (["norm=none", "seed=0"], 1, 1, [5, 1]),
    ],
)
def test_runs_go_with_what_only_they_needed(
    words: list[str], runs: int, trainings: int, left: list[int], as_json: AsJson
) -> None:
    """As `--dry-run` said, to the byte; what was removed is made again when it is asked for."""
    said = as_json("rm", "bn_regression", *words, "--dry-run")
    before = below(STUDY)
    done = as_json("rm", "bn_regression", *words, "--yes")
    notes = sum(each.stat().st_size for each in STUDY.rglob("removed.json"))

    assert said | {"removed": True} == done
    assert (len(done["runs"]), len(done["trajectories"])) == (runs, trainings)
    assert below(STUDY) == before - done["bytes"] + notes
    assert sweeps(as_json) == left
    assert sound(as_json)
    again = as_json("sweep", *STORED)
    assert (again["observed"], again["trained"]) == (runs, trainings)
    assert sound(as_json)


def test_a_sweep_goes_with_the_runs_that_no_other_had(as_json: AsJson) -> None:
    """The first had six runs, of which the second has two."""
    first, second = (row["sweep"] for row in as_json("ls"))
    done = as_json("rm", first, "--yes")

    assert (len(done["runs"]), len(done["trajectories"]), len(done["sweeps"])) == (4, 2, 1)
    assert [row["sweep"] for row in as_json("ls")] == [second]
    assert len(normexp.read(STUDY)) == 2
    assert sound(as_json)


def test_a_run_and_a_study_go(as_json: AsJson, command: Command) -> None:
    """The run by its name, the study whole; then there is nothing."""
    name = "none-s0"
    assert len(as_json("rm", name, "--yes")["runs"]) == 1
    assert sound(as_json)
    assert as_json("rm", "bn_regression", "--yes")["studies"] == [str(STUDY)]
    assert not STUDY.exists()
    assert command("rm", "bn_regression", "--yes").exit_code == 3


def test_it_asks_first_and_takes_no_whole_store(command: Command) -> None:
    """Without a terminal there is nobody to ask."""
    assert "nobody is there to ask" in command("rm", "bn_regression").stderr
    (STUDY.parent / "other" / "sweeps").mkdir(parents=True)
    assert "is no study" in command("rm", "runs", "--yes", "--dir", "elsewhere").stderr
    assert len(normexp.read(STUDY)) == 6


def test_rubbish_goes_and_nothing_else(as_json: AsJson) -> None:
    """A training without a run, an interrupted sweep, a checkpoint, half-written directories."""
    run = next(STUDY.glob("none-s0-*"))
    trajectory = json.loads((run / "manifest.json").read_text())["trajectory_id"]
    as_json("rm", run.name, "--yes")  # its training goes too
    assert not (STUDY / "trajectories" / trajectory).exists()
    assert as_json("gc", "--dry-run")["bytes"] == 0
    (STUDY / "trajectories" / ".0123456789ab.checkpoint").write_bytes(b"12345")
    interrupted = STUDY / "sweeps" / "20260101T000000Z-00000000"
    interrupted.mkdir()
    (interrupted / "sweep.yaml").write_text("study: bn_regression\n")
    kept = next(STUDY.glob("batch-m0.1-s0-*"))
    for other in STUDY.glob("batch-*-s0-*"):
        if other != kept:
            shutil.rmtree(other)
    said = as_json("gc", "--dry-run")
    assert said["bytes"] == 5 + (interrupted / "sweep.yaml").stat().st_size
    as_json("gc", "--yes")

    assert not interrupted.exists()
    assert kept.exists()
    assert as_json("gc", "--dry-run")["bytes"] == 0


def test_nothing_goes_while_a_sweep_works(as_json: AsJson, command: Command) -> None:
    """A sign of life of a process that lives."""
    place = Path(as_json("ls")[1]["directory"])
    (place / "manifest.json").unlink()
    from normexp.store.locks import myself

    (place / "alive.json").write_bytes(myself())
    done = command("rm", "bn_regression", "norm=none", "--yes")
    assert done.exit_code == 2
    assert "a sweep works on bn_regression" in done.stderr
    assert "left alone" in command("gc", "--yes").stderr
    assert len(normexp.read(STUDY)) == 6


def test_sizes_add_up(as_json: AsJson) -> None:
    """Those of the study's parts to its whole."""
    (row,) = as_json("du")

    assert (
        row["all"] == below(STUDY) == sum(row[part] for part in row if part not in ("study", "all"))
    )


KILLED = """
import os, shutil, sys
from pathlib import Path
import normexp.store.removal as removal
calls, wanted = 0, int(sys.argv[1])
def dying(function):
    def call(*arguments, **named):
        global calls
        calls += 1
        if calls == wanted:
            os._exit(9)
        return function(*arguments, **named)
    return call
removal.note_removed = dying(removal.note_removed)
shutil.rmtree = dying(shutil.rmtree)
Path.rename = dying(Path.rename)
from normexp.cli import main
sys.argv = ["normexp", "rm", *sys.argv[2:], "--yes"]
main()
"""


@pytest.mark.parametrize("moment", range(1, 10, 2))
@pytest.mark.parametrize("by", ["sweep", "fields"])
def test_killed_in_the_middle_nothing_is_half_gone(by: str, moment: int, as_json: AsJson) -> None:
    """At every kind of step: verify is sound, and the same command ends the work."""
    if by == "sweep":
        as_json("rm", as_json("ls")[1]["sweep"], "--yes")  # the other sweep has its runs
        as_json("sweep", *SMALL, "seed=7", "norm=none,layer")
        words = [as_json("ls")[1]["sweep"]]
    else:
        words = ["bn_regression", "norm=none"]
    program = [sys.executable, "-c", KILLED, str(moment), *words]
    assert subprocess.run(program, check=False).returncode == 9
    assert sound(as_json)
    named = [row for row in as_json("ls") if row["sweep"] in words]
    runs = [row for row in as_json("ls", "bn_regression") if row["label"].startswith("none")]
    if named or (by == "fields" and runs):
        as_json("rm", *words, "--yes")
    as_json("gc", "--yes")
    if by == "sweep":
        assert len(as_json("ls", "bn_regression")) == 6
        assert not list(STUDY.glob("*-s7-*"))
        assert sound(as_json)
        return
    assert {row["label"].partition("-")[0] for row in as_json("ls", "bn_regression")} == {"batch"}
    assert not list(STUDY.rglob(".*partial"))
    assert len(list((STUDY / "trajectories").glob("[0-9a-f]*"))) == 2
    assert sound(as_json)


def test_an_interrupted_sweep_goes_once_others_have_its_runs(
    as_json: AsJson, command: Command
) -> None:
    """Unless it has a note or a tag."""
    second = Path(as_json("ls")[1]["directory"])
    manifest = json.loads((second / "manifest.json").read_text())
    files = {name: (second / name).read_bytes() for name in manifest.pop("files")}
    (second / "manifest.json").write_bytes(sealed(manifest | {"status": "interrupted"}, files))
    assert command("note", second.name, "mine").exit_code == 0
    assert as_json("gc", "--dry-run")["sweeps"] == []
    assert command("note", second.name, "").exit_code == 0

    assert as_json("gc", "--yes")["sweeps"] == [str(second)]
    assert len(as_json("ls")) == 1
    assert len(normexp.read(STUDY)) == 6
    assert sound(as_json)


def test_a_study_gets_another_name(as_json: AsJson, command: Command) -> None:
    """It is sound under it, what verify says mends it there, and no other study is in the way."""
    assert as_json("mv", "bn_regression", "mine") == {"directory": "runs/mine"}
    assert sound(as_json)
    assert len(normexp.read("runs/mine")) == 6
    run = next(Path("runs/mine").glob("none-s0-*"))
    shown = as_json("show", str(run))
    assert shown["study"] == "mine"
    assert as_json(*shlex.split(shown["command"])[1:])["cached"] == 1
    (run / "metrics.parquet").unlink()
    (damaged,) = json.loads(command("verify", "--json").stdout)["problems"]
    _, verb, *words = shlex.split(damaged["to_do"])
    assert command(verb, *words).exit_code == 0
    assert sound(as_json)
    assert not STUDY.exists()

    assert command("sweep", *SMALL, "norm=none", "seed=0").exit_code == 0
    assert command("mv", "mine", "bn_regression").exit_code == 2
    assert command("mv", "mine", "reports").exit_code == 2
    assert command("mv", "mine", "../mine").exit_code == 2
    assert command("mv", "nothing", "mine2").exit_code == 3


def test_a_packaged_study_keeps_its_name_to_itself(as_json: AsJson, command: Command) -> None:
    """What was made under another would mix with its runs; what was made under it may return."""
    assert command("mv", "bn_regression", "placement").exit_code == 2
    as_json("mv", "bn_regression", "mine")
    as_json("mv", "mine", "bn_regression")
    assert as_json("sweep", *STORED)["cached"] == 6
    as_json("mv", "bn_regression", "mine")
    as_json("sweep", *SMALL, "norm=none", "seed=9", "--as", "mine")
    done = command("mv", "mine", "bn_regression")

    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1] == "hint: type another name, such as my_bn_regression"
    assert sound(as_json)
