"""Data that a training's arithmetic cannot hold are refused; data that it can hold are not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import Command

import normexp

Array = np.ndarray[Any, Any]

TYPED = ["data=arrays", "data.path=mine.npz", "norm=batch", "norm.momentum=0.1", "seed=0",
         "model.depth=1", "train.epochs=2", "train.batch_size=16"]  # fmt: skip
RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3))
Y = (X[:, 0] + X[:, 1] > 0).astype(np.int64)
OVERFLOW, UNDERFLOW, STEPS = "the squares of a batch", "its variance is below", "has steps of"


def save(change: Callable[[Array], Array], y: Array = Y, **tests: Array) -> Array:
    """Write X with one feature changed, the second."""
    x = X.copy()
    x[:, 1] = change(x[:, 1])
    np.savez("mine.npz", x=x, y=y, **tests)  # type: ignore[arg-type]
    return x


BAD: dict[str, tuple[Callable[[Array], Array], str]] = {
    "times 1e20": (lambda x: x * 1e20, OVERFLOW),
    "times -1e30": (lambda x: x * -1e30, OVERFLOW),
    "one of 1e25": (lambda x: np.where(np.arange(len(x)) == 7, 1e25, x), OVERFLOW),
    "times 1e-22": (lambda x: x * 1e-22, UNDERFLOW),
    "times 1e-40": (lambda x: x * 1e-40, UNDERFLOW),
    "plus 1e8": (lambda x: x + 1e8, STEPS),
    "plus 1e7": (lambda x: x + 1e7, STEPS),
    "minus 3e12": (lambda x: x - 3e12, STEPS),
    "a thousandth and 1e5": (lambda x: x * 1e-3 + 1e5, STEPS),
    "a millionth and 100": (lambda x: x * 1e-6 + 100, STEPS),
}


@pytest.mark.parametrize("name", BAD)
def test_features_beyond_float32_are_refused_before_training(command: Command, name: str) -> None:
    """With the column, and with what trains: float64, or standardised before it is cast."""
    change, message = BAD[name]
    save(change)
    result = command("sweep", *TYPED)
    error, hint = result.stderr.splitlines()
    plain = ["~norm.momentum", "norm=none"]

    assert result.exit_code == 2
    assert "mine.npz: x[:, 1] " in error
    assert message in error
    assert "save it scaled" in hint
    assert "train.dtype=float64" in hint
    assert "model.input_norm=true" in command("plan", *TYPED, *plain).stderr
    for more in (["train.dtype=float64"], [*plain, "model.input_norm=true"]):
        assert normexp.plan(*TYPED, *more).to_train == 1


@pytest.mark.parametrize("name", ["times 1e20", "plus 1e8", "times 1e-22"])
def test_float64_trains_on_what_float32_cannot_hold(name: str) -> None:
    """With NumPy's moments of the training set, and finite running statistics."""
    x = save(BAD[name][0], test_x=X[:20], test_y=Y[:20])
    result = normexp.sweep(*TYPED, "train.dtype=float64", "train.batch_size=200")
    stats = normexp.read(result.directory, table="stats")
    last = stats[(stats["step"] == 2) & (stats["layer"] == "input")].set_index("channel")

    np.testing.assert_allclose(last["population_mean"], x.mean(0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(last["population_var"], x.var(0, ddof=1), rtol=1e-6)
    assert np.isfinite(last["running_var"]).all()


GOOD: dict[str, Callable[[Array], Array]] = {
    "plus 1e6": lambda x: x + 1e6,
    "large": lambda x: x * 1e15,
    "small": lambda x: x * 1e-15,
    "seconds since 1970": lambda x: x * 1e7 + 1.7e9,
    "constant": lambda x: x * 0 + 0.1,
    "large constant": lambda x: x * 0 + 1e9,
    "a constant's rounding": lambda x: x * 0 + 0.3 + np.arange(len(x)) % 2 * 5e-17,
    "pixels": lambda x: (x > 0) * 255.0,
    "years": lambda x: np.round(x) + 2020,
}


@pytest.mark.parametrize("name", GOOD)
def test_what_float32_holds_is_let_through(name: str) -> None:
    """Also what is large, offset or constant."""
    save(GOOD[name])

    assert normexp.plan(*TYPED).to_train == 1


def test_targets_and_tests_are_looked_at_too(command: Command) -> None:
    """A squared error is a square as well, and a test set has a variance."""
    for y, message in ((X[:, 0] * 1e20, OVERFLOW), (X[:, 0] + 1e8, STEPS)):
        save(lambda x: x, y)
        error, hint = command("plan", *TYPED).stderr.splitlines()
        assert "mine.npz: y[:, 0] " in error
        assert message in error
        assert "model.input_norm" not in hint
    save(lambda x: x, test_x=X + 1e8, test_y=Y)
    assert "mine.npz: test_x[:, 0] " in command("plan", *TYPED).stderr


def test_images_are_looked_at_by_channel(command: Command) -> None:
    """A pixel that never changes is none of a channel's business."""
    x = RNG.normal(size=(40, 2, 8, 8))
    x[:, 0, 0, 0] = 0.5
    typed = [*TYPED[:5], "model=lenet", "train.epochs=1", "train.batch_size=16"]
    np.savez("mine.npz", x=x, y=np.arange(40) % 2)
    assert normexp.plan(*typed).to_train == 1

    x[:, 1] += 1e8
    np.savez("mine.npz", x=x, y=np.arange(40) % 2)
    assert "x[:, 1] reaches 1e+08" in command("plan", *typed).stderr


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_no_dtype_holds_is_not_sent_to_float64(command: Command, dtype: str) -> None:
    """Squares beyond 1e308."""
    save(lambda x: x * 1e200)
    result = command("plan", *TYPED, f"train.dtype={dtype}")

    assert (result.exit_code, OVERFLOW in result.stderr) == (2, True)
    assert "float64" not in result.stderr.splitlines()[1]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["data.low=-1e20", "data.high=1e20"], "data=quadratic: x reaches"),
        (["data.low=0", "data.high=1e15"], "data=quadratic: y reaches"),
        (["data.low=100000000", "data.high=100000001"], STEPS),
        (["data.low=0", "data.high=1e-30"], UNDERFLOW),
        (["data.noise_std=1e20"], "data=quadratic: y reaches"),
        (["data=drift", "data.rate=1e6"], STEPS),
        (["data=drift", "data.rate=1e30"], "data=drift: x reaches"),
        (["data=drift", "data.motion=walk", "data.rate=1e7"], STEPS),
        (["data=drift", "data.noise_std=1e30"], "data=drift: y reaches"),
        (["data=drift", "data.rate=1"], ""),
        (["data.low=1000", "data.high=1010"], ""),
    ],
    ids=str,
)
def test_data_that_are_drawn_have_a_scale_too(
    command: Command, typed: list[str], message: str
) -> None:
    """Refused by what the formula says; the same in the usual range is let through."""
    result = command("plan", *typed, "norm=batch", "norm.momentum=0.1", "seed=0")

    assert result.exit_code == (2 if message else 0)
    assert message in result.stderr
