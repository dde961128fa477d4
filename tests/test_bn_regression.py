"""S1, the default study: its figures, as SYSTEMS and the tutorial's readers know them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import normexp


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default study, all of it."""
    store = tmp_path_factory.mktemp("s1")
    return normexp.sweep(f"store.dir={store}").directory


@pytest.fixture(scope="module")
def final(study: Path) -> pd.DataFrame:
    """Mean final losses by momentum: `none`, the numbers, and `cumulative`."""
    frame = normexp.read(study)
    arm = frame["norm.momentum"].astype(object).where(frame["norm.momentum"].notna(), "cumulative")
    arm = arm.where(frame["norm"] == "batch", "none")
    return frame.groupby(arm)[["test_loss", "test_loss_population", "test_loss_test_batch"]].mean()


def test_it_is_s1(study: Path) -> None:
    """Six arms, eight seeds, thirteen evaluation points, 384 steps, nothing diverged."""
    frame = normexp.read(study)
    metrics = normexp.read(study, table="metrics")

    assert len(frame) == 48
    assert set(frame["status"]) == {"complete"}
    assert list(metrics["step"].unique()) == [32 * epoch for epoch in range(13)]
    assert set(frame["model.bias_init"]) == {-0.2}
    assert frame.groupby("norm")["model.input_norm"].first().to_dict() == {
        "batch": True,
        "none": False,
    }


def test_before_training_every_arm_is_near_1163(study: Path) -> None:
    """The nets begin by predicting about nothing."""
    metrics = normexp.read(study, table="metrics")

    assert metrics[metrics["step"] == 0]["test_loss"].between(1100, 1250).all()


def test_without_norm_the_loss_stays_near_690(final: pd.DataFrame) -> None:
    """The plain net learns the mean of y and no more."""
    assert final.loc["none", "test_loss"] == pytest.approx(690, abs=30)


def test_with_batch_norm_the_weights_are_good_whatever_the_momentum(final: pd.DataFrame) -> None:
    """Population and test-batch statistics: near 50, the same for every momentum."""
    batch = final.drop("none")

    assert batch["test_loss_population"].iloc[0] < 75
    assert batch["test_loss_test_batch"].iloc[0] < 75


def test_the_momenta_come_in_the_order_of_s1(final: pd.DataFrame) -> None:
    """.5 before .9 before .1 before .01, each worse than the population statistics."""
    losses = final["test_loss"]
    population = final["test_loss_population"][0.5]

    assert population < losses[0.5] < losses[0.9] < losses[0.1] < losses["none"] < losses[0.01]


def test_the_two_by_two_of_input_and_hidden_norm(as_json: Callable[..., Any]) -> None:
    """Unconfounded: it is the hidden norm. A standardised input leaves the plain net at 690."""
    answer = as_json("sweep", "model.input_norm=true,false", "~norm.momentum", "seed=0,1,2")
    losses = {
        (arm["values"]["norm.kind"], arm["values"]["model.input_norm"]):
            arm["estimates"]["test_loss_population"]["mean"]
        for arm in answer["arms"]
    }  # fmt: skip

    assert len(losses) == 4
    assert losses["batch", True] < 100
    assert losses["batch", False] < 100
    assert losses["none", True] > 600
    assert losses["none", False] > 600
