"""Losses on different data are told side by side: never ranked, compared or drawn on one axis."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import AsJson, Command, store_of
from reports import specs
from rich.console import Console

import normexp
from normexp.console.curves import BLOCKS, Curves

pytestmark = pytest.mark.usefixtures("undrawn")

SHARED = ["norm=none,batch", "norm.momentum=0.1,0.5", "seed=0,1", "train.epochs=2",
          "train.batch_size=16", "model.depth=2", "model.width=4", "data.train_size=40",
          "data.test_size=20"]  # fmt: skip
WORDS = ("digits", "noise std 0.5", "noise std 2", "first", "second")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one study of three data sets: digits, and parabolas of two noises."""
    place = tmp_path_factory.mktemp("mixed")
    store_of(place, "data=quadratic", "data.noise_std=2,0.5", *SHARED)
    return store_of(place, "data=digits", *SHARED)


def arms_in(figure: dict[str, Any]) -> set[str]:
    """The arms that a chart has data of."""
    tables = figure["spec"].get("datasets", {}).values()
    columns = [table["arm"]["values"] for table in tables if "arm" in table]
    return {arm for values in columns for arm in values if isinstance(arm, str)}


def test_a_report_shows_each_data_set_by_itself(as_json: AsJson, mixed: Path) -> None:
    """No chart has arms of two, and no sentence names two, provenance's aside."""
    report = as_json("report", "bn_regression", "--dir", str(mixed), "--out", "out")
    page = Path(report["page"]).read_text()
    drawn = {name: arms_in(figure) for name, figure in specs(page).items()}
    of = {
        name: {w for w in WORDS for arm in arms if arm.endswith(w)} for name, arms in drawn.items()
    }
    headlines = [f["sentence"] for f in report["figures"] if f["name"].startswith("headline")]

    assert all(len(words) <= 1 for words in of.values()), of
    assert {word for words in of.values() for word in words} == set(WORDS[:3])
    for figure in report["figures"]:
        if figure["name"] not in ("configuration", "provenance", "runs"):
            told = [
                w for w in ("digits", "noise_std=0.5", "noise_std=2.0") if w in figure["sentence"]
            ]
            assert len(told) == 1, figure
            assert told[0] in figure["title"]
    assert sum(" has the least test loss" in each for each in headlines) == 3
    assert len({figure["name"] for figure in report["figures"]}) == len(report["figures"])


def test_one_data_set_is_reported_as_ever(as_json: AsJson) -> None:
    """Sizes and the inputs' drift are no other data: one axis has them all."""
    store_of(Path("runs"), *SHARED, "data=drift", "data.rate=0.01,0.1", "data.train_size=40,60")
    figures = as_json("report", "bn_regression")["figures"]
    found = as_json("compare", "bn_regression", "data.rate=0.01")["comparisons"]

    assert sum(each["name"].startswith("headline") for each in figures) == 1
    assert "·" not in figures[0]["title"]
    assert len(found) == 6


def test_two_studies_side_by_side_are_paired_within_their_data(
    command: Command, as_json: AsJson
) -> None:
    """Sources that share a data set are compared on it, the others told by themselves."""
    small = [each for each in SHARED if not each.startswith("norm.momentum")]
    for name, data in (("one", "digits"), ("two", "digits,random_labels")):
        done = command("sweep", f"data={data}", *small, "norm.momentum=0.1", "--as", name)
        assert done.exit_code == 0, done.stderr
    figures = {each["name"]: each for each in as_json("report", "one", "two")["figures"]}

    assert "digits" in figures["differences"]["title"]
    assert {"one:", "two:"} & set(figures["headline-2"]["sentence"].split()) == set()


def test_a_sweep_sums_up_each_data_set_in_a_table(command: Command) -> None:
    """Under its name, best of its own; the figures of one never stand below the other's."""
    done = command("sweep", "data=digits,quadratic", *SHARED)
    _, *tables = re.split(r"^(?=data=)", done.stdout, flags=re.MULTILINE)

    assert [each.splitlines()[0] for each in tables] == ["data=digits", "data=quadratic"]
    assert "accuracy" in tables[0]
    assert "accuracy" not in tables[1].partition("mean ±")[0]
    assert all(each.count("batch") >= 2 for each in tables)
    assert "not compared" in tables[1]


def test_a_large_sweep_marks_the_best_of_each_data_set(command: Command) -> None:
    """Where momenta are columns, too."""
    momenta = "norm.momentum=0.1,0.3,0.5,0.7,0.9"
    done = command("sweep", "data.noise_std=2,0.5", *SHARED, "norm=batch", momenta, "seed=0",
                   "optim.lr=range(0.01,0.055,0.005)")  # fmt: skip
    _, *tables = re.split(r"^(?=data)", done.stdout, flags=re.MULTILINE)

    assert [each.splitlines()[0] for each in tables] == [
        "data.noise_std=2.0", "data.noise_std=0.5"]  # fmt: skip
    assert [len(re.findall(r"\d\*", each)) for each in tables] == [9, 9]


@pytest.mark.parametrize("field", ["data", "data=digits", "data.noise_std", "data.noise_std=2.0"])
def test_data_are_no_field_to_compare(command: Command, mixed: Path, field: str) -> None:
    """Neither by name nor with a baseline; the hint names what can be."""
    done = command("compare", "bn_regression", field, "--dir", str(mixed))

    assert done.exit_code == 2
    assert "losses on different data are not compared" in done.stderr
    assert "norm.momentum" in done.stderr.splitlines()[1]
    assert "data" not in done.stderr.splitlines()[1]


def test_other_fields_are_compared_within_each_data_set(as_json: AsJson, mixed: Path) -> None:
    """Each effect is of the runs of one data set, as NumPy has it."""
    rows = normexp.read(mixed).set_index("run_id")
    answer = as_json("compare", "bn_regression", "norm.momentum=0.1", "--dir", str(mixed))

    assert len(answer["comparisons"]) == 3
    for each in answer["comparisons"]:
        runs = rows.loc[each["run_ids"]]
        keys = set(zip(runs["data"], runs["data.noise_std"].fillna(-1), strict=True))
        by_momentum = np.log(runs["test_loss"]).groupby(runs["norm.momentum"]).mean()
        assert len(keys) == 1
        np.testing.assert_allclose(each["estimate"], np.exp(by_momentum[0.5] - by_momentum[0.1]))


def test_the_difference_of_runs_on_other_data_is_no_number(
    command: Command, as_json: AsJson, mixed: Path
) -> None:
    """Both losses stand there; within one data set they are subtracted."""
    rows = normexp.read(mixed)
    rows = rows[(rows["norm.momentum"] == 0.1) & (rows["seed"] == 0)]
    digits, *parabolas = rows.sort_values("data")["run_id"]
    pair = (digits, parabolas[0])
    apart = as_json("diff", *pair, "--dir", str(mixed))
    between = as_json("diff", *parabolas, "--dir", str(mixed))
    text = command("diff", *pair, "--dir", str(mixed)).stdout
    same = normexp.read(mixed).query("data == 'digits' and seed == 0 and norm == 'batch'")
    within = as_json("diff", *same["run_id"], "--dir", str(mixed))

    for report, number in ((apart, False), (between, False), (within, True)):
        loss = next(each for each in report["results"] if each["metric"] == "test_loss")
        assert report["same_data"] is number
        assert (loss["difference"] is not None) is (loss["ratio"] is not None) is number
        assert loss["left"] is not None
    assert "losses on different data are not compared" in text
    assert "ratio" not in text.partition("at step")[2].partition("\n")[0]


def test_budgets_and_predictions_say_on_which_data(
    command: Command, as_json: AsJson, mixed: Path
) -> None:
    """A row an arm or cell, each of one data set, which a column names."""
    forecasts = as_json("predict", "bn_regression", "--dir", str(mixed))
    table = command("budget", "bn_regression", "--dir", str(mixed)).stdout

    assert [(f["values"]["data.kind"], f["values"].get("data.noise_std")) for f in forecasts] == [
        ("digits", None), ("quadratic", 0.5), ("quadratic", 2.0)]  # fmt: skip
    for named in ("digits", "quadratic"):
        assert len(re.findall(rf"^ +0\.[15] +{named}", table, flags=re.MULTILINE)) >= 2


def test_curves_of_progress_have_a_scale_for_each_data_set() -> None:
    """The least loss of digits is no floor for a parabola: each set has all its blocks."""
    plan = normexp.plan("data=digits,quadratic", *SHARED, "norm=batch")
    curves = Curves(plan)
    for run in plan.study.runs:
        scale = 1.0 if run.config.data.kind == "digits" else 1000.0
        curves.add(run.id, [8 * scale, 4 * scale, scale])
    console = Console(file=io.StringIO(), width=120)
    console.print(curves.table(120, 20))
    head, *lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    blocks = {"".join(each for each in line if each in BLOCKS) for line in lines}

    assert blocks == {f"{BLOCKS[-1]}{BLOCKS[5]}{BLOCKS[0]}"}
    assert "each data set on its own scale" in head
