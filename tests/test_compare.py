"""`normexp compare`: what a person types and reads, over stored runs."""

import itertools
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from conftest import SMALL, AsJson, Command, store_of

import normexp as package
from normexp.config.identity import completed
from normexp.config.norm import Estimator, unread
from normexp.store.selection import select
from normexp.store.stored import whole_runs


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two norms, two batch sizes, two momenta, six seeds."""
    place = tmp_path_factory.mktemp("compare")
    store_of(place, *SMALL, "norm=none,batch,layer", "norm.momentum=0.1,0.5,null",
             "train.batch_size=8,16", "seed=range(6)")  # fmt: skip
    return str(place)


def test_momenta_are_compared_within_each_batch_size(as_json: AsJson, store: str) -> None:
    """Two other momenta in each of two cells; numbers as pandas has them."""
    found = as_json("compare", "bn_regression", "norm.momentum=0.1", "--dir", store)
    rows = package.read(f"{store}/bn_regression")
    rows = rows[(rows["norm"] == "batch") & (rows["train.batch_size"] == 16)]
    loss = rows.pivot_table("test_loss", "seed", rows["norm.momentum"].fillna(-1.0))
    expected = math.exp(np.log(loss[0.5] / loss[0.1]).mean())
    each = [c for c in found["comparisons"] if c["cell"]["train.batch_size"] == 16]

    assert len(found["comparisons"]) == 4
    assert [c["other"]["norm.momentum"] for c in each] == [0.5, None]
    assert all((c["pairing"], c["n"], c["scale"]) == ("weights", [6, 6], "ratio") for c in each)
    assert each[0]["estimate"] == pytest.approx(expected)
    assert set(each[0]["run_ids"]) <= set(rows["run_id"])
    assert len(each[0]["run_ids"]) == 12


def test_norms_are_compared_at_every_momentum_by_seed(as_json: AsJson, store: str) -> None:
    """None against layer and against batch at each momentum, in both cells; confounders told."""
    found = as_json("compare", "bn_regression", "norm", "--dir", store)
    comparisons = found["comparisons"]
    layer = [c for c in comparisons if c["other"] == {"norm.kind": "layer"}]
    batch = [c for c in comparisons if c["other"]["norm.kind"] == "batch"]

    assert found["baseline"] == "none"
    assert (len(layer), len(batch)) == (2, 6)
    assert {c["pairing"] for c in comparisons} == {"seed"}
    assert {tuple(c["also_differing"]) for c in batch} == {("model.input_norm",)}
    assert {tuple(c["also_differing"]) for c in layer} == {()}


def test_another_baseline_inverts_the_ratio(as_json: AsJson, store: str) -> None:
    """`norm.momentum=0.5` as the baseline instead of the default 0.1."""
    asked = ("compare", "bn_regression")
    one = as_json(*asked, "norm.momentum", "--dir", store)["comparisons"][0]
    other = as_json(*asked, "norm.momentum=0.5", "--dir", store)["comparisons"][0]

    assert one["baseline"] == other["other"] == {"norm.momentum": 0.1}
    assert one["estimate"] == pytest.approx(1 / other["estimate"])


def test_batch_sizes_are_compared_in_excess_loss_by_difference(as_json: AsJson, store: str) -> None:
    """A metric that may be negative; every norm is a cell, runs without momentum too."""
    found = as_json("compare", "bn_regression", "train.batch_size=8", "--metric", "excess_loss",
                    "--dir", store)  # fmt: skip
    by_norm = [c["cell"]["norm.kind"] for c in found["comparisons"]]

    assert by_norm == ["none", "batch", "batch", "batch", "layer"]
    assert {c["scale"] for c in found["comparisons"]} == {"difference"}
    assert found["comparisons"][0]["estimate"] == 0
    assert not found["comparisons"][0]["decided"]


def test_estimators_are_compared_where_they_average_alike(as_json: AsJson) -> None:
    """Debiased with its own momentum and variance; population, which averages none, with all."""
    as_json("sweep", *SMALL, "norm=batch", "norm.estimator=ema,debiased,population", "seed=0,1",
            "norm.running_variance=unbiased,biased", "norm.momentum=0.1,0.5")  # fmt: skip
    found = as_json("compare", "bn_regression", "norm.estimator")["comparisons"]
    fields = ("norm.momentum", "norm.running_variance")
    pairs = [([c["baseline"][f] for f in fields], [c["other"][f] for f in fields])
             for c in found if c["other"]["norm.estimator"] == "debiased"]  # fmt: skip
    population = [c for c in found if c["other"]["norm.estimator"] == "population"]

    assert len(pairs) == len(population) == 4
    assert all(one == other for one, other in pairs)
    assert {c["other"]["norm.momentum"] for c in population} == {None}
    assert {c["pairing"] for c in found} == {"weights"}


UNLIKE = {"norm.momentum": 0.3, "norm.window": 7, "norm.mix": 0.25, "norm.initial_mean": 2.0,
          "norm.momentum_schedule": "linear", "norm.final_momentum": 0.2, "norm.initial_var": 3.0,
          "norm.precise_batches": 5, "norm.running_variance": "biased"}  # fmt: skip
"""Fields that follow from the choice of an estimator, none at its default."""


@pytest.mark.parametrize("schedule", ["constant", "linear"])
@pytest.mark.parametrize("momentum", ["0.3", "null"])
@pytest.mark.parametrize("estimator", get_args(Estimator))
def test_what_settling_resets_is_what_an_estimator_does_not_read(
    estimator: str, momentum: str, schedule: str
) -> None:
    """The plan of a run with every field set says which of them matter."""
    typed = UNLIKE | {"norm.momentum": momentum, "norm.momentum_schedule": schedule}
    (run,) = package.load("norm=batch", "seed=0", f"norm.estimator={estimator}",
                          *(f"{path}={value}" for path, value in typed.items())).runs  # fmt: skip
    reset = {path for path, value in UNLIKE.items() if run.flat[path] != value}
    at_default = {"norm.momentum_schedule"} if schedule == "constant" else set()

    assert unread(run.flat) - at_default == reset - at_default


def test_older_runs_are_read_as_todays_of_the_same_id(store: str) -> None:
    """A field that the schema has got since stands at the value that changes no id."""
    rows = [run.row for run in whole_runs(select(Path(store), None).runs)]
    row = next(row for row in rows if row.get("norm.momentum") == 0.5)
    later = ("norm.estimator", "norm.window", "norm.initial_var", "train.schedule")
    older = {path: value for path, value in row.items() if path not in later}

    assert len(older) == len(row) - 4
    assert completed(older) == row


def test_a_sweep_is_compared_alone(command: Command, as_json: AsJson) -> None:
    """Its directory stands for its runs; one seed is said to be too few, not a thousand more."""
    fields = [*SMALL, "norm=batch"]
    as_json("sweep", *fields, "norm.momentum=0.1,0.9", "seed=range(6)")
    sweep = as_json("sweep", *fields, "norm.momentum=0.1,0.2", "seed=0,1")["directory"]
    one = as_json("sweep", *fields, "norm.momentum=0.1,0.5", "seed=0")["directory"]
    (found,) = as_json("compare", sweep, "norm.momentum")["comparisons"]
    shown = command("compare", one, "norm.momentum").stdout

    assert (found["other"], found["n"]) == ({"norm.momentum": 0.2}, [2, 2])
    assert not found["decided"]
    assert found["more_seeds"] >= 4
    assert "needs 2 seeds or more" in " ".join(shown.split())
    assert "1000" not in shown


def test_a_table_fits_eighty_columns_and_says_n(
    normexp: Command, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Widest where norms are compared over batch sizes and momenta."""
    monkeypatch.setenv("COLUMNS", "80")
    for field in ("norm", "norm.momentum", "train.batch_size"):
        result = normexp("compare", "bn_regression", field, "--dir", store)
        lines = result.stdout.splitlines()
        titles, rule = next((a, b) for a, b in itertools.pairwise(lines) if "──" in b)
        cells = [line for line in lines[lines.index(rule) + 1 :] if "[" in line]

        assert result.exit_code == 0
        assert max(map(len, lines)) <= 80
        assert " n " in titles
        assert all(" 6 " in line and line.count("]") == 1 for line in cells)
        assert cells
