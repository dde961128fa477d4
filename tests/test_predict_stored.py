"""What is predicted of stored trainings, against what is measured on them."""

import json
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import pytest
from conftest import SMALL, AsJson, Command, store_of
from typer.testing import CliRunner

import normexp
from normexp.cli import app
from normexp.insight.forecast import GRID

Cells = list[dict[str, Any]]

BADLY_FITTED = ["model.depth=4", "model.width=24", "train.batch_size=40", "optim=sgd",
                "optim.lr=0.001,0.01", "data.train_size=1000"]  # fmt: skip
"""Running statistics can beat the population's there."""

SEEDS = 4


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two learning rates, four seeds, all momenta that are tried."""
    return store_of(
        tmp_path_factory.mktemp("cells"), "norm=batch", *BADLY_FITTED,
        f"seed=range(300,{300 + SEEDS})", f"norm.momentum={','.join(map(str, GRID))}",
        "log.every=2000",
    )  # fmt: skip


@pytest.fixture(scope="module")
def measured(store: Path) -> pd.DataFrame:
    """Test losses, a row a training, a column a momentum."""
    rows = normexp.read(store)
    return rows.pivot_table("test_loss", ["optim.lr", "seed"], "norm.momentum")


@pytest.fixture(scope="module")
def predicted(store: Path) -> Cells:
    """What the command says of them, as data."""
    result = CliRunner().invoke(app, ["predict", "bn_regression", "--dir", str(store), "--json"])
    assert result.exit_code == 0, result.stderr
    found: Cells = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One training and three momenta."""
    longer = ["norm=batch", "norm.momentum=0,0.1,0.37", "seed=0", "train.epochs=8",
              "data.train_size=64"]  # fmt: skip
    return str(store_of(tmp_path_factory.mktemp("small"), *SMALL, *longer))


def test_the_named_momentum_is_near_the_best_common_one(
    predicted: Cells, measured: pd.DataFrame
) -> None:
    """Median test loss over seeds there, over the least median of all momenta."""
    assert len(predicted) == 2
    for cell in predicted:
        losses = measured.loc[cell["values"]["optim.lr"]]
        medians = losses.median()
        assert losses.shape == (SEEDS, len(GRID))
        assert medians[cell["best"]["momentum"]] <= 1.05 * medians.min(), cell["values"]


def test_each_trainings_own_momentum_is_near_its_best(
    predicted: Cells, measured: pd.DataFrame
) -> None:
    """Test loss there over the least of all momenta, median over seeds."""
    for cell in predicted:
        losses = measured.loc[cell["values"]["optim.lr"]]
        own = {int(seed): momentum for seed, momentum in cell["best_by_seed"].items()}
        ratios = [losses.loc[seed, own[seed]] / losses.loc[seed].min() for seed in own]
        assert len(ratios) == SEEDS
        assert median(ratios) <= 1.05, cell["values"]


def test_the_prediction_is_no_constant(predicted: Cells) -> None:
    """And statistics of a good momentum can do better than the population's."""
    assert len({cell["best"]["momentum"] for cell in predicted}) > 1
    assert any(cell["best"]["cost"] < 0 for cell in predicted)


def test_cells_are_a_row_each(normexp: Command, as_json: AsJson) -> None:
    """In the order of their values; so short a training says nothing of noise in its layers."""
    as_json("sweep", *SMALL, "norm=batch", "norm.momentum=0.1", "train.batch_size=16,8",
            "optim.lr=0.03,0.003", "seed=0,1")  # fmt: skip
    lines = normexp("predict", "bn_regression").stdout.splitlines()
    rows = [line.split()[:3] for line in lines]
    one = next(Path("runs/bn_regression").glob("batch-*b16*")).name
    alone = normexp("predict", one).stdout

    assert [row for row in rows if row[1:2] in (["0.003"], ["0.03"])] == [
        [size, rate, "2"] for size in ("8", "16") for rate in ("0.003", "0.03")
    ]
    assert "too few batches" in alone
    assert "hidden1" not in alone


def test_one_training_is_shown_whole(small: str, normexp: Command) -> None:
    """Momenta, 0 among them, those of its runs measured, a curve, and theory for its layers."""
    result = normexp("predict", "bn_regression", "--dir", small)

    assert result.exit_code == 0, result.stderr
    for text in ("0.37", "best momentum", "training loss by momentum", "input", "hidden1"):
        assert text in result.stdout


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


def test_where_momentum_enters_training_nothing_is_predicted(
    normexp: Command, as_json: AsJson
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

    assert [cell["values"]["norm.initial_mean"] for cell in cells] == [0.0, 50.0]
    assert [len(cell["values"]) for cell in cells] == [1, 1]
    assert measured == [[1], [1]]
    assert costs[0] != pytest.approx(costs[1])


def test_fields_of_one_kind_tell_its_cells_apart(as_json: AsJson) -> None:
    """Virtual batches of two sizes beside plain batch norm: three cells, three names."""
    as_json("sweep", *SMALL, "norm=batch,ghost", "norm.size=4,8", "norm.momentum=0.1", "seed=0")
    names = [tuple(cell["values"].items()) for cell in as_json("predict", "bn_regression")]

    assert len(set(names)) == len(names) == 3
