"""Combinations: what is refused, what is remarked, what has no effect."""

from collections.abc import Callable

import pytest
from typer.testing import Result

import normexp as package

Normexp = Callable[..., Result]

LENET = ["data=digits", "model=lenet"]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["norm=none", "norm.momentum=0.1"], "norm.momentum=0.1: norm=none has no norm.momentum"),
        (
            ["norm=layer,rms", "norm.momentum=0.1,0.2"],
            "norm=layer, norm=rms has no norm.momentum, since it keeps no running statistics",
        ),
        (["train.batch_size=3000", "train.drop_last=true"], "train.drop_last=true leaves no batch"),
        (["norm=batch,instance"], "norm=instance normalises each channel of an image, and hidden1"),
        (["norm=group", "norm.groups=3"], "norm.groups=3 does not divide the 10 channels"),
        (["norm=group", "norm.groups=5"], "norm=group has groups of 2 at hidden1"),
        (["norm=layer", "model.width=2"], "norm=layer has groups of 2 at hidden1"),
        (["norm=ghost", "norm.size=21"], "virtual batches of norm.size=21 leaves one value"),
        (["norm=ghost", "norm.size=1"], "virtual batches of norm.size=1 leaves one value"),
        (["norm=batch_renorm", "train.batch_size=1"], "cannot normalise a batch of one"),
        (["norm=ema_train", "data.train_size=65"], "cannot normalise a batch of one"),
        (["norm=batch_renorm", "norm.momentum=nan"], "norm.momentum=nan: a number from 0 to 1"),
        (["optim=sgd", "optim.nesterov=true"], "optim.nesterov=true needs momentum"),
        (["model=lenet"], "layer conv1 is a convolution and needs images"),
        ([*LENET, "model.kernel=7"], "nothing is left of 2×2 pixels after layer conv2"),
        ([*LENET, "model.kernel=3", "model.padding=0"], "nothing is left of 1×1 pixels to pool"),
        ([*LENET, "norm=instance", "model.linear_norm=true"], "linear1 gives vectors of 120"),
        ([*LENET, "norm=batch", "train.batch_size=1"], "leaves one value a channel at linear1"),
        ([*LENET, "data.train_size=65"], "leaves one value a channel at linear1"),
        (["model=resnet", "data=digits", "model.depth=21"], "a resnet has 6n + 2 layers"),
        (["data=digits", "data.test_size=500"], "there are 1,797 digits"),
    ],
)
def test_combinations_that_cannot_be_are_refused(
    normexp: Normexp, typed: list[str], message: str
) -> None:
    """Each part is fine alone."""
    result = normexp("plan", *typed)

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("typed", "axis", "runs"),
    [
        (["model.weight_init=torch"], "model.weight_std=0.1,0.5", 1),
        (["model.weight_init=normal"], "model.weight_std=0.1,0.5", 2),
        (["norm=layer"], "norm.affine_per=element,channel", 1),
        (["norm=layer", *LENET], "norm.affine_per=element,channel", 2),
        (["norm=layer", *LENET, "norm.affine=false"], "norm.affine_per=element,channel", 1),
        (["norm=ema_train", "norm.momentum=null"], "norm.copy_first=true,false", 1),
        (["norm=ema_train", "norm.momentum=0.1"], "norm.copy_first=true,false", 2),
    ],
)
def test_a_field_without_effect_names_no_run(typed: list[str], axis: str, runs: int) -> None:
    """All values of such an axis are one run, and a note says so."""
    own = ["norm=none"] if not any(each.startswith("norm=") for each in typed) else []
    study = package.load(*own, *typed, axis, "seed=0")

    assert len(study.runs) == runs
    assert (f"{axis} has no effect here: one run for all its values" in study.notes) == (runs == 1)


@pytest.mark.parametrize(
    ("typed", "remark"),
    [
        (["norm=batch_renorm", "train.epochs=1"], "norm.warmup_steps=50 outlast the 32 steps"),
        (["norm=ghost", "norm.size=64"], "norm.size=64 is no part of a batch of 64"),
        (["norm=batch", "train.batch_size=5000"], "more than the 2000 training examples"),
    ],
)
def test_what_can_be_trained_and_is_hardly_meant_is_remarked(typed: list[str], remark: str) -> None:
    """Once, however many runs it is true of."""
    study = package.load(*typed, "norm.momentum=0.1", "seed=0,1")

    assert sum(remark in note for note in study.notes) == 1
    assert not any(remark in note for note in package.load("norm=batch").notes)


@pytest.mark.parametrize(
    ("typed", "then"),
    [
        (["norm=ghost", "norm.size=7"], "type norm.size=6"),
        ([*LENET, "norm=group", "norm.groups=4"], "type norm.groups=2"),
        (["norm=group", "norm.groups=3"], "type norm.groups=2"),
        (["optim=sgd", "optim.nesterov=true"], "type optim.momentum=0.9, or optim.nesterov=false"),
    ],
)
def test_what_is_to_type_next_works(normexp: Normexp, typed: list[str], then: str) -> None:
    """The hint of a refusal, typed."""
    refused = normexp("plan", *typed)
    assert f"hint: {then}" in refused.stderr
    mended = normexp("plan", *typed, then.split(",", maxsplit=1)[0].removeprefix("type "))

    assert (refused.exit_code, mended.exit_code) == (2, 0), mended.stderr
