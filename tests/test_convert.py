"""Conventions of frameworks: one momentum in the words of another, and what else differs."""

import math
import re
from collections.abc import Sequence

import pandas as pd
import pytest
from conftest import AsJson, Command
from hypothesis import given
from hypothesis import strategies as st

from normexp.theory.convert import as_typed, convert, differences, newest_of
from normexp.theory.frameworks import FRAMEWORKS, Framework

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
    ("cumulative", "torch", "caffe", "moving_average_fraction=1"),
    ("None", "torch", "torch_sync", "momentum=None"),
    ("1", "caffe", "torch", "momentum=None"),
    ("1.0", "caffe", "torch", "momentum=None"),
    ("null", "torch", "keras", "momentum=1 - 1/t at step t = 1, 2, ..."),
    ("-1", "cntk", "torch", "momentum=None"),
    ("1e-11", "torch", "keras", "momentum=0.99999999999"),
    ("0.99999999999", "caffe", "torch", "momentum=1e-11"),
    ("1e-11", "torch", "caffe", "moving_average_fraction=0.99999999999"),
    ("0.123456789012345", "torch", "cudnn", "exponentialAverageFactor=0.123456789012345"),
    ("1e-30", "torch", "keras", "nothing: the nearest number is momentum=1"),
    ("0", "torch", "caffe", f"nothing: moving_average_fraction=1 is {FRAMEWORKS['caffe'].at_one}"),
]
"""By hand, from the table of conventions."""


@pytest.mark.parametrize(("value", "source", "target", "typed"), CONVERSIONS)
def test_a_momentum_is_said_in_other_words(
    value: str, source: str, target: str, typed: str
) -> None:
    """To the last decimal; what has no words is said to have none."""
    answer = convert(value, source, target)

    assert answer.typed == typed
    if value in {"null", "None", "cumulative"}:
        assert (answer.given, answer.newest) == ("momentum=None", "cumulative")


@given(momentum=st.floats(1e-4, 1.0) | st.just(0.0), batch_size=st.integers(1, 10_000))
def test_time_constants_and_momenta_are_inverse(momentum: float, batch_size: int) -> None:
    """And a weight has fallen to 1/e after the time constant's examples."""
    cntk = FRAMEWORKS["cntk"]
    typed = as_typed(cntk, momentum, batch_size).partition("=")[2]

    assert newest_of(cntk, typed, batch_size) == pytest.approx(momentum)
    if 0 < momentum < 1:
        left = (1 - momentum) ** (float(typed) / batch_size)
        assert left == pytest.approx(1 / math.e, rel=1e-9)
    else:
        assert float(typed) == (0 if momentum else math.inf)


def test_all_that_differs_is_said_with_what_to_do(normexp: Command, as_json: AsJson) -> None:
    """Keras for PyTorch: eps, and 31/32 of the unbiased variance in batches of 32."""
    arguments = ("convert", "0.99", "--from", "keras", "--to", "torch", "--batch-size", "32")
    differing = {each["what"]: each for each in as_json(*arguments)["differences"]}
    shown = normexp(*arguments).stdout

    assert list(differing) == ["eps", "running variance", "one value a channel", "cumulative mean"]
    assert differing["eps"]["todo"].startswith("eps=0.001")
    assert "(n - 1)/n = 0.96875" in differing["running variance"]["todo"]
    assert "momentum=0.01" in shown
    assert "half-life 68.97" in shown


def test_debiasing_starts_and_what_is_not_verified_are_differences() -> None:
    """A start is none where one side forgets it; one value has no ratio of variances."""
    found = {
        (source, target): {
            each.what: (each.source, each.target, each.todo)
            for each in differences(FRAMEWORKS[source], FRAMEWORKS[target], 1)
        }
        for source, target in (
            ("torch", "haiku"), ("keras", "caffe2"), ("keras", "mindspore"), ("keras", "torch"),
            ("mxnet", "mxnet"),
        )
    }  # fmt: skip
    start, unknown = "running mean, variance at first", "not verified"

    assert found["torch", "haiku"]["debiasing"][:2] == ("none", "debiased")
    assert start not in found["torch", "haiku"]
    assert found["keras", "caffe2"][start] == ("0, 1", "0, 0", "start at 0, 1")
    assert found["keras", "mindspore"]["running variance"][1:] == (unknown, unknown)
    assert found["keras", "torch"]["running variance"][2].endswith("(n - 1)/n, n values a channel")
    assert found["mxnet", "mxnet"] == {}


STARTS = {"0, 1": 1.0, "0, 0": 0.0, "the caller's": 2.5}
"""The running variance at first; a copy of the first batch apart."""


def start_of(words: str, batches: Sequence[float]) -> float:
    """The running variance that these words start at."""
    return batches[0] if words == "the first batch" else STARTS[words]


def words_of(framework: Framework) -> str:
    """Where a framework starts, from its table."""
    if framework.copies_first:
        return "the first batch"
    if framework.initial_var is None:
        return "the caller's"
    return f"0, {framework.initial_var:g}"


def used(debiasing: str, start: float, old_weight: float, batches: Sequence[float]) -> float:
    """What evaluation reads after these batches: the recursion as frameworks have it."""
    running = start
    for batch in batches:
        running = old_weight * running + (1 - old_weight) * batch
    left = old_weight ** len(batches)
    if debiasing == "debiased":  # Haiku and Caffe: what starts at 0, over the weight of all batches
        return (running - left * start) / (1 - left)
    return running / (1 - left) if debiasing == "divided" else running


@pytest.mark.parametrize("source", WITH_MOMENTUM)
def test_whoever_follows_the_advice_gets_the_sources_value(source: str) -> None:
    """Five batches, the old value weighing 0.9: its start and its debiasing, as formulas."""
    batches = [2.2, 2.7, 1.9, 3.1, 2.0]
    one = FRAMEWORKS[source]
    wanted = used(one.debiasing, start_of(words_of(one), batches), 0.9, batches)
    for other in (FRAMEWORKS[name] for name in WITH_MOMENTUM):
        todo = {each.what: each.todo for each in differences(one, other)}
        start, debias = todo.get("running mean, variance at first"), todo.get("debiasing")
        words = start.removeprefix("start at ") if start else words_of(other)
        there = used(other.debiasing, start_of(words, batches), 0.9, batches)
        if debias:
            advice = re.fullmatch(
                r"use (.+) instead of r; w = \(old weight\)\^t(?:, r0 = (.+))?: fades", debias
            )
            assert advice
            names = {"r": there, "w": 0.9**5}
            if advice[2]:
                names["r0"] = start_of(advice[2], batches)
            there = float(str(pd.eval(advice[1], local_dict=names)))

        assert there == pytest.approx(wanted), f"{source} to {other.name}"


def test_examples_and_values_are_two_numbers(as_json: AsJson) -> None:
    """CNTK counts examples; a variance is over the values of a channel, of images many more."""
    asked = ("convert", "100", "--from", "cntk", "--to", "keras", "--batch-size", "32")
    plain, images = as_json(*asked), as_json(*asked, "--values", "25088")
    of_torch = as_json("convert", "0.1", "--to", "keras", "--batch-size", "32", "--values", "25088")
    (todo,) = (e["todo"] for e in of_torch["differences"] if e["what"] == "running variance")

    assert plain["typed"] == images["typed"] == f"momentum={math.exp(-0.32)!r}"
    assert f"= {25088 / 25087:.6g} of n = 25088" in todo


@pytest.mark.parametrize("arguments", [[], ["0.5", "--list"]])
def test_the_table_has_every_framework_at_80_columns(
    normexp: Command, as_json: AsJson, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    """A name is never cut, since it is what one types; --json has the sources."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = normexp("convert", *arguments).stdout.splitlines()
    words = {word.strip("():;,.") for line in lines for word in line.split()}
    listed = as_json("convert", *arguments)

    assert max(map(len, lines)) <= 80
    assert set(FRAMEWORKS) <= {line.split()[0] for line in lines if line.strip()}
    assert {each.parameter for each in FRAMEWORKS.values() if each.parameter} | {"varies"} <= words
    assert {each["name"] for each in listed} == set(FRAMEWORKS)
    assert all(each["source"] for each in listed)


@pytest.mark.parametrize("source", ["cntk", "equinox_batch"])
def test_no_advice_is_cut_at_80_columns(
    normexp: Command, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    """The longest titles against each other: every word is there, none beyond the edge."""
    monkeypatch.setenv("COLUMNS", "80")
    for target in ("equinox_batch", "mindspore_ops", "onnx", "haiku", "tf_keras_fused"):
        result = normexp("convert", "0.5", "--from", source, "--to", target, "--batch-size", "32")
        shown = set(result.stdout.split())
        said = differences(FRAMEWORKS[source], FRAMEWORKS[target], 32)

        assert max(map(len, result.stdout.splitlines())) <= 80
        assert {word for each in said for word in each.todo.split()} <= shown


@pytest.mark.parametrize("source", WITH_MOMENTUM)
def test_every_pair_converts_and_comes_back(source: str) -> None:
    """A weight of 0.25, or 100 samples, survives every detour in batches of 32."""
    given = "100" if source == "cntk" else "0.25"
    for target in WITH_MOMENTUM:
        value = convert(given, source, target, 32).typed.partition("=")[2]
        back = convert(value, target, source, 32).typed.partition("=")[2]

        assert float(back) == pytest.approx(float(given), rel=1e-8)
