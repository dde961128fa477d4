"""Predict: what theory says, on the command line, against numbers worked by hand."""

import math
import os
import subprocess
import sys
from typing import Any

import pytest
from conftest import AsJson, Command

FROZEN = ("--drift", "0")
SHORT = ("predict", "--steps", "100", "--batch-size", "50", *FROZEN)
S1 = ("predict", "--steps", "384", "--batch-size", "64", "--train-size", "2000", *FROZEN)


def row_of(prediction: dict[str, Any], momentum: float) -> dict[str, Any]:
    """The row of one momentum."""
    (row,) = (row for row in prediction["rows"] if row["momentum"] == momentum)
    return dict(row)


def test_the_numbers_are_those_worked_by_hand(as_json: AsJson) -> None:
    """Momentum 0.01 for 100 steps: 36.6 % of the initial value are left, as in S2's text."""
    (prediction,) = as_json(*SHORT, "--drift", "0.001")
    row = row_of(prediction, 0.01)

    assert row["keras_momentum"] == 0.99
    assert row["half_life_steps"] == pytest.approx(68.9676)
    assert row["half_life_epochs"] is None
    assert row["initial_weight_left"] == pytest.approx(0.366032)
    assert row["noise_factor"] == pytest.approx(0.0708881)
    assert row["drift_lag"] == pytest.approx(0.1 * (1 - 0.366032 * 2), rel=1e-5)
    assert row["noise"] == pytest.approx(0.0708881 * math.sqrt((1 - 0.366032**2) / 50), rel=1e-5)
    assert row["error"] == pytest.approx(
        math.sqrt(row["initial_error"] ** 2 + row["drift_lag"] ** 2 + row["noise"] ** 2)
    )
    assert sum(row["shares"].values()) == pytest.approx(1)


def test_the_last_batch_alone_is_noise_and_one_steps_drift(as_json: AsJson) -> None:
    """Momentum 1: 1/√50 of noise, and the step between the last batch and evaluation."""
    (prediction,) = as_json(*SHORT, "--drift", "0.02")
    row = row_of(prediction, 1.0)

    assert row["initial_error"] == 0
    assert row["drift_lag"] == pytest.approx(0.02)
    assert row["noise"] == pytest.approx(0.1414214)
    assert row["half_life_steps"] == 0


def test_the_best_momentum_of_a_long_training_is_where_drift_meets_noise(as_json: AsJson) -> None:
    """The cube root of 4·B·d², nearly, and no row is better."""
    (prediction,) = as_json("predict", "--steps", "100000", "--batch-size", "64",
                            "--drift", "0.0001")  # fmt: skip
    best = prediction["best"]

    assert best["momentum"] == pytest.approx((4 * 64 * 1e-8) ** (1 / 3), rel=0.02)
    assert best["error"] == min(row["error"] for row in prediction["rows"])
    assert best["error"] <= min(point["error"] for point in prediction["curve"]) * 1.0001
    assert best["shares"]["noise"] == pytest.approx(2 / 3, abs=0.01)  # v·a/2 to v·a/4


def test_the_best_momentum_of_a_short_training_forgets_the_initial_value(as_json: AsJson) -> None:
    """ln(4·T·B·b²)/(2T) nearly; debiased, the mean over all examples would be better."""
    (prediction,) = as_json(*SHORT)
    best = prediction["best"]

    assert best["momentum"] == pytest.approx(math.log(4 * 100 * 50) / 200, rel=0.03)
    assert best["shares"]["drift"] == 0
    assert prediction["best_debiased"] == {
        "momentum": 0.0, "error": pytest.approx(1 / math.sqrt(5000))
    }  # fmt: skip


@pytest.mark.parametrize(
    ("batch", "more"),
    [(1, ["--drift", "0.02"]), (3, []), (8, ["--train-size", "4000", "--no-shuffle"])],
)
def test_of_momenta_that_are_all_equal_none_is_named(
    as_json: AsJson, batch: int, more: list[str]
) -> None:
    """Debiased, one step gives every momentum that batch's mean: named is the cumulative mean."""
    predictions = as_json("predict", "--steps", "1", "--batch-size", str(batch), *more)
    drifts = [0.02] if "--drift" in more else [0.0, 0.003, 0.01, 0.03]
    share = 1 - (batch - 1) / 3999 if "--train-size" in more else 1.0

    for prediction, drift in zip(predictions, drifts, strict=True):
        wanted = math.sqrt(share / batch + drift**2)
        assert prediction["best_debiased"]["momentum"] == 0.0
        assert prediction["best_debiased"]["error"] == pytest.approx(wanted, rel=1e-3)


def test_epochs_change_the_noise(as_json: AsJson) -> None:
    """2,000 examples in batches of 64: 32 batches, the last of 16; by hand for momentum 1."""
    (ragged,) = as_json(*S1)
    (dropped,) = as_json(*S1, "--drop-last")
    (fixed,) = as_json(*S1, "--no-shuffle")

    assert ragged["setting"]["batches_per_epoch"] == 32
    assert ragged["setting"]["last_batch"] == 16
    assert dropped["setting"]["batches_per_epoch"] == 31
    assert row_of(ragged, 1.0)["noise"] == pytest.approx(math.sqrt(1 / 16 - 1 / 2000))
    assert row_of(dropped, 1.0)["noise"] == pytest.approx(math.sqrt(1 / 64 - 1 / 2000))
    assert row_of(ragged, 0.01)["half_life_epochs"] == pytest.approx(68.9676 / 32, rel=1e-5)
    assert row_of(fixed, 0.1)["noise"] > row_of(ragged, 0.1)["noise"]


def test_without_a_drift_the_answer_is_a_range(
    normexp: Command, as_json: AsJson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One answer a drift, each as if it had been given; the likely one stands out; it fits."""
    typed = ("predict", "--steps", "500", "--batch-size", "32")
    text = normexp(*typed, "--momentum", "0.4").stdout
    found = as_json(*typed)
    best = [each["best"]["momentum"] for each in found]
    (alone,) = as_json(*typed, "--drift", "0.01")
    (line,) = (line for line in text.splitlines() if "best momentum" in line)
    monkeypatch.setenv("COLUMNS", "30")
    lines = normexp(*typed, "--momentum", "0.4").stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("drift, σ"))

    assert [each["setting"]["drift_per_step"] for each in found] == [0, 0.003, 0.01, 0.03]
    assert best == sorted(set(best))
    assert (found[2]["best"], found[2]["rows"]) == (alone["best"], alone["rows"])
    for name, momentum in zip(("0", "0.003", "0.01*", "0.03"), best, strict=True):
        (row,) = (line.split() for line in text.splitlines() if line.split()[:1] == [name])
        assert row[1] == f"{momentum:g}"
    assert line.startswith("* likely for a network that trains, 0.01 σ a step")
    assert f"best momentum {best[2]:g}, " in line
    assert max(map(len, lines[start : start + 7])) <= 30
    assert all("…" not in line for line in lines)
    assert any("no room for error at 0.4" in line for line in lines)
    assert "no room" not in text


def test_momenta_asked_for_are_shown_beside_the_usual_ones(as_json: AsJson) -> None:
    """In order, once each; an exact initial value is best kept, since updates add noise only."""
    (prediction,) = as_json(*SHORT, "--momentum", "0.2,0.1,0")
    shown = [row["momentum"] for row in prediction["rows"]]
    (exact,) = as_json(*SHORT, "--initial-error", "0")

    assert {0.0, 0.1, 0.2, 0.01, 1.0} < set(shown)
    assert shown == sorted(set(shown))
    assert row_of(prediction, 0.0)["half_life_steps"] is None
    assert row_of(prediction, 0.0)["error"] == 1
    assert (exact["best"]["momentum"], exact["best"]["error"]) == (0, 0)


def test_the_answer_names_the_best_momentum_in_both_directions(
    normexp: Command, as_json: AsJson
) -> None:
    """One line, with the error and what it consists of; the row is marked."""
    (prediction,) = as_json(*S1)
    best = prediction["best"]
    lines = normexp(*S1).stdout.splitlines()

    (line,) = (line for line in lines if line.startswith("best momentum"))
    assert f"best momentum {best['momentum']:g}, keras {1 - best['momentum']:g}:" in line
    assert f"error {best['error']:.3g} σ" in line
    assert f"sampling noise {best['shares']['noise']:.0%}" in line
    assert f"initial value {best['shares']['initial']:.0%}" in line
    assert "drift" not in line
    assert [each for each in lines if f"{best['momentum']:g}*" in each]


def test_a_small_last_batch_is_pointed_out(normexp: Command) -> None:
    """Where evaluation comes right after it, and only there."""
    ragged, dropped = normexp(*S1).stdout, normexp(*S1, "--drop-last").stdout

    assert "right after a batch of 16" in ragged
    assert "right after" not in dropped
    assert "12 epochs of 32 batches\n" in ragged
    assert "12 epochs of 31 batches and 12 more\n" in dropped


@pytest.mark.parametrize("columns", [40, 60, 160])
def test_tables_and_plots_fit_the_terminal(
    normexp: Command, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Momentum and error stay, whatever else must go; sentences wrap by themselves."""
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = normexp(*S1, "--drift", "0.001").stdout.splitlines()
    drawn = [line for line in lines if "│" in line or "┤" in line or "┬" in line]
    start = next(i for i, line in enumerate(lines) if "momentum" in line and "error" in line)
    table = lines[start : start + 12]

    assert len(drawn) == 13
    assert max(map(len, drawn + table)) <= columns
    assert ("keras" in table[0]) == (columns >= 60)


def test_predict_needs_neither_torch_nor_unicode(command: Command) -> None:
    """Numbers only, at once; a pipe gets no escapes, nor Braille where its encoding has none."""
    arguments = [sys.executable, "-X", "importtime", "-m", "normexp", *SHORT]
    plain = {**os.environ, "PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=plain)
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    assert "normexp.theory.budget" in modules
    assert not {"torch", "pandas", "pyarrow", "numpy", "scipy", "hydra"} & modules
    assert "\x1b" not in command(*S1).stdout
    assert done.stdout.isascii()
    assert "+---" in done.stdout
    assert done.stdout.count("O") == 1
    assert "*****" in done.stdout
