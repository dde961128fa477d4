"""Conventions of frameworks: one momentum in the words of another, and what else differs."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

from normexp.frameworks.convert import variance_ratio
from normexp.frameworks.direction import newest_of_time_constant
from normexp.frameworks.table import FRAMEWORKS

Normexp = Callable[..., Result]
AsJson = Callable[..., Any]

WITH_MOMENTUM = [name for name, each in FRAMEWORKS.items() if each.parameter]
CONVERSIONS = [
    ("0.99", "keras", "torch", "momentum=0.01"),
    ("0.9", "keras", "torch", "momentum=0.1"),
    ("0.1", "torch", "chainer", "decay=0.9"),
    ("0.999", "flax", "haiku", "decay_rate=0.999"),
    ("0.9997", "tf_keras", "timm_tf", "bn_momentum=0.0003"),
    ("0.999", "caffe", "torch", "momentum=0.001"),
    ("0.1", "mindspore_ops", "mindspore", "momentum=0.9"),
    ("0", "torch", "keras", "momentum=1"),
    ("1", "torch", "keras", "momentum=0"),
    ("null", "torch", "caffe", "moving_average_fraction=1"),
    ("None", "torch", "torch_sync", "momentum=None"),
    ("1", "caffe", "torch", "momentum=None"),
    ("1.0", "caffe", "torch", "momentum=None"),
    ("null", "torch", "keras", "momentum=1 - 1/t at step t = 1, 2, ..."),
    ("-1", "cntk", "torch", "momentum=None"),
    ("0", "torch", "caffe", "nothing: moving_average_fraction=1 is the cumulative mean"),
]
"""By hand, from the table of conventions."""


@pytest.mark.parametrize(("value", "source", "target", "typed"), CONVERSIONS)
def test_a_momentum_is_said_in_other_words(
    as_json: AsJson, value: str, source: str, target: str, typed: str
) -> None:
    """To the last decimal; what has no words is said to have none."""
    answer = as_json("convert", value, "--from", source, "--to", target)

    assert answer["typed"].startswith(typed)


def test_a_time_constant_needs_the_batch_size(normexp: Normexp, as_json: AsJson) -> None:
    """In samples: after so many, e^(−1) of the old value is left, whatever the batch size."""
    refused = normexp("convert", "5000", "--from", "cntk")
    answer = as_json("convert", "5000", "--from", "cntk", "--to", "keras", "--batch-size", "50")
    back = as_json("convert", "0.01", "--from", "torch", "--to", "cntk", "--batch-size", "64")
    samples = float(back["typed"].partition("=")[2])

    assert refused.exit_code == 2
    assert "--batch-size" in refused.stderr
    assert float(answer["typed"].partition("=")[2]) ** 100 == pytest.approx(math.exp(-1))
    assert (1 - newest_of_time_constant(samples, 64)) == pytest.approx(0.99)


def test_all_that_differs_is_said_with_what_to_do(normexp: Normexp, as_json: AsJson) -> None:
    """Keras for PyTorch: eps, and 31/32 of the unbiased variance in batches of 32."""
    arguments = ("convert", "0.99", "--from", "keras", "--to", "torch", "--batch-size", "32")
    differing = {each["what"]: each for each in as_json(*arguments)["differences"]}
    shown = normexp(*arguments).stdout

    assert list(differing) == ["eps", "running variance", "one value a channel", "cumulative mean"]
    assert differing["eps"]["todo"].startswith("eps=0.001")
    assert "(n - 1)/n = 0.96875" in differing["running variance"]["todo"]
    assert "momentum=0.01" in shown
    assert "half-life 68.97" in shown


def test_haikus_debiasing_and_caffes_start_are_differences(as_json: AsJson) -> None:
    """And what is not verified is said to be so."""
    from_torch = as_json("convert", "0.1", "--to", "haiku")["differences"]
    to_mindspore = as_json("convert", "0.9", "--from", "keras", "--to", "mindspore")["differences"]
    starts = {each["what"]: (each["source"], each["target"]) for each in from_torch}
    variance = next(each for each in to_mindspore if each["what"] == "running variance")

    assert starts["debiasing"] == ("none", "debiased")
    assert starts["running mean, variance at first"] == ("0, 1", "0, 0")
    assert (variance["target"], variance["todo"]) == ("not verified", "not verified")


def test_the_ratio_of_variances_is_known_only_where_both_are() -> None:
    """Keras's of PyTorch's in batches of two is a half; of one value there is none."""
    torch, keras = FRAMEWORKS["torch"], FRAMEWORKS["keras"]

    assert variance_ratio(keras, torch, 2) == 0.5
    assert variance_ratio(torch, keras, 2) == 2
    assert variance_ratio(torch, torch, 2) == 1
    assert variance_ratio(torch, keras, 1) is None
    assert variance_ratio(torch, FRAMEWORKS["mindspore"], 8) is None


def test_equal_conventions_differ_in_nothing(normexp: Normexp) -> None:
    """PyTorch's own momentum for PyTorch."""
    shown = normexp("convert", "0.1", "--from", "mxnet", "--to", "mxnet")

    assert "nothing" not in shown.stdout
    assert "differs" not in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["0.1", "--from", "kers"], "--from 'kers' is unknown", "did you mean keras"),
        (["0.1", "--to", "flx"], "--to 'flx' is unknown", "did you mean flax"),
        (["99", "--from", "keras"], "momentum=99: a weight from 0 to 1", "0.99 if you mean 99 %"),
        (["-0.1"], "momentum=-0.1: a weight from 0 to 1", "type a number from 0 to 1"),
        (["1.5"], "momentum=1.5: a weight from 0 to 1", "type 0.015 if you mean 1.5 %"),
        (["nan"], "momentum=nan: a number is needed", "type for example normexp convert 0.99"),
        (["sNaN"], "momentum=sNaN: a number is needed", "type for example"),
        (["much"], "momentum=much: a number is needed", "type for example normexp convert 0.99"),
        (["null", "--from", "keras"], "Keras 3 has no momentum=null", "null --from torch"),
        (["null", "--from", "caffe"], "Caffe has no", "it is moving_average_fraction=1 there"),
        (["0.1", "--from", "fvcore"], "--from fvcore: it takes no momentum", "convert --list"),
        (["0.1", "--batch-size", "0"], "--batch-size 0: a size from 1", "type 32"),
    ],
)
def test_what_cannot_be_converted_is_exit_code_2(
    normexp: Normexp, arguments: list[str], error: str, hint: str
) -> None:
    """A line what was given, and a line what to type."""
    result = normexp("convert", *arguments)
    first, second = result.stderr.splitlines()

    assert result.exit_code == 2
    assert first.startswith(f"error: {error}")
    assert hint in second


@pytest.mark.parametrize("arguments", [[], ["--list"], ["0.5", "--list"]])
def test_the_table_has_every_framework_at_80_columns(
    normexp: Normexp, as_json: AsJson, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """A name is never cut, since it is what one types; --json has the sources."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = normexp("convert", *arguments).stdout.splitlines()
    names = {line.split()[0] for line in lines if line.strip()}

    assert max(map(len, lines)) <= 80
    assert set(FRAMEWORKS) <= names
    assert {each["name"] for each in as_json("convert", *arguments)} == set(FRAMEWORKS)
    assert all(each["source"] for each in as_json("convert"))


@pytest.mark.parametrize("source", WITH_MOMENTUM)
def test_every_pair_converts_and_comes_back(as_json: AsJson, source: str) -> None:
    """A weight of 0.25, or 100 samples, survives every detour in batches of 32."""
    given = "100" if source == "cntk" else "0.25"
    for target in WITH_MOMENTUM:
        size = ("--batch-size", "32")
        there = as_json("convert", given, "--from", source, "--to", target, *size)
        value = there["typed"].partition("=")[2]
        back = as_json("convert", value, "--from", target, "--to", source, *size)

        assert float(back["typed"].partition("=")[2]) == pytest.approx(float(given), rel=1e-8)
