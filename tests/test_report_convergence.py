"""How a report draws the convergence of running statistics, and what their error is made of."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import SMALL, store_of
from typer.testing import CliRunner, Result

from normexp.cli import app
from normexp.insight.course import courses
from normexp.insight.training import trainings
from normexp.report.source import gather

MOMENTA = ("0.01", "0.3", "null")
SEEDS = 10

STUDY = "bn_regression"
"""The default, whose axes are replaced."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three averages, a reference and no norm, on ten seeds, reported on."""
    place = tmp_path_factory.mktemp("store")
    small = [*SMALL, "train.epochs=8", "norm=batch"]
    store_of(place, *small, f"norm.momentum={','.join(MOMENTA)}", f"seed=range({SEEDS})")
    store_of(place, *small, "norm.estimator=population", f"seed=range({SEEDS})")
    result = CliRunner().invoke(app, ["report", STUDY, "--dir", str(place)])
    assert result.exit_code == 0, result.output
    return place


@pytest.fixture(scope="module")
def text(store: Path) -> str:
    """The page."""
    return (store / "reports" / STUDY / "report.html").read_text("utf-8")


def rows_of(text: str, figure: str) -> list[dict[str, Any]]:
    """What a figure draws."""
    found = re.search(f'data-for="{figure}">(.*?)</script>', text, re.DOTALL)
    assert found is not None, figure
    (rows,) = json.loads(found[1])["spec"]["datasets"].values()
    return list(rows)


def stored(store: Path, column: str) -> pd.DataFrame:
    """Means over the first eight seeds, by momentum, step and layer, from the Parquet files."""
    parts = []
    for path in store.glob(f"{STUDY}/*/layers.parquet"):
        config = json.loads((path.parent / "manifest.json").read_text())["config"]
        if config["seed"] < 8 and config["norm.estimator"] != "population":
            table = pd.read_parquet(path).astype({"layer": str})
            parts.append(table.assign(momentum=str(config["norm.momentum"])))
    whole = pd.concat(parts)
    return whole.groupby(["momentum", "step", "layer"])[column].mean().reset_index()


@pytest.mark.parametrize("column", ["mean_error", "log_var_ratio"])
def test_points_are_means_of_what_is_stored(store: Path, text: str, column: str) -> None:
    """Every drawn value is the mean over the sampled seeds of the table `layers`."""
    drawn = [each for each in rows_of(text, column.replace("_", "-")) if each["kind"] == "m"]
    expected = stored(store, column)

    assert len(drawn) == len(expected) == 3 * 9 * expected["layer"].nunique()
    for each in drawn:
        momentum = "None" if "cumulative" in each["arm"] else each["arm"].split()[-1]
        (value,) = expected[
            (expected["momentum"] == momentum)
            & (expected["step"] == each["step"])
            & (expected["layer"] == each["layer"])
        ][column]
        assert each["value"] == pytest.approx(value, rel=1e-3, abs=1e-9)


def test_half_lives_are_marked_where_momentum_has_one(text: str) -> None:
    """Ln 2 / −ln(1 − a); the cumulative mean has none, and one beyond the end is not drawn."""
    lives = {each["arm"]: each["step"] for each in rows_of(text, "mean-error")
             if each["kind"] == "h"}  # fmt: skip

    assert len(lives) == 1
    assert list(lives.values()) == [pytest.approx(math.log(2) / -math.log(0.7), rel=1e-3)]


def test_the_note_says_what_was_left_out(text: str) -> None:
    """Eight of ten seeds, and the arm that averages nothing."""
    assert "From 8 of 10 seeds." in text
    assert "population, which average nothing." in text


def test_parts_of_the_budget_are_those_of_normexp_budget(
    store: Path, as_json: Callable[..., Any], text: str
) -> None:
    """Root mean squares at the end, means over the sampled seeds."""
    found = as_json("budget", STUDY, "--dir", str(store))
    rows = [each for each in rows_of(text, "error-budget") if each["epoch"] == 8]
    first = [each for each in found if "m0.3" in each["label"]]
    kept = [each for each in first if re.search(r"-s[0-7]$", each["label"])]

    assert len(kept) == 8
    drawn = {(r["layer"], r["part"]): r["value"] for r in rows if "0.3" in r["arm"]}
    assert ("hidden1", "drift") in drawn
    for (layer, part), value in drawn.items():
        key = {"initial value": "initial", "whole error": "error"}.get(part, part)
        means = [b["mean"][key] for run in kept for b in run["layers"] if b["layer"] == layer]
        assert value == pytest.approx(np.mean(means), rel=1e-2)


def test_theory_is_exact_before_the_first_step(store: Path) -> None:
    """Nothing but the initial value is off there, and that is known."""
    source = gather(store, [STUDY])
    frame = source.frame("layers")
    for training in trainings(store, STUDY)[:2]:
        for course in courses(training, range(9)):
            own = frame[(frame["run_id"] == course.run.id) & (frame["step"] == 0)]
            assert course.error[0] == pytest.approx(own["mean_error"].to_numpy(), rel=1e-5)
            assert (course.error_variance[0] == 0).all()


def test_theory_knows_the_noise_of_batches_without_replacement(tmp_path: Path) -> None:
    """Of the input, which no weight moves: most points lie within two standard deviations."""
    overrides = [*SMALL, "data.train_size=160", "train.epochs=6", "norm=batch", "norm.momentum=0.5"]
    store_of(tmp_path, *overrides, "seed=range(12)", "model.input_norm=true")
    source = gather(tmp_path, [])
    frame = source.frame("layers")
    inside = []
    for training in trainings(tmp_path, None):
        (course,) = courses(training, range(7))
        own = frame[(frame["run_id"] == course.run.id) & (frame["layer"] == "input")]
        off = own["mean_error"].to_numpy() - course.error[:, 0]
        inside += (np.abs(off[1:]) < 2.5 * np.sqrt(course.error_variance[1:, 0])).tolist()
    measured = frame[(frame["layer"] == "input") & (frame["step"] > 0)]["mean_error"].mean()
    expected = np.mean([courses(each, range(7))[0].error[1:, 0].mean()
                        for each in trainings(tmp_path, None)])  # fmt: skip

    assert np.mean(inside) > 0.85
    assert measured == pytest.approx(expected, rel=0.35)


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_without_running_statistics_both_are_left_out(
    normexp: Callable[..., Result], norm: str
) -> None:
    """And the report says why."""
    assert normexp("sweep", *SMALL, f"norm={norm}").exit_code == 0
    result = normexp("report")

    assert result.exit_code == 0, result.output
    page = next(Path("runs/reports").rglob("report.md")).read_text("utf-8")
    assert "Convergence of the running statistics: no run has running statistics" in page
    assert "Error budget of the running means: no run has running statistics" in page


def test_a_run_without_its_training_is_drawn_without_theory(normexp: Callable[..., Result]) -> None:
    """Measured errors are the run's own; the budget says what is missing."""
    assert normexp("sweep", *SMALL, "norm=batch").exit_code == 0
    for path in sorted(Path("runs").rglob("trajectories/*/*")):
        path.unlink()
    for path in Path("runs").rglob("trajectories/*"):
        path.rmdir()
    result = normexp("report")

    assert result.exit_code == 0, result.output
    page = next(Path("runs/reports").rglob("report.md")).read_text("utf-8")
    assert "Without theory" in page
    assert "Error budget of the running means: the trainings are not there" in page
