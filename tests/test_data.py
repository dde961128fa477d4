"""Data that normexp draws or brings along: digits, drift, random labels."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

import normexp
from normexp.data.draw import draw

AsJson = Callable[..., Any]


def test_digits_are_scikit_learns_split_by_the_seed() -> None:
    """Every image once, in units of the training set; another seed, another split."""
    x, y = load_digits(return_X_y=True)
    runs = normexp.load("data=digits", "model=lenet", "norm=none", "seed=0,1").runs
    first, second = (draw(run.config) for run in runs)

    assert (first.x.shape, first.test_x.shape) == ((1440, 1, 8, 8), (357, 1, 8, 8))
    assert float(first.x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(first.x.std(correction=0)) == pytest.approx(1, abs=1e-5)
    assert not torch.equal(first.y, second.y)
    assert np.bincount(torch.cat([first.y, first.test_y])).tolist() == np.bincount(y).tolist()
    whole = torch.cat([first.x, first.test_x]).flatten(1).numpy()
    scale = (whole.max() - whole.min()) / 16
    restored = np.round((whole - whole.min()) / scale)
    assert sorted(map(tuple, restored)) == sorted(map(tuple, x))


@pytest.mark.parametrize("model", ["lenet", "mlp"])
@pytest.mark.parametrize("size", [100, 1440])
def test_digits_in_float64_are_in_float64_units(model: str, size: int) -> None:
    """Mean 0 and standard deviation 1 to the last digits, as NumPy makes them of the bytes."""
    (run,) = normexp.load("data=digits", f"model={model}", "norm=none", "train.dtype=float64",
                          f"data.train_size={size}", "seed=3").runs  # fmt: skip
    data = draw(run.config)
    images, _ = load_digits(return_X_y=True)
    levels = np.unique(np.concatenate([data.x.numpy().ravel(), data.test_x.numpy().ravel()]))

    assert data.x.dtype == torch.float64
    assert data.x.numpy().mean() == pytest.approx(0, abs=1e-14)
    assert data.x.numpy().std() == pytest.approx(1, abs=1e-14)
    step = levels[1] - levels[0]
    np.testing.assert_allclose(levels, levels[0] + step * np.unique(images), atol=1e-13)


def test_running_means_lag_a_linear_drift_by_rate_over_momentum(as_json: AsJson) -> None:
    """At the input, once the start is forgotten, evaluated after the update: d/a behind.

    Batches of 2,000 examples make the noise small against it.
    """
    answer = as_json(
        "sweep", "data=drift", "data.rate=0.1", "data.features=2", "norm=batch", "seed=range(4)",
        "norm.momentum=0.02,0.1,0.5,1", "model.depth=1", "train.batch_size=2000",
        "train.epochs=400",
    )  # fmt: skip
    stats = normexp.read(answer["directory"], table="stats")
    last = stats[(stats["step"] == 400) & (stats["layer"] == "input")]
    runs = normexp.read(answer["directory"]).set_index("run_id")
    momentum = last["run_id"].map(runs["norm.momentum"])
    lag = (last["population_mean"] - last["running_mean"]).to_numpy()

    assert answer["trajectories"] == 4
    np.testing.assert_allclose(lag, 0.1 / momentum.to_numpy(float), rtol=0.05)


def test_a_random_walk_has_the_steps_that_are_asked_for() -> None:
    """Steps of N(0, rate) for every feature, from 0; the labels know nothing of it."""
    study = ["data=drift", "data.motion=walk", "data.features=3", "norm=none", "seed=0",
             "train.epochs=100"]  # fmt: skip
    (slow,) = normexp.load(*study, "data.rate=0.02").runs
    (still,) = normexp.load(*study, "data.rate=0").runs
    data, unmoved = draw(slow.config), draw(still.config)
    assert data.shift is not None
    steps = data.shift.diff(dim=1)

    assert data.shift.shape == (3, 3201)
    assert torch.equal(data.shift[:, 0], torch.zeros(3))
    assert float(steps.std()) == pytest.approx(0.02, rel=0.03)
    assert torch.equal(data.y, unmoved.y)


def test_walks_of_one_seed_are_paired_whatever_their_length() -> None:
    """Arms with other numbers of steps drift alike as far as they go."""
    study = ["data=drift", "data.motion=walk", "data.features=3", "norm=none", "seed=0"]
    runs = normexp.load(*study, "train.epochs=1,2,7", "train.batch_size=33,64").runs
    shifts = [draw(run.config).shift for run in runs]
    shortest = min(shift.shape[1] for shift in shifts if shift is not None)

    assert len(runs) == 6
    for shift in shifts:
        assert shift is not None
        assert shifts[0] is not None
        assert torch.equal(shift[:, :shortest], shifts[0][:, :shortest])


def test_random_labels_are_tested_on_the_training_set() -> None:
    """S0's 100 examples of ten features and two labels."""
    (run,) = normexp.load("study=momentum_convention", "norm.momentum=0.1", "seed=0").runs
    data = draw(run.config)

    assert data.x.shape == (10, 100)
    assert set(data.y.tolist()) == {0, 1}
    assert torch.equal(data.test_x, data.x)
    assert torch.equal(data.test_y, data.y)
