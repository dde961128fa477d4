"""S1's pictures in a report: fitted curves and histograms of layers."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SMALL, store_of
from typer.testing import CliRunner

import normexp
from normexp.cli import app
from normexp.engine.pictures import Picture, pictures
from normexp.store.files import read_manifest
from normexp.store.places import located
from normexp.store.trajectory import read_trajectory

MOMENTA = ["0.1", "0.5", "cumulative"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No norm and three momenta, three seeds, and a report."""
    place = tmp_path_factory.mktemp("store")
    store_of(place, *SMALL, "norm.momentum=0.1,0.5,null", "seed=range(3)")
    _report(place)
    return place


@pytest.fixture(scope="module")
def tables(store: Path) -> dict[str, Any]:
    """What the store has, read by pandas."""
    return {n: normexp.read(store, n) for n in ("runs", "metrics")}


def _report(place: Path) -> Any:  # noqa: ANN401
    result = CliRunner().invoke(app, ["report", "bn_regression", "--dir", str(place), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def _figure(store: Path, name: str) -> Any:  # noqa: ANN401
    page = (store / "reports/bn_regression/report.html").read_text("utf-8")
    found = re.search(rf'data-for="{name}">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def _rows(figure: Any) -> list[Any]:  # noqa: ANN401
    (rows,) = figure["spec"]["datasets"].values()
    return list(rows)


def _run(runs: Any, arm: str, seed: int) -> Any:  # noqa: ANN401
    of = runs[(runs["seed"] == seed) & (runs["norm"] == ("none" if arm == "no norm" else "batch"))]
    if arm.endswith("cumulative"):
        of = of[of["norm.momentum"].isna()]
    elif arm != "no norm":
        of = of[of["norm.momentum"] == float(arm.removeprefix("batch "))]
    return of.iloc[0]


def _pictures(run: Any) -> dict[int, Picture]:  # noqa: ANN401
    """A stored run's, computed from its training."""
    directory = Path(run["directory"])
    record = read_trajectory(directory.parent / "trajectories" / run["trajectory_id"])
    (found,) = pictures(record, [located(read_manifest(directory))], range(record.epochs + 1))
    return found


def _seed(arms: list[str], runs: Any) -> int:  # noqa: ANN401
    """The seed nearest to the arms' medians by rank: of three, the middle one counts nothing."""
    away = dict.fromkeys(range(3), 0)
    for arm in arms:
        ranked = sorted(range(3), key=lambda seed: _run(runs, arm, seed)["test_loss"])
        for seed in (ranked[0], ranked[2]):
            away[seed] += 1
    return min(away, key=lambda seed: (away[seed], seed))


ARMS = ["no norm", "batch 0.1", "batch 0.5", "batch cumulative"]


@pytest.mark.parametrize("arm", ARMS)
def test_a_curve_is_what_the_run_has_predicted(
    store: Path, tables: dict[str, Any], arm: str
) -> None:
    """Over the test points at every epoch; the mean square error is its seed's test loss."""
    run = _run(tables["runs"], arm, _seed(ARMS, tables["runs"]))
    metrics = tables["metrics"]
    losses = metrics[metrics["run_id"] == run["run_id"]].set_index("epoch")["test_loss"]
    rows = _rows(_figure(store, "fitted-curves"))
    (tests,) = (row for row in rows if row["kind"] == "test" and row["from"] == 0)
    drawn = {row["epoch"]: row for row in rows if row.get("arm") == arm}

    assert sorted(drawn) == [0, 1, 2]
    for epoch, row in drawn.items():
        assert row["x"] == tests["x"]
        errors = np.subtract(row["y"], tests["y"])
        assert np.square(errors).mean() == pytest.approx(losses[epoch], rel=1e-3)


def test_the_momentum_slider_has_every_momentum_in_both_conventions(store: Path) -> None:
    """By size, the cumulative mean last, with Keras's number and the half-life in steps."""
    control = _figure(store, "fitted-curves")["controls"]["momentum"]

    assert control["values"] == MOMENTA
    assert control["words"][0] == "0.1 (Keras 0.9), half-life 6.58 steps"
    assert control["words"][1] == "0.5 (Keras 0.5), half-life 1 step"
    assert control["words"][2].startswith("cumulative")


def test_no_norm_is_drawn_whatever_momentum_is_chosen(store: Path) -> None:
    """It has no momentum of its own, the other arms have theirs."""
    rows = [row for row in _rows(_figure(store, "fitted-curves")) if row["kind"] == "curve"]

    momenta = {row["arm"]: row["momentum"] for row in rows}
    assert momenta == dict(zip(ARMS, ["", *MOMENTA], strict=True))


def test_every_epoch_shows_one_curve_of_an_arm(store: Path) -> None:
    """At each value of the slider exactly one row of an arm passes the chart's filter."""
    figure = _figure(store, "fitted-curves")

    for epoch in figure["controls"]["epoch"]["values"]:
        shown = [
            row["arm"]
            for row in _rows(figure)
            if row["kind"] == "curve" and row["from"] <= epoch < row["until"]
        ]
        assert sorted(shown) == sorted(ARMS)


def test_histograms_are_shares_of_all_values(store: Path, tables: dict[str, Any]) -> None:
    """A share is the count over test points times channels, whatever lies outside."""
    seed = _seed(ARMS, tables["runs"])
    rows = _rows(_figure(store, "histograms"))
    seen = {arm: _pictures(_run(tables["runs"], arm, seed)) for arm in {r["arm"] for r in rows}}

    assert len({row["arm"] for row in rows}) == 2
    assert len(rows) == 2 * 3 * 2 * 3  # arms, layers, kinds, epochs
    for row in rows:
        kind = row["kind"].removesuffix("s").replace("-", "_")
        low, _, counts, _ = seen[row["arm"]][row["from"]].histograms[row["layer"], kind]
        values = 20 * (1 if row["layer"] == "input" else 4)  # test points and channels
        np.testing.assert_allclose(row["share"], counts / values, rtol=1e-4)
        assert row["low"] == pytest.approx(low)


def test_histograms_set_the_best_momentum_against_no_norm(
    store: Path, tables: dict[str, Any]
) -> None:
    """The best is that of the least mean test loss."""
    runs = tables["runs"]
    losses = {
        arm: np.mean([_run(runs, arm, seed)["test_loss"] for seed in range(3)]) for arm in ARMS[1:]
    }
    rows = _rows(_figure(store, "histograms"))

    assert {row["arm"] for row in rows} == {"no norm", min(losses, key=lambda arm: losses[arm])}


def test_without_trainings_the_report_says_why_pictures_are_missing(
    store: Path, tmp_path: Path
) -> None:
    """Of all runs both figures are left out; of some, a sentence names the arms."""
    place = tmp_path / "store"
    shutil.copytree(store, place)
    runs = normexp.read(place)
    for name in runs[runs["norm"] == "none"]["trajectory_id"].unique():
        shutil.rmtree(place / "bn_regression/trajectories" / name)
    _report(place)
    text = (place / "reports/bn_regression/report.md").read_text()
    shutil.rmtree(place / "bn_regression/trajectories")
    (place / "bn_regression/trajectories").mkdir()
    left = {each["title"]: each["why"] for each in _report(place)["left_out"]}

    assert text.count("Without no norm: its training is no longer in the store.") == 2
    for title in ("Fitted curves", "Histograms of the layers"):
        assert left[title] == "its training is no longer in the store"


def test_settings_are_charts_of_their_own(tmp_path: Path) -> None:
    """Curves of two activations stand in two charts, each with its own test points."""
    store_of(tmp_path, *SMALL, "norm.momentum=0.1", "seed=0", "model.activation=tanh,relu")
    _report(tmp_path)
    rows = _rows(_figure(tmp_path, "fitted-curves"))

    cells = {"activation tanh", "activation relu"}
    assert {row["cell"] for row in rows if row["kind"] == "test"} == cells
    assert all(row["arm"].endswith(row["cell"]) for row in rows if row["kind"] == "curve")


def test_labels_have_no_fitted_curve(tmp_path: Path) -> None:
    """A classifier's report says why, and draws its histograms."""
    store_of(tmp_path, "study=momentum_convention", "train.epochs=1", "seed=0")
    result = CliRunner().invoke(app, ["report", "--dir", str(tmp_path), "--json"])
    answer = json.loads(result.stdout)

    left = {each["title"]: each["why"] for each in answer["left_out"]}
    assert "one number" in left["Fitted curves"]
    assert "histograms" in [each["name"] for each in answer["figures"]]


def test_a_pictures_legend_lists_what_is_drawn(store: Path) -> None:
    """Running statistics have no line without a norm, so their legend has no such arm either."""
    figures = store / "reports/bn_regression/figures"

    assert "no norm" in (figures / "test-loss.svg").read_text("utf-8")
    errors = (figures / "mean-error.svg").read_text("utf-8")
    assert ">batch cumulative</text>" in errors
    assert ">no norm</text>" not in errors


def test_grey_is_for_what_has_no_norm(tmp_path: Path) -> None:
    """Of eight arms with a norm none is grey, and no two look the same."""
    momenta = "0.01,0.03,0.1,0.2,0.3,0.5,0.7,0.9"
    store_of(tmp_path, *SMALL, "norm=batch", f"norm.momentum={momenta}", "seed=0")
    _report(tmp_path)
    page = (tmp_path / "reports/bn_regression/report.html").read_text("utf-8")
    legend = re.findall(
        r'data-arm="[^"]+" style="--look: var\(--(\w+)\)">.*?class="mark" d="([^"]+)"',
        page,
        re.DOTALL,
    )

    assert len(legend) == len(set(legend)) == 8
    assert "arm0" not in dict(legend)
    assert len({color for color, _ in legend}) == len({mark for _, mark in legend}) == 8
    for color in dict(legend):
        assert len(re.findall(rf"--{color}: #[0-9a-f]{{6}};", page)) >= 2, color


def test_figures_stay_with_their_units(store: Path) -> None:
    """No line ends between a number and its per cent sign."""
    page = (store / "reports/bn_regression/report.html").read_text("utf-8")
    texts = re.findall(r'class="sentence"[^>]*>(.*?)</p>|<figcaption>(.*?)</figcaption>', page)

    percents = [each for pair in texts for text in pair for each in re.findall(r"\d.%", text)]
    assert percents
    assert {each[1] for each in percents} == {"\u00a0"}
