"""`normexp diff`: what differs between two runs in configuration, results and origin."""

import re
import shutil
from pathlib import Path

import pytest
from conftest import SMALL, AsJson, Command
from tamper import edit_manifest

import normexp as package


@pytest.fixture
def runs(whole: Path) -> dict[str, Path]:
    """Runs by label: two of one training, one of another seed, one without norm."""
    return {path.parent.name[:-13]: path.parent for path in whole.glob("*/*/metrics.parquet")}


def test_two_momenta_differ_in_the_momentum_and_in_its_cost(
    runs: dict[str, Path], as_json: AsJson, normexp: Command
) -> None:
    """One field; the same training; the losses and layer errors of the files."""
    pair = [runs["batch-m0.1-s0"], runs["batch-mnull-s0"]]
    store = str(pair[0].parents[1])
    found = as_json("diff", *(path.name[-12:] for path in pair), "--dir", store)
    printed = normexp("diff", *map(str, pair)).stdout
    losses = [package.read(path, "metrics")["test_loss"].iloc[-1] for path in pair]
    layers = [package.read(path, "layers").groupby("layer", observed=True).last() for path in pair]

    assert [row["key"] for row in found["differences"]] == ["norm.momentum"]
    assert found["shared"] == "weights"
    assert (found["same_run"], found["same_trajectory"], found["same_structure"]) == (
        False, True, True
    )  # fmt: skip
    result = {row["metric"]: row for row in found["results"]}
    assert (result["test_loss"]["left"], result["test_loss"]["right"]) == tuple(losses)
    assert result["test_loss"]["difference"] == pytest.approx(losses[1] - losses[0])
    assert result["test_loss"]["ratio"] == pytest.approx(losses[1] / losses[0])
    assert result["test_loss_population"]["difference"] == 0
    for row in found["layers"]:
        for side, table in zip(("left", "right"), layers, strict=True):
            assert row[side]["mean_error"] == table.loc[row["layer"], "mean_error"]
    assert "same training: the same weights at every step" in printed
    assert re.search(r"norm.momentum +0.1 +cumulative", printed)


def test_a_field_that_a_run_lacks_is_a_dash(
    runs: dict[str, Path], as_json: AsJson, normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run without norm has neither momentum nor an excess, and shares the seed alone."""
    monkeypatch.setenv("COLUMNS", "80")
    pair = [str(runs["batch-m0.1-s0"]), str(runs["none-s0"])]
    printed = normexp("diff", *pair).stdout
    cells = {line.split()[0]: line.split()[1:] for line in printed.splitlines() if line.split()}

    assert cells["norm.eps"] == ["1e-05", "–"]
    assert cells["norm.kind"] == ["batch", "none"]
    assert cells["excess"][1:] == ["–", "–", "–"]
    assert as_json("diff", *pair)["shared"] == "seed"
    assert max(map(len, printed.splitlines())) <= 80


def test_other_seeds_are_no_pair_and_a_run_is_no_other(
    runs: dict[str, Path], as_json: AsJson, normexp: Command
) -> None:
    """Seeds share nothing that would pair them; a run against itself is one line."""
    run, none = runs["batch-m0.1-s0"], runs["none-s0"]
    found = as_json("diff", str(run), str(runs["batch-m0.1-s1"]))
    itself = normexp("diff", none.name[-12:], str(none), "--dir", str(none.parents[1]))

    assert found["shared"] == "nothing"
    assert [row["key"] for row in found["differences"]] == ["seed"]
    assert itself.exit_code == 0
    assert itself.stdout == f"the same run: none-s0  {none.name[-12:]}\n"


def test_what_made_a_run_is_told_where_it_differs(runs: dict[str, Path], normexp: Command) -> None:
    """A copy of a run from another version on another machine, its numbers the same."""
    run = runs["batch-m0.1-s0"]
    away = shutil.copytree(run, Path("away") / run.name)
    edit_manifest(away, "environment", {"torch": "9.9.9", "pyarrow": "0.0.1"})
    alike = normexp("diff", str(run), str(runs["batch-mnull-s0"])).stdout
    printed = normexp("diff", str(run), str(away)).stdout
    lines = [line.split() for line in printed.splitlines()]

    assert "the same run, stored twice" in printed
    assert "the same results at step 6, to the last digit" in printed
    assert next(line for line in lines if line[:2] == ["torch", "*"])[-1] == "9.9.9"
    assert next(line for line in lines if line[:1] == ["pyarrow"])[-1] == "0.0.1"
    assert "made by the same code, versions and machine" in alike
    assert "9.9.9" not in alike


def test_what_is_not_there_or_missing_has_the_codes_of_all_commands(
    runs: dict[str, Path], normexp: Command
) -> None:
    """3 for a run that is not there, 2 for one that was not named."""
    run = str(runs["none-s0"])
    missing = normexp("diff", run, "0123456789ab")

    assert missing.exit_code == 3
    assert missing.stderr.startswith("error: no run '0123456789ab' in runs")
    assert normexp("diff", run).exit_code == 2


def test_a_diverged_run_is_compared_as_far_as_it_has_numbers(normexp: Command) -> None:
    """Its losses are dashes, and nothing is computed from them."""
    normexp("sweep", *SMALL, "norm=none", "optim=sgd", "optim.lr=0.01,1e9", "seed=0")
    pair = sorted(str(path.parent) for path in Path("runs").glob("*/*/metrics.parquet"))
    result = normexp("diff", *pair)
    loss = next(line for line in result.stdout.splitlines() if "test loss" in line)

    assert result.exit_code == 0
    assert "diverged" in result.stdout
    assert loss.split()[-2:] == ["–", "–"]
