"""Scores and verdicts on evaluations made by hand, whose answers are known."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch
from own_nets import SmallNet, batches, loss_of, losses_on, recorded, train
from torch import nn

from normexp.errors import UsageError
from normexp.own.evaluate import Array, Candidate, Evaluated, Question, difference, scored
from normexp.own.layers import batch_norms, tracked
from normexp.own.recorder import Recorder
from normexp.own.verdict import judge

TESTS = list(batches(4, seed=9))
TRAINING = list(batches(4))

NAN = math.nan
STEADY = np.tile([0.99, 1.01], 50)
"""Losses of 100 examples, 1 on average."""

EVEN = np.tile([1.0, -1.0], 50)


def by_hand(
    own: Array,
    averages: Sequence[Array] = (),
    name: str = "loss",
    right: Array = STEADY,
    *,
    higher: bool | None = None,
) -> Evaluated:
    """An evaluation with these losses: the model's, the population's, and those of averages."""
    model = nn.Sequential(nn.BatchNorm1d(2))
    question = Question(float, None, None, {}, model, (), higher)
    candidates = [Candidate("own"), Candidate("population")]
    candidates += [Candidate("ema", 0.1 * (1 + place)) for place in range(len(averages))]
    return Evaluated(question, 1, candidates, [{name: each} for each in (own, right, *averages)])


@pytest.mark.parametrize(
    ("own", "right", "to_blame", "words"),
    [
        (STEADY, STEADY, False, "are not to blame: the score is that of the weights"),
        (STEADY + 0.005, STEADY, False, "are not to blame: the score is that of the weights"),
        (STEADY + 0.02, STEADY, True, "the running statistics are to blame"),
        (STEADY + 0.02 + EVEN, STEADY, False, "cannot be told from 100 examples"),
        (STEADY + EVEN, STEADY, False, "cannot be told from 100 examples"),
        (STEADY - 0.005 + 0.01 * EVEN, STEADY, False, "statistics make the score better"),
        (STEADY[:1] + 0.02, STEADY[:1], True, "the running statistics are to blame"),
        (STEADY[:1] - 0.005, STEADY[:1], False, "are not to blame: the score is that"),
        (STEADY[:1] - 0.02, STEADY[:1], False, "statistics make the score better"),
        (STEADY * NAN, STEADY, True, "the running statistics are to blame"),
        (STEADY * NAN, STEADY * NAN, False, "the score is not finite: nothing can be said"),
    ],
)
def test_a_verdict_says_no_more_than_can_be_known(
    own: Array, right: Array, *, to_blame: bool, words: str
) -> None:
    """Above 1 % and the interval statistics are to blame; the rest has words of its own."""
    verdict = judge(by_hand(own, right=right), "mend it", blame=False, notes=["a note"])

    assert verdict.to_blame == to_blame
    assert words in verdict.finding
    assert verdict.finding in str(verdict)
    assert "a note" in str(verdict).splitlines()
    assert (verdict.todo == "mend it") == to_blame


def test_a_tolerance_is_all_that_counts() -> None:
    """What it allows is not called the weights' score."""
    found = by_hand(STEADY + 0.2)
    verdicts = [judge(found, "", blame=False, tolerance=each) for each in (0.1, 0.3)]

    assert [each.to_blame for each in verdicts] == [True, False]
    assert verdicts[1].finding == "the running statistics are not to blame"


def test_an_interval_is_students() -> None:
    """Of differences 0 and 2: 1, and the quantile of one degree of freedom, tan(.475 π)."""
    apart, interval = difference(np.array([1.0, 5.0]), np.array([1.0, 3.0]))

    assert apart == 1
    assert interval == pytest.approx(math.tan(0.475 * math.pi))


def test_momenta_are_alike_within_the_interval() -> None:
    """Of the best; what is not finite is never the best, nor alike."""
    averages = [STEADY * NAN, STEADY + 0.5, STEADY, STEADY + 0.01 + EVEN]
    found = judge(by_hand(STEADY, averages), "", blame=False).momentum
    lost = judge(by_hand(STEADY, averages[:1]), "", blame=False)

    assert found["momentum"] == pytest.approx(0.3)
    assert found["alike"] == pytest.approx([0.3, 0.4])
    assert lost.momentum == {}
    assert "best momentum" not in str(lost)


def test_an_accuracy_is_better_where_it_is_higher() -> None:
    """By its name, unless somebody says otherwise."""
    found = {
        (name, higher): judge(
            by_hand(STEADY - 0.1, [STEADY, STEADY - 0.1], name, higher=higher), "", blame=False
        )
        for name in ("accuracy", "loss")
        for higher in (None, True, False)
    }

    for (name, higher), verdict in found.items():
        better = name == "accuracy" if higher is None else higher
        assert verdict.to_blame == better
        assert verdict.momentum["momentum"] == pytest.approx(0.1 if better else 0.2)
        assert verdict.statistics == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (None, "a score of type NoneType"),
        ((0.1, 0.2), "a score of type tuple"),
        ("0.1", "a score of type str"),
        ({}, "an empty mapping"),
        ({"loss": 0.1, "other": None}, "a score of type NoneType"),
        (torch.zeros(0), "0 values"),
        (np.array(["a"]), "1 values of type <U1"),
    ],
)
def test_what_is_no_score_is_refused(wrong: object, words: str) -> None:
    """In words that say what came, and what may."""
    with pytest.raises(UsageError, match=words) as error:
        returned(wrong)

    assert error.value.hint is not None
    assert "return a number" in error.value.hint


def test_pixels_are_no_examples() -> None:
    """Losses [examples, pixels] are averaged for each example; a number is one."""
    scores = torch.arange(12.0).reshape(3, 2, 2)

    assert returned({"loss": scores})["loss"].tolist() == [1.5, 5.5, 9.5]
    assert returned(scores.numpy())["value"].tolist() == [1.5, 5.5, 9.5]
    assert returned(scores > 5)["value"].tolist() == [0, 0.5, 1]
    assert returned(scores.bfloat16().sum())["value"].tolist() == [66]


def returned(score: object) -> dict[str, Array]:
    """The scores that are read of what a function returned."""
    model = nn.Sequential(nn.BatchNorm1d(2))
    return scored(Question(lambda _: score, None, None, {}, model, (), None), tracked(model), None)


def short(model: SmallNet | None = None) -> tuple[SmallNet, Recorder]:
    """A network after two steps."""
    torch.manual_seed(0)
    model = model or SmallNet()
    optimizer, recorder = recorded(model)
    train(model, optimizer, batches(2))
    return model, recorder


def test_a_batch_of_one_has_no_statistics() -> None:
    """Its row is NaN under the names of the others; a score that needs more is an error."""
    model, recorder = short()
    one = [(x[:1], y[:1]) for x, y in TESTS]
    score = losses_on(one)
    table = recorder.evaluate(lambda net: {"loss": score(net)}, TRAINING, momenta=[0.1])
    lost = table["loss"].isna()

    assert table["estimator"][lost].to_list() == ["batch"]
    assert recorder.verdict().metric == "loss"
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        recorder.evaluate(lambda net: score(net.train()))
    assert model.norm1.running_mean is not None


def test_what_is_left_out_is_noted_and_what_is_frozen_is_no_layer_to_blame() -> None:
    """A layer without running statistics, and one that was in evaluation mode."""
    model, recorder = short(SmallNet(partial(nn.BatchNorm2d, track_running_stats=False)))
    recorder.evaluate(losses_on(TESTS), TRAINING, momenta=[])
    noted = recorder.verdict()
    torch.manual_seed(0)
    frozen = SmallNet()
    optimizer, recorder = recorded(frozen)
    for batch in batches(2):
        frozen.train().norm1.eval()
        optimizer.zero_grad()
        loss_of(frozen, batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    recorder.evaluate(losses_on(TESTS), TRAINING, momenta=[])
    blamed = recorder.verdict()

    assert model.norm1.running_mean is None
    assert "norm1 has track_running_stats=False: left out" in str(noted)
    assert {each["layer"] for each in noted.layers} == {"head.1"}
    assert {each["layer"] for each in blamed.layers} == {"norm2", "head.1"}


@pytest.mark.parametrize("name", ["momentum", "estimator", "excess", "l1", "share"])
def test_scores_have_names_of_their_own(name: str) -> None:
    """Not those of other columns."""
    _, recorder = short()

    with pytest.raises(UsageError, match=f"fn returned a score called {name}") as caught:
        recorder.evaluate(lambda _: {"loss": 1.0, name: 2.0})
    assert caught.value.hint


@pytest.mark.parametrize("later", [3, 20])
def test_scores_keep_their_names(later: int) -> None:
    """From row to row of the table, and in the verdict."""
    _, recorder = short()
    calls = []

    def score(_: nn.Module) -> dict[str, float]:
        calls.append(1)
        return {"loss" if len(calls) < later else "other": 1.0}

    with pytest.raises(UsageError, match="scores of different names: loss and other"):  # noqa: PT012
        recorder.evaluate(score, TRAINING)
        recorder.verdict()


def test_scores_may_come_in_any_order() -> None:
    """The first of the first row is judged."""
    _, recorder = short()
    calls = []

    def score(_: nn.Module) -> dict[str, float]:
        calls.append(1)
        found = {"loss": 1.0, "other": 2.0}
        return found if len(calls) % 2 else dict(reversed(found.items()))

    table = recorder.evaluate(score, TRAINING)

    assert set(table["loss"]) == {1.0}
    assert recorder.verdict().metric == "loss"


def test_an_error_of_the_score_is_its_own() -> None:
    """Also one in the words of PyTorch's for a batch of one, where layers take each batch's own."""
    _, recorder = short()

    def score(net: nn.Module) -> float:
        if any(module.running_mean is None for module in batch_norms(net).values()):
            raise ValueError("Expected more than 1 value per channel when training")
        return 1.0

    with pytest.raises(ValueError, match="more than 1 value per channel"):
        recorder.evaluate(score, TRAINING)
