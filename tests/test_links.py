"""Links in a store: strays, which nothing that changes the store follows."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, run_files
from typer.testing import Result

import normexp as package
from normexp.store.process import machine

Normexp = Callable[..., Result]
AsJson = Callable[..., Any]
STUDY = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5", "seed=0"]
HERE = Path("runs/bn_regression")


def contents(folder: Path) -> dict[str, tuple[bytes | None, int]]:
    """Everything in a folder: what a file holds, None of a directory, and when it was changed."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes() if path.is_file() else None,
            path.lstat().st_mtime_ns,
        )
        for path in [folder, *folder.rglob("*")]
    }


def moved_away(path: Path, name: str = "away") -> Path:
    """The directory elsewhere, with a file of the user's in it, and a link to it in its place."""
    away = path.rename(Path(name).absolute())
    (away / "thesis.txt").write_text("mine")
    path.symlink_to(away)
    return away


@pytest.mark.parametrize("state", ["whole", "damaged", "empty"])
@pytest.mark.parametrize("which", ["batch-m0.1-*", "trajectories/*"])
def test_a_link_in_the_place_of_a_directory_is_replaced_and_not_entered(
    as_json: AsJson, which: str, state: str
) -> None:
    """A run and a trajectory: made again beside it, bit for bit; what it led to is as it was."""
    as_json("sweep", *STUDY)
    whole = run_files(Path("runs"))
    (path,) = HERE.glob(which)
    away = moved_away(path)
    if state != "whole":
        (away / "manifest.json").unlink()
    if state == "empty":
        for each in away.glob("*.*"):
            if each.is_file() and each.name != "thesis.txt":
                each.unlink()
    before = contents(away)
    mended = as_json("sweep", *STUDY)

    assert mended["failed"] == 0
    assert contents(away) == before
    assert path.is_dir()
    assert not path.is_symlink()
    assert not (path / "thesis.txt").exists()
    assert run_files(Path("runs")) == whole
    assert not list(HERE.rglob(".*partial"))


def test_a_link_that_leads_nowhere_or_to_a_file_is_replaced_too(as_json: AsJson) -> None:
    """The file stays; nothing is made where the other would lead."""
    as_json("sweep", *STUDY)
    one, other = HERE.glob("batch-*")
    mine = Path("mine.txt")
    mine.write_text("mine")
    for path, target in ((one, mine), (other, Path("nowhere"))):
        path.rename(f"old-{path.name}")
        path.symlink_to(target.absolute())
    mended = as_json("sweep", *STUDY)

    assert mended["failed"] == 0
    assert len(package.read("runs")) == 2
    assert mine.read_text() == "mine"
    assert not Path("nowhere").exists()


def test_a_link_counts_as_no_run(as_json: AsJson, normexp: Normexp) -> None:
    """Nothing reads through it as through one of the store's own; `verify` names it."""
    as_json("sweep", *STUDY)
    one, _ = HERE.glob("batch-*")
    moved_away(one)
    listed = {row["run"]: row["status"] for row in as_json("ls", "bn_regression")}

    assert len(package.read(HERE)) == 1
    assert listed[one.name[-12:]] == "damaged"
    verified = normexp("verify")
    assert verified.exit_code == 4
    assert "it is a link" in " ".join(verified.stdout.split())


@pytest.mark.parametrize("part", ["", "trajectories", "sweeps", "study.lock"])
@pytest.mark.parametrize("leads", ["somewhere", "nowhere"])
def test_a_study_that_is_a_link_is_refused(normexp: Normexp, part: str, leads: str) -> None:
    """It or a part of it: one line, before anything is written; another store will do."""
    normexp("sweep", *STUDY)
    path = HERE / part
    away = path.rename(Path("away").absolute())
    if leads == "nowhere":
        away.rename("gone")
    path.symlink_to(away)
    before = contents(Path.cwd())
    result = normexp("sweep", *STUDY, "norm.momentum=0.9")

    assert result.exit_code == 1
    assert f"{path} is a link" in result.stderr
    assert "hint: type store.dir=DIR" in result.stderr
    assert contents(Path.cwd()) == before
    assert normexp("sweep", *STUDY, "store.dir=elsewhere").exit_code == 0


def test_the_store_itself_may_be_a_link(as_json: AsJson) -> None:
    """The user has named it."""
    Path("disk").mkdir()
    Path("runs").symlink_to("disk")

    assert as_json("sweep", *STUDY)["observed"] == 2
    assert len(list(Path("disk/bn_regression").glob("batch-*"))) == 2


def test_what_the_dead_have_left_is_removed_and_not_entered(as_json: AsJson) -> None:
    """Half-written directories, checkpoints, signs of life and locks that are links."""
    answer = as_json("sweep", *STUDY)
    (trajectory,) = (path.name for path in (HERE / "trajectories").glob("*"))
    away = Path("away")
    away.mkdir()
    for name in ("manifest.json", ".w.alive.json", "alive.json", "stop", "lock", "thesis.txt"):
        (away / name).write_text("{}")
    left = f".999999999-1-{{}}-{machine()}.partial"
    links = {
        HERE / f".batch-m0.9-s0-0123456789ab{left.format('new')}": away,
        HERE / f".batch-m0.9-s0-ba9876543210{left.format('old')}": away,
        HERE / f"trajectories/.{trajectory}.lock": away / "lock",
        HERE / f"trajectories/.{trajectory}.checkpoint": away / "lock",
        HERE / "sweeps/20200101T000000Z-0123abcd": away,
        Path(answer["directory"]) / "alive.json": away / "alive.json",
        Path(answer["directory"]) / "stop": away / "stop",
    }
    for link, target in links.items():
        link.symlink_to(target.absolute())
        os.utime(link, (1e9, 1e9), follow_symlinks=False)
    before = contents(away)
    as_json("sweep", *STUDY, "norm.momentum=0.7")

    assert contents(away) == before
    assert not list(HERE.glob(".*partial"))
    assert not (HERE / "batch-m0.9-s0-ba9876543210").is_symlink()


def test_a_lock_is_not_written_through_a_link(as_json: AsJson) -> None:
    """Nor a trajectory's checkpoint, where others have planted links under their names."""
    mine = Path("mine.txt")
    mine.write_text("mine")
    (HERE / "trajectories").mkdir(parents=True)
    planned = package.plan(*STUDY, "train.epochs=9")
    (trajectory,) = {run.trajectory_id for run in planned.study.runs}
    for kind in ("lock", "checkpoint"):
        (HERE / f"trajectories/.{trajectory}.{kind}").symlink_to(mine.absolute())
    answer = as_json("sweep", *STUDY, "train.epochs=9", "store.checkpoint_after=0")

    assert answer["trained"] == 1
    assert mine.read_text() == "mine"
    assert not list((HERE / "trajectories").glob(".*"))


def test_verify_marks_nothing_behind_a_link(normexp: Normexp) -> None:
    """A damaged study elsewhere: told, and left as it is, its old mark too."""
    normexp("sweep", *STUDY)
    one, other = HERE.glob("batch-*")
    (one / "stats.parquet").write_bytes(b"")
    (other / "damage.json").write_text("{}")
    (trajectory,) = (HERE / "trajectories").glob("*")
    (trajectory / "weights.safetensors").write_bytes(b"")
    away = moved_away(HERE)
    before = contents(away)
    result = normexp("verify")

    assert result.exit_code == 4
    assert contents(away) == before


@pytest.mark.parametrize(
    "link", ["reports", "reports/bn_regression", "reports/bn_regression/figures"]
)
def test_a_report_is_not_written_through_a_link_of_the_store(normexp: Normexp, link: str) -> None:
    """Nor are pictures of others removed that have the names of its own."""
    normexp("sweep", *STUDY)
    assert normexp("report", "bn_regression").exit_code == 0
    away = moved_away(Path("runs") / link)
    before = contents(away)
    result = normexp("report", "bn_regression")

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: runs/{link} is a link")
    assert "--out DIR" in result.stderr
    assert contents(away) == before


def test_a_report_goes_where_it_is_told_though_that_is_a_link(normexp: Normexp) -> None:
    """The user has named it; its figures are in a directory of their own all the same."""
    normexp("sweep", *STUDY)
    Path("web").mkdir()
    Path("out").symlink_to("web")

    assert normexp("report", "--out", "out").exit_code == 0
    assert Path("web/report.html").is_file()
    away = moved_away(Path("web/figures"))
    before = contents(away)
    result = normexp("report", "--out", "out")
    assert result.exit_code == 2
    assert "error: out/figures is a link" in result.stderr
    assert contents(away) == before


@pytest.mark.parametrize("name", ["certificate.json", ".certificate.json.probe.partial"])
def test_a_certificate_is_not_written_through_a_link(normexp: Normexp, name: str) -> None:
    """Nor is anything else that reproducing tries first."""
    normexp("sweep", *STUDY)
    one, _ = HERE.glob("batch-*")
    mine = Path("mine.txt")
    mine.write_text(json.dumps({"kind": "certificate"}))
    before = contents(Path.cwd())[mine.name]
    (one / name).symlink_to(mine.absolute())
    normexp("reproduce", one.name)

    assert contents(Path.cwd())[mine.name] == before
