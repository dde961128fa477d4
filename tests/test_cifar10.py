"""CIFAR-10 from the user's files: what is read is what was written; what is wrong is said."""

import pickle
import shlex
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import run_files
from typer.testing import Result

import normexp
from normexp.data.cifar10 import PIXELS, read_release
from normexp.data.draw import draw

AsJson = Callable[..., Any]
Command = Callable[..., Result]
PYTHON = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
BINARY = [f"{name}.bin" for name in PYTHON]
PER_FILE = 7


def batch(number: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pixels [PER_FILE, 3072] and labels of one file."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (PER_FILE, PIXELS), dtype=np.uint8)
    return pixels, rng.integers(0, 10, PER_FILE)


def python_release(directory: Path) -> None:
    """Small files in the format of the python release: pickled by Python 2's protocol."""
    directory.mkdir(parents=True)
    for number, name in enumerate(PYTHON):
        pixels, labels = batch(number)
        content = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"small"}
        (directory / name).write_bytes(pickle.dumps(content, protocol=2))


def binary_release(directory: Path) -> None:
    """The same images in the format of the binary release: a label's byte, then the pixels."""
    directory.mkdir(parents=True)
    for number, name in enumerate(BINARY):
        pixels, labels = batch(number)
        records = np.concatenate([labels[:, None].astype(np.uint8), pixels], 1)
        (directory / name).write_bytes(records.tobytes())


def archive(directory: Path, name: str) -> None:
    """A release as it is downloaded."""
    with tarfile.open(directory.parent / name, "w:gz") as tar:
        tar.add(directory, arcname=f"cifar-10/{directory.name}")


RELEASES: dict[str, Callable[[Path], Path]] = {}


def release(make: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Remember a way in which the files may lie; it gives the path to type."""
    RELEASES[make.__name__] = make
    return make


@release
def python_files(top: Path) -> Path:
    """Right where the path points."""
    python_release(top / "files")
    return top / "files"


@release
def python_folder(top: Path) -> Path:
    """In the folder that the archive has."""
    python_release(top / "cifar-10-batches-py")
    return top


@release
def binary_folder(top: Path) -> Path:
    """The other release."""
    binary_release(top / "cifar-10-batches-bin")
    return top


@release
def python_archive(top: Path) -> Path:
    """Not unpacked, in a directory."""
    python_release(top / "files")
    archive(top / "files", "cifar-10-python.tar.gz")
    return top


@release
def binary_archive(top: Path) -> Path:
    """Not unpacked, the file itself."""
    binary_release(top / "files")
    archive(top / "files", "mine.tar.gz")
    return top / "mine.tar.gz"


@pytest.mark.parametrize("way", RELEASES)
def test_cifar10_is_read_from_either_release(way: str, tmp_path: Path) -> None:
    """All 35 training and 7 test images, pixel by pixel, wherever and however they lie."""
    train, test = read_release(RELEASES[way](tmp_path), verify=False)
    parts = [batch(number) for number in range(6)]
    pixels = np.concatenate([part[0] for part in parts[:5]])

    np.testing.assert_array_equal(train.x, pixels.reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(train.y, np.concatenate([part[1] for part in parts[:5]]))
    np.testing.assert_array_equal(test.x, parts[5][0].reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(test.y, parts[5][1])


SMALL_CIFAR = ["data=cifar10", "data.verify=false", "data.train_size=30", "data.test_size=7",
               "model=lenet", "norm=batch", "norm.momentum=0.1", "seed=0", "train.batch_size=10",
               "train.epochs=1"]  # fmt: skip


def test_the_same_images_are_the_same_run_wherever_they_lie(
    as_json: AsJson, tmp_path: Path
) -> None:
    """The run is named by what the files hold; its command compares them."""
    first = RELEASES["python_folder"](tmp_path / "a")
    second = RELEASES["binary_archive"](tmp_path / "b")
    swept = as_json("sweep", *SMALL_CIFAR, f"data.path={first}")
    (run,) = normexp.read(swept["directory"])["run_id"]
    again = as_json("plan", *SMALL_CIFAR, f"data.path={second}")
    command = as_json("show", run)["command"]

    assert again["cached"] == 1
    assert "data.digest=" in command
    assert f"data.path='{first}'" in shlex.split(command)
    moved = [each for each in shlex.split(command)[1:] if not each.startswith("data.path")]
    assert as_json(*moved, f"data.path={second}", "store.dir=again")["runs"] == 1
    assert_same_files(Path("runs"), Path("again"))


def assert_same_files(one: Path, other: Path) -> None:
    """Every file of every run, manifests aside, is equal to the bit."""
    assert run_files(one)
    assert run_files(one) == run_files(other)


def test_images_are_in_units_of_the_training_set(tmp_path: Path) -> None:
    """Mean 0 and standard deviation 1 of every channel over the training images."""
    path = RELEASES["python_files"](tmp_path / "release")
    (run,) = normexp.load(*SMALL_CIFAR, f"data.path={path}").runs
    data = draw(run.config)

    assert data.x.shape == (30, 3, 32, 32)
    assert data.y.dtype == torch.int64
    torch.testing.assert_close(data.x.mean((0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(data.x.std((0, 2, 3), correction=0), torch.ones(3))
    (run,) = normexp.load(*SMALL_CIFAR, f"data.path={path}", "train.dtype=float64").runs
    exact = draw(run.config).x
    zeros, ones = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(exact.mean((0, 2, 3)), zeros, atol=1e-14, rtol=0)
    torch.testing.assert_close(exact.std((0, 2, 3), correction=0), ones, atol=1e-14, rtol=0)


class Malice:
    """Pickles to a call of a function that no data need."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("touched"),))


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path, command: Command) -> None:
    """And runs nothing."""
    path = RELEASES["python_files"](tmp_path / "release")
    (path / "data_batch_3").write_bytes(pickle.dumps({b"data": Malice(), b"labels": [1]}))
    result = command("plan", *SMALL_CIFAR, f"data.path={path}")

    assert result.exit_code == 2
    assert "data_batch_3" in result.stderr
    assert "which is not data" in result.stderr
    assert not Path("touched").exists()


def damaged(path: Path, way: str) -> list[str]:
    """Break a release; what to type then."""
    if way == "missing":
        (path / "data_batch_2").unlink()
    elif way == "cut":
        content = (path / "test_batch").read_bytes()
        (path / "test_batch").write_bytes(content[: len(content) // 2])
    elif way == "too few":
        return ["data.train_size=36"]
    elif way == "another digest":
        return ["data.digest=0123456789ab"]
    return ["data.verify=true"] if way == "not published" else []


@pytest.mark.parametrize(
    ("way", "message", "hint"),
    [
        ("missing", "no CIFAR-10 in", "https://www.cs.toronto.edu/~kriz/cifar.html"),
        ("cut", "test_batch of", "get it again"),
        ("not published", "its checksum differs", "data.verify=false"),
        ("too few", "hold 35 such images", "data.train_size=35"),
        ("another digest", "not the same data", "leave out data.digest"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_refused(
    tmp_path: Path, command: Command, way: str, message: str, hint: str
) -> None:
    """One line, and what to do; nothing on disk."""
    path = RELEASES["python_files"](tmp_path / "release")
    result = command("sweep", *SMALL_CIFAR, f"data.path={path}", *damaged(path, way))
    first, second = result.stderr.splitlines()

    assert result.exit_code == 2
    assert message in first
    assert hint in second
    assert not Path("runs").exists()
