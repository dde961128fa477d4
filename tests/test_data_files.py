"""Files that people really have: damaged, renamed, with other names, with labels from 1."""

import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import Result

import normexp
from normexp.data.draw import draw
from normexp.errors import UsageError

Array = np.ndarray[Any, Any]
Command = Callable[..., Result]
AsJson = Callable[..., Any]

ARRAYS = ["data=arrays", "norm=none", "seed=0", "train.epochs=1", "train.batch_size=8"]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(np.int64)
FEATURES: dict[str, Any] = {f"f{number}": X[:, number] for number in range(3)}


def refused(command: Command, path: str) -> str:
    """What `plan` says of a file that it must refuse: the error, and the hint."""
    result = command("plan", *ARRAYS, f"data.path='{path}'")
    error, hint = result.stderr.splitlines()

    assert result.exit_code == 2
    assert error.startswith("error: ")
    assert Path(path).name in error
    assert hint.startswith("hint: ")
    return result.stderr


def parquet(**columns: object) -> None:
    """`mine.parquet` of these columns."""
    pd.DataFrame({name: list(values) for name, values in columns.items()}).to_parquet(  # type: ignore[call-overload]
        "mine.parquet"
    )


def with_member(name: str, content: bytes) -> None:
    """`mine.npz` whose last member is something else than NumPy has written."""
    np.savez("mine.npz", x=X, y=Y)
    with zipfile.ZipFile("mine.npz", "a") as archive:
        archive.writestr(name, content)


def header(shape: str) -> bytes:
    """A .npy's header with nothing behind it."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def test_an_empty_file_is_refused(command: Command) -> None:
    """Of either kind; so are half of one, and a .npy under another name."""
    np.save("a.npy", X)
    np.savez("whole.npz", x=X, y=Y)
    whole = Path("whole.npz").read_bytes()
    for name, content in (
        ("empty.npz", b""),
        ("empty.parquet", b""),
        ("half.npz", whole[: len(whole) // 2]),
        ("flipped.npz", whole[:300] + bytes([whole[300] ^ 255]) + whole[301:]),
        ("renamed.npz", Path("a.npy").read_bytes()),
        ("renamed.parquet", whole),
    ):
        Path(name).write_bytes(content)
        refused(command, name)


def test_a_damaged_archive_of_images_is_refused() -> None:
    """Whichever byte is another one: CIFAR's release as it is downloaded."""
    with tarfile.open("whole.tar.gz", "w:gz") as archive:
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
            Path(name).write_bytes(RNG.integers(0, 4, 3000, np.uint8).tobytes())
            archive.add(name)
            Path(name).unlink()
    whole = Path("whole.tar.gz").read_bytes()
    for place in range(12, len(whole), 200):
        flipped = whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
        Path("mine.tar.gz").write_bytes(flipped)
        with pytest.raises(UsageError, match=r"mine\.tar\.gz"):
            normexp.load("data=cifar10", "data.path=mine.tar.gz", "norm=none", "seed=0")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test_x", b"hello", "test_x is no array"),
        ("readme.txt", b"hello", "an array readme.txt, which nothing would read"),
        ("test_x.npy", b"\x93NUMPY\x01\x00", "cannot be read as .npz"),
        ("test_x.npy", header("(10**14,)"), "cannot be read as .npz"),
        ("test_x.npy", header(f"({10**14},)"), "cannot be read as .npz"),
    ],
    ids=["bytes", "a text", "no header", "no shape", "72 TB"],
)
def test_a_member_that_is_no_array_is_refused(
    command: Command, name: str, content: bytes, message: str
) -> None:
    """By name where it can be told."""
    with_member(name, content)
    with zipfile.ZipFile("mine.npz", "a") as archive:
        archive.writestr("test_y", b"")

    assert message in refused(command, "mine.npz")


def test_a_single_number_is_no_array_of_examples(command: Command) -> None:
    """Of no dimension at all."""
    np.savez("mine.npz", x=np.float64(3), y=Y)

    assert "x has shape ()" in refused(command, "mine.npz")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"when": pd.date_range("2020", periods=60)}, "column when is of timestamp"),
        ({"took": pd.to_timedelta(range(60))}, "column took is of duration"),
        ({"town": ["Bonn"] * 60}, "column town is of"),
        ({"kind": pd.Categorical(["a", "b"] * 30)}, "column kind is of"),
        ({"pair": [[1.0, 2.0]] * 60}, "column pair is of list"),
        ({"holes": pd.array([1, None] * 30, dtype="Int64")}, "column holes lacks 30 of 60 values"),
        ({"ends": [1.0] * 59 + [np.inf]}, "column ends has values that are not finite, 1 of 60"),
        ({"y": ["yes", "no"] * 30}, "column y is of"),
    ],
    ids=["dates", "durations", "texts", "categories", "lists", "missing", "infinite", "labels"],
)
def test_a_column_that_is_no_numbers_is_named(
    command: Command, columns: dict[str, Any], message: str
) -> None:
    """In the error's one line, with the file."""
    pd.DataFrame({**FEATURES, "y": Y, **columns}).to_parquet("mine.parquet")

    assert message in refused(command, "mine.parquet").splitlines()[0]


def test_lists_of_other_lengths_or_depths_are_refused(command: Command) -> None:
    """As a column x."""
    for rows, message in (
        ([[1.0, 2.0], [1.0]] * 30, "column x has lists of 1 to 2 numbers"),
        ([[[1.0], [2.0]]] * 60, "column x is of list"),
        ([[1.0, None]] * 60, "x has values that are not finite"),
        ([[1.0], None] * 30, "column x lacks 30 of 60 values"),
    ):
        parquet(x=rows, y=Y)
        assert message in refused(command, "mine.parquet")


def test_two_columns_of_one_name_are_refused(command: Command) -> None:
    """Neither is better than the other."""
    table = pa.table([X[:, 0], X[:, 1], Y], names=["a", "a", "y"])
    pq.write_table(table, "mine.parquet")

    assert "two columns a" in refused(command, "mine.parquet")


def test_a_path_may_begin_with_a_tilde_that_is_nobodys_home(command: Command) -> None:
    """It is then the file's name; nor does a folder's name=value become a feature."""
    Path("y=3").mkdir()
    for name in ("~t.parquet", "y=3/mine.parquet"):
        pd.DataFrame({**FEATURES, "y": Y}).to_parquet(name)
        (run,) = normexp.load(*ARRAYS, f"data.path='{name}'").runs
        assert run.flat["data.x_shape"] == "3"
    assert "there is no file" in refused(command, "~nobody.npz")
    assert command("sweep", *ARRAYS, "store.dir='~t'", "data=quadratic").exit_code == 0
    assert Path("~t/bn_regression").is_dir()


@pytest.mark.parametrize(
    ("columns", "hint"),
    [
        ({**FEATURES, "Y": Y}, "did you mean Y?"),
        ({"X": list(X), "Y": Y}, "did you mean Y?"),
        ({"X": list(X), "y": Y}, "did you mean x?"),
        ({**FEATURES, "y_train": Y}, "did you mean y_train?"),
        ({**FEATURES, "Target": Y}, "it needs a column y"),
    ],
    ids=["Y", "X and Y", "X of lists", "y_train", "another word"],
)
def test_a_name_in_other_letters_gets_did_you_mean(
    command: Command, columns: dict[str, Any], hint: str
) -> None:
    """In a Parquet, where y is what is missing, and not x."""
    pd.DataFrame(columns).to_parquet("mine.parquet")
    said = refused(command, "mine.parquet")

    assert hint in said
    assert "has no x" not in said


@pytest.mark.parametrize("names", [("X", "Y"), ("x_train", "y_train"), ("x", "Y")])
def test_names_of_arrays_get_did_you_mean(command: Command, names: tuple[str, str]) -> None:
    """In a .npz, with the tests of Keras too."""
    np.savez("mine.npz", **dict(zip(names, (X, Y), strict=True)), x_test=X, y_test=Y)  # type: ignore[arg-type]
    missing = names[0] if names[0] != "x" else names[1]
    assert f"did you mean {missing}?" in refused(command, "mine.npz")

    np.savez("mine.npz", x=X, y=Y, x_test=X, y_test=Y)
    assert "did you mean test_x?" in refused(command, "mine.npz")


@pytest.mark.parametrize("name", ["test_y", "y_test", "Test-Y", "test_x", "xtest", "Y", "y_train"])
def test_answers_beside_the_features_are_refused(command: Command, name: str) -> None:
    """As a column of a Parquet they would be a feature that gives all away."""
    pd.DataFrame({**FEATURES, "y": Y, name: Y}).to_parquet("mine.parquet")

    assert f"a column {name}" in refused(command, "mine.parquet")


def test_features_may_be_called_nearly_x_or_y() -> None:
    """Numbered, as a frame's columns often are."""
    columns = {"x1": X[:, 0], "x2": X[:, 1], "y2": X[:, 2], "train": X[:, 0], "test": X[:, 1]}
    pd.DataFrame({**columns, "X": X[:, 2], "y": Y}).to_parquet("mine.parquet")
    (run,) = normexp.load(*ARRAYS, "data.path=mine.parquet").runs

    assert run.flat["data.x_shape"] == "6"


@pytest.mark.parametrize(
    ("y", "message", "hint"),
    [
        (Y + 1, "3 classes, counted from 0, and class 0 has no example", "type data.y_size=3"),
        (Y * 2, "3 classes, counted from 0, and class 1 has no example", "numpy.unique"),
        (np.arange(60) % 3 + 5, "8 classes", "numpy.unique(y, return_inverse=True)[1]"),
        (Y * 0, "y is 0 everywhere", "data.y_size=1"),
        (2 * Y - 1, "from -1 up to 1", "data.y_size=1"),
        (np.eye(3, dtype=int)[np.arange(60) % 3], "of shape (60, 3)", "y.argmax(1)"),
        (np.where(Y, 2**63 + 5, 1).astype(np.uint64), "whole numbers from 2⁶³", "floats"),
    ],
    ids=["1 and 2", "0 and 2", "5 to 7", "one", "signs", "one-hot", "unsigned"],
)
def test_labels_that_do_not_count_from_0_are_refused(
    command: Command, y: Array, message: str, hint: str
) -> None:
    """With what to save or to type."""
    np.savez("mine.npz", x=X, y=y)
    said = refused(command, "mine.npz")

    assert message in said.splitlines()[0]
    assert hint in said.splitlines()[1]


def test_the_size_of_y_says_what_y_is(command: Command, as_json: AsJson) -> None:
    """Labels 1 and 2 of three classes, floats as classes, whole numbers as a target."""
    for y, size, is_label in (
        (Y + 1, 3, True),
        (Y, 5, True),
        (Y.astype(float), 2, True),
        (Y + 1, 1, False),
        (2 * Y - 1, 1, False),
        (np.eye(2, dtype=int)[Y], 2, False),
    ):
        np.savez("mine.npz", x=X, y=y)
        typed = [*ARRAYS, "data.path=mine.npz", f"data.y_size={size}"]
        data = draw(normexp.load(*typed).runs[0].config)
        found = np.concatenate([data.y.numpy().T, data.test_y.numpy().T]).astype(int)

        assert data.y.is_floating_point() != is_label
        assert sorted(found.ravel()) == sorted(np.asarray(y).ravel())
    answer = as_json("sweep", *typed[:-1], "data.y_size=2", "model.depth=1")
    assert "test_accuracy" not in normexp.read(answer["directory"])

    np.savez("mine.npz", x=X, y=Y)
    (run,) = normexp.load(*ARRAYS, "data.path=mine.npz").runs
    (typed_run,) = normexp.load(*ARRAYS, "data.path=mine.npz", "data.y_size=2").runs
    assert run.id == typed_run.id
    np.savez("mine.npz", x=X, y=X[:, 0])
    result = command("plan", *ARRAYS, "data.path=mine.npz", "data.y_size=2")
    assert (result.exit_code, "are no labels" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("y", "note"),
    [
        (Y * 1.0, "are 0, 1 only: a regression; for classes type data.y_size=2"),
        (np.arange(60) % 4.0, "0, 1, 2, 3 only: a regression; for classes type data.y_size=4"),
        (Y + 1.0, "1, 2 only: a regression; for classes save numpy.unique"),
        (2.0 * Y - 1, "-1, 1 only: a regression; for classes save numpy.unique"),
        (np.eye(3)[np.arange(60) % 3], "each y has a single 1: for classes save y.argmax(1) as y"),
        (Y, "y labels from 0 to 1 (2 classes)"),
        (X[:, 0], "y 1 target (regression)"),
    ],
    ids=["0 and 1", "0 to 3", "1 and 2", "signs", "one-hot", "labels", "target"],
)  # fmt: skip
def test_a_plan_and_a_sweep_say_what_y_is(command: Command, y: Array, note: str) -> None:
    """And what to type where floats look like classes."""
    np.savez("mine.npz", x=X, y=y)
    typed = [*ARRAYS, "data.path=mine.npz", "model.depth=1"]
    plan, sweep = command("plan", *typed), command("sweep", *typed)

    assert note in plan.stderr + plan.stdout
    assert note in sweep.stderr + sweep.stdout


def test_targets_that_vary_are_taken_for_what_they_are(command: Command) -> None:
    """Many whole numbers, such as counts, are no classes, and neither is a constant."""
    for y in (np.arange(60.0), np.zeros(60), X[:, 0]):
        np.savez("mine.npz", x=X, y=y)
        said = command("plan", *ARRAYS, "data.path=mine.npz").stdout
        assert "y 1 target (regression)" in said
        assert "for classes" not in said
