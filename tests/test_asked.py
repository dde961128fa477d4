"""Readers take fields in the grammar of overrides: runs with these alone."""

from pathlib import Path

import pytest
from conftest import STORED, AsJson, Command

import normexp
from normexp.errors import UsageError

WORDS = ["norm.momentum=0.1", "seed=range(2)"]


@pytest.fixture(autouse=True)
def store(command: Command) -> None:
    """Six runs: no norm, and two momenta, with two seeds."""
    assert command("sweep", *STORED).exit_code == 0


@pytest.mark.parametrize(
    ("words", "labels"),
    [
        (WORDS, ["batch-m0.1-s0", "batch-m0.1-s1"]),
        (["norm=none", "seed=1"], ["none-s1"]),
        (["norm.momentum=null", "seed=0"], ["batch-mnull-s0"]),
        (["norm.momentum=0.1,null", "seed=1"], ["batch-m0.1-s1", "batch-mnull-s1"]),
    ],
)
def test_a_listing_has_the_runs_with_these_fields(
    words: list[str], labels: list[str], as_json: AsJson
) -> None:
    """The same in Python."""
    rows = as_json("ls", "bn_regression", *words)
    frame = normexp.read("runs/bn_regression", where=words)

    assert sorted(row["label"] for row in rows) == labels == sorted(frame["label"])


def test_every_reader_takes_them(command: Command, as_json: AsJson) -> None:
    """Each with the numbers of these runs alone."""
    (compared,) = as_json("compare", "bn_regression", "norm.momentum", "seed=1")["comparisons"]
    assert compared["n"] == [1, 1]
    assert len(as_json("budget", "bn_regression", *WORDS)) == 2
    assert len(as_json("budget", "bn_regression", "seed=1")) == 2
    assert normexp.budget("runs/bn_regression", *WORDS)["run_id"].nunique() == 2
    (forecast,) = as_json("predict", "bn_regression", "seed=0")
    assert forecast["n"] == 1
    assert command("report", "bn_regression", "norm=batch", "--out", "out").exit_code == 0
    text = next(Path("out").glob("*.md")).read_text()
    assert "4 runs" in text
    assert "No norm" not in text


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["norm.momentum=0.3"], "no run has norm.momentum=0.3", "norm.momentum=0.1"),
        (["norm.momentm=0.3"], "unknown field 'norm.momentm'", "norm.momentum"),
        (["norm=layer"], "no run has norm=layer", "norm=batch, norm=none"),
        (["norm.window=3", "norm=none"], "no run has norm.window=3 norm=none", "norm.window=16"),
    ],
)
@pytest.mark.parametrize("reader", ["ls", "report", "budget", "predict"])
def test_fields_that_no_run_has_are_refused_with_those_there_are(
    reader: str, words: list[str], message: str, hint: str, command: Command
) -> None:
    """One line and one hint."""
    done = command(reader, "bn_regression", *words)

    assert done.exit_code == 2
    assert message in done.stderr.splitlines()[0]
    assert hint in done.stderr.splitlines()[1]
    with pytest.raises(UsageError, match=r"no run has|unknown field"):
        normexp.read("runs/bn_regression", where=words)


def test_a_listing_is_sorted_and_cut(as_json: AsJson, command: Command) -> None:
    """By a metric or a field; what is best comes first."""
    losses = [row["test_loss"] for row in as_json("ls", "bn_regression", "--sort", "test_loss")]
    seeds = [row["values"]["seed"] for row in as_json("ls", "bn_regression", "--sort", "seed")]
    best = as_json("ls", "bn_regression", "--best", "2")

    assert losses == sorted(losses)
    assert seeds == [0, 0, 0, 1, 1, 1]
    assert [row["test_loss"] for row in best] == losses[:2]
    assert "did you mean test_loss" in command("ls", "bn_regression", "--sort", "test_los").stderr
    assert "there is test_loss, " in command("ls", "bn_regression", "--sort", "speed").stderr
