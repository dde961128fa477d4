"""The criteria of the claims: each can say yes and no, and finds the runs that it is about."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import normexp as package
from normexp.claims import stored
from normexp.claims.check import CLAIMS, judged
from normexp.claims.claim import Cell, Verdict, alike, verdict
from normexp.claims.evidence import Evidence, Sample, ratio_cell
from normexp.claims.studies import STUDIES
from normexp.engine.numerics import one_thread

Flat = dict[str, Any]
Metrics = Callable[[Flat], dict[str, Any]]

BY_ID = {claim.id: claim for claim in CLAIMS}


def evidence(claim: str, metrics: Metrics) -> Evidence:
    """Hand-made rows for the real runs of a claim's studies, with noise of 1 % by seed.

    What `metrics` gives as `error` or `series` stands in the tables `layers` and `metrics`.
    """
    rng, tables = np.random.default_rng(0), {}
    studies = {}
    for name in BY_ID[claim].studies:
        rows = []
        for number, run in enumerate(package.load(STUDIES[name]).runs):
            flat = dict(run.flat)
            kinds = {group: flat[f"{group}.kind"] for group in ("data", "model", "norm", "optim")}
            found = metrics({**flat, **kinds})
            noise = 1 + 0.01 * rng.standard_normal()
            numbers = {key: value * noise for key, value in found.items()}
            place = f"{name}/{number}"
            tables[place, "metrics"] = pd.DataFrame({"test_loss": [9.0, numbers.get("series", 1)]})
            tables[place, "layers"] = pd.DataFrame(
                {"step": [0, 8], "mean_error": [5.0, numbers.get("error", 1)]}
            )
            rows.append({**flat, **kinds, **numbers, "run_id": place, "directory": place,
                         "trajectory_id": place, "status": "complete"})  # fmt: skip
        studies[name] = rows
    return Evidence(studies, tables)


def is_bn(row: Flat) -> bool:
    """Whether a row is of batch norm."""
    return bool(row["norm"] == "batch")


def is_fast(row: Flat, slowest: float) -> bool:
    """Whether the newest batch weighs at least so much."""
    return bool(row.get("norm.momentum", 0) >= slowest)


def learns(when: bool) -> dict[str, Any]:  # noqa: FBT001  a truth value
    """The weights' loss, below or above half of the best constant's, on either data."""
    return {"test_loss_population": 0.1 if when else 700.0}


def off(momentum: float, best: float) -> float:
    """A loss that is least where the momentum is best."""
    return 1 + abs(math.log(momentum / best))


CASES: dict[str, tuple[Metrics, Metrics]] = {
    "S0.1": (
        lambda row: {"excess_loss": 0.1 if is_fast(row, 0.99) else 0.5},
        lambda row: {"excess_loss": 0.13 if is_fast(row, 0.99) else 0.12},
    ),
    "S0.4": (
        lambda row: {"excess_loss": 0.1 if is_fast(row, 0.99) else 0.5},
        lambda row: {"excess_loss": 0.5 if is_fast(row, 0.99) else 0.1},
    ),
    "S1.1": (
        lambda row: {"test_loss": 2.0 - is_bn(row), "series": 2.0 - is_bn(row)},
        lambda row: {"test_loss": 2.0 - is_bn(row), "series": 1.0 + is_bn(row)},
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
    "S1.5": (
        lambda row: {"test_loss": 3.0 if row["model.bias_init"] else 1.0},
        lambda _: {"test_loss": 1.0},
    ),
    "S1.7": (
        lambda row: {"test_loss": 2.0 - is_bn(row)},
        lambda row: {"test_loss": 1.0 + is_bn(row)},
    ),
    "S1.8": (
        lambda row: {"test_loss": 1.0 if row["norm.momentum"] == 0.5 else 2.0},
        lambda row: {"test_loss": 2.0 if row["norm.momentum"] == 0.5 else 1.0},
    ),
    "S2.3": (
        lambda row: {"test_loss": 1.0 + row["norm.initial_mean"], "error": 1.0},
        lambda row: {"test_loss": 1.0, "error": 1.0 + row["norm.initial_mean"]},
    ),
    "S2.5": (
        lambda row: {"error": 1.0 if is_fast(row, 0.3) == (row["optim.lr"] > 1e-3) else 2.0},
        lambda row: {"error": 1.0 if is_fast(row, 0.3) == (row["optim.lr"] < 1e-3) else 2.0},
    ),
    "S2.6": (
        lambda row: {"error": 2.0 if is_fast(row, 0.3) else 1.0},
        lambda row: {"error": 1.0 if is_fast(row, 0.3) else 2.0},
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
    "S3.5": (
        lambda _: {"test_loss": 1.0, "test_loss_test_batch": 2.0},
        lambda _: {"test_loss": 2.0, "test_loss_test_batch": 1.0},
    ),
    "S4.4": (
        lambda row: {"test_loss": 1.0 + is_bn(row) / row["train.batch_size"]},
        lambda row: {"test_loss": 1.0 + (not is_bn(row)) / row["train.batch_size"]},
    ),
}  # fmt: skip
"""By claim: what runs would give that bear it out, and what runs that refute it."""


@pytest.mark.parametrize("claim", CASES)
def test_a_criterion_says_yes_and_no(claim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of rows of the studies' real runs: every cell finds its runs, and decides by them."""
    monkeypatch.setattr(
        stored, "loss_in_batches", lambda _found, row, *_size, **_: row["test_loss_test_batch"]
    )
    good, bad = (judged(BY_ID[claim], evidence(claim, metrics)) for metrics in CASES[claim])

    assert good.verdict == "holds"
    assert bad.verdict == "fails"
    assert all(c.comparison is None or min(c.comparison.n) >= 6 for c in good.cells)
    assert all(cell.run_ids for cell in good.cells)


def test_all_other_claims_on_runs_are_tested_elsewhere() -> None:
    """Those that need tensors or both: the rule, correlation, and training with prediction."""
    on_runs = {claim.id for claim in CLAIMS if claim.studies}

    assert on_runs - set(CASES) == {"S2.1", "S2.7", "S4.2"}


def test_noise_decides_nothing() -> None:
    """Losses that have nothing to do with momentum: undecided, with advice on seeds."""
    rng = np.random.default_rng(5)
    found = judged(BY_ID["S1.8"], evidence("S1.8", lambda _: {"test_loss": float(rng.lognormal())}))

    assert found.verdict == "undecided"
    assert any(
        c.holds is None and c.comparison is not None and c.comparison.more_seeds != 0
        for c in found.cells
    )


def test_without_runs_every_claim_on_runs_is_undecided() -> None:
    """Nothing raises where a study has failed whole."""
    for claim in CLAIMS:
        if claim.studies and claim.id != "S2.7":
            found = judged(claim, Evidence({}))
            assert found.verdict == "undecided", claim.id


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
        ([], "not checkable"),
    ],
    ids=str,
)
def test_a_verdict_is_of_a_general_statement(held: list[bool | None], expected: Verdict) -> None:
    """One cell refutes it, all confirm it."""
    assert verdict([Cell(str(number), each) for number, each in enumerate(held)]) == expected


def test_alike_needs_an_interval_within_the_margin() -> None:
    """Ten per cent: a clear 5 % is alike, a clear 12 % is not, a wide interval is undecided."""
    from normexp.analysis.comparison import compare_paired

    ones = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    five, twelve = ([k * x for x in ones] for k in (1.05, 1.12))
    wide = [x * k for x, k in zip(ones, (0.5, 2.0) * 3, strict=True)]

    assert [alike(compare_paired(ones, other, "ratio")) for other in (five, twelve, wide)] == [
        True, False, None]  # fmt: skip
    assert alike(compare_paired(ones[:5], ones[:5], "ratio")) is None


def test_every_claim_says_all_that_a_reader_needs() -> None:
    """An id of its source, a criterion and a measure, or a reason; studies that there are."""
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS) >= 35
    assert {name for claim in CLAIMS for name in claim.studies} == set(STUDIES)
    for claim in CLAIMS:
        assert claim.source in ("S0", "S1", "S2", "S3", "S4")
        assert bool(claim.reason) == (claim.judge is None)
        assert bool(claim.criterion) == bool(claim.measure) == (claim.judge is not None)
        assert claim.expectation


def test_both_halves_of_prediction_alone_are_judged() -> None:
    """S2.7: real trainings are equal; whether predictions differ is by the rows."""
    with one_thread():
        good, bad = (
            judged(BY_ID["S2.7"], evidence("S2.7", metrics))
            for metrics in (
                lambda row: {"test_loss": 1.0 + is_fast(row, 0.5)},
                lambda _: {"test_loss": 1.0},
            )
        )
    first = good.cells[0].comparison

    assert good.verdict == "holds"
    assert [cell.holds for cell in bad.cells] == [False, True]
    assert first is not None
    assert first.estimate == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize(("loss", "is_learnt"), [(338.0, True), (345.0, False)])
def test_learnt_is_half_the_variance_of_the_parabola(loss: float, is_learnt: bool) -> None:  # noqa: FBT001
    """Half of 685: by S1's own points, the variance of y is that."""
    x = np.linspace(-7, 10, 2000)
    rows = [dict(row) for row in evidence("S1.4", lambda _: {}).studies["weights"]]
    for row in rows:
        row["test_loss_population"] = loss if is_bn(row) else 700.0
    exact = judged(BY_ID["S1.4"], Evidence({"weights": rows}))

    assert np.var(x**2) + 4 == pytest.approx(685, rel=0.01)
    assert (exact.verdict == "holds") is is_learnt


def test_a_rate_that_nobody_learns_at_is_no_ratio() -> None:
    """S1.2: where the plain network never learns, the cell has no say, and says why."""
    found = judged(BY_ID["S1.2"], evidence("S1.2", lambda row: learns(
        row["optim.lr"] < 4 if is_bn(row)
        else row["model.depth"] == 1 and row["optim.lr"] < 0.2)))  # fmt: skip
    digits, shallow, own = found.cells

    assert found.verdict == "holds"
    assert (digits.posed, digits.holds) == (True, True)
    assert (shallow.posed, own.posed, own.holds) == (False, False, None)
    assert own.note == "norm=none learns at no rate with 48 of 48 seeds"
    assert digits.comparison is not None
    assert digits.comparison.estimate == pytest.approx(30)  # 3 : 0.1


def test_a_capped_rate_is_told() -> None:
    """S1.2: who learns at the largest rate might learn at a larger one."""
    found = judged(BY_ID["S1.2"], evidence("S1.2", lambda row: learns(
        is_bn(row) or row["optim.lr"] < 0.2)))  # fmt: skip

    assert all(
        c.note == "norm=batch learns at the largest rate with 48: a bound" for c in found.cells
    )


def test_without_overfitting_there_is_nothing_to_prevent() -> None:
    """S1.3: a plain network as good on the test set poses no question, whatever the other does."""

    def metrics(row: Flat) -> dict[str, Any]:
        overfits = row["data.train_size"] == 100
        train = 0.5 if overfits else 1.0
        return {"test_loss_population": 1.0, "train_loss_population": 0.9 if is_bn(row) else train}

    found = judged(BY_ID["S1.3"], evidence("S1.3", metrics))

    assert [cell.posed for cell in found.cells] == [True, True, False, False, False, False]
    assert found.verdict == "holds"
    assert all("no overfitting to prevent" in cell.note for cell in found.cells[2:])
    assert verdict(found.cells[2:]) == "undecided"


def test_pairs_lost_to_diverged_runs_are_told() -> None:
    """How many, and of which arm."""
    rows = [
        {"seed": seed, "norm": norm, "loss": 1.0 + seed, "run_id": f"{norm}{seed}",
         "status": "diverged" if (norm, seed) in {("none", 1), ("none", 2), ("batch", 2)}
         else "complete"}
        for norm in ("none", "batch") for seed in range(9)
    ]  # fmt: skip
    found = Evidence({"study": rows})
    none, batch = (found.sample("study", "loss", {"norm": norm}) for norm in ("none", "batch"))
    cell = ratio_cell("", none.map(lambda v: 2 * v), batch / Sample(dict.fromkeys(range(9), 2.0)),
                      lambda _: None)  # fmt: skip

    assert cell.comparison is not None
    assert cell.comparison.n == (7, 7)
    assert cell.note == "2 pairs lost to runs that diverged: 2 of norm=none, 1 of norm=batch"
    assert ratio_cell("", Sample({0: 1.0}), Sample({0: 1.0}), lambda _: None).note == ""
