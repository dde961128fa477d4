"""Disks that are full, read-only or in the way: one clear line, and nothing half-written."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL, run_files
from typer.testing import Result

AsJson = Callable[..., Any]
STUDY = [*SMALL, "norm=none,batch", "norm.momentum=0.1,0.5", "seed=range(8)"]


def assert_whole(store: Path) -> None:
    """Nothing half-written can be seen, and nothing hidden is left."""
    for directory in [*store.glob("*/trajectories/*"), *store.glob("*/*-*")]:
        assert (directory / "manifest.json").is_file(), directory
    for sweep in store.glob("*/sweeps/*"):
        assert {"sweep.yaml", "environment.json"} <= {path.name for path in sweep.iterdir()}
        assert all(path.stat().st_size for path in sweep.iterdir())
    assert [path for path in store.rglob(".*") if path.name != ".hydra"] == []


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
    normexp: Callable[..., Result], as_json: AsJson, small_disk: Path, filled: str
) -> None:
    """What was stored before stays; with room the same command goes on."""
    filler = small_disk / "filler"
    if filled == "at once":
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(bytes(2_000_000))
    result = normexp("sweep", *STUDY, f"store.dir='{small_disk}/my runs'")

    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert "No space left on device" in line
    assert "of 24 runs are stored" in line
    assert "hint: make room and type the same command again" in result.stderr
    assert "Traceback" not in result.stderr
    assert_whole(small_disk / "my runs")
    filler.unlink(missing_ok=True)
    subprocess.run(["/bin/mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    again = as_json("sweep", *STUDY, f"store.dir='{small_disk}/my runs'")
    as_json("sweep", *STUDY, "store.dir=elsewhere")
    assert again["failed"] == 0
    assert run_files(small_disk / "my runs") == run_files(Path("elsewhere"))


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
    normexp: Callable[..., Result], as_json: AsJson, small_disk: Path
) -> None:
    """What is in it can be read all the same."""
    assert as_json("sweep", *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0",
                   f"store.dir='{small_disk}'")["failed"] == 0  # fmt: skip
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = normexp("sweep", *STUDY, f"store.dir='{small_disk}'")

    assert result.exit_code == 1
    assert "Read-only file system" in result.stderr
    assert "type store.dir=DIR for another place" in result.stderr
    assert len(as_json("ls", "bn_regression", "--dir", str(small_disk))) == 1


@pytest.mark.parametrize(
    "place", ["runs", "runs/bn_regression", "runs/bn_regression/sweeps",
              "runs/bn_regression/trajectories"],
)  # fmt: skip
def test_a_file_where_a_directory_should_be_is_one_clear_line(
    normexp: Callable[..., Result], as_json: AsJson, place: str
) -> None:
    """Wherever it stands; without it the command works."""
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Path(place).write_text("in the way")
    result = normexp("sweep", *STUDY)

    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error")]
    assert line.startswith("error: cannot work in runs/bn_regression: ")
    assert Path(place).read_text() == "in the way"
    Path(place).unlink()
    assert as_json("sweep", *STUDY)["failed"] == 0


def test_paths_may_have_spaces_and_any_letters(as_json: AsJson) -> None:
    """In the store's directory and in that of the configs."""
    configs = Path("mes études/Ωメガ")
    shutil.copytree(Path(__file__).parents[1] / "configs/study", configs / "study")
    store = "store.dir='läufe & mehr/№ 1'"
    answer = as_json("sweep", *STUDY, store, "--config-dir", str(configs))
    run = as_json("ls", "bn_regression", "--dir", "läufe & mehr/№ 1")[0]["run"]

    assert answer["failed"] == 0
    assert as_json("show", run, "--dir", "läufe & mehr/№ 1")["run_id"] == run
    assert as_json("sweep", *STUDY, store)["cached"] == 24
