"""Links in a store: strays, which nothing that changes the store follows."""

import os
from pathlib import Path

import pytest
from conftest import SMALL, STORED, AsJson, Command, run_files

import normexp as package
from normexp.store.files import machine


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
def test_links_in_the_place_of_directories_are_replaced_and_not_entered(
    study: Path, as_json: AsJson, state: str
) -> None:
    """A run and a trajectory: made again beside it, bit for bit; what they led to is as it was."""
    whole = run_files(study.parent)
    paths = [min(study.glob("batch-m0.1-*")), min((study / "trajectories").iterdir())]
    aways = [moved_away(path, f"away{number}") for number, path in enumerate(paths)]
    for away in aways:
        if state != "whole":
            (away / "manifest.json").unlink()
        if state == "empty":
            for each in [*away.glob("*.parquet"), *away.glob("*.yaml")]:
                each.unlink()
    before = [contents(away) for away in aways]
    mended = as_json("sweep", *STORED)

    assert mended["failed"] == 0
    assert [contents(away) for away in aways] == before
    for path in paths:
        assert path.is_dir()
        assert not path.is_symlink()
        assert not (path / "thesis.txt").exists()
    assert run_files(study.parent) == whole
    assert not list(study.rglob(".*partial"))


def test_a_link_counts_as_no_run(study: Path, as_json: AsJson, normexp: Command) -> None:
    """Nothing reads through it as through one of the store's own; `verify` names it.

    One that leads nowhere or to a file is replaced too. The file stays, and nothing is made where
    the other would lead.
    """
    one, other, third, *_ = sorted(study.glob("batch-*"))
    mine = Path("mine.txt")
    mine.write_text("mine")
    moved_away(one)
    for path, target in ((other, mine), (third, Path("nowhere"))):
        path.rename(f"old-{path.name}")
        path.symlink_to(target.absolute())
    listed = {row["run"]: row["status"] for row in as_json("ls", "bn_regression")}
    found = len(package.read(study))
    verified = normexp("verify")
    mended = as_json("sweep", *STORED)

    assert found == 3
    assert listed[one.name[-12:]] == "damaged"
    assert verified.exit_code == 4
    assert "it is a link" in " ".join(verified.stdout.split())
    assert mended["failed"] == 0
    assert len(package.read(study)) == 6
    assert mine.read_text() == "mine"
    assert not Path("nowhere").exists()


@pytest.mark.parametrize("part", ["", "trajectories", "sweeps", "study.lock"])
@pytest.mark.parametrize("leads", ["somewhere", "nowhere"])
def test_a_study_that_is_a_link_is_refused(
    study: Path, normexp: Command, part: str, leads: str
) -> None:
    """It or a part of it: one line, before anything is written; another store will do."""
    path = study / part
    away = path.rename(Path("away").absolute())
    if leads == "nowhere":
        away.rename("gone")
    path.symlink_to(away)
    before = contents(Path.cwd())
    result = normexp("sweep", *STORED, "norm.momentum=0.9")

    assert result.exit_code == 1
    assert f"{path} is a link" in result.stderr
    assert "hint: type store.dir=DIR" in result.stderr
    assert contents(Path.cwd()) == before


def test_the_store_itself_may_be_a_link(as_json: AsJson) -> None:
    """The user has named it."""
    Path("disk").mkdir()
    Path("runs").symlink_to("disk")

    assert as_json("sweep", *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0")["observed"] == 1
    assert len(list(Path("disk/bn_regression").glob("batch-*"))) == 1


def test_what_the_dead_have_left_is_removed_and_not_entered(study: Path, as_json: AsJson) -> None:
    """Half-written directories, checkpoints, signs of life and locks that are links."""
    (sweep,) = (study / "sweeps").iterdir()
    trajectory = min((study / "trajectories").iterdir()).name
    away = Path("away")
    away.mkdir()
    for name in ("manifest.json", ".w.alive.json", "alive.json", "stop", "lock", "thesis.txt"):
        (away / name).write_text("{}")
    left = f".999999999-1-{{}}-{machine()}.partial"
    links = {
        study / f".batch-m0.9-s0-0123456789ab{left.format('new')}": away,
        study / f".batch-m0.9-s0-ba9876543210{left.format('old')}": away,
        study / f"trajectories/.{trajectory}.lock": away / "lock",
        study / f"trajectories/.{trajectory}.checkpoint": away / "lock",
        study / "sweeps/20200101T000000Z-0123abcd": away,
        sweep / "alive.json": away / "alive.json",
        sweep / "stop": away / "stop",
    }
    for link, target in links.items():
        link.symlink_to(target.absolute())
        os.utime(link, (1e9, 1e9), follow_symlinks=False)
    before = contents(away)
    as_json("sweep", *STORED, "norm.momentum=0.7")

    assert contents(away) == before
    assert not list(study.glob(".*partial"))
    assert not (study / "batch-m0.9-s0-ba9876543210").is_symlink()


def test_no_lock_or_checkpoint_is_written_through_a_link(as_json: AsJson) -> None:
    """Where others have planted links under their names."""
    one = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0", "train.epochs=9"]
    place = Path("runs/bn_regression/trajectories")
    mine = Path("mine.txt")
    mine.write_text("mine")
    place.mkdir(parents=True)
    (run,) = package.load(*one).runs
    for kind in ("lock", "checkpoint"):
        (place / f".{run.trajectory_id}.{kind}").symlink_to(mine.absolute())
    answer = as_json("sweep", *one, "store.checkpoint_after=0")

    assert answer["trained"] == 1
    assert mine.read_text() == "mine"
    assert not list(place.glob(".*"))


def test_verify_marks_nothing_behind_a_link(study: Path, normexp: Command) -> None:
    """A damaged study elsewhere: told, and left as it is, its old mark too."""
    one, other, *_ = sorted(study.glob("batch-*"))
    (one / "stats.parquet").write_bytes(b"")
    (other / "damage.json").write_text("{}")
    (min((study / "trajectories").iterdir()) / "weights.safetensors").write_bytes(b"")
    away = moved_away(study)
    before = contents(away)
    result = normexp("verify")

    assert result.exit_code == 4
    assert contents(away) == before


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("link", "out"),
    [
        ("runs/reports", []),
        ("runs/reports/bn_regression/figures", []),
        ("out/figures", ["--out", "out"]),
    ],
)
def test_a_report_is_not_written_through_a_link_of_the_store(
    study: Path, normexp: Command, link: str, out: list[str]
) -> None:
    """Nor are pictures of others removed; only the directory that a user names may be a link."""
    Path("web").mkdir()
    Path("out").symlink_to("web")
    assert normexp("report", "bn_regression", *out).exit_code == 0
    assert study.is_dir()
    away = moved_away(Path(link))
    before = contents(away)
    result = normexp("report", "bn_regression", *out)

    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {link} is a link")
    assert "--out DIR" in result.stderr
    assert contents(away) == before


def test_a_certificate_is_not_written_through_a_link(study: Path, normexp: Command) -> None:
    """Not even where it would take the place of a certificate."""
    run, mine = min(study.glob("batch-*")), Path("mine.txt")
    mine.write_text('{"kind": "certificate"}')
    before = contents(Path.cwd())[mine.name]
    (run / "certificate.json").symlink_to(mine.absolute())
    result = normexp("reproduce", run.name)

    assert result.exit_code == 2
    assert "something else than a certificate is there" in result.stderr
    assert contents(Path.cwd())[mine.name] == before
