"""What is predicted of stored trainings, against what is measured on them."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import pytest
from conftest import SMALL, store_of
from typer.testing import CliRunner, Result

import normexp
from normexp.cli import app
from normexp.insight.forecast import GRID

AsJson = Callable[..., Any]

BADLY_FITTED = ["model.depth=4", "model.width=24", "train.batch_size=40", "optim=sgd",
                "optim.lr=0.001,0.003,0.01"]  # fmt: skip
"""Running statistics can beat the population's there."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three learning rates, eight seeds, all momenta that are tried."""
    momenta = ",".join(map(str, GRID))
    return store_of(
        tmp_path_factory.mktemp("cells"), "norm=batch", *BADLY_FITTED, "seed=range(708,716)",
        f"norm.momentum={momenta}", "log.every=2000",
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(store: Path) -> pd.DataFrame:
    """Test losses, a row a training, a column a momentum."""
    rows = normexp.read(store)
    return rows.pivot_table("test_loss", ["optim.lr", "seed"], "norm.momentum")


@pytest.fixture(scope="module")
def predicted(store: Path) -> list[dict[str, Any]]:
    """What the command says of them, as data."""
    result = CliRunner().invoke(app, ["predict", "bn_regression", "--dir", str(store), "--json"])
    assert result.exit_code == 0, result.stderr
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def test_the_named_momentum_is_near_the_best_common_one(
    predicted: list[dict[str, Any]], measured: pd.DataFrame
) -> None:
    """Median test loss over seeds there, over the least median of all momenta."""
    assert len(predicted) == 3
    for cell in predicted:
        losses = measured.loc[cell["values"]["optim.lr"]]
        medians = losses.median()
        assert losses.shape == (8, len(GRID))
        assert medians[cell["best"]["momentum"]] <= 1.05 * medians.min(), cell["values"]


def test_each_trainings_own_momentum_is_near_its_best(
    predicted: list[dict[str, Any]], measured: pd.DataFrame
) -> None:
    """Test loss there over the least of all momenta, median over seeds."""
    for cell in predicted:
        losses = measured.loc[cell["values"]["optim.lr"]]
        own = {int(seed): momentum for seed, momentum in cell["best_by_seed"].items()}
        ratios = [losses.loc[seed, own[seed]] / losses.loc[seed].min() for seed in own]
        assert len(ratios) == 8
        assert median(ratios) <= 1.05, cell["values"]


def test_the_prediction_is_no_constant(predicted: list[dict[str, Any]]) -> None:
    """And statistics of a good momentum can do better than the population's."""
    assert len({cell["best"]["momentum"] for cell in predicted}) > 1
    assert any(cell["best"]["cost"] < 0 for cell in predicted)


def test_cells_are_a_row_each(normexp: Callable[..., Result], as_json: AsJson) -> None:
    """In the order of their values, with what was measured beside what is predicted."""
    as_json("sweep", *SMALL, "norm=batch", "norm.momentum=0.1", "train.batch_size=16,8",
            "optim.lr=0.03,0.003", "seed=0,1")  # fmt: skip
    lines = normexp("predict", "bn_regression").stdout.splitlines()
    rows = [line.split()[:3] for line in lines]

    assert [row for row in rows if row[1:2] in (["0.003"], ["0.03"])] == [
        [size, rate, "2"] for size in ("8", "16") for rate in ("0.003", "0.03")
    ]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """One training and two momenta."""
    longer = ["norm=batch", "norm.momentum=0,0.1,0.37", "seed=0", "train.epochs=8",
              "data.train_size=64"]  # fmt: skip
    return store_of(tmp_path / "runs", *SMALL, *longer)


def test_one_training_is_shown_whole(small: Path, normexp: Callable[..., Result]) -> None:
    """Momenta, 0 among them, those of its runs measured, a curve, and theory for its layers."""
    result = normexp("predict", "bn_regression", "--dir", str(small))

    assert result.exit_code == 0, result.stderr
    assert "0.37" in result.stdout
    assert "best momentum" in result.stdout
    assert "training loss by momentum" in result.stdout
    assert all(layer in result.stdout for layer in ("input", "hidden1", "hidden2"))


def test_the_test_set_has_no_say(as_json: AsJson) -> None:
    """Trainings that differ in the size of their test set have the same prediction."""
    for size in (20, 30):
        as_json("sweep", *SMALL, f"data.test_size={size}", "norm=batch", "norm.momentum=0.1",
                "seed=0", f"store.dir=s{size}")  # fmt: skip
    one, other = (as_json("predict", "bn_regression", "--dir", f"s{size}") for size in (20, 30))
    curves = [[each["training_loss"] for each in cell["tried"]] for (cell,) in (one, other)]

    assert curves[0] == curves[1]
    assert len(set(curves[0])) > 20


def test_images_and_labels_are_predicted_too(as_json: AsJson) -> None:
    """In units of the cross entropy."""
    as_json("sweep", "data=digits", "model=lenet", "norm=batch", "norm.momentum=0.1", "seed=0",
            "data.train_size=64", "data.test_size=32", "train.batch_size=16",
            "train.epochs=5")  # fmt: skip
    (cell,) = as_json("predict", "bn_regression")

    slowest, fastest = cell["tried"][0], cell["tried"][-1]
    assert 0 < cell["best"]["training_loss"] < slowest["training_loss"]
    assert slowest["parts"]["initial"] > fastest["parts"]["initial"] == 0
    assert set(cell["layers"]) == {"conv1", "conv2", "linear1", "linear2"}


@pytest.mark.parametrize(
    ("typed", "code", "message"),
    [
        (["bn_regression", "--steps", "5"], 2, "--steps does not go with bn_regression"),
        (["bn_regression", "--drift", "0"], 2, "--drift does not go with bn_regression"),
        (["bn_regression", "--drop-last"], 2, "--drop-last does not go with bn_regression"),
        (["nothing"], 3, "no study, sweep, run or trajectory 'nothing'"),
        (["bn_regression", "--momentum", "2"], 2, "at least 0 and at most 1"),
        (["bn_regression", "--momentum", "a"], 2, "numbers from 0 to 1"),
    ],
)
def test_what_cannot_be_predicted_says_so(
    typed: list[str], code: int, message: str, small: Path, normexp: Callable[..., Result]
) -> None:
    """In one line, with what to type instead."""
    result = normexp("predict", *typed, "--dir", str(small))

    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr


def test_where_momentum_enters_training_nothing_is_predicted(
    normexp: Callable[..., Result], as_json: AsJson
) -> None:
    """Another momentum would be another training."""
    as_json("sweep", *SMALL, "norm=batch_renorm", "norm.momentum=0.1", "seed=0")
    result = normexp("predict", "bn_regression")

    assert result.exit_code == 2
    assert "momentum enters the weights" in result.stderr


def test_what_an_average_starts_from_makes_cells(as_json: AsJson) -> None:
    """Runs of one training that start elsewhere are predicted and measured apart."""
    as_json("sweep", *SMALL, "norm=batch", "norm.momentum=0.05", "norm.initial_mean=0,50", "seed=0",
            "norm.estimator=ema,population")  # fmt: skip
    cells = as_json("predict", "bn_regression")
    measured = [
        [tried["n"] for tried in cell["tried"] if tried["momentum"] == 0.05] for cell in cells
    ]
    costs = [cell["tried"][0]["training_loss"] for cell in cells]

    assert [cell["values"] for cell in cells] == [
        {"norm.initial_mean": 0.0}, {"norm.initial_mean": 50.0}
    ]  # fmt: skip
    assert measured == [[1], [1]]
    assert costs[0] != pytest.approx(costs[1])


def test_fields_of_one_kind_tell_its_cells_apart(as_json: AsJson) -> None:
    """Virtual batches of two sizes beside plain batch norm: three cells, three names."""
    as_json("sweep", *SMALL, "norm=batch,ghost", "norm.size=4,8", "norm.momentum=0.1", "seed=0")
    names = [tuple(cell["values"].items()) for cell in as_json("predict", "bn_regression")]

    assert len(set(names)) == len(names) == 3


def test_too_short_a_training_says_nothing_of_its_layers(
    normexp: Callable[..., Result], as_json: AsJson
) -> None:
    """Rather than that there is no noise."""
    as_json("sweep", *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0")
    result = normexp("predict", "bn_regression")

    assert "too few batches" in result.stdout
    assert "hidden1" not in result.stdout
