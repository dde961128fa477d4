"""Disks that are full, read-only or in the way: one clear line, and nothing half-written."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import SMALL, AsJson, Command, run_files, store_of
from typer.testing import Result

STUDY = [*SMALL, "norm=none,batch", "norm.momentum=0.1,0.5", "seed=range(8)"]


def assert_whole(store: Path) -> None:
    """Nothing half-written can be seen, and nothing hidden is left."""
    for directory in [*store.glob("*/trajectories/*"), *store.glob("*/*-*")]:
        assert (directory / "manifest.json").is_file(), directory
    for sweep in store.glob("*/sweeps/*"):
        assert {"sweep.yaml", "environment.json"} <= {path.name for path in sweep.iterdir()}
        assert all(path.stat().st_size for path in sweep.iterdir())
    assert [path for path in store.rglob(".*") if path.name != ".hydra"] == []


def error_of(result: Result) -> str:
    """The one line that says what is wrong."""
    assert result.exit_code == 1
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error")]
    return line


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of half a megabyte."""
    place = tmp_path / "small disk"
    place.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=500k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["/bin/umount", str(place)], check=True)


@pytest.mark.parametrize("filled", ["at once", "in the middle"])
def test_a_full_disk_is_one_clear_line(
    normexp: Command, as_json: AsJson, small_disk: Path, filled: str
) -> None:
    """What was stored before stays; with room the same command goes on."""
    filler, store = small_disk / "filler", small_disk / "my runs"
    if filled == "at once":
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(2_000_000))
    result = normexp("sweep", *STUDY, f"store.dir='{store}'")

    assert "No space left on device" in error_of(result)
    assert "of 24 runs are stored" in result.stderr
    assert "hint: make room and type the same command again" in result.stderr
    assert_whole(store)
    filler.unlink(missing_ok=True)
    subprocess.run(["/bin/mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert as_json("sweep", *STUDY, f"store.dir='{store}'")["failed"] == 0
    assert run_files(store) == run_files(store_of(Path("elsewhere"), *STUDY))


def test_a_limit_on_file_sizes_is_one_clear_line(as_json: AsJson) -> None:
    """As a quota is: no file may be larger than four kilobytes."""
    command = [sys.executable, "-m", "normexp", "sweep", *STUDY]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)

    assert done.returncode == 1
    assert "error: cannot work in runs/bn_regression: File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert_whole(Path("runs"))
    assert as_json("sweep", *STUDY)["failed"] == 0


def test_a_directory_that_is_read_only_is_one_clear_line(
    normexp: Command, as_json: AsJson, small_disk: Path
) -> None:
    """What is in it can be read all the same."""
    place = f"store.dir='{small_disk}'"
    as_json("sweep", *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0", place)
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = normexp("sweep", *STUDY, place)

    assert "Read-only file system" in error_of(result)
    assert "type store.dir=DIR for another place" in result.stderr
    assert len(as_json("ls", "bn_regression", "--dir", str(small_disk))) == 1


@pytest.mark.parametrize(
    "place", ["runs", "runs/bn_regression", "runs/bn_regression/sweeps",
              "runs/bn_regression/trajectories"],
)  # fmt: skip
def test_a_file_where_a_directory_should_be_is_one_clear_line(normexp: Command, place: str) -> None:
    """Wherever it stands; it stays."""
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Path(place).write_text("in the way")
    result = normexp("sweep", *SMALL)

    assert error_of(result).startswith("error: cannot work in runs/bn_regression: ")
    assert "store.dir=DIR" in result.stderr
    assert Path(place).read_text() == "in the way"


def test_paths_may_have_spaces_and_any_letters(as_json: AsJson) -> None:
    """In the store's directory and in that of the configs."""
    configs, there = Path("mes études/Ωメガ"), ("--dir", "läufe & mehr/№ 1")
    shutil.copytree(Path(__file__).parents[1] / "configs/study", configs / "study")
    one = [*SMALL, "norm=batch", "norm.momentum=0.1,0.5", "seed=0", f"store.dir='{there[1]}'"]
    answer = as_json("sweep", *one, "--config-dir", str(configs))
    run = as_json("ls", "bn_regression", *there)[0]["run"]

    assert answer["failed"] == 0
    assert as_json("show", run, *there)["run_id"] == run
    assert as_json("sweep", *one)["cached"] == 2
