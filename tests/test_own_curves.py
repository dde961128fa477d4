"""The curves of a recorded training in a store: evaluations at equal distances, of one score."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from own_nets import SmallNet, batches, losses_on, train

import normexp as package

TESTS = list(batches(3, seed=1000))


def test_a_curve_begins_at_step_0(tmp_path: Path) -> None:
    """If somebody evaluated before the first step: an average's score is that of what it has."""
    torch.manual_seed(0)
    model, data = SmallNet(), list(batches(4))
    initial = float(losses_on(TESTS)(deepcopy(model).eval()).mean())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with package.record(model, optimizer) as recorder:
        recorder.evaluate(losses_on(TESTS), train=data, momenta=[0.1])
        train(model, optimizer, iter(data))
        recorder.evaluate(losses_on(TESTS), train=data, momenta=[0.1])
    recorder.save(tmp_path / "mine", batch_size=16)
    metrics = package.read(tmp_path / "mine", table="metrics")
    budget = package.budget(tmp_path / "mine")

    first = metrics[metrics["step"] == 0]
    assert set(metrics["step"]) == {0, 4}
    assert first["test_loss"].to_list() == pytest.approx([initial] * len(first), rel=1e-5)
    assert budget["mean_error"].notna().all()


def test_evaluations_that_are_not_evenly_spaced_are_left_out(tmp_path: Path) -> None:
    """With a warning; the last one stays."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01)
    data = list(batches(8))
    with package.record(model, optimizer) as recorder:
        for number in (4, 1, 3):
            train(model, optimizer, iter(data[:number]))
            recorder.evaluate(losses_on(TESTS), train=data, momenta=[0.1])
    with pytest.warns(UserWarning, match="1 of 3 evaluations are left out"):
        recorder.save(tmp_path / "mine", batch_size=16)
    runs, metrics = (package.read(tmp_path / "mine", table=each) for each in ("runs", "metrics"))

    assert set(metrics["step"]) == {0, 4, 8}
    assert set(runs["optim.name"]) == {"RMSprop"}
    assert set(runs["optim.lr"]) == {0.01}


def test_scores_of_different_functions_are_no_curve(tmp_path: Path) -> None:
    """A warning says so, where names differ or one is better if higher."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    data = list(batches(2))
    score = losses_on(TESTS)
    with package.record(model, optimizer) as recorder:
        for fn, higher in ((score, None), (score, True), (lambda net: {"mse": score(net)}, None)):
            train(model, optimizer, iter(data))
            recorder.evaluate(fn, train=data, momenta=[0.1], higher_is_better=higher)
    accuracy, other = recorder.evaluations[4], recorder.evaluations.pop(6)
    for place, second in (("accuracy", accuracy), ("other", other)):
        recorder.evaluations[4] = second
        with pytest.warns(UserWarning, match="scores of different names"):
            recorder.save(tmp_path / place, batch_size=16)
