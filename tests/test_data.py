"""Data that normexp draws or brings along, and the order of a file's examples."""

import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import AsJson, Command
from sklearn.datasets import load_digits

import normexp
from normexp.data.draw import Dataset, draw

ARRAYS = ["data=arrays", "data.path=mine.npz", "norm=batch", "norm.momentum=0.1", "seed=0,1",
          "model.depth=1", "train.epochs=2", "train.batch_size=8"]  # fmt: skip
FILE, KEPT = "data.order=file", "train.shuffle=false"


def drawn(*overrides: str) -> list[Dataset]:
    """The data of each run."""
    return [draw(run.config) for run in normexp.load(*overrides).runs]


def test_digits_are_scikit_learns_split_by_the_seed() -> None:
    """Every image once, in units of the training set; another seed, another split."""
    x, y = load_digits(return_X_y=True)
    first, second = drawn("data=digits", "model=lenet", "norm=none", "seed=0,1")

    assert (first.x.shape, first.test_x.shape) == ((1440, 1, 8, 8), (357, 1, 8, 8))
    assert not torch.equal(first.y, second.y)
    assert np.bincount(torch.cat([first.y, first.test_y])).tolist() == np.bincount(y).tolist()
    whole = torch.cat([first.x, first.test_x]).flatten(1).numpy()
    scale = (whole.max() - whole.min()) / 16
    restored = np.round((whole - whole.min()) / scale)
    assert sorted(map(tuple, restored)) == sorted(map(tuple, x))


@pytest.mark.parametrize("model", ["lenet", "mlp"])
@pytest.mark.parametrize("size", [100, 1440])
def test_digits_in_float64_are_in_float64_units(model: str, size: int) -> None:
    """Mean 0 and standard deviation 1 to the last digits, as NumPy makes them of the bytes."""
    (data,) = drawn("data=digits", f"model={model}", "norm=none", "train.dtype=float64",
                    f"data.train_size={size}", "seed=3")  # fmt: skip
    images, _ = load_digits(return_X_y=True)
    levels = np.unique(np.concatenate([data.x.numpy().ravel(), data.test_x.numpy().ravel()]))

    assert data.x.dtype == torch.float64
    assert data.x.numpy().mean() == pytest.approx(0, abs=1e-14)
    assert data.x.numpy().std() == pytest.approx(1, abs=1e-14)
    step = levels[1] - levels[0]
    np.testing.assert_allclose(levels, levels[0] + step * np.unique(images), atol=1e-13)


def test_running_means_lag_a_linear_drift_by_rate_over_momentum(as_json: AsJson) -> None:
    """At the input, once the start is forgotten, evaluated after the update: d/a behind.

    A batch is the whole training set, so there is no noise.
    """
    answer = as_json(
        "sweep", "data=drift", "data.rate=0.1", "data.features=2", "norm=batch", "seed=0,1",
        "norm.momentum=0.02,0.1,0.5,1", "model.depth=1", "data.train_size=100",
        "train.batch_size=100", "train.epochs=400",
    )  # fmt: skip
    stats = normexp.read(answer["directory"], table="stats")
    last = stats[(stats["step"] == 400) & (stats["layer"] == "input")]
    runs = normexp.read(answer["directory"]).set_index("run_id")
    momentum = last["run_id"].map(runs["norm.momentum"])
    lag = (last["population_mean"] - last["running_mean"]).to_numpy()

    assert answer["trajectories"] == 2
    np.testing.assert_allclose(lag, 0.1 / momentum.to_numpy(float), rtol=0.05)


WALK = ["data=drift", "data.motion=walk", "data.features=3", "norm=none", "seed=0"]


def test_a_random_walk_has_the_steps_that_are_asked_for() -> None:
    """Steps of N(0, rate) for every feature, from 0; the labels know nothing of it."""
    unmoved, data = drawn(*WALK, "train.epochs=100", "data.rate=0,0.02")
    assert data.shift is not None

    assert data.shift.shape == (3, 3201)
    assert torch.equal(data.shift[:, 0], torch.zeros(3))
    assert float(data.shift.diff(dim=1).std()) == pytest.approx(0.02, rel=0.03)
    assert torch.equal(data.y, unmoved.y)


def test_walks_of_one_seed_are_paired_whatever_their_length() -> None:
    """Arms with other numbers of steps drift alike as far as they go."""
    every = [each.shift for each in drawn(*WALK, "train.epochs=1,2,7", "train.batch_size=33,64")]
    shifts = [shift for shift in every if shift is not None]
    shortest = min(shift.shape[1] for shift in shifts)

    assert len(shifts) == 6
    for shift in shifts:
        assert torch.equal(shift[:, :shortest], shifts[0][:, :shortest])


def test_random_labels_are_tested_on_the_training_set() -> None:
    """S0's 100 examples of ten features and two labels."""
    (data,) = drawn("study=momentum_convention", "norm.momentum=0.1", "seed=0")

    assert data.x.shape == (10, 100)
    assert set(data.y.tolist()) == {0, 1}
    assert torch.equal(data.test_x, data.x)
    assert torch.equal(data.test_y, data.y)


def batch_means(store: Path) -> list[list[float]]:
    """The input's mean in every batch, a list a training."""
    tables = [pd.read_parquet(path) for path in store.glob("*/trajectories/*/batch_stats.parquet")]
    return [table[table["layer"] == "input"]["batch_mean"].tolist() for table in tables]


@pytest.mark.parametrize("own_test", [True, False])
def test_batches_are_in_the_files_order(command: Command, *, own_test: bool) -> None:
    """The numbers 0 to 63 in batches of 8 have means 3.5, 11.5, ..., 59.5: every epoch and seed."""
    x = np.arange(64.0 if own_test else 80.0)
    tests = {"test_x": x[:16], "test_y": x[:16]} if own_test else {}
    np.savez("mine.npz", x=x, y=x, **tests)  # type: ignore[arg-type]
    result = command("sweep", *ARRAYS, FILE, KEPT)

    assert result.exit_code == 0
    assert batch_means(Path("runs")) == [[3.5 + 8 * batch for batch in range(8)] * 2] * 2
    assert (
        "train.shuffle=false data.order=file: every epoch is in the file's order" in result.stderr
    )
    assert "mine.npz: the first 64 examples for training" in result.stderr
    for data in drawn(*ARRAYS, FILE):  # whatever the seed
        assert data.x[0].tolist() == x[:64].tolist()
        assert data.test_x[0].tolist() == (x[:16] if own_test else x[64:]).tolist()


def test_by_default_the_seed_draws_the_order_and_it_is_said(command: Command) -> None:
    """Kept over the epochs by train.shuffle=false; data.order=file is named, and other runs."""
    x = np.arange(80.0)
    np.savez("mine.npz", x=x, y=x)
    result = command("sweep", *ARRAYS, KEPT)
    means = batch_means(Path("runs"))
    first, second = (each[:8] for each in means)
    ids = [normexp.load(*ARRAYS, *more).runs[0].id for more in ([], ["data.order=seed"], [FILE])]

    assert (
        "in the one order that the seed has drawn; data.order=file is the file's" in result.stderr
    )
    assert [each[8:] for each in means] == [first, second]
    assert first not in (second, sorted(first))
    assert sorted(drawn(*ARRAYS)[0].x[0].tolist() + drawn(*ARRAYS)[0].test_x[0].tolist()) == list(x)
    assert ids[0] == ids[1] != ids[2]


def test_a_run_from_before_there_was_an_order_is_sound_and_made_again(
    command: Command, as_json: AsJson
) -> None:
    """Trained on 26 November 2026, on labels 1 and 2: same id, numbers that agree, found again."""
    with tarfile.open(Path(__file__).parent / "goldens/arrays.tar.xz") as archive:
        archive.extraction_filter = lambda member, _: member  # 3.11.2 has no `filter=`
        archive.extractall()  # noqa: S202, ours
    typed = [*ARRAYS, "data.y_size=3", "seed=0", "train.epochs=1", KEPT]
    verified = command("verify")
    again = as_json("reproduce", "b71080f18b49", "data.path=mine.npz")

    assert verified.exit_code == 0, verified.stdout
    assert again["verdict"] != "differs"
    assert [run.id for run in normexp.load(*typed).runs] == ["b71080f18b49"]
    both = as_json("sweep", *typed, "data.order=seed,file", "--on-code-change", "ignore")
    assert (both["cached"], both["trained"]) == (1, 1)
    assert {arm["values"]["data.order"] for arm in both["arms"]} == {"seed", "file"}
