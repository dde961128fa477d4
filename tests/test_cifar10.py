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
from conftest import AsJson, Command, run_files

import normexp
from normexp.data.cifar10 import PIXELS, read_release
from normexp.data.draw import draw
from normexp.errors import UsageError

NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
PER_FILE = 7


def batch(number: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pixels [PER_FILE, 3072] and labels of one file."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (PER_FILE, PIXELS), dtype=np.uint8)
    return pixels, rng.integers(0, 10, PER_FILE)


def release(directory: Path, *, binary: bool = False) -> Path:
    """A directory with small files in the format of a release.

    The python release is pickled by Python 2's protocol; the binary one has a label's byte, then
    the pixels.
    """
    directory.mkdir(parents=True)
    for number, name in enumerate(NAMES):
        pixels, labels = batch(number)
        if binary:
            records = np.concatenate([labels[:, None].astype(np.uint8), pixels], 1)
            (directory / f"{name}.bin").write_bytes(records.tobytes())
        else:
            content = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"small"}
            (directory / name).write_bytes(pickle.dumps(content, protocol=2))
    return directory


def archive(directory: Path, name: str) -> Path:
    """A release as it is downloaded, beside its directory."""
    with tarfile.open(directory.parent / name, "w:gz") as tar:
        tar.add(directory, arcname=f"cifar-10/{directory.name}")
    return directory.parent / name


WAYS: dict[str, Callable[[Path], Path]] = {
    "where the path points": lambda top: release(top / "files"),
    "in the archive's folder": lambda top: release(top / "cifar-10-batches-py").parent,
    "binary": lambda top: release(top / "cifar-10-batches-bin", binary=True).parent,
    "archive in a directory": lambda top: (
        archive(release(top / "a/files"), "cifar-10-python.tar.gz").parent
    ),
    "archive itself": lambda top: archive(release(top / "files", binary=True), "mine.tar.gz"),
}


@pytest.mark.parametrize("way", WAYS)
def test_cifar10_is_read_from_either_release(way: str, tmp_path: Path) -> None:
    """All 35 training and 7 test images, pixel by pixel, wherever and however they lie."""
    train, test = read_release(WAYS[way](tmp_path), verify=False)
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
    first = WAYS["in the archive's folder"](tmp_path / "a")
    second = WAYS["archive itself"](tmp_path / "b")
    swept = as_json("sweep", *SMALL_CIFAR, f"data.path={first}")
    (run,) = normexp.read(swept["directory"])["run_id"]
    again = as_json("plan", *SMALL_CIFAR, f"data.path={second}")
    typed = shlex.split(as_json("show", run)["command"])[1:]

    assert again["cached"] == 1
    assert any(each.startswith("data.digest=") for each in typed)
    assert f"data.path='{first}'" in typed
    moved = [each for each in typed if not each.startswith("data.path")]
    assert as_json(*moved, f"data.path={second}", "store.dir=again")["runs"] == 1
    assert run_files(Path("runs")) == run_files(Path("again")) != {}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-14)])
def test_images_are_in_units_of_the_training_set(
    tmp_path: Path, dtype: str, tolerance: float
) -> None:
    """Mean 0 and standard deviation 1 of every channel over the training images."""
    path = release(tmp_path / "files")
    (run,) = normexp.load(*SMALL_CIFAR, f"data.path={path}", f"train.dtype={dtype}").runs
    data = draw(run.config)
    zeros, std = torch.zeros(3, dtype=data.x.dtype), data.x.std((0, 2, 3), correction=0)

    assert data.x.shape == (30, 3, 32, 32)
    assert data.y.dtype == torch.int64
    torch.testing.assert_close(data.x.mean((0, 2, 3)), zeros, atol=tolerance, rtol=0)
    torch.testing.assert_close(std, zeros + 1, atol=tolerance, rtol=0)


def test_images_can_be_in_the_files_order(command: Command, tmp_path: Path) -> None:
    """The first of the release train; digits come in no file, so there is no such order."""
    typed = [*SMALL_CIFAR, f"data.path={release(tmp_path / 'files')}", "train.shuffle=false"]
    labels = np.concatenate([batch(number)[1] for number in range(5)]).tolist()
    by_seed, by_file = (
        draw(normexp.load(*typed, f"data.order={order}").runs[0].config).y.tolist()
        for order in ("seed", "file")
    )
    digits = command("plan", "data=digits", "train.shuffle=false", "norm=none", "seed=0",
                     "model=lenet").stdout  # fmt: skip

    assert by_file == labels[:30] != by_seed
    assert "data.order=file is the file's" in command("plan", *typed).stdout
    assert "in the one order that the seed has drawn\n" in digits


class Malice:
    """Pickles to a call of a function that no data need."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("touched"),))


def damage(path: Path, way: str) -> list[str]:
    """Break a release; return what to type then."""
    if way == "missing":
        (path / "data_batch_2").unlink()
    elif way == "cut":
        content = (path / "test_batch").read_bytes()
        (path / "test_batch").write_bytes(content[: len(content) // 2])
    elif way == "malice":
        (path / "data_batch_3").write_bytes(pickle.dumps({b"data": Malice(), b"labels": [1]}))
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
        ("malice", "which is not data", "get it again"),
        ("not published", "its checksum differs", "data.verify=false"),
        ("too few", "hold 35 such images", "data.train_size=35"),
        ("another digest", "not the same data", "leave out data.digest"),
    ],
)
def test_files_that_are_not_what_they_should_be_are_refused(
    tmp_path: Path, command: Command, way: str, message: str, hint: str
) -> None:
    """One line, and what to do; nothing on disk, and nothing executed."""
    path = release(tmp_path / "release")
    result = command("sweep", *SMALL_CIFAR, f"data.path={path}", *damage(path, way))
    first, second = result.stderr.splitlines()

    assert result.exit_code == 2
    assert message in first
    assert hint in second
    assert not Path("runs").exists()
    assert not Path("touched").exists()


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    """Whichever byte is another one."""
    files = tmp_path / "files"
    files.mkdir()
    for name in NAMES:
        content = np.random.default_rng(0).integers(0, 4, 3000, np.uint8).tobytes()
        (files / name).write_bytes(content)
    whole = archive(files, "whole.tar.gz").read_bytes()
    for place in range(12, len(whole), 200):
        flipped = whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
        Path("mine.tar.gz").write_bytes(flipped)
        with pytest.raises(UsageError, match=r"mine\.tar\.gz"):
            normexp.load(*SMALL_CIFAR, "data.path=mine.tar.gz")
