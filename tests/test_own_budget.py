"""Error budgets of a recorded network, against the sums written out."""

import numpy as np
import pytest
import torch
from own_nets import SmallNet, batches, losses_on, recorded, train

from normexp.nets.layout import Statistics
from normexp.own.recorder import Recorder

TESTS = list(batches(4, seed=9))
TRAINING = list(batches(12, seed=0))


def populations(recorder: Recorder) -> dict[int, Statistics]:
    """Those of all evaluations, by updates until then."""
    found = {updates: each["population"][0] or [] for updates, each in recorder.evaluations.items()}
    return {updates: Statistics(*(row.double() for row in rows)) for updates, rows in found.items()}


def test_budgets_split_into_initial_drift_and_noise() -> None:
    """Exactly, against the sums written out; two points of the population are needed."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model)
    optimizer.param_groups[0]["lr"] = 0.2
    train(model, optimizer, batches(1))
    recorder.evaluate(losses_on(TESTS), TRAINING)
    early = recorder.verdict(blame=False).budget
    train(model, optimizer, batches(20, seed=1))
    recorder.evaluate(losses_on(TESTS), TRAINING)
    late = recorder.verdict(blame=False).budget
    first, last = populations(recorder).values()
    rows, own = recorder.recording.history.rows, recorder.recording.layers.read()
    weights = 0.1 * 0.9 ** np.arange(20, -1, -1)
    gone = np.clip((np.arange(21) - 1) / 20, 0, 1)
    truth = [first.var[:6] + share * (last.var[:6] - first.var[:6]) for share in gone]
    batch = rows.statistics[:, 22:28].double()
    parts = {
        "initial": 0.9**21 * (1 - last.var[:6]),
        "drift": sum(w * (t - last.var[:6]) for w, t in zip(weights, truth, strict=True)),
        "noise": sum(w * (b - t) for w, b, t in zip(weights, batch, truth, strict=True)),
    }

    assert list(early[0].mean) == ["initial", "rest"]
    assert list(late[0].mean) == ["initial", "drift", "noise"]
    for name, values in parts.items():
        assert late[0].var[name] == pytest.approx(float((values / last.var[:6]).mean()), abs=1e-6)
    error = float(((own.var[:6] - last.var[:6]) / last.var[:6]).mean())
    assert late[0].var_error == pytest.approx(sum(late[0].var.values())) == pytest.approx(error)


def test_what_was_put_in_has_a_part_of_its_own() -> None:
    """Applied statistics are neither initial nor noise; undone, all is as if they had not been."""
    torch.manual_seed(0)
    model = SmallNet()
    optimizer, recorder = recorded(model)
    train(model, optimizer, batches(5))
    recorder.evaluate(losses_on(TESTS), TRAINING)
    handle = recorder.apply(momentum=0.5)
    put = recorder.recording.layers.read()
    train(model, optimizer, batches(3, seed=1))
    recorder.evaluate(losses_on(TESTS), TRAINING)
    applied, truth = recorder.verdict(blame=False).budget, populations(recorder)[8]
    rows = recorder.recording.history.rows.statistics.double()
    handle.undo()
    train(model, optimizer, batches(2, seed=2))
    recorder.evaluate(losses_on(TESTS), TRAINING)
    undone, last = recorder.verdict(blame=False).budget, populations(recorder)[10]
    left = (0.9**3 * (put.var - truth.var) / truth.var)[:6].mean()
    initial = (0.9**7 * (1 - last.var) / last.var)[:6].mean()
    seen = 0.1 * (0.81 * rows[5, 22:28] + 0.9 * rows[6, 22:28] + rows[7, 22:28])
    own = 0.9**3 * put.var[:6] + seen

    assert list(applied[0].var) == ["applied", "drift", "noise"]
    assert applied[0].var["applied"] == pytest.approx(float(left), rel=1e-5)
    assert applied[0].var_error == pytest.approx(
        float(((own - truth.var[:6]) / truth.var[:6]).mean()), rel=1e-4
    )
    assert list(undone[0].var) == ["initial", "drift", "noise"]
    assert undone[0].var["initial"] == pytest.approx(float(initial), rel=1e-5)
    times, points = [0, 1, 2, 3, 4, 8, 9], populations(recorder)
    course = torch.stack([each.var[:6] for each in points.values()]).numpy()
    truths = [[np.interp(t, list(points), one) for one in course.T] for t in times]
    drift = 0.1 * 0.9 ** np.arange(6, -1, -1) @ (np.array(truths) - course[-1]) / course[-1]
    assert undone[0].var["drift"] == pytest.approx(drift.mean(), rel=1e-5)
    for budget in (applied[0], undone[0]):
        assert budget.var_error == pytest.approx(sum(budget.var.values()))
