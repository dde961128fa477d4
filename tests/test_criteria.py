"""The criteria of the claims: each can say yes and no, and finds the runs that it is about."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import normexp as package
from normexp.claims import computed, correlation
from normexp.claims.check import CLAIMS, judged
from normexp.claims.claim import Cell, Verdict, alike, no_worse, verdict
from normexp.claims.evidence import Evidence
from normexp.claims.studies import STUDIES
from normexp.engine.numerics import one_thread

Flat = dict[str, Any]
Metrics = Callable[[Flat], dict[str, Any]]

BY_ID = {claim.id: claim for claim in CLAIMS}


def evidence(claim: str, metrics: Metrics) -> Evidence:
    """Hand-made rows for the real runs of a claim's studies, with noise of 1 % by seed.

    What `metrics` gives as `layers`, `series` or `first` stands in the tables of these names.
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
            tables[place, "steps"] = pd.DataFrame({"train_loss": [found.get("first", 1.0), 7.0]})
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
        lambda _: {"test_loss": 1.0},
        lambda row: {"test_loss": 1.5 if is_fast(row, 0.99) else 1.0},
    ),
    "S0.4": (
        lambda row: {"test_loss": 1.0 if is_fast(row, 0.99) else 1.5},
        lambda row: {"test_loss": 1.5 if is_fast(row, 0.99) else 1.0},
    ),
    "S1.1": (
        lambda row: {"test_loss": 2.0 - is_bn(row), "series": 2.0 - is_bn(row)},
        lambda row: {"test_loss": 2.0 - is_bn(row), "series": 1.0 + is_bn(row)},
    ),
    "S1.2": (
        lambda row: learns(row["optim.lr"] < (9 if is_bn(row) else 0.2)),
        lambda row: learns(row["optim.lr"] < (0.2 if is_bn(row) else 9)),
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
    "S1.6": (
        lambda row: {"first": 1100.0 + row["model.bias_init"]},
        lambda row: {"first": 1100.0 + 200 * row["model.bias_init"]},
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
        lambda _: {"test_loss": 1.0},
        lambda row: {"test_loss": 1.0 + row["norm.initial_mean"]},
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
def test_a_criterion_says_yes_and_no(claim: str) -> None:
    """Of rows of the studies' real runs: every cell finds its runs, and decides by them."""
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


def test_no_worse_and_alike_need_an_interval_within_the_margin() -> None:
    """Ten per cent: a clear 5 % is no worse, a clear 20 % is, a wide interval is undecided."""
    from normexp.analysis.comparison import compare_paired

    ones = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    five, twenty = ([k * x for x in ones] for k in (1.05, 1.2))
    wide = [x * k for x, k in zip(ones, (0.5, 2.0) * 3, strict=True)]

    assert [no_worse(compare_paired(ones, other, "ratio")) for other in (five, twenty, wide)] == [
        True, False, None]  # fmt: skip
    assert [alike(compare_paired(ones, other, "ratio")) for other in (five, twenty, wide)] == [
        True, False, None]  # fmt: skip
    assert alike(compare_paired(ones[:5], ones[:5], "ratio")) is None


def test_equal_weights_are_what_refutes_an_effect_on_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Real trainings are equal; with a network that momentum does change, the claim holds."""
    with one_thread():
        real = judged(BY_ID["S0.3"], Evidence({}))
    original = computed.s0_classifier

    def changed(momentum: float) -> torch.nn.Sequential:
        network = original(momentum)
        with torch.no_grad():
            network[0].weight.mul_(1 + momentum)  # type: ignore[operator]
        return network

    monkeypatch.setattr(computed, "s0_classifier", changed)

    assert real.verdict == "fails"
    with one_thread():
        assert judged(BY_ID["S0.3"], Evidence({})).verdict == "holds"


def test_correlation_is_the_mean_of_its_absolute_values() -> None:
    """Channels x, −x and noise: |r| of 1, r, r."""
    rng = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 50, 1, 8, 8, generator=rng)
    found = correlation.mean_correlation(torch.cat([x, -x, noise], 1))
    r = np.corrcoef(x.flatten(), noise.flatten())[0, 1]

    assert found == pytest.approx((1 + 2 * abs(r)) / 3, rel=1e-5)


def test_every_claim_says_all_that_a_reader_needs() -> None:
    """An id of its source, a criterion and a measure, or a reason; studies that there are."""
    assert len({claim.id for claim in CLAIMS}) == len(CLAIMS) >= 35
    assert {name for claim in CLAIMS for name in claim.studies} == set(STUDIES)
    for claim in CLAIMS:
        assert claim.source in ("S0", "S1", "S2", "S3", "S4")
        assert bool(claim.reason) == (claim.judge is None)
        assert bool(claim.criterion) == bool(claim.measure) == (claim.judge is not None)
        assert claim.expectation


def test_the_rule_is_checked_on_stored_statistics(tmp_path: Path) -> None:
    """S2.1 on two runs of the study; it fails where a stored number is another."""
    from normexp.store.rows import rows_of

    result = package.sweep(*STUDIES["steps"], "train.batch_size=64", "train.epochs=4",
                           "norm.momentum=0.1", "seed=0,1", f"store.dir={tmp_path}")  # fmt: skip
    rows = rows_of(Path(row["directory"]) for row in result.rows)
    found = Evidence({"steps": rows})
    good = judged(BY_ID["S2.1"], found)
    spoilt = found.table(rows[0], "stats")
    spoilt.loc[spoilt.index[-1], "running_mean"] += 0.1

    assert good.verdict == "holds"
    assert judged(BY_ID["S2.1"], found).verdict == "fails"
