"""Estimators, against rules written out by hand and plain networks of PyTorch."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, store_of
from typer.testing import Result

import normexp
from normexp.data.draw import draw

AsJson = Callable[..., Any]
Array = np.ndarray[Any, Any]

STUDY = [*SMALL, "norm=batch", "seed=0", "log.every=1", "train.epochs=3", "train.dtype=float64"]


def running(store: Path, *overrides: str) -> tuple[Array, Array]:
    """A run's running means and variances, a row a step from 0, a column a channel."""
    store_of(store, *STUDY, *overrides)
    stats = normexp.read(store, table="stats")
    assert len(set(stats["run_id"])) == 1
    mean, var = (_by_step(stats, f"running_{of}") for of in ("mean", "var"))
    return mean, var


def batches(store: Path) -> tuple[Array, Array]:
    """The batches' statistics of the one trajectory, the same way."""
    (path,) = store.rglob("batch_stats.parquet")
    table = pd.read_parquet(path)
    return _by_step(table, "batch_mean"), _by_step(table, "batch_var")


def _by_step(table: pd.DataFrame, values: str) -> Array:
    pivot = table.pivot_table(values, "step", ["layer", "channel"], observed=True, sort=False)
    return pivot.to_numpy()


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


def test_the_debiased_average_forgets_where_it_began(tmp_path: Path) -> None:
    """(r − q^t·r_0)/(1 − q^t): after one batch it is that batch, wherever it started."""
    for start in ([], ["norm.initial_mean=3", "norm.initial_var=0"]):
        place = tmp_path / str(len(start))
        mean, var = running(place, "norm.estimator=debiased", "norm.momentum=0.05", *start)
        means, variances = batches(place)
        m0, v0 = (3.0, 0.0) if start else (0.0, 1.0)

        assert (mean[0] == m0).all()
        assert (var[0] == v0).all()
        np.testing.assert_allclose(mean[1], means[0], rtol=1e-12)
        by_hand = debias(weighted(means, m0, lambda _: 0.05), 0.05, m0)
        np.testing.assert_allclose(mean, by_hand, rtol=1e-10, atol=1e-12)
        by_hand = debias(weighted(variances, v0, lambda _: 0.05), 0.05, v0)
        np.testing.assert_allclose(var, by_hand, rtol=1e-10, atol=1e-12)


def test_the_divided_average_keeps_its_initial_value(tmp_path: Path) -> None:
    """r/(1 − q^t), as `equinox.nn.BatchNorm(mode="batch")`: q^t/(1 − q^t) too much at first."""
    _, var = running(tmp_path / "1", "norm.estimator=divided", "norm.momentum=0.01")
    _, fair = running(tmp_path / "2", "norm.estimator=debiased", "norm.momentum=0.01")
    steps = np.arange(1, len(var))
    spurious = 0.99**steps / (1 - 0.99**steps)

    assert spurious[0] == pytest.approx(99)
    np.testing.assert_allclose((var - fair)[1:], np.tile(spurious, (var.shape[1], 1)).T)


def test_the_warmed_up_average_is_the_cumulative_mean_at_first(tmp_path: Path) -> None:
    """The newest batch weighs max(a, 1/t)."""
    mean, _ = running(tmp_path, "norm.estimator=warmup", "norm.momentum=0.25")
    means, _ = batches(tmp_path)

    np.testing.assert_allclose(mean[4], means[:4].mean(0), rtol=1e-12)
    by_hand = weighted(means, 0, lambda t: max(0.25, 1 / (t + 1)))
    np.testing.assert_allclose(mean, by_hand, rtol=1e-10, atol=1e-12)


def test_the_window_is_the_mean_of_the_newest_batches(tmp_path: Path) -> None:
    """Of as many as there are, at first."""
    mean, var = running(tmp_path, "norm.estimator=window", "norm.window=4")
    means, variances = batches(tmp_path)

    for step in range(1, len(mean)):
        newest = slice(max(0, step - 4), step)
        np.testing.assert_allclose(mean[step], means[newest].mean(0), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(var[step], variances[newest].mean(0), rtol=1e-12)


@pytest.mark.parametrize(
    ("schedule", "course"),
    [
        ("linear", lambda s: 0.5 + s * (0.02 - 0.5)),
        ("cosine", lambda s: 0.02 + (0.5 - 0.02) * (1 + math.cos(math.pi * s)) / 2),
        ("exponential", lambda s: math.exp(math.log(0.5) + s * (math.log(0.02) - math.log(0.5)))),
    ],
)
def test_a_schedule_takes_momentum_to_the_final_one(
    schedule: str, course: Callable[[float], float], tmp_path: Path
) -> None:
    """The first update has the one, the last the other."""
    mean, _ = running(
        tmp_path, f"norm.momentum_schedule={schedule}", "norm.momentum=0.5",
        "norm.final_momentum=0.02",
    )  # fmt: skip
    means, _ = batches(tmp_path)

    assert course(1.0) == pytest.approx(0.02)
    by_hand = weighted(means, 0, lambda t: course(t / (len(means) - 1)))
    np.testing.assert_allclose(mean, by_hand, rtol=1e-10, atol=1e-12)


def test_initial_values_are_left_in_the_average_by_their_weight(tmp_path: Path) -> None:
    """Two runs that start elsewhere differ by q^t of the difference."""
    mean, var = running(tmp_path / "1", "norm.momentum=0.1")
    other, var_of_other = running(
        tmp_path / "2", "norm.momentum=0.1", "norm.initial_mean=2", "norm.initial_var=0"
    )
    left = 0.9 ** np.arange(len(mean))[:, None]

    np.testing.assert_allclose(other - mean, np.tile(2 * left, mean.shape[1]), rtol=1e-9)
    np.testing.assert_allclose(var - var_of_other, np.tile(left, var.shape[1]), rtol=1e-7)


def final(
    as_json: AsJson, *overrides: str, estimators: Sequence[str]
) -> dict[str, dict[str, float]]:
    """The last metrics of one training under several estimators."""
    answer = as_json("sweep", *STUDY, "norm.momentum=0.1", *overrides,
                     f"norm.estimator={','.join(estimators)}")  # fmt: skip
    rows = normexp.read(answer["directory"]).set_index("norm.estimator")
    return rows.to_dict("index")  # type: ignore[return-value]


def test_the_references_are_what_the_metrics_have(as_json: AsJson) -> None:
    """Population and test batch as estimators give the losses that every run has as references."""
    rows = final(as_json, estimators=["ema", "population", "test_batch"])

    reference = rows["ema"]
    assert rows["population"]["test_loss"] == pytest.approx(reference["test_loss_population"])
    assert rows["test_batch"]["test_loss"] == pytest.approx(reference["test_loss_test_batch"])
    assert rows["ema"]["test_loss"] != pytest.approx(reference["test_loss_population"], rel=1e-3)


def test_a_mixture_goes_from_running_statistics_to_the_test_batch(as_json: AsJson) -> None:
    """Its ends are the two, and its middle is neither."""
    losses = []
    for mix in (0.001, 0.5, 0.999):
        rows = final(as_json, f"norm.mix={mix}", estimators=["ema", "mixed", "test_batch"])
        losses.append(rows["mixed"]["test_loss"])
    ends = rows["ema"]["test_loss"], rows["test_batch"]["test_loss"]

    assert losses[0] == pytest.approx(ends[0], rel=2e-4)
    assert losses[2] == pytest.approx(ends[1], rel=2e-4)
    assert ends[0] != pytest.approx(ends[1], rel=4e-3)
    assert losses[1] not in (pytest.approx(ends[0], rel=2e-4), pytest.approx(ends[1], rel=2e-4))


@pytest.mark.parametrize("mix", [0.1, 0.7])
def test_a_mixture_in_float64_has_its_share_in_float64(as_json: AsJson, mix: float) -> None:
    """Of the input's mean: (1 − m)·running + m·test batch, to the last digits."""
    words = [*STUDY, "norm.momentum=0.1", "norm.estimator=ema,mixed", f"norm.mix={mix}",
             "train.dtype=float64"]  # fmt: skip
    answer = as_json("sweep", *words)
    runs = normexp.read(answer["directory"]).set_index("norm.estimator")["run_id"]
    stats = normexp.read(answer["directory"], "stats")
    last = stats[(stats["step"] == stats["step"].max()) & (stats["layer"] == "input")]
    ema, mixed = (last[last["run_id"] == runs[name]]["running_mean"] for name in ("ema", "mixed"))
    of_tests = draw(normexp.load(*words).runs[0].config).test_x.double().mean(1)

    wanted = (1 - mix) * ema.to_numpy() + mix * of_tests.numpy().ravel()
    np.testing.assert_allclose(mixed.to_numpy(), wanted, rtol=1e-13)


def test_statistics_computed_anew_stay_until_the_next_evaluation_point(tmp_path: Path) -> None:
    """Between two points a run's table repeats those of the last."""
    mean, _ = running(tmp_path, "norm.estimator=precise")
    points = [0, 3, 6, 9]

    for start, end in pairwise(points):
        assert (mean[start:end] == mean[start]).all()
        assert (mean[end] != mean[start]).any()


NAMES = ["debiased", "divided", "warmup", "window", "mixed", "test_batch", "population",
         "precise", "recalibrated"]  # fmt: skip


def test_an_estimator_does_not_see_its_company(as_json: AsJson, tmp_path: Path) -> None:
    """Each estimator's files have the same bits alone and beside all others, longer windows too."""
    study = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=1", "log.every=1"]
    together = as_json("sweep", *study, f"norm.estimator={','.join(NAMES)}", "seed=0,1",
                       "norm.window=2,5")  # fmt: skip
    found = {path.name: path for path in (tmp_path / "runs/bn_regression").glob("batch-*")}
    assert together["runs"] == len(found) == 2 * (len(NAMES) + 1)
    for name in NAMES:
        alone = as_json("sweep", *study, f"norm.estimator={name}", "norm.window=2",
                        f"store.dir={name}")  # fmt: skip
        (run,) = (tmp_path / alone["directory"]).parents[1].glob("batch-*")
        (twin,) = (path for path in found.values() if path.name[-12:] == run.name[-12:])
        for table in ("metrics", "stats", "layers"):
            file = f"{table}.parquet"
            assert (run / file).read_bytes() == (twin / file).read_bytes(), name


def test_references_are_those_of_drifting_inputs_as_they_are_now(as_json: AsJson) -> None:
    """The weights of a point stand still, and so do the inputs that they are given."""
    rows = final(as_json, "data=drift", "data.rate=0.05", estimators=["ema", *NAMES[4:]])
    losses = {name: row["test_loss"] for name, row in rows.items()}

    assert losses["recalibrated"] == pytest.approx(losses["population"], rel=0.02)
    assert losses["precise"] == pytest.approx(losses["population"], rel=0.2)


@pytest.mark.parametrize("model", [["model=lenet", "data=digits"], ["norm=ghost", "norm.size=8"]])
def test_every_estimator_works_on_images_and_on_virtual_batches(
    model: list[str], as_json: AsJson
) -> None:
    """From one training; and those that are near the truth are near each other."""
    small = ["data.train_size=64", "data.test_size=32", "train.batch_size=32", "train.epochs=1"]
    size = small if "model=lenet" in model else SMALL
    answer = as_json("sweep", *size, "norm=batch", *model, "norm.momentum=0.1", "seed=0",
                     f"norm.estimator=ema,{','.join(NAMES)}")  # fmt: skip
    losses = normexp.read(answer["directory"]).set_index("norm.estimator")["test_loss"]

    assert answer["trained"] == 1
    assert len(losses) == len(NAMES) + 1
    assert losses["recalibrated"] == pytest.approx(losses["population"], rel=0.05)
    assert losses.notna().all()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("norm.momentum_schedule=exponential norm.final_momentum=0", "needs momenta above 0"),
        ("norm.estimator=divided norm.momentum=0", "needs a momentum above 0"),
        ("norm.estimator=debaised", "did you mean norm.estimator=debiased"),
        ("norm.mix=1.5", "from 0 to 1"),
        ("norm.window=0", "from 1"),
        ("norm.initial_var=-1", "from 0"),
    ],
)
def test_what_makes_no_sense_is_refused(
    typed: str, message: str, normexp: Callable[..., Result]
) -> None:
    """In one line, with what is allowed."""
    result = normexp("plan", "norm=batch", "norm.momentum=0.1", *typed.split())

    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize("typed", ["norm.momentum=0.3", "norm.window=3", "norm.initial_var=0"])
def test_what_is_typed_in_vain_is_told_of(typed: str, as_json: AsJson) -> None:
    """A reference reads neither momentum nor window nor initial value."""
    plan = as_json("plan", *SMALL, "norm=batch", "norm.estimator=population", typed)

    assert any(note.startswith(f"{typed} has no effect here") for note in plan["notes"])


def test_a_reference_has_no_momentum_in_the_table(normexp: Callable[..., Result]) -> None:
    """Nor is it called the cumulative mean, though momentum is null in both."""
    result = normexp("sweep", *SMALL, "norm=batch", "norm.estimator=population", "seed=0,1")

    assert result.exit_code == 0, result.stderr
    assert "cumulative" not in result.stdout
