"""Arms of runs: which values belong together, and what is left out."""

from dataclasses import replace

import numpy as np
import pytest

from normexp.config.tree import flatten, from_tree
from normexp.insight.pairing import compare_arms

RNG = np.random.default_rng(20261121)
TRAJECTORY = "abc"


def row(seed: int, loss: float | None, **given: object) -> dict[str, object]:
    """A run of batch norm by its row; `norm__momentum=0.5` sets a field."""
    fields = {name.replace("__", "."): value for name, value in given.items() if "__" in name}
    flat = flatten(CONFIG) | {"seed": seed} | fields
    return {
        "run_id": f"{seed}-{fields}",
        "status": "complete",
        "trajectory_id": f"{TRAJECTORY}{seed}",
        "test_loss": loss,
        **flat,
        **{name: value for name, value in given.items() if "__" not in name},
    }


CONFIG = from_tree({"data": {"kind": "quadratic"}, "model": {"kind": "mlp", "input_norm": True},
                    "norm": {"kind": "batch"}, "optim": {"kind": "adam"}})  # fmt: skip


def test_momenta_are_paired_on_their_weights_even_where_seeds_vary_more() -> None:
    """Losses of seeds span a thousandfold, each momentum's is 1.1 times the other's: decided."""
    losses = RNG.lognormal(0, 3, 6)
    noise = RNG.normal(1.1, 0.01, 6)
    before = [row(s, x, norm__momentum=0.1) for s, x in enumerate(losses)]
    after = [row(s, x * k, norm__momentum=0.5) for (s, x), k in
             zip(enumerate(losses), noise, strict=True)]  # fmt: skip
    found = compare_arms(before, after[::-1], "test_loss")

    assert found.pairing == "weights"
    assert found.result.decided
    assert found.result.estimate == pytest.approx(1.1, rel=0.02)
    assert len(set(found.run_ids)) == 12


@pytest.mark.parametrize(
    ("fields", "pairing"),
    [
        ({"optim__lr": 0.1}, "seed"),
        ({"train__batch_size": 16}, "seed"),
        ({"model__bias_init": 1.0}, "seed"),
        ({"model__input_norm": False}, "seed"),
        ({"model__width": 20}, "unpaired"),
        ({"data__train_size": 100}, "unpaired"),
    ],
    ids=str,
)
def test_trainings_are_paired_by_seed_where_they_share_data_and_initial_weights(
    fields: dict[str, object], pairing: str
) -> None:
    """Another rate, batch or bias does; another width or other data do not."""
    before = [row(seed, 1.0 + seed) for seed in range(3)]
    after = [row(seed, 2.0 + seed, trajectory_id=f"x{seed}", **fields) for seed in range(3)]

    assert compare_arms(before, after, "test_loss").pairing == pairing


def test_other_seeds_are_independent_and_fewer_seeds_are_paired() -> None:
    """Seeds 0 to 2 against 3 to 5 are no pairs; 0 to 2 against 0 to 5 are three."""
    few, many = [row(s, 1.0 + s) for s in range(3)], [row(s, 2.0 + s) for s in range(6)]
    disjoint = compare_arms(few, many[3:], "test_loss")
    within = compare_arms(few, many, "test_loss")

    assert (disjoint.pairing, disjoint.result.n) == ("unpaired", (3, 3))
    assert (within.pairing, within.result.n, within.unmatched) == ("weights", (3, 3), 3)


def test_diverged_runs_are_left_out_and_counted() -> None:
    """With the run of their seed on the other side."""
    before = [row(s, 1.0) for s in range(4)]
    after = [*(row(s, 2.0) for s in range(3)), row(3, 1e30, status="diverged")]
    found = compare_arms(before, after, "test_loss")

    assert (found.diverged, found.unmatched, found.result.n) == (1, 1, (3, 3))


def test_arms_that_lost_one_seed_each_are_still_paired() -> None:
    """Seeds 0 to 7; seed 1 diverged here and seed 6 there: six pairs, two runs without partner."""
    losses = RNG.lognormal(0, 3, 8)
    before = [row(s, x, status="diverged" if s == 1 else "complete") for s, x in enumerate(losses)]
    after = [row(s, x * 1.1, status="diverged" if s == 6 else "complete")
             for s, x in enumerate(losses)]  # fmt: skip
    found = compare_arms(before, after, "test_loss")

    assert (found.pairing, found.result.n) == ("weights", (6, 6))
    assert (found.diverged, found.unmatched) == (2, 2)
    assert found.result.estimate == pytest.approx(1.1)
    assert found.result.decided


def test_where_no_seed_is_left_on_both_sides_there_is_no_pair() -> None:
    """Each of two seeds diverged on one side: nothing to compare, nothing raised."""
    before = [row(0, 1.0), row(1, 1.0, status="diverged")]
    after = [row(0, 1.0, status="diverged"), row(1, 1.0)]
    found = compare_arms(before, after, "test_loss")

    assert (found.pairing, found.result.n, found.unmatched) == ("weights", (0, 0), 2)


def test_a_missing_loss_is_left_out() -> None:
    """As a summary has it where it is not finite."""
    found = compare_arms([row(0, 1.0), row(1, None)], [row(0, 2.0), row(1, 2.0)], "test_loss")

    assert (found.result.n, found.result.left_out) == ((1, 1), 1)


def test_norms_are_paired_by_seed() -> None:
    """Standardised input or not: the layers start from the same weights."""
    kinds = {"data": "quadratic", "norm": "layer", "model": "mlp", "optim": "adam"}
    layer = replace(CONFIG, norm=from_tree({g: {"kind": kind} for g, kind in kinds.items()}).norm)
    before = [row(seed, 1.0 + seed) for seed in range(3)]
    fields = {"status": "complete", "test_loss": 2.0}
    after = [{**flatten(layer), **fields, "seed": seed, "run_id": str(seed), "trajectory_id": "t"}
             for seed in range(3)]  # fmt: skip

    assert compare_arms(before, after, "test_loss").pairing == "seed"
