"""The user's own x and y: what is read is what was written, and what is wrong is said."""

import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Command

import normexp
from normexp.config.schema import RunConfig
from normexp.data import files
from normexp.data.arrays import Contents, read_examples
from normexp.data.draw import draw
from normexp.data.files import read_arrays
from normexp.data.scale import check_scale
from normexp.errors import UsageError
from normexp.study import study

Array = np.ndarray[Any, Any]

ARRAYS = ["data=arrays", "norm=none", "seed=0", "train.epochs=1", "train.batch_size=8"]
X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] > 0).astype(np.int64)
FOUR = np.zeros((4, 2))
FEATURES: dict[str, Any] = {f"f{number}": X[:, number] for number in range(3)}


def npz(**arrays: object) -> str:
    """The name of a .npz of these arrays."""
    np.savez("mine.npz", **arrays)  # type: ignore[arg-type]
    return "mine.npz"


def parquet(**columns: object) -> str:
    """The name of a Parquet file of these columns."""
    pd.DataFrame(columns).to_parquet("mine.parquet")
    return "mine.parquet"


def features(**columns: object) -> str:
    """The name of a Parquet file of three features and these columns."""
    return parquet(**FEATURES, **columns)


def loaded(path: str, *overrides: str) -> Any:  # noqa: ANN401
    """The one run of a file."""
    (run,) = normexp.load(*ARRAYS, f"data.path='{path}'", *overrides).runs
    return run


def test_npz_and_parquet_hold_the_same_data() -> None:
    """X as an array, as a column of lists, or a column a feature: one digest, one run."""
    runs = [
        loaded(npz(x=X, y=Y)),
        loaded(parquet(x=list(X), y=Y)),
        loaded(features(y=Y)),
    ]
    data = runs[1].config.data

    assert len({run.id for run in runs}) == 1
    assert (data.x_shape, data.y_size, data.train_size, data.test_size) == ("3", 2, 48, 12)
    np.testing.assert_array_equal(read_arrays(data).x, X)
    assert draw(runs[0].config).x.shape == (3, 48)


@pytest.mark.parametrize(
    ("x", "y", "shape", "size"),
    [
        ((30, 4), np.arange(30) % 3, "4", 3),
        ((30, 4), np.zeros((30, 5)), "4", 5),
        ((30, 9, 8), np.arange(30) % 2, "1x9x8", 2),
        ((30, 2, 9, 8), np.arange(30) % 2, "2x9x8", 2),
        ((30,), np.zeros(30), "1", 1),
    ],
    ids=["labels", "targets", "grey images", "images", "numbers"],
)
def test_arrays_of_every_kind_train(
    as_json: Callable[..., Any], x: tuple[int, ...], y: Array, shape: str, size: int
) -> None:
    """Labels by cross entropy with accuracy, targets by squared error; images with LeNet."""
    model = ["model=lenet"] if "x" in shape else ["model.depth=1"]
    path = npz(x=np.zeros(x), y=y)
    answer = as_json("sweep", *ARRAYS, f"data.path={path}", *model)
    (row,) = normexp.read(answer["directory"]).to_dict("records")

    assert (row["data.x_shape"], row["data.y_size"]) == (shape, size)
    assert ("test_accuracy" in row) == (y.dtype.kind == "i")


def test_a_file_may_bring_its_own_test_set() -> None:
    """Then all of the rest is for training."""
    data = draw(loaded(npz(x=X, y=Y, test_x=X[:5], test_y=Y[:5])).config)

    assert data.x.shape == (3, 60)
    np.testing.assert_allclose(data.test_x.T.numpy(), X[:5].astype(np.float32))


def test_a_file_that_changes_is_other_data() -> None:
    """Read anew in the same process."""
    before, after = loaded(npz(x=X, y=Y)), loaded(npz(x=X[:50], y=Y[:50]))

    assert before.id != after.id
    with pytest.raises(UsageError, match="not the same data"):
        loaded("mine.npz", f"data.digest='{before.flat['data.digest']}'")


@pytest.mark.parametrize("shape", [[], ["data.x_shape=3"]])
def test_a_file_is_read_once_for_all_runs(
    monkeypatch: pytest.MonkeyPatch, shape: list[str]
) -> None:
    """By a plan of eight seeds, its notes, and the training of one of them."""
    read: list[Path] = []

    def counted(path: Path, shape: tuple[int, ...] | None) -> Contents:
        read.append(path)
        return read_examples(path, shape)

    monkeypatch.setattr(files, "read_examples", counted)
    path = npz(x=X, y=Y)
    runs = normexp.load(*ARRAYS, f"data.path={path}", "seed=range(8)", *shape).runs
    draw(runs[0].config)

    assert read == [Path(path).absolute()]


def test_a_file_rewritten_during_a_plan_has_one_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs of a plan are of the data that were there for the first."""
    path = npz(x=X, y=Y)

    def check_and_rewrite(config: RunConfig) -> None:
        check_scale(config)
        npz(x=X + config.seed, y=Y)

    monkeypatch.setattr(study, "check_scale", check_and_rewrite)
    runs = normexp.load(*ARRAYS, f"data.path={path}", "seed=1,2,3").runs

    assert len({run.flat["data.digest"] for run in runs}) == 1


def test_names_that_only_look_special_are_plain_names() -> None:
    """Pandas' index is no feature; nearly x or y is one; a ~ or NAME=VALUE in a path is text."""
    frame = pd.DataFrame({"x1": X[:, 0], "y2": X[:, 1], "test": X[:, 2], "X": X[:, 0], "y": Y})
    Path("y=3").mkdir()
    for name in ("~t.parquet", "y=3/mine.parquet"):
        frame[frame["y2"] > 0].to_parquet(name)
        assert loaded(name).flat["data.x_shape"] == "4"


def member(name: str, content: bytes) -> Callable[[], str]:
    """Writes a .npz whose last member is something else than NumPy has written."""

    def write() -> str:
        npz(x=X, y=Y)
        with zipfile.ZipFile("mine.npz", "a") as archive:
            archive.writestr(name, content)
            archive.writestr("test_y", b"")
        return "mine.npz"

    return write


def raw(name: str, change: Callable[[bytes], bytes]) -> Callable[[], str]:
    """Writes a file of changed bytes of a .npz."""

    def write() -> str:
        content = change(Path(npz(x=X, y=Y)).read_bytes())
        Path(name).write_bytes(content)
        return name

    return write


def array_file(_: bytes) -> bytes:
    """A .npy."""
    np.save("a.npy", X)
    return Path("a.npy").read_bytes()


def header(shape: str) -> bytes:
    """A .npy's header with nothing behind it."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (63 - (len(text) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def two_columns() -> str:
    """The name of a Parquet file with a name twice."""
    pq.write_table(pa.table([X[:, 0], X[:, 1], Y], names=["a", "a", "y"]), "mine.parquet")
    return "mine.parquet"


UNREAD = "cannot be read as"
BAD: dict[str, tuple[Callable[[], str], str, str]] = {
    "no file": (lambda: "~nobody.npz", "there is no file", ""),
    "empty": (raw("mine.npz", lambda _: b""), UNREAD, "numpy.savez"),
    "empty Parquet": (raw("mine.parquet", lambda _: b""), UNREAD, "a column y"),
    "half": (raw("mine.npz", lambda whole: whole[: len(whole) // 2]), UNREAD, ""),
    "a flipped byte": (
        raw("mine.npz", lambda b: b[:300] + bytes([b[300] ^ 255]) + b[301:]), UNREAD, ""),
    "a .npy": (raw("mine.npz", array_file), "single array, as in a .npy", "numpy.savez"),
    "a .npz renamed": (raw("mine.parquet", lambda whole: whole), UNREAD, ""),
    "bytes": (member("test_x", b"hello"), "test_x is no array", ""),
    "a text": (member("read.txt", b"hello"), "an array read.txt, which nothing would read", ""),
    "no header": (member("test_x.npy", b"\x93NUMPY\x01\x00"), UNREAD, ""),
    "no shape": (member("test_x.npy", header("(10**14,)")), UNREAD, ""),
    "72 TB": (member("test_x.npy", header(f"({10**14},)")), UNREAD, ""),
    "objects": (lambda: npz(x=np.array([None] * 4), y=np.zeros(4)), "Python objects", ""),
    "no y": (lambda: npz(x=FOUR), "has no y; it has x", ""),
    "a number": (lambda: npz(x=np.float64(3), y=Y), "x has shape ()", "2 examples at least"),
    "no features": (lambda: npz(x=FOUR[:, :0], y=np.zeros(4)), "shape (4, 0)", "one number"),
    "lengths": (lambda: npz(x=FOUR, y=np.zeros(5)), "x has shape (4, 2), y (5,)", ""),
    "nan": (lambda: npz(x=FOUR * np.nan, y=np.zeros(4)), "not finite, 8 of 8", ""),
    "texts": (lambda: npz(x=np.array([["a"]] * 4), y=np.zeros(4)), "numbers are needed", ""),
    "half a test set": (lambda: npz(x=FOUR, y=np.zeros(4), test_x=FOUR), "only one of", ""),
    "one test": (
        lambda: npz(x=FOUR, y=np.zeros(4), test_x=FOUR[:1], test_y=np.zeros(1)),
        "test_x has shape (1, 2)", "2 examples at least"),
    "other targets": (
        lambda: npz(x=FOUR, y=np.zeros((4, 3)), test_x=FOUR, test_y=np.zeros((4, 1))),
        "y is float64[examples, 3], but test_y is", ""),
    "channels last": (
        lambda: npz(x=np.zeros((4, 8, 8, 3)), y=np.zeros(4)), "looks like channels last", ""),
    "huge": (lambda: npz(x=FOUR + 1e300, y=np.zeros(4)), "x[:, 0] reaches 1e+300", ""),
    "X and Y": (lambda: npz(X=X, Y=Y, x_test=X, y_test=Y), "has no x", "did you mean X?"),
    "x and Y": (lambda: npz(x=X, Y=Y), "has no y", "did you mean Y?"),
    "a name of Keras": (
        lambda: npz(x=X, y=Y, x_test=X, y_test=Y), "x_test, which", "did you mean test_x?"),
    "labels 1 and 2": (
        lambda: npz(x=X, y=Y + 1), "3 classes, counted from 0, and class 0", "data.y_size=3"),
    "labels 0 and 2": (lambda: npz(x=X, y=Y * 2), "and class 1 has no example", "numpy.unique"),
    "labels 5 to 7": (lambda: npz(x=X, y=np.arange(60) % 3 + 5), "8 classes", "numpy.unique"),
    "one label": (lambda: npz(x=X, y=Y * 0), "y is 0 everywhere", "data.y_size=1"),
    "signs": (lambda: npz(x=X, y=2 * Y - 1), "from -1 up to 1", "data.y_size=1"),
    "a million labels": (lambda: npz(x=FOUR, y=np.array([0, 1, 2, 10**6])), "up to 1000000", ""),
    "one-hot": (lambda: npz(x=X, y=np.eye(2, dtype=int)[Y]), "shape (60, 2)", "y.argmax(1)"),
    "unsigned": (
        lambda: npz(x=X, y=np.where(Y, 2**63 + 5, 1).astype(np.uint64)),
        "whole numbers from 2⁶³", "floats"),
    "dates": (
        lambda: features(y=Y, when=pd.date_range("2020", periods=60)), "column when is of tim", ""),
    "durations": (
        lambda: features(y=Y, took=pd.to_timedelta(range(60))), "column took is of duration", ""),
    "towns": (lambda: features(y=Y, town=["Bonn"] * 60), "column town is of", "leave it out"),
    "categories": (
        lambda: features(y=Y, kind=pd.Categorical(["a", "b"] * 30)), "column kind is of", ""),
    "pairs": (lambda: features(y=Y, pair=[[1.0, 2.0]] * 60), "column pair is of list", ""),
    "holes": (
        lambda: features(y=Y, holes=pd.array([1, None] * 30, dtype="Int64")),
        "column holes lacks 30 of 60 values", "fill them in"),
    "infinite": (
        lambda: features(y=Y, ends=[1.0] * 59 + [np.inf]),
        "column ends has values that are not finite, 1 of 60", ""),
    "labels of text": (
        lambda: features(y=["yes", "no"] * 30), "column y is of", "numpy.unique"),
    "lists of other lengths": (
        lambda: parquet(x=[[1.0, 2.0], [1.0]] * 30, y=Y), "x has lists of 1 to 2 numbers", ""),
    "lists of lists": (lambda: parquet(x=[[[1.0], [2.0]]] * 60, y=Y), "column x is of list", ""),
    "holes in lists": (lambda: parquet(x=[[1.0, None]] * 60, y=Y), "x has values that are", ""),
    "missing lists": (lambda: parquet(x=[[1.0], None] * 30, y=Y), "column x lacks 30 of 60", ""),
    "two of a name": (two_columns, "two columns a", ""),
    "x and others": (
        lambda: parquet(x=list(X), b=Y, y=Y), "a column x and others beside it: b", ""),
    "Y": (lambda: features(Y=Y), "has no y", "did you mean Y?"),
    "X of lists": (lambda: parquet(X=list(X), y=Y), "column X is of list", "did you mean x?"),
    "y_train": (lambda: features(y_train=Y), "has no y", "did you mean y_train?"),
    "another word": (lambda: features(Target=Y), "has no y", "it needs a column y"),
    **{f"answers in {name}": (partial(features, **{"y": Y, name: Y}), f"a column {name}", "")
       for name in ("test_y", "y_test", "Test-Y", "xtest", "Y", "y_train")},
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_does_not_fit_is_refused(command: Command, name: str) -> None:
    """In one line that names the file and the column, and one that says what to do."""
    write, message, hint = BAD[name]
    path = write()
    result = command("plan", *ARRAYS, f"data.path='{path}'")
    error, todo = result.stderr.splitlines()

    assert result.exit_code == 2
    assert error.startswith("error: ")
    assert Path(path).name in error
    assert message in error
    assert todo.startswith("hint: ")
    assert hint in todo


@pytest.mark.parametrize(
    ("y", "size", "is_label"),
    [
        (Y + 1, 3, True),
        (Y, 5, True),
        (Y.astype(float), 2, True),
        (Y + 1, 1, False),
        (2 * Y - 1, 1, False),
        (np.eye(2, dtype=int)[Y], 2, False),
    ],
    ids=["1 and 2", "few", "floats", "target", "signs", "one-hot"],
)
def test_the_size_of_y_says_what_y_is(y: Array, size: int, *, is_label: bool) -> None:
    """Labels 1 and 2 of three classes, floats as classes, whole numbers as a target."""
    data = draw(loaded(npz(x=X, y=y), f"data.y_size={size}").config)
    found = np.concatenate([data.y.numpy().T, data.test_y.numpy().T]).astype(int)

    assert data.y.is_floating_point() != is_label
    assert sorted(found.ravel()) == sorted(np.asarray(y).ravel())


def test_a_size_that_the_file_has_anyhow_changes_no_run() -> None:
    """And classes of numbers that are no labels are refused."""
    assert loaded(npz(x=X, y=Y)).id == loaded("mine.npz", "data.y_size=2").id
    with pytest.raises(UsageError, match="are no labels"):
        loaded(npz(x=X, y=X[:, 0]), "data.y_size=2")


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
        (np.arange(60.0), "y 1 target (regression)"),
        (np.zeros(60), "y 1 target (regression)"),
    ],
    ids=["0 and 1", "0 to 3", "1 and 2", "signs", "one-hot", "labels", "target", "counts", "zeros"],
)
def test_a_plan_and_a_sweep_say_what_y_is(command: Command, y: Array, note: str) -> None:
    """And what to type where floats look like classes."""
    typed = [*ARRAYS, f"data.path={npz(x=X, y=y)}", "model.depth=1"]
    for result in (command("plan", *typed), command("sweep", *typed)):
        text = result.stderr + result.stdout

        assert note in text
        assert ("for classes" in note) == ("for classes" in text)
