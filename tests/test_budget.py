"""Error budgets: initial value + drift + noise is what running statistics are off by, exactly."""

import json
import shutil
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SMALL, AsJson, store_of
from reference import PlainMlp, batch_norm
from torch import nn
from typer.testing import CliRunner, Result

import normexp
from normexp.cli import app
from normexp.data.draw import draw
from normexp.engine.train import train
from normexp.insight.budget import budgets, median_of
from normexp.insight.forecast import forecasts

PARTS = ("initial", "drift", "noise")

RUNS = ["norm=batch", "norm.momentum=0.05,0.3,null", "seed=0,1", "train.dtype=float64",
        "norm.estimator=ema,debiased,divided,warmup,window", "norm.initial_mean=0.5"]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trainings of every average, in float64."""
    return store_of(tmp_path_factory.mktemp("budget"), *SMALL, *RUNS)


def budget_and_stats(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The budgets of a store, and the stored statistics at the same points."""
    key = ["run_id", "step", "layer", "channel"]
    stats = normexp.read(path, table="stats").dropna(subset="population_mean")
    both = [each.astype({"layer": str, "run_id": str}) for each in (normexp.budget(path), stats)]
    budget, stored = (each.sort_values(key).reset_index(drop=True) for each in both)
    assert (budget[key] == stored[key]).all().all()
    return budget, stored


@pytest.mark.parametrize("overrides", [
    [],
    ["norm.running_variance=biased"],
    ["norm=ghost", "norm.size=6"],
    ["norm=batch_renorm"],
    ["norm=ema_train"],
    ["norm.momentum_schedule=cosine", "norm.final_momentum=0.02"],
    ["data=drift", "data.rate=0.01"],
])  # fmt: skip
def test_the_parts_add_up_to_what_is_stored(overrides: list[str], tmp_path: Path) -> None:
    """To float64 rounding, in every channel at every evaluation point, by the stored tables."""
    base = ["norm=batch", "norm.momentum=0.1", "seed=0", "train.dtype=float64"]
    store_of(tmp_path, *SMALL, *base, *overrides)
    budget, stored = budget_and_stats(tmp_path)

    sigma = stored["population_var"] ** 0.5
    mean = (stored["running_mean"] - stored["population_mean"]) / sigma
    var = stored["running_var"] / stored["population_var"] - 1
    assert abs(mean).max() > 0.01
    for of, error in (("mean", mean), ("var", var)):
        total = sum(budget[f"{of}_{part}"] for part in PARTS)
        scale = 1 + abs(budget[[f"{of}_{part}" for part in PARTS]]).max(axis=1)
        np.testing.assert_allclose(total / scale, error / scale, rtol=0, atol=1e-13)
        np.testing.assert_allclose(budget[f"{of}_error"] / scale, total / scale, atol=1e-14)
    np.testing.assert_allclose(budget["log_var_ratio"], np.log1p(var), rtol=1e-9, atol=1e-12)


def test_every_average_has_its_budget(store: Path) -> None:
    """The same identity for debiased, divided, warmed up, windowed and cumulative averages."""
    budget, stored = budget_and_stats(store)
    error = (stored["running_mean"] - stored["population_mean"]) / stored["population_var"] ** 0.5
    total = sum(budget[f"mean_{part}"] for part in PARTS)
    var = stored["running_var"] / stored["population_var"] - 1
    total_var = sum(budget[f"var_{part}"] for part in PARTS)

    np.testing.assert_allclose(total_var, var, rtol=1e-11, atol=1e-12)
    assert budget["run_id"].nunique() == 2 * (1 + 2 * 4 + 1)
    np.testing.assert_allclose(total, error, rtol=0, atol=1e-12)


def test_each_part_is_what_its_name_says(store: Path) -> None:
    """By hand, from the stored tables of one run: weights times what they weigh."""
    rows = normexp.read(store)
    run = rows[(rows["norm.momentum"] == 0.05) & (rows["norm.estimator"] == "ema")].iloc[0]
    budget = normexp.budget(store)
    mine = budget[(budget["run_id"] == run["run_id"]) & (budget["step"] == 6)]
    trajectory = Path(run["directory"]).parent / "trajectories" / run["trajectory_id"]
    batches = by_step(pd.read_parquet(trajectory / "batch_stats.parquet"), "batch_mean")
    truth = by_step(pd.read_parquet(trajectory / "population.parquet"), "population_mean")
    var = by_step(pd.read_parquet(trajectory / "population.parquet"), "population_var")
    then = np.array(
        [truth[e] + i / 3 * (truth[e + 1] - truth[e]) for e in range(2) for i in range(3)]
    )
    weights = 0.05 * 0.95 ** np.arange(5, -1, -1)[:, None]
    by_hand = {
        "initial": 0.95**6 * (0.5 - truth[2]),
        "drift": (weights * (then - truth[2])).sum(0),
        "noise": (weights * (batches - then)).sum(0),
    }

    for part, expected in by_hand.items():
        np.testing.assert_allclose(mine[f"mean_{part}"], expected / var[2] ** 0.5, atol=1e-13)


def by_step(table: pd.DataFrame, values: str) -> np.ndarray[Any, Any]:
    """A row a step, a column a channel."""
    index = ["layer", "channel"]
    return table.pivot_table(values, "step", index, observed=True, sort=False).to_numpy()


def test_parts_that_cannot_be_are_nothing(store: Path) -> None:
    """Before training all is initial value; the input's population never drifts, others' do."""
    budget = normexp.budget(store)
    start = budget[budget["step"] == 0]
    hidden = budget[(budget["layer"] == "hidden2") & (budget["step"] > 0)]

    assert (start[["mean_drift", "mean_noise", "var_drift", "var_noise"]] == 0).all().all()
    assert (start["mean_initial"] == start["mean_error"]).all()
    assert abs(budget[budget["layer"] == "input"]["mean_drift"]).max() < 1e-12
    assert abs(hidden["mean_drift"]).max() > 1e-6


def command(*arguments: str) -> Result:
    """The command line."""
    return CliRunner().invoke(app, ["budget", *arguments])


def test_a_study_is_summed_up_by_arm(store: Path) -> None:
    """Medians over seeds, a row an arm, as wide as a terminal."""
    result = command("bn_regression", "--dir", str(store))
    lines = [line.split() for line in result.stdout.splitlines()]

    assert result.exit_code == 0, result.stderr
    assert sum(words[:3] == ["0.05", "ema", "2"] for words in lines) == 1
    assert sum(words[:3] == ["cumulative", "cumulative", "2"] for words in lines) == 1
    assert sum(len(words) > 2 and words[2] == "2" for words in lines) == 10


def test_a_run_is_shown_layer_by_layer(store: Path, as_json: AsJson) -> None:
    """And what its error costs; the same as data."""
    (run,) = normexp.read(store).query(
        "`norm.momentum` == 0.05 and `norm.estimator` == 'ema' and seed == 0"
    )["run_id"]
    text = command(run, "--dir", str(store)).stdout
    (data,) = as_json("budget", run, "--dir", str(store))

    assert [layer["layer"] for layer in data["layers"]] == ["input", "hidden1", "hidden2"]
    assert all(layer["layer"] in text for layer in data["layers"])
    assert "raises the training loss by" in text
    assert set(data["cost"]) == {*PARTS, "error"}


def test_the_cost_is_what_a_plain_networks_training_loss_rises_by(tmp_path: Path) -> None:
    """With running statistics in the place of the population's; `predict` has the loss itself."""
    typed = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0", "train.dtype=float64"]
    (run,) = normexp.load(*typed).runs
    normexp.sweep(*typed, f"store.dir={tmp_path}")
    stats = normexp.read(tmp_path, table="stats").query("step == 6")
    network = PlainMlp(2, 4, norm=batch_norm(0.1), input_norm=True).double()
    record = train([run.config])
    network.put({name: values[0, -1] for name, values in record.weights.items()})
    examples, losses = draw(run.config), {}
    for of in ("running", "population"):
        mean, var = (torch.tensor(stats[f"{of}_{what}"].to_numpy()) for what in ("mean", "var"))
        off = predict(network, mean, var, examples.x.T) - examples.y.T
        losses[of] = float(off.square().mean())
    ((found,), _) = budgets(tmp_path, None)
    ((forecast,), _) = forecasts(tmp_path, None)
    (tried,) = (each for each in forecast.tried if each.momentum == 0.1)

    assert found.cost["error"] == pytest.approx(losses["running"] - losses["population"])
    assert tried.training_loss == pytest.approx(losses["running"])
    assert tried.cost == pytest.approx(found.cost["error"])


def predict(
    network: PlainMlp, mean: torch.Tensor, var: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    """Predictions in evaluation mode under these statistics, channels in order."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm1d)]
    norms.sort(key=lambda norm: norm.num_features)  # the input's first, the others are in order
    widths = [norm.num_features for norm in norms]
    for norm, m, v in zip(norms, torch.split(mean, widths), torch.split(var, widths), strict=True):
        norm.running_mean, norm.running_var = m, v
    network.eval()
    with torch.no_grad():
        prediction: torch.Tensor = network(x)
    return prediction


def test_what_has_no_budget_says_so(tmp_path: Path) -> None:
    """In one line, with what to type instead."""
    store_of(tmp_path / "none", *SMALL, "norm=none", "seed=0")
    store_of(tmp_path / "mean", *SMALL, "norm=batch", "norm.estimator=population", "seed=0")
    store_of(tmp_path / "runs", *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0")
    (run,) = (tmp_path / "runs/bn_regression").glob("batch-*")
    copied = run.rename(tmp_path / run.name)  # without its training
    for path, code, message in (
        ("nowhere", 3, "no study, sweep, run or trajectory 'nowhere'"),
        (tmp_path / "none/bn_regression", 2, "has running statistics"),
        (tmp_path / "mean/bn_regression", 2, "is normalised by an average"),
        (copied, 3, "is not beside it"),
    ):
        result = command(str(path))
        assert (result.exit_code, message in result.stderr) == (code, True), result.stderr
        assert "hint:" in result.stderr


def test_a_loss_that_is_not_finite_is_no_reason_to_fail(tmp_path: Path) -> None:
    """An absurd initial value leaves its run without a loss, and the others with their budgets."""
    store_of(tmp_path, *SMALL, "norm=batch", "norm.momentum=0.1", "norm.initial_mean=0,1e308",
             "seed=0,1")  # fmt: skip
    result = command("bn_regression", "--dir", str(tmp_path))
    names = [path.name for path in (tmp_path / "bn_regression").glob("batch-*1e+308*")]

    assert result.exit_code == 0, result.stderr
    assert "–" in result.stdout
    assert command(names[0], "--dir", str(tmp_path)).exit_code == 0


def test_a_copy_without_its_training_hides_no_run(store: Path, tmp_path: Path) -> None:
    """In a later study that has the run alone: the training beside the other copy counts."""
    shutil.copytree(store, tmp_path / "runs")
    before = json.loads(command("bn_regression", "--json").stdout)
    for run in (tmp_path / "runs/bn_regression").glob("batch-*"):
        shutil.copytree(run, tmp_path / "runs/zz" / run.name)
    (tmp_path / "runs/zz/sweeps").mkdir()
    both = json.loads(command("runs", "--json").stdout)

    assert before
    assert {each["run_id"] for each in both} == {each["run_id"] for each in before}


@pytest.mark.parametrize("values", [(nan, 1.0, 2.0), (1.0, nan, 2.0), (1.0, 2.0, nan)])
def test_a_median_knows_no_order(values: tuple[float, ...]) -> None:
    """With one seed that has no loss there is none of all, wherever that seed stands."""
    assert isnan(median_of(values))
