"""The criteria of the claims: each can say yes and no, and finds the runs that it is about."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

import normexp as package
from normexp.claims import metrics as measured
from normexp.claims.check import CLAIMS, SETTLED, judged
from normexp.claims.criteria import Cell, Verdict, differs, verdict
from normexp.claims.studies import STUDIES
from normexp.insight.comparison import compare_paired
from normexp.numerics import one_thread

Flat = dict[str, Any]
Metrics = Callable[[Flat], dict[str, Any]]

BY_ID = {claim.id: claim for claim in CLAIMS}


@cache
def runs_of_study(name: str) -> list[Flat]:
    """The runs of a study with twelve seeds, as rows have them but for their numbers."""
    runs = package.load([*STUDIES[name], "seed=range(3000,3012)"]).runs
    rows = []
    for number, run in enumerate(runs):
        flat = dict(run.flat)
        kinds = {group: flat[f"{group}.kind"] for group in ("data", "model", "norm", "optim")}
        place = f"{name}/{number}"
        rows.append({**flat, **kinds, "run_id": place, "directory": place, "trajectory_id": place,
                     "status": "complete"})  # fmt: skip
    return rows


def made_up(claim: str, metrics: Metrics) -> dict[str, pd.DataFrame]:
    """Hand-made numbers for the real runs of a claim's studies, with noise of 1 % by seed."""
    rng, frames = np.random.default_rng(0), {}
    for name in BY_ID[claim].studies:
        rows = []
        for row in runs_of_study(name):
            noise = 1 + 0.01 * rng.standard_normal()
            rows.append({**row, **{key: value * noise for key, value in metrics(row).items()}})
        frames[name] = pd.DataFrame(rows)
    return frames


def is_bn(row: Flat) -> bool:
    """Whether a row is of batch norm."""
    return bool(row["norm"] == "batch")


def is_fast(row: Flat, slowest: float) -> bool:
    """Whether the newest batch weighs at least so much."""
    return bool(row.get("norm.momentum", 0) >= slowest)


def learns(when: bool) -> dict[str, Any]:  # noqa: FBT001  a truth value
    """The weights' loss, below or above half of the best constant's, on either data."""
    return {"test_loss_population": 0.1 if when else 700.0}


def off(value: float, best: float) -> float:
    """A loss that is least where the momentum is best."""
    return 1 + abs(math.log(value / best))


CASES: dict[str, tuple[Metrics, Metrics]] = {
    "S0.1": (
        lambda row: {"excess_loss": 0.5 if row.get("norm.momentum") == 0.1 else 0.1},
        lambda row: {"excess_loss": 0.1 if row.get("norm.momentum") == 0.1 else 0.5},
    ),
    "S0.4": (
        lambda row: {"excess_loss": 0.1 if is_fast(row, 0.99) else 0.5},
        lambda row: {"excess_loss": 0.5 if is_fast(row, 0.99) else 0.1},
    ),
    "S1.2": (
        lambda row: learns(row["optim.lr"] < (4 if is_bn(row) else 0.2)),
        lambda row: learns(row["optim.lr"] < (0.2 if is_bn(row) else 4)),
    ),
    "S1.3": (
        lambda row: {"test_loss_population": 5.0 - is_bn(row), "train_loss_population": 1.0},
        lambda row: {"test_loss_population": 5.0 + is_bn(row), "train_loss_population": 1.0},
    ),
    "S1.4": (
        lambda row: learns(is_bn(row) or row["model.weight_std"] == 1),
        lambda row: learns(not is_bn(row) or row["model.weight_std"] == 1),
    ),
    "S1.7": (
        lambda row: {"test_loss": 2.0 - is_bn(row)},
        lambda row: {"test_loss": 1.0 + is_bn(row)},
    ),
    "S1.8": (
        lambda row: {"test_loss": 1.0 if row["norm.momentum"] == 0.5 else 2.0},
        lambda row: {"test_loss": 2.0 if row["norm.momentum"] == 0.5 else 1.0},
    ),
    "S2.7": (
        lambda row: {"test_loss": 1.0 + is_fast(row, 0.5)},
        lambda _: {"test_loss": 1.0},
    ),
    "S2.8": (
        lambda _: {"test_loss": 2.0, "test_loss_population": 1.0},
        lambda _: {"test_loss": 1.0, "test_loss_population": 2.0},
    ),
    "S2.9": (
        lambda row: {"test_loss": off(row["norm.momentum"], row["train.batch_size"] / 300)},
        lambda row: {"test_loss": off(row["norm.momentum"], 5 / row["train.batch_size"])},
    ),
    "S3.1": (
        lambda row: {"test_loss_population": 1.0 + (row["norm.placement"] == "before")},
        lambda row: {"test_loss_population": 1.0 + (row["norm.placement"] == "after")},
    ),
    "S4.4": (
        lambda row: {"test_loss": 1.0 + is_bn(row) / row["train.batch_size"]},
        lambda row: {"test_loss": 1.0 + (not is_bn(row)) / row["train.batch_size"]},
    ),
    # Of tables: the course in `metrics`, and the last evaluation point of `layers`
    "S1.1": (
        lambda row: {"test_loss": 2.0 - is_bn(row), "series": 2.0 - is_bn(row)},
        lambda row: {"test_loss": 2.0 - is_bn(row), "series": 1.0 + is_bn(row)},
    ),
    "S2.5": (
        lambda row: {"error": 1.0 if is_fast(row, 0.3) == (row["optim.lr"] > 1e-3) else 2.0},
        lambda row: {"error": 1.0 if is_fast(row, 0.3) == (row["optim.lr"] < 1e-3) else 2.0},
    ),
    "S2.6": (
        lambda row: {"error": 2.0 if is_fast(row, 0.3) else 1.0},
        lambda row: {"error": 1.0 if is_fast(row, 0.3) else 2.0},
    ),
}  # fmt: skip
"""By claim: what runs would give that bear it out, and what runs that refute it."""


@pytest.mark.parametrize("claim", CASES)
def test_a_criterion_says_yes_and_no(claim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the studies' real runs: every cell finds its runs, and decides by them."""
    for metrics, expected in zip(CASES[claim], ("holds", "fails"), strict=True):
        frames = made_up(claim, metrics)
        rows = {row["directory"]: row for frame in frames.values()
                for row in frame.to_dict("records")}  # fmt: skip

        def table(run: Flat, name: str, rows: dict[Any, Any] = rows) -> pd.DataFrame:
            row = rows[run["directory"]]
            if name == "metrics":
                return pd.DataFrame({"test_loss": [9.0, row["series"]]})
            return pd.DataFrame({"step": [0, 8], "mean_error": [5.0, row["error"]]})

        monkeypatch.setattr(measured, "table", table)
        found = judged(BY_ID[claim], frames)

        assert found.verdict == expected
        assert all(min(cell.comparison.n) >= 6 and cell.run_ids for cell in found.cells)


def test_every_claim_on_runs_is_tested() -> None:
    """S3.5 and S4.2 below, on real weights."""
    on_runs = {claim.id for claim in CLAIMS if claim.studies}

    assert on_runs - set(CASES) == {"S3.5", "S4.2"}


def test_noise_decides_nothing() -> None:
    """Losses that have nothing to do with momentum: undecided, with advice on seeds."""
    rng = np.random.default_rng(5)
    found = judged(BY_ID["S1.8"], made_up("S1.8", lambda _: {"test_loss": float(rng.lognormal())}))

    assert found.verdict == "undecided"
    assert any(cell.holds is None and cell.comparison.more_seeds for cell in found.cells)


def test_without_runs_every_claim_on_runs_is_undecided() -> None:
    """Nothing raises where a study has failed whole."""
    for claim in CLAIMS:
        if claim.studies:
            assert judged(claim, {}).verdict == "undecided", claim.id


NOTHING = compare_paired([], [])


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([True, True], "holds"),
        ([False, False], "fails"),
        ([True, False], "holds only if"),
        ([True, False, None], "holds only if"),
        ([False, None], "fails"),
        ([True, None], "undecided"),
        ([None], "undecided"),
        ([], "undecided"),
    ],
    ids=str,
)
def test_a_verdict_is_of_a_general_statement(
    held: Sequence[bool | None], expected: Verdict
) -> None:
    """One cell refutes it, all confirm it; cells that do not pose the question have no vote."""
    cells = [Cell(str(number), each, NOTHING) for number, each in enumerate(held)]

    assert verdict(cells) == expected
    assert verdict([*cells, Cell("", holds=False, comparison=NOTHING, posed=False)]) == expected


def test_no_difference_needs_an_interval_within_the_margin() -> None:
    """Ten per cent: a clear 5 % is apart, exactly none is not, a wide interval is undecided."""
    ones = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    clear = [1.05 * x for x in ones]
    around = [x * k for x, k in zip(ones, (0.97, 1.03) * 3, strict=True)]
    wide = [x * k for x, k in zip(ones, (0.5, 2.0) * 3, strict=True)]

    assert [differs(compare_paired(ones, other, "ratio")) for other in (clear, around, wide)] == [
        True, False, None]  # fmt: skip
    assert differs(compare_paired(ones[:5], ones[:5], "ratio")) is None


def test_every_claim_says_all_that_a_reader_needs() -> None:
    """Forty ids, no two alike; a criterion and a measure, or a reason; studies that there are."""
    ids = [*(each.id for each in CLAIMS), *(each.id for each in SETTLED)]

    assert len(set(ids)) == len(ids) == 40
    assert {name for claim in CLAIMS for name in claim.studies} == set(STUDIES)
    assert all(claim.criterion and claim.measure and claim.because for claim in CLAIMS)
    assert all(each.because for each in SETTLED)


@pytest.mark.parametrize(("loss", "is_learnt"), [(338.0, True), (345.0, False)])
def test_learnt_is_half_the_variance_of_the_parabola(loss: float, is_learnt: bool) -> None:  # noqa: FBT001
    """Half of 685: by S1's own points, the variance of y is that."""
    frame = made_up("S1.4", lambda _: {})["weights"]
    frame["test_loss_population"] = frame["norm"].map({"batch": loss, "none": 700.0})
    exact = judged(BY_ID["S1.4"], {"weights": frame})

    assert np.var(np.linspace(-7, 10, 2000) ** 2) + 4 == pytest.approx(685, rel=0.01)
    assert (exact.verdict == "holds") is is_learnt


def test_seeds_that_learn_at_no_rate_count() -> None:
    """S1.2: a plain network that never learns stands at place 0; bounds are named."""
    found = judged(BY_ID["S1.2"], made_up("S1.2", lambda row: learns(
        is_bn(row) or (row["model.depth"] == 1 and row["optim.lr"] < 0.2))))  # fmt: skip
    digits, shallow, own = found.cells

    assert found.verdict == "holds"
    assert digits.comparison.estimate == 6 - 1  # 0.1 is the first of six rates
    assert shallow.comparison.estimate == own.comparison.estimate == 7
    assert own.note == "norm=batch learns at the largest rate with 12 seeds: a bound"


def test_without_overfitting_there_is_nothing_to_prevent() -> None:
    """S1.3: a plain network as good on the test set poses no question, whatever the other does."""

    def metrics(row: Flat) -> dict[str, Any]:
        overfits = row["data.train_size"] == 100
        train = 0.5 if overfits else 1.0
        return {"test_loss_population": 1.0, "train_loss_population": 0.9 if is_bn(row) else train}

    found = judged(BY_ID["S1.3"], made_up("S1.3", metrics))

    assert [cell.posed for cell in found.cells] == [True, True, False, False, False, False]
    assert found.verdict == "holds"
    assert all("no overfitting to prevent" in cell.note for cell in found.cells[2:])
    assert verdict(found.cells[2:]) == "undecided"


def test_seeds_of_diverged_runs_are_left_out_and_counted() -> None:
    """In either arm; the others are compared."""
    runs = made_up("S1.7", lambda row: {"test_loss": 2.0 - is_bn(row)})["inputs"]
    runs.loc[(runs["norm"] == "none") & runs["seed"].isin([3001, 3002]), "status"] = "diverged"
    runs.loc[(runs["norm"] == "batch") & (runs["seed"] == 3002), "status"] = "diverged"
    for cell in judged(BY_ID["S1.7"], {"inputs": runs}).cells:
        assert cell.comparison.n == (10, 10)
        assert cell.note == "2 seeds left out: a run of theirs diverged"


def test_larger_batches_have_less_noise_and_not_the_other_way_round() -> None:
    """S3.4: the mean of 16 times as many examples has about a quarter of their noise."""
    with one_thread():
        size, noise = judged(BY_ID["S3.4"], {}).cells

    assert 1 / 6 < noise.comparison.estimate < 1 / 3
    assert noise.comparison.n == (8, 8)
    assert noise.holds
    assert 0.25 < size.comparison.estimate < 1.1  # the gradient's own size does not shrink so


@pytest.mark.parametrize(("factor", "expected"), [(2.0, "holds"), (1.0, "fails")])
def test_unrealistic_is_what_differs_from_the_population(factor: float, expected: str) -> None:
    """S3.5: twice the loss of the same weights by population statistics, or as much."""
    whole = replace(BY_ID["S3.5"], conditions=BY_ID["S3.5"].conditions[3::4])  # whole test sets
    found = made_up("S3.5", lambda _: {"test_loss_population": 1.0, "test_loss_test_batch": factor})

    assert judged(whole, found).verdict == expected
