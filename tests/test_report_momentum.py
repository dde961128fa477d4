"""The report's momentum curve and heat map hold what the runs' tables have."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import SMALL, store_of
from typer.testing import CliRunner, Result

from normexp.cli import app

MOMENTA = ["0.1", "0.5", "null"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three momenta at two batch sizes, and no norm, over three seeds."""
    small = [each for each in SMALL if "batch_size" not in each]
    place = tmp_path_factory.mktemp("momenta") / "runs"
    axes = ["norm=none,batch", f"norm.momentum={','.join(MOMENTA)}", "train.batch_size=8,16"]
    return store_of(place, *small, *axes, "seed=range(3)")


@pytest.fixture(scope="module")
def page(store: Path) -> str:
    """Its report."""
    return _page(store)


@pytest.fixture(scope="module")
def measured(store: Path) -> pd.DataFrame:
    """Final metrics of all runs, read from their files without the report."""
    rows = []
    for path in store.glob("*/*/metrics.parquet"):
        config = json.loads((path.parent / "manifest.json").read_text())["config"]
        last = pd.read_parquet(path).iloc[-1]
        rows.append(
            {
                "norm": config["norm.kind"],
                "momentum": config.get("norm.momentum"),
                "batch": config["train.batch_size"],
                "loss": last["test_loss"],
                "population": last["test_loss_population"],
                "excess": last["test_loss"] - last["test_loss_population"],
            }
        )
    return pd.DataFrame(rows)


def _page(store: Path, *wanted: str) -> str:
    result = CliRunner().invoke(app, ["report", *wanted, "--dir", str(store), "--json"])
    assert result.exit_code == 0, result.output
    return Path(json.loads(result.stdout)["page"]).read_text()


def _spec(page: str, figure: str) -> dict[str, Any]:
    found = re.search(rf'<script[^>]*data-for="{figure}"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert found, f"no figure {figure}"
    spec: dict[str, Any] = json.loads(found[1])["spec"]
    return spec


def _rows(page: str, figure: str) -> list[dict[str, Any]]:
    """What the figure is drawn from."""
    spec = _spec(page, figure)
    name = spec["data"].get("name")
    rows: list[dict[str, Any]] = spec["datasets"][name] if name else spec["data"]["values"]
    return rows


def _drawn(page: str, figure: str, what: str) -> list[dict[str, Any]]:
    return [each for each in _rows(page, figure) if each["what"] == what]


def _axes(node: Any) -> set[str]:  # noqa: ANN401
    """All label expressions anywhere in a specification."""
    if isinstance(node, list):
        return {each for item in node for each in _axes(item)}
    if isinstance(node, dict):
        own = {node["labelExpr"]} if "labelExpr" in node else set()
        return own | {each for item in node.values() for each in _axes(item)}
    return set()


def test_every_point_of_the_curve_is_the_mean_of_its_runs(
    page: str, measured: pd.DataFrame
) -> None:
    """Means over seeds of the last evaluation, by momentum and batch size."""
    batch = measured[measured["norm"] == "batch"]
    points = _drawn(page, "momentum-curve", "point")

    assert len(points) == 6
    for each in points:
        is_null = each["momentum"] == "cumulative"
        of = batch["momentum"].isna() if is_null else batch["momentum"] == float(each["momentum"])
        mine = batch[of & (batch["batch"] == int(each["cell"].rpartition(" ")[2]))]["loss"]
        assert each["n"] == len(mine) == 3
        assert each["y"] == pytest.approx(mine.mean(), rel=1e-4)
        half = 4.302653 * mine.std() / 3**0.5  # Student's t at two degrees of freedom
        assert each["high"] == pytest.approx(mine.mean() + half, rel=1e-4)


def test_the_levels_are_those_of_population_and_of_no_norm(
    page: str, measured: pd.DataFrame
) -> None:
    """Each panel has its own."""
    levels = {(e["cell"], e["level"]): e["y"] for e in _drawn(page, "momentum-curve", "level")}

    for size in (8, 16):
        mine = measured[measured["batch"] == size]
        batch, plain = mine[mine["norm"] == "batch"], mine[mine["norm"] == "none"]
        cell = f"batch size {size}"
        population = batch["population"].mean()  # three times the same three numbers
        assert levels[cell, "population"] == pytest.approx(population, rel=1e-4)
        assert levels[cell, "no norm"] == pytest.approx(plain["loss"].mean(), rel=1e-4)


def test_the_ring_is_at_the_least_mean(page: str, measured: pd.DataFrame) -> None:
    """One ring a panel."""
    rings = {each["cell"]: each["y"] for each in _drawn(page, "momentum-curve", "best")}

    batch = measured[measured["norm"] == "batch"].fillna({"momentum": -1})
    means = batch.groupby(["batch", "momentum"])["loss"].mean()
    assert rings == {
        f"batch size {size}": pytest.approx(means[size].min(), rel=1e-4) for size in (8, 16)
    }


def test_the_predicted_best_is_that_of_predict(
    page: str, store: Path, as_json: Callable[..., Any]
) -> None:
    """The rule stands where `normexp predict` says, of the same trainings."""
    rules = {each["cell"]: each["x"] for each in _drawn(page, "momentum-curve", "rule")}

    study = next(each.name for each in store.iterdir() if (each / "sweeps").is_dir())
    cells = as_json("predict", study, "--dir", str(store))
    assert rules == {
        f"batch size {each['values']['train.batch_size']}": each["best"]["momentum"]
        for each in cells
    }


def test_both_conventions_label_the_same_places(page: str) -> None:
    """An axis with a, one with 1 − a."""
    expressions = _axes(_spec(page, "momentum-curve"))

    assert expressions == {"format(datum.value, '.6~g')", "format(1 - datum.value, '.6~g')"}


def test_excess_is_test_loss_minus_the_populations(page: str, measured: pd.DataFrame) -> None:
    """Means over seeds, by momentum and batch size."""
    points = {(e["cell"], e["momentum"]): e["y"] for e in _drawn(page, "momentum-excess", "point")}

    batch = measured[(measured["norm"] == "batch") & measured["momentum"].notna()]
    assert len(batch) == 12
    compared = 0
    for _, means in batch.groupby(["batch", "momentum"])[["batch", "momentum", "excess"]]:
        cell, momentum = f"batch size {means['batch'].iloc[0]}", f"{means['momentum'].iloc[0]:g}"
        value = means["excess"].mean()
        if value > 0:  # others stand at the lower end of the axis
            assert points[cell, momentum] == pytest.approx(value, rel=1e-3)
            compared += 1
    assert compared > 0


def test_the_heat_map_has_every_mean_and_marks_the_least(page: str, measured: pd.DataFrame) -> None:
    """Momentum goes right, batch size up."""
    rows = _rows(page, "heat-map")
    batch = measured[measured["norm"] == "batch"].fillna({"momentum": -1})
    means = batch.groupby(["momentum", "batch"], as_index=False)["loss"].mean()

    found = {(each["x"].partition("|")[0], each["y"]): each["value"] for each in rows}
    assert found == {
        (
            "1/t" if each["momentum"] < 0 else f"{each['momentum']:g}",
            f"{each['batch']:g}",
        ): pytest.approx(each["loss"], rel=1e-4)
        for each in (row for _, row in means.iterrows())
    }
    best = [each["value"] for each in rows if each["what"] == "best"]
    assert best == [pytest.approx(means["loss"].min(), rel=1e-4)]


def test_cells_that_were_not_run_are_empty(tmp_path: Path) -> None:
    """A grid with a hole shows the hole."""
    place, small = tmp_path / "holes", [e for e in SMALL if "batch_size" not in e]
    store_of(place, *small, "norm=batch", "norm.momentum=0.1,0.5", "train.batch_size=8")
    store_of(place, *small, "norm=batch", "norm.momentum=0.1", "train.batch_size=16")
    rows = _rows(_page(place), "heat-map")

    empty = [(each["x"], each["y"]) for each in rows if each["what"] == "nothing"]
    assert empty == [("0.5|0.5", "16")]


@pytest.mark.parametrize(
    "overrides",
    [["norm=batch", "norm.momentum=0.1"], ["norm=none"], ["norm=layer", "train.batch_size=8,16"]],
    ids=["one run", "no norm", "layer"],
)
def test_what_does_not_fit_is_left_out_and_said(
    overrides: list[str], tmp_path: Path, normexp: Callable[..., Result]
) -> None:
    """Without two momenta there is no curve, without two axes no map."""
    store_of(tmp_path / "odd", *SMALL, *overrides)
    result = normexp("report", "--dir", str(tmp_path / "odd"))

    assert result.exit_code == 0
    assert "left out: Momentum curve: no two runs differ in their momentum alone" in result.stderr
    assert "left out: Heat map: no two fields" in result.stderr


def test_diverged_runs_leave_the_report_standing(
    tmp_path: Path, normexp: Callable[..., Result]
) -> None:
    """Nothing finite is nothing to draw."""
    axes = ["norm=batch", "norm.momentum=0.1,0.5", "train.batch_size=8,16", "optim.lr=1e30"]
    place = str(tmp_path / "runs")
    normexp("sweep", *(e for e in SMALL if "batch_size" not in e), *axes, f"store.dir={place}")
    result = normexp("report", "--dir", place)

    assert result.exit_code == 0, result.output
    assert "left out: Momentum curve: no run with a momentum" in result.stderr
