"""The figures of a report hold the numbers of the runs' files."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pytest
from conftest import SMALL, store_of
from reports import cells, finals, rows_of, specs, stored
from typer.testing import Result

from normexp.engine.pictures import Picture, pictures
from normexp.insight.course import courses
from normexp.insight.training import trainings_of
from normexp.report.source import gather
from normexp.store.stored import stored as stored_run
from normexp.store.tables import read_trajectory
from normexp.study.asked import as_asked

T = 4.302653
"""Student's t at two degrees of freedom, for 95 %."""

ARMS = [f"{norm}, batch size {size}" for norm in
        ("no norm", "batch 0.1", "batch 0.5", "batch cumulative") for size in (8, 16)]  # fmt: skip


def test_the_headline_has_the_means_of_the_files(page: str, reported: Path) -> None:
    """Of all arms, in the table and in the chart."""
    head, *rows = cells(page, "headline")
    told = {row[0]: row[head.index("test loss")].split(" ± ")[0] for row in rows}
    drawn = rows_of(page, "headline").set_index("arm")["mean"]
    means = finals(reported).groupby("arm")["test_loss"].mean()

    assert set(told) == set(drawn.index) == set(means.index) == set(ARMS)
    for arm in ARMS:
        assert drawn[arm] == pytest.approx(means[arm], rel=1e-5)
        assert float(told[arm].rstrip("~")) == pytest.approx(means[arm], rel=2e-2)


def test_the_course_of_the_loss_is_drawn_from_the_files(page: str, reported: Path) -> None:
    """Means over seeds at each epoch."""
    drawn = rows_of(page, "test-loss").set_index(["arm", "x"])["mean"].sort_index()
    expected = stored(reported).groupby(["arm", "epoch"])["test_loss"].mean()

    np.testing.assert_allclose(drawn, expected, rtol=1e-5)


@pytest.mark.parametrize(("figure", "value"), [("momentum-curve", "test_loss"),
                                               ("momentum-excess", "excess_loss")])  # fmt: skip
def test_every_point_of_a_momentum_curve_is_the_mean_of_its_runs(
    page: str, reported: Path, figure: str, value: str
) -> None:
    """With its interval; on a logarithmic axis costs below zero stand at its end."""
    drawn = rows_of(page, figure)
    points = drawn[drawn["what"] == "point"].set_index("arm")
    runs = finals(reported).groupby("arm")[value]
    floor = points["mean"].min()

    assert set(points.index) == set(ARMS[2:])
    for arm, mine in runs:
        if arm in points.index:
            assert points["n"][arm] == len(mine) == 3
            mean = mine.mean() if mine.mean() > 0 else floor
            assert points["mean"][arm] == pytest.approx(mean, rel=1e-4)
            high = mine.mean() + T * mine.std() / 3**0.5
            assert points["high"][arm] == pytest.approx(high, rel=1e-4)


def test_levels_ring_and_prediction_stand_in_each_panel(
    page: str, reported: Path, as_json: Callable[..., Any]
) -> None:
    """Population and no norm, the least mean, and the best momentum of `normexp predict`."""
    drawn = rows_of(page, "momentum-curve").set_index("cell")
    runs = finals(reported)
    predicted = as_json("predict", "bn_regression", "--dir", str(reported))
    best = {each["values"]["train.batch_size"]: each["best"]["momentum"] for each in predicted}

    for size in (8, 16):
        mine = drawn.loc[f"batch size {size}"].set_index("what")
        own = runs[runs["arm"].str.endswith(f"size {size}")]
        batch = own[own["arm"].str.startswith("batch")]
        levels = mine.loc["level"].set_index("level")["mean"]
        population = batch["test_loss_population"].mean()  # three times the same three numbers
        plain = own[own["arm"].str.startswith("no norm")]["test_loss"].mean()
        assert levels["population"] == pytest.approx(population, rel=1e-4)
        assert levels["no norm"] == pytest.approx(plain, rel=1e-4)
        least = batch.groupby("arm")["test_loss"].mean().min()
        assert mine.loc["best"]["mean"] == pytest.approx(least, rel=1e-4)
        assert mine.loc["predicted"]["x"] == best[size]


def test_both_conventions_label_the_same_places(page: str) -> None:
    """An axis with a, one with 1 − a."""
    text = json.dumps(specs(page)["momentum-curve"])

    found = set(re.findall(r'"labelExpr": "(format.*?)"', text))
    assert found == {"format(datum.value, '.6~g')", "format(1 - datum.value, '.6~g')"}


def test_the_heat_map_has_every_mean_and_marks_the_least(page: str, reported: Path) -> None:
    """Momentum goes right, batch size up."""
    drawn = rows_of(page, "heat-map").set_index("arm")
    means = finals(reported).groupby("arm")["test_loss"].mean()[ARMS[2:]]

    assert set(drawn.index) == set(means.index)
    for arm in ARMS[2:]:
        assert drawn["value"][arm] == pytest.approx(means[arm], rel=1e-4)
        assert arm.endswith(f"size {drawn['y'][arm]}")
    assert list(drawn.index[drawn["best"]]) == [means.idxmin()]


@pytest.mark.usefixtures("undrawn")
def test_cells_that_were_not_run_are_empty(normexp: Callable[..., Result], tmp_path: Path) -> None:
    """A grid with a hole shows the hole; there is a curve of one batch size only."""
    small = [each for each in SMALL if "batch_size" not in each]
    for momenta, size in (("0.1,0.5", 8), ("0.1", 16)):
        store_of(tmp_path / "runs", *small, "norm=batch", f"norm.momentum={momenta}",
                 f"train.batch_size={size}")  # fmt: skip

    assert normexp("report", "--out", "out").exit_code == 0
    page = Path("out/report.html").read_text()
    rows = rows_of(page, "heat-map")
    empty = rows[rows["value"].isna()]
    assert list(zip(empty["x"], empty["y"], strict=True)) == [("0.5|0.5", "16")]
    assert set(rows_of(page, "momentum-curve")["arm"].dropna()) == {
        "batch 0.1, batch size 8", "batch 0.5, batch size 8"
    }  # fmt: skip


@pytest.mark.parametrize("column", ["mean_error", "log_var_ratio"])
def test_errors_by_step_are_means_of_what_is_stored(page: str, reported: Path, column: str) -> None:
    """Every drawn value is the mean over seeds of the table `layers`."""
    drawn = rows_of(page, column.replace("_", "-"))
    points = drawn[drawn["what"] == "point"].set_index(["arm", "x", "layer"])["mean"]
    table = stored(reported, "layers").astype({"layer": str})
    expected = table.groupby(["arm", "step", "layer"])[column].mean()

    assert len(points) == len(expected) == 6 * 3 * 3  # arms, points, layers
    on_axis = expected.loc[points.index]
    if column == "mean_error":  # whose axis is logarithmic, and has no zero
        on_axis = on_axis.where(on_axis > 0, points.min())
    np.testing.assert_allclose(points, on_axis, rtol=1e-3, atol=1e-9)


def test_parts_of_the_budget_are_those_of_normexp_budget(
    page: str, reported: Path, as_json: Callable[..., Any]
) -> None:
    """Root mean squares at the end, means over seeds."""
    budgets = as_json("budget", "bn_regression", "--dir", str(reported))
    drawn = rows_of(page, "error-budget")
    last = drawn[drawn["epoch"] == drawn["epoch"].max()]
    kept = [each for each in budgets if "m0.5-b8" in each["label"]]

    assert len(kept) == 3
    shown = last[last["arm"] == "batch 0.5, batch size 8"].set_index(["layer", "part"])["value"]
    assert ("hidden1", "drift") in shown.index
    for (layer, part), value in shown.items():
        key = {"initial value": "initial", "whole error": "error"}.get(part, part)
        means = [b["mean"][key] for run in kept for b in run["layers"] if b["layer"] == layer]
        assert value == pytest.approx(np.mean(means), rel=1e-2)


@pytest.mark.usefixtures("undrawn")
def test_many_seeds_and_references_are_said_in_notes(
    normexp: Callable[..., Result], tmp_path: Path
) -> None:
    """Eight of ten seeds are read, and an arm that averages nothing has no error."""
    for estimator in ("ema", "population"):
        store_of(tmp_path / "runs", *SMALL, "norm=batch", "norm.momentum=0.1",
                 f"norm.estimator={estimator}", "seed=range(10)")  # fmt: skip

    assert normexp("report", "--out", "out").exit_code == 0
    text = Path("out/report.md").read_text()
    assert "From 8 of 10 seeds." in text
    assert "population, which average nothing." in text


def test_theory_is_exact_before_the_first_step(reported: Path) -> None:
    """Nothing but the initial value is off there, and that is known."""
    source = gather(reported, as_asked(["bn_regression"], named=True))
    tracked = [row for row in source.complete if "norm.momentum" in row][:2]
    frame = source.table(tracked, "layers").query("step == 0").set_index("run_id")
    known = courses(trainings_of(source.stored(tracked)), [0]).set_index("run_id")

    assert {*known.index} == {row["run_id"] for row in tracked}
    for run in {*known.index}:
        own = frame.loc[run]["mean_error"].to_numpy()
        assert known.loc[run]["error"].to_numpy() == pytest.approx(own, rel=1e-5)
    assert (known["error_variance"] == 0).all()


def test_theory_knows_the_noise_of_batches_without_replacement(tmp_path: Path) -> None:
    """Of the input, which no weight moves: most points lie within two standard deviations."""
    overrides = [*SMALL, "data.train_size=160", "train.epochs=6", "norm=batch", "norm.momentum=0.5"]
    store_of(tmp_path, *overrides, "seed=range(12)", "model.input_norm=true")
    source = gather(tmp_path, as_asked([]))
    frame = source.table(source.complete, "layers")
    found = frame.merge(
        courses(trainings_of(source.runs), range(7)), on=["run_id", "step", "layer"]
    )
    found = found[(found["layer"] == "input") & (found["step"] > 0)]
    off = (found["mean_error"] - found["error"]).abs()

    assert len(found) == 12 * 6
    assert (off < 2.5 * np.sqrt(found["error_variance"])).mean() > 0.85
    assert found["mean_error"].mean() == pytest.approx(found["error"].mean(), rel=0.35)


def typical_seed(reported: Path, arms: list[str]) -> int:
    """The seed nearest to the arms' medians by rank: of three, the middle one counts nothing."""
    runs = finals(reported)
    runs = runs[runs["arm"].isin(arms)]
    ranks = runs.groupby("arm")["test_loss"].rank()
    away = (ranks - 2).abs().groupby(runs["seed"]).sum()
    return int(str(away.sort_index().idxmin()))


def test_a_curve_is_what_the_run_has_predicted(page: str, reported: Path) -> None:
    """Over the test points at every epoch; the mean square error is its seed's test loss."""
    drawn = rows_of(page, "fitted-curves")
    metrics = stored(reported)
    losses = metrics[metrics["seed"] == typical_seed(reported, ARMS)].set_index(["arm", "epoch"])
    tests = drawn[drawn["kind"] == "y"].set_index(["cell", "epoch"])

    curves = drawn[drawn["kind"] == "prediction"]
    assert len(curves) == len(ARMS) * 3
    for _, row in curves.iterrows():
        assert row["arm"].endswith(row["cell"])
        dots = tests.loc[row["cell"], row["epoch"]]
        assert row["x"] == dots["x"]
        loss = losses["test_loss"][row["arm"], row["epoch"]]
        assert np.square(np.subtract(row["y"], dots["y"])).mean() == pytest.approx(loss, rel=1e-3)


def test_sliders_have_every_momentum_in_both_conventions_and_every_epoch(page: str) -> None:
    """By size, the cumulative mean last; at each epoch one curve of each arm passes the filter."""
    controls = specs(page)["fitted-curves"]["controls"]
    drawn = rows_of(page, "fitted-curves")
    curves = drawn[drawn["kind"] == "prediction"]
    momenta = curves.drop_duplicates("arm").set_index("arm")["momentum"]

    assert controls["momentum"]["values"] == ["0.1", "0.5", "cumulative"]
    assert controls["momentum"]["words"][0] == "0.1 (Keras 0.9)"
    assert controls["momentum"]["words"][1] == "0.5 (Keras 0.5)"
    assert controls["momentum"]["words"][2].startswith("cumulative")
    assert list(momenta[ARMS]) == [m for m in ("", "0.1", "0.5", "cumulative") for _ in (8, 16)]
    for epoch in controls["epoch"]["values"]:
        shown = curves[(curves["from"] <= epoch) & (epoch < curves["until"])]
        assert sorted(shown["arm"]) == sorted(ARMS)


def test_histograms_are_shares_of_all_values(page: str, reported: Path) -> None:
    """Of the best momentum and no norm: counts over test points times channels, also outside."""
    drawn = rows_of(page, "histograms")
    runs = finals(reported)
    means = runs.groupby("arm")["test_loss"].mean()[ARMS]
    best = str(means[2:].idxmin())
    arms = [f"no norm, {best.partition(', ')[2]}", best]
    runs = runs[runs["seed"] == typical_seed(reported, arms)].set_index("arm")
    seen = {arm: _pictures(Path(runs["directory"][arm])) for arm in arms}

    assert set(drawn["arm"]) == set(arms)
    assert len(drawn) == 2 * 3 * 2 * 3  # arms, layers, kinds, epochs
    for _, row in drawn.iterrows():
        kind = row["kind"].removesuffix("s").replace("-", "_")
        low, _, counts, total = seen[row["arm"]][row["from"]].histograms[row["layer"], kind]
        assert total == 20 * (1 if row["layer"] == "input" else 4)  # test points and channels
        np.testing.assert_allclose(row["share"], counts / total, rtol=1e-3)
        assert row["low"] == pytest.approx(low)


def _pictures(directory: Path) -> dict[int, Picture]:
    """A stored run's, computed from its training."""
    run = stored_run(directory)
    record = read_trajectory(run.trajectory)
    (found,) = pictures(record, [run.config], range(record.epochs + 1))
    return found


@pytest.mark.usefixtures("undrawn")
def test_without_trainings_the_report_says_why_pictures_are_missing(
    normexp: Callable[..., Result], tmp_path: Path
) -> None:
    """Of all runs figures are left out, errors without theory; of some, a sentence says which."""
    place = store_of(tmp_path / "runs", *SMALL, "norm=none,batch", "norm.momentum=0.1", "seed=0")
    trainings = place / "bn_regression/trajectories"
    shutil.rmtree(trainings / finals(place).set_index("arm")["training"]["no norm, batch size 16"])
    assert normexp("report", "--out", "out").exit_code == 0
    some = Path("out/report.md").read_text()
    shutil.rmtree(trainings)
    trainings.mkdir()
    result = normexp("report", "--out", "out")

    assert some.count("Without no norm: its training is no longer in the store.") == 2
    assert result.exit_code == 0, result.output
    text = Path("out/report.md").read_text()
    assert "Without theory" in text
    assert "Error budget of the running means: the trainings are not there" in text
    for title in ("Fitted curves", "Histograms of the layers"):
        assert f"{title}: its training is no longer in the store" in text


def test_numbers_stay_with_their_units(page: str) -> None:
    """No line ends between a number and its per cent sign."""
    texts = re.findall(r'class="sentence"[^>]*>(.*?)</p>|<figcaption>(.*?)</figcaption>', page)

    percents = [each for pair in texts for text in pair for each in re.findall(r"\d.%", text)]
    assert percents
    assert {each[1] for each in percents} == {"\u00a0"}


def test_a_legend_lists_what_is_drawn_and_tells_all_apart(page: str, reported: Path) -> None:
    """Eight arms look like eight; none is grey, since two have no norm."""
    errors = (reported / "reports/bn_regression/figures/mean-error.svg").read_text("utf-8")
    looks = re.findall(
        r'data-arm="[^"]+"><svg.*?stroke="var\(--(\w+)\)".*?<path d="([^"]+)" fill="var',
        page,
        re.DOTALL,
    )

    assert ">batch 0.5, batch size 8</text>" in errors
    assert ">no norm, batch size 8</text>" not in errors
    assert len({color for color, _ in looks}) == len({mark for _, mark in looks}) == 8
    assert "arm0" not in dict(looks)
    for color in dict(looks):
        assert len(re.findall(rf"--{color}: #[0-9a-f]{{6}};", page)) >= 2, color


def test_charts_are_valid_vega_lite(page: str) -> None:
    """By Altair's copy of its schema, which refuses a mark that there is not."""
    found = {name: each["spec"] for name, each in specs(page).items()}
    for spec in found.values():
        alt.Chart.from_dict(spec)

    wrong = json.loads(json.dumps(found["headline"]).replace('"type": "tick"', '"type": "tock"'))
    with pytest.raises(Exception, match="tock"):
        alt.Chart.from_dict(wrong)


def test_numbers_in_charts_are_finite(page: str) -> None:
    """JSON has no other, and what is not known is left out."""
    for name in specs(page):
        for column, values in rows_of(page, name).select_dtypes("number").items():
            assert all(map(math.isfinite, values.dropna())), (name, column)
