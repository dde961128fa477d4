"""S1, the default study: its figures, as SYSTEMS and the tutorial's readers know them."""

from pathlib import Path

import pytest

import normexp


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default study, all of it."""
    return normexp.sweep(f"store.dir={tmp_path_factory.mktemp('s1')}").directory


def test_it_is_s1(study: Path) -> None:
    """Six arms, eight seeds, thirteen evaluation points; every net begins by predicting nothing."""
    frame, metrics = normexp.read(study), normexp.read(study, table="metrics")
    inputs = frame.groupby("norm")["model.input_norm"].first().to_dict()

    assert len(frame) == 48
    assert set(frame["status"]) == {"complete"}
    assert list(metrics["step"].unique()) == [32 * epoch for epoch in range(13)]
    assert set(frame["model.bias_init"]) == {-0.2}
    assert inputs == {"batch": True, "none": False}
    assert metrics[metrics["step"] == 0]["test_loss"].between(1100, 1250).all()


def test_the_momenta_come_in_the_order_of_s1(study: Path) -> None:
    """.5 before .9 before .1 before .01, and all have the same good weights, near 50.

    Without a norm the loss stays near 690: the plain net learns the mean of y and no more.
    """
    frame = normexp.read(study)
    arm = frame["norm.momentum"].astype(object).where(frame["norm.momentum"].notna(), "cumulative")
    arm = arm.where(frame["norm"] == "batch", "none")
    names = ["test_loss", "test_loss_population", "test_loss_test_batch"]
    final = frame.groupby(arm)[names].mean()
    losses, batch = final["test_loss"], final.drop("none")
    population = final["test_loss_population"][0.5]

    assert losses["none"] == pytest.approx(690, abs=30)
    assert (batch[["test_loss_population", "test_loss_test_batch"]] < 75).all(axis=None)
    assert batch["test_loss_population"].to_numpy() == pytest.approx(population)
    assert population < losses[0.5] < losses[0.9] < losses[0.1] < losses["none"] < losses[0.01]


def test_the_two_by_two_of_input_and_hidden_norm() -> None:
    """Unconfounded: it is the hidden norm. A standardised input leaves the plain net at 690."""
    swept = normexp.sweep("model.input_norm=true,false", "~norm.momentum", "seed=0,1,2")
    frame = normexp.read(swept.directory)
    losses = frame.groupby(["norm", "model.input_norm"])["test_loss_population"].mean()

    assert len(losses) == 4
    assert (losses["batch"] < 100).all()
    assert (losses["none"] > 600).all()
