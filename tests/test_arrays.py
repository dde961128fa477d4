"""The user's own x and y: what is read is what was written, and what is wrong is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import Result

import normexp
from normexp.data.draw import draw
from normexp.data.files import read_arrays
from normexp.errors import UsageError

AsJson = Callable[..., Any]
Command = Callable[..., Result]


def table(examples: int = 40) -> dict[str, np.ndarray[Any, Any]]:
    """Features and labels."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(examples, 6))
    return {"x": x, "y": (x[:, 0] > 0).astype(np.int64)}


ARRAYS = ["data=arrays", "norm=none", "seed=0", "train.epochs=1", "train.batch_size=8"]


def test_npz_and_parquet_hold_the_same_data() -> None:
    """X as an array, as a column of lists, or a column a feature: one digest, one run."""
    arrays = table()
    np.savez("mine.npz", **arrays)  # type: ignore[arg-type]
    pd.DataFrame({"x": list(arrays["x"]), "y": arrays["y"]}).to_parquet("lists.parquet")
    columns = {f"f{number}": arrays["x"][:, number] for number in range(6)}
    pd.DataFrame({**columns, "y": arrays["y"]}).to_parquet("columns.parquet")
    runs = [
        normexp.load(*ARRAYS, f"data.path={name}").runs[0]
        for name in ("mine.npz", "lists.parquet", "columns.parquet")
    ]
    data: Any = runs[0].config.data

    assert len({run.id for run in runs}) == 1
    assert (data.x_shape, data.y_size, data.train_size, data.test_size) == ("6", 2, 32, 8)
    np.testing.assert_array_equal(read_arrays(data).x, arrays["x"])
    assert draw(runs[0].config).x.shape == (6, 32)


@pytest.mark.parametrize(
    ("arrays", "shape", "size"),
    [
        ({"x": np.zeros((30, 4)), "y": np.arange(30) % 3}, "4", 3),
        ({"x": np.zeros((30, 4)), "y": np.zeros(30)}, "4", 1),
        ({"x": np.zeros((30, 4)), "y": np.zeros((30, 5))}, "4", 5),
        ({"x": np.zeros((30, 9, 8)), "y": np.arange(30) % 2}, "1x9x8", 2),
        ({"x": np.zeros((30, 2, 9, 8)), "y": np.arange(30) % 2}, "2x9x8", 2),
        ({"x": np.zeros(30), "y": np.zeros(30)}, "1", 1),
    ],
    ids=["labels", "target", "targets", "grey images", "images", "numbers"],
)
def test_arrays_of_every_kind_train(
    as_json: AsJson, arrays: dict[str, Any], shape: str, size: int
) -> None:
    """Labels by cross entropy with accuracy, targets by squared error; images with LeNet."""
    np.savez("mine.npz", **arrays)
    model = ["model=lenet"] if "x" in shape else ["model.depth=1"]
    answer = as_json("sweep", *ARRAYS, "data.path=mine.npz", *model)
    (row,) = normexp.read(answer["directory"]).to_dict("records")

    assert (row["data.x_shape"], row["data.y_size"]) == (shape, size)
    assert ("test_accuracy" in row) == (arrays["y"].dtype.kind == "i")


def test_a_file_may_bring_its_own_test_set() -> None:
    """Then all of the rest is for training."""
    arrays = table()
    np.savez("mine.npz", test_x=arrays["x"][:5], test_y=arrays["y"][:5], **arrays)  # type: ignore[arg-type]
    (run,) = normexp.load(*ARRAYS, "data.path=mine.npz").runs
    data = draw(run.config)

    assert data.x.shape == (6, 40)
    np.testing.assert_allclose(data.test_x.T.numpy(), arrays["x"][:5].astype(np.float32))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 2))}, "has no y; it has x"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(5)}, "x has shape (4, 2), y (5,)"),
        ({"x": np.full((4, 2), np.nan), "y": np.zeros(4)}, "not finite"),
        ({"x": np.zeros((4, 2)), "y": np.array([-1, 0, 1, 2])}, "labels"),
        ({"x": np.array([["a"]] * 4), "y": np.zeros(4)}, "numbers are needed"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(4), "test_x": np.zeros((4, 2))}, "only one of"),
        ({"x": np.array([None] * 4), "y": np.zeros(4)}, "cannot be read"),
        (
            {
                "x": np.zeros((4, 2)),
                "y": np.zeros(4),
                "test_x": np.zeros((1, 2)),
                "test_y": np.zeros(1),
            },
            "give 2 examples at least",
        ),
        (
            {
                "x": np.zeros((4, 2)),
                "y": np.zeros((4, 3)),
                "test_x": np.zeros((4, 2)),
                "test_y": np.zeros((4, 1)),
            },
            "y is float64[examples, 3], but test_y is",
        ),
        ({"x": np.zeros((4, 0)), "y": np.zeros(4)}, "each of one number at least"),
        ({"x": np.zeros((4, 2)), "y": np.zeros(4), "x_test": np.zeros((4, 2))}, "x_test, which"),
        ({"x": np.zeros((4, 8, 8, 3)), "y": np.zeros(4)}, "looks like channels last"),
        ({"x": np.zeros((4, 2)), "y": np.array([0, 1, 2, 10**6])}, "up to 1000000"),
        ({"x": np.full((4, 2), 1e300), "y": np.zeros(4)}, "x[:, 0] reaches 1e+300"),
    ],
    ids=[
        "no y",
        "lengths",
        "nan",
        "negative",
        "texts",
        "half a test set",
        "objects",
        "one test",
        "other targets",
        "no features",
        "a name of Keras",
        "channels last",
        "a million classes",
        "huge",
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    command: Command, arrays: dict[str, Any], message: str
) -> None:
    """In one line that names the file."""
    np.savez("mine.npz", **arrays)
    result = command("plan", *ARRAYS, "data.path=mine.npz")

    assert result.exit_code == 2
    assert message in result.stderr
    assert "mine.npz" in result.stderr.splitlines()[0]


def test_a_frames_index_is_no_feature() -> None:
    """Pandas keeps it in the file; and features beside a column x are refused."""
    frame = pd.DataFrame({"a": range(30), "b": range(30), "y": [0.5] * 30})
    frame[frame["a"] > 5].to_parquet("filtered.parquet")
    (run,) = normexp.load(*ARRAYS, "data.path=filtered.parquet").runs
    frame.rename(columns={"a": "x"}).to_parquet("beside.parquet")

    assert run.flat["data.x_shape"] == "2"
    with pytest.raises(UsageError, match="a column x and others beside it: b"):
        normexp.load(*ARRAYS, "data.path=beside.parquet")


def test_a_file_that_changes_is_other_data() -> None:
    """Read anew in the same process."""
    np.savez("mine.npz", **table())  # type: ignore[arg-type]
    (before,) = normexp.load(*ARRAYS, "data.path=mine.npz").runs
    np.savez("mine.npz", **table(50))  # type: ignore[arg-type]
    (after,) = normexp.load(*ARRAYS, "data.path=mine.npz").runs
    digest = before.flat["data.digest"]

    assert before.id != after.id
    with pytest.raises(UsageError, match="not the same data"):
        normexp.load(*ARRAYS, "data.path=mine.npz", f"data.digest='{digest}'")
    Path("mine.npz").write_bytes(b"PK nothing")
    with pytest.raises(UsageError, match="cannot be read as"):
        normexp.load(*ARRAYS, "data.path=mine.npz")
