"""Estimators, against rules written out by hand."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from conftest import SMALL, AsJson, Command
from torch import nn

import normexp
from normexp.config.norm import BatchNorm, Estimator
from normexp.data.draw import draw
from normexp.engine.estimators import RunningStatistics
from normexp.engine.observe import observe
from normexp.engine.train import train
from normexp.trained import Record

Array = np.ndarray[Any, Any]

STUDY = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0", "log.every=1", "train.epochs=3",
         "train.dtype=float64"]  # fmt: skip
NAMES = [name for name in get_args(Estimator) if name not in {"ema", "cumulative"}]
"""All estimators but the two of PyTorch, which have tests of their own."""

MOMENTA = [0.0, 0.01, 0.1, 0.5, 0.99, 1.0, None]


@pytest.fixture(scope="module")
def record() -> Record:
    """The one training that all runs of `STUDY` are observed from."""
    return train([normexp.load(*STUDY).runs[0].config])


def running(record: Record, *overrides: str) -> tuple[Array, Array]:
    """A run's running means and variances, a row a step from 0, a column a channel."""
    (run,) = normexp.load(*STUDY, *overrides).runs
    (observation,) = observe(record, [run.config], [0])
    return observation.running_mean.numpy(), observation.running_var.numpy()


def weighted(rows: Array, start: float, weights: Callable[[int], float]) -> Array:
    """The recursion r = (1 − a)·r + a·s, written out."""
    found = [np.full(rows.shape[1], start)]
    for update, row in enumerate(rows):
        a = weights(update)
        found.append((1 - a) * found[-1] + a * row)
    return np.array(found)


def debias(rows: Array, a: float, start: float) -> Array:
    """Adam's correction: what the initial value still weighs is taken away."""
    left = [(1 - a) ** t for t in range(1, len(rows))]
    fair = [(row - q * start) / (1 - q) for row, q in zip(rows[1:], left, strict=True)]
    return np.array([rows[0], *fair])


def assert_near(found: Array, expected: Array) -> None:
    """Equal but for the rounding of float64."""
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_running_statistics_are_those_of_torch(dtype: torch.dtype) -> None:
    """For every momentum, 0, 1 and None included, after each of 50 batches."""
    channels = 6
    norms = [nn.BatchNorm1d(channels, momentum=momentum).to(dtype) for momentum in MOMENTA]
    ours = RunningStatistics([BatchNorm(momentum=momentum) for momentum in MOMENTA], channels)
    rng = torch.Generator().manual_seed(0)
    for _ in range(50):
        x = 3 + 2 * torch.randn(16, channels, generator=rng, dtype=dtype)
        var, mean = torch.var_mean(x, 0)
        each = (len(MOMENTA), channels)
        ours.update(mean.expand(each), var.expand(each), torch.full((channels,), len(x)))

        for row, norm in enumerate(norms):
            norm(x)
            torch.testing.assert_close(ours.mean[row].to(dtype), norm.running_mean)
            torch.testing.assert_close(ours.var[row].to(dtype), norm.running_var)


@pytest.mark.parametrize(("mean", "var"), [(0.0, 1.0), (3.0, 0.0)])
def test_averages_begin_at_their_initial_values(record: Record, mean: float, var: float) -> None:
    """Every row is of its own step; the debiased average is its first batch after one."""
    start = [f"norm.initial_mean={mean}", f"norm.initial_var={var}", "norm.momentum=0.05"]
    pairs = zip(
        running(record, *start),
        running(record, *start, "norm.estimator=debiased"),
        (record.batch_mean[0].numpy(), record.batch_var[0].numpy()),
        (mean, var),
        strict=True,
    )
    for plain, debiased, batches, initial in pairs:
        by_hand = weighted(batches, initial, lambda _: 0.05)

        assert (plain[0] == initial).all()
        assert_near(plain, by_hand)
        assert_near(debiased, debias(by_hand, 0.05, initial))
        np.testing.assert_allclose(debiased[1], batches[0], rtol=1e-12)


def test_the_divided_average_keeps_its_initial_value(record: Record) -> None:
    """r/(1 − q^t), as `equinox.nn.BatchNorm(mode="batch")`: q^t/(1 − q^t) too much at first."""
    _, var = running(record, "norm.estimator=divided", "norm.momentum=0.01")
    _, fair = running(record, "norm.estimator=debiased", "norm.momentum=0.01")
    steps = np.arange(1, len(var))
    spurious = 0.99**steps / (1 - 0.99**steps)

    assert spurious[0] == pytest.approx(99)
    np.testing.assert_allclose((var - fair)[1:], np.tile(spurious, (var.shape[1], 1)).T)


def test_the_window_is_the_mean_of_the_newest_batches(record: Record) -> None:
    """Of as many as there are, at first."""
    found = running(record, "norm.estimator=window", "norm.window=4")
    batches = record.batch_mean[0].numpy(), record.batch_var[0].numpy()

    for values, rows in zip(found, batches, strict=True):
        for step in range(1, len(values)):
            newest = rows[max(0, step - 4) : step].mean(0)
            np.testing.assert_allclose(values[step], newest, rtol=1e-12, atol=1e-15)


SCHEDULE = ["norm.momentum=0.5", "norm.final_momentum=0.02"]


@pytest.mark.parametrize(
    ("typed", "weight"),
    [
        (["norm.estimator=warmup", "norm.momentum=0.25"], lambda t, _: max(0.25, 1 / (t + 1))),
        ([*SCHEDULE, "norm.momentum_schedule=linear"], lambda _, s: 0.5 + s * (0.02 - 0.5)),
        (
            [*SCHEDULE, "norm.momentum_schedule=cosine"],
            lambda _, s: 0.02 + (0.5 - 0.02) * (1 + math.cos(math.pi * s)) / 2,
        ),
        (
            [*SCHEDULE, "norm.momentum_schedule=exponential"],
            lambda _, s: math.exp(math.log(0.5) + s * (math.log(0.02) - math.log(0.5))),
        ),
    ],
    ids=["warmup", "linear", "cosine", "exponential"],
)
def test_a_momentum_may_change_from_update_to_update(
    record: Record, typed: Sequence[str], weight: Callable[[int, float], float]
) -> None:
    """The newest batch weighs max(a, 1/t), or what the schedule says."""
    mean, _ = running(record, *typed)
    batches = record.batch_mean[0].numpy()

    assert_near(mean, weighted(batches, 0, lambda t: weight(t, t / (len(batches) - 1))))


def test_statistics_computed_anew_stay_until_the_next_evaluation_point(record: Record) -> None:
    """Between two points a run's table repeats those of the last."""
    mean, _ = running(record, "norm.estimator=precise")

    for start in (0, 3, 6):
        assert (mean[start : start + 3] == mean[start]).all()
        assert (mean[start + 3] != mean[start]).any()


def final(as_json: AsJson, *overrides: str, estimators: Sequence[str]) -> dict[str, float]:
    """The last test losses of one training under several estimators."""
    answer = as_json("sweep", *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0", *overrides,
                     f"norm.estimator={','.join(estimators)}")  # fmt: skip
    assert answer["trained"] == 1
    rows = normexp.read(answer["directory"]).set_index("norm.estimator")
    references = rows.loc["ema", ["test_loss_population", "test_loss_test_batch"]].to_dict()
    return rows["test_loss"].to_dict() | references


def test_the_references_are_what_the_metrics_have(as_json: AsJson) -> None:
    """Population and test batch give the losses that every run has as references."""
    losses = final(as_json, estimators=["ema", "population", "test_batch"])

    assert losses["population"] == pytest.approx(losses["test_loss_population"])
    assert losses["test_batch"] == pytest.approx(losses["test_loss_test_batch"])
    assert losses["ema"] != pytest.approx(losses["test_loss_population"], rel=1e-3)


@pytest.mark.parametrize("mix", [0.001, 0.1, 0.7, 0.999])
def test_a_mixture_goes_from_running_statistics_to_the_test_batch(
    record: Record, mix: float
) -> None:
    """Of the input's mean: (1 − m)·running + m·test batch, to the last digits of float64."""
    typed = ["norm.estimator=mixed", f"norm.mix={mix}"]
    ema, mixed = (running(record, *more)[0][-1, 0] for more in ([], typed))
    tests = draw(normexp.load(*STUDY, *typed).runs[0].config).test_x.double().mean(1)

    assert mixed == pytest.approx((1 - mix) * ema + mix * float(tests[0]), rel=1e-13)


def test_an_estimator_does_not_see_its_company(as_json: AsJson, tmp_path: Path) -> None:
    """Each estimator's files have the same bits alone and beside all others, longer windows too."""
    study = [*SMALL, "norm=batch", "norm.momentum=0.1", "log.every=1"]
    together = as_json("sweep", *study, f"norm.estimator={','.join(NAMES)}", "seed=0,1",
                       "norm.window=2,5")  # fmt: skip
    found = {path.name: path for path in (tmp_path / "runs/bn_regression").glob("batch-*")}
    assert together["runs"] == len(found) == 2 * (len(NAMES) + 1)
    for name in NAMES:
        alone = as_json("sweep", *study, f"norm.estimator={name}", "norm.window=2", "seed=1",
                        f"store.dir={name}")  # fmt: skip
        (run,) = (tmp_path / alone["directory"]).parents[1].glob("batch-*")
        (twin,) = (path for path in found.values() if path.name[-12:] == run.name[-12:])
        for table in ("metrics", "stats", "layers"):
            file = f"{table}.parquet"
            assert (run / file).read_bytes() == (twin / file).read_bytes(), name


@pytest.mark.parametrize(
    "setting",
    [
        ["data=drift", "data.rate=0.05"],
        ["model=lenet", "data=digits", "data.test_size=32", "~model.depth", "~model.width"],
        ["norm=ghost", "norm.size=8"],
    ],
    ids=["drift", "images", "virtual batches"],
)
def test_every_estimator_works_in_every_setting(setting: list[str], as_json: AsJson) -> None:
    """From one training; those that are near the truth are near each other."""
    losses = final(as_json, *setting, estimators=["ema", *NAMES])

    assert len(losses) == len(NAMES) + 3
    assert all(math.isfinite(loss) for loss in losses.values())
    assert losses["recalibrated"] == pytest.approx(losses["population"], rel=0.05)
    if setting[0] == "data=drift":  # inputs stand still as they are at the point
        assert losses["precise"] == pytest.approx(losses["population"], rel=0.2)


@pytest.mark.parametrize("typed", ["norm.momentum=0.3", "norm.window=3", "norm.initial_var=0"])
def test_what_is_typed_in_vain_is_told_of(typed: str, as_json: AsJson) -> None:
    """A reference reads neither momentum nor window nor initial value."""
    plan = as_json("plan", *SMALL, "norm=batch", "norm.estimator=population", typed)

    assert any(note.startswith(f"{typed} has no effect here") for note in plan["notes"])


def test_a_reference_has_no_momentum_in_the_table(normexp: Command) -> None:
    """Nor is it called the cumulative mean, though momentum is null in both."""
    result = normexp("sweep", *SMALL, "norm=batch", "norm.estimator=population", "seed=0,1")

    assert result.exit_code == 0, result.stderr
    assert "cumulative" not in result.stdout
