"""Comparisons: intervals that cover, effect sizes by their formulas, arms paired as they can be."""

import math
from dataclasses import replace

import numpy as np
import pytest

from normexp.config.tree import flatten, from_tree
from normexp.insight.comparison import (
    FEWEST,
    Comparison,
    compare_arms,
    compare_paired,
    compare_unpaired,
    scale_of,
)

RNG = np.random.default_rng(20261121)


def covered(results: list[Comparison], truth: float) -> float:
    """The share of intervals that hold the truth."""
    return float(np.mean([each.low <= truth <= each.high for each in results]))


def test_differences_have_their_means_and_effect_sizes() -> None:
    """Paired: mean over standard deviation; else Hedges' g, the pooled deviation written out."""
    before, after = RNG.normal(5, 1, 12), RNG.normal(6, 1, 12)
    paired, differences = compare_paired(list(before), list(after)), after - before
    first, second = RNG.normal(0, 1, 9), RNG.normal(2, 3, 14)
    unpaired = compare_unpaired(list(first), list(second))
    pooled = math.sqrt((8 * first.var(ddof=1) + 13 * second.var(ddof=1)) / 21)

    assert (paired.n, unpaired.n) == ((12, 12), (9, 14))
    assert paired.estimate == pytest.approx(differences.mean())
    assert paired.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert paired.low < paired.estimate < paired.high
    assert unpaired.estimate == pytest.approx(second.mean() - first.mean())
    assert unpaired.effect_size == pytest.approx(
        unpaired.estimate / pooled * (1 - 3 / (4 * 23 - 9))
    )


def test_a_ratio_is_of_geometric_means_and_knows_no_units() -> None:
    """Doubling every loss of both sides changes nothing; swapping the sides inverts it."""
    before, after = RNG.lognormal(0, 1, 10), RNG.lognormal(1, 1, 10)
    found = compare_paired(list(before), list(after), "ratio")
    doubled = compare_paired(list(2 * before), list(2 * after), "ratio")
    swapped = compare_paired(list(after), list(before), "ratio")

    assert found.estimate == pytest.approx(np.exp(np.log(after).mean() - np.log(before).mean()))
    assert doubled.low == pytest.approx(found.low, rel=1e-3)
    assert doubled.high == pytest.approx(found.high, rel=1e-3)
    assert swapped.estimate == pytest.approx(1 / found.estimate)


@pytest.mark.parametrize("sizes", [(8,), (6, 9), (4, 3)])
def test_an_interval_is_the_wider_of_student_s_t_and_scipy_s_bootstrap(
    sizes: tuple[int, ...],
) -> None:
    """BCa at the level that Hesterberg's expansion gives, ends taken one by one."""
    from scipy.stats import bootstrap, norm, t, ttest_1samp, ttest_ind

    samples = [RNG.lognormal(0, 1, size) for size in sizes]
    if len(samples) == 1:
        found = compare_paired([0.0] * 8, list(samples[0]))
        student = ttest_1samp(samples[0], 0).confidence_interval()
    else:
        found = compare_unpaired(list(samples[0]), list(samples[1]))
        student = ttest_ind(samples[1], samples[0], equal_var=False).confidence_interval()
    n = min(sizes)
    expanded = t.ppf(0.975, n - 1) * math.sqrt(n / (n - 1))
    bca = bootstrap(
        samples,
        lambda *parts, axis: (
            parts[-1].mean(axis=axis) - (parts[0].mean(axis=axis) if len(parts) > 1 else 0)
        ),
        confidence_level=1 - 2 * norm.sf(expanded),
        rng=np.random.default_rng(0),
    ).confidence_interval

    assert found.low == pytest.approx(min(student.low, bca.low))
    assert found.high == pytest.approx(max(student.high, bca.high))


def test_long_tails_and_skew_are_covered_too() -> None:
    """Of Student's t BCa alone holds 0 in 91 %, of exponential values t alone 1 in 90 %."""
    from scipy.stats import t

    tails = np.random.default_rng(3).standard_t(3, (400, 6))
    skew = np.random.default_rng(4).exponential(size=(400, 8))
    half = t.ppf(0.975, 7) * skew.std(axis=1, ddof=1) / math.sqrt(8)
    by_t = float(np.mean(np.abs(skew.mean(axis=1) - 1) <= half))

    assert covered([compare_paired([0.0] * 6, list(each)) for each in tails], 0) >= 0.94
    found = covered([compare_paired([0.0] * 8, list(each)) for each in skew], 1)
    assert found >= max(0.91, by_t + 0.01)


@pytest.mark.parametrize(("n", "widest"), [(6, 1.5), (8, 1.5), (400, 1.08)])
def test_the_interval_holds_students_and_welchs(n: int, widest: float) -> None:
    """As SciPy has them, so that of normal values 95 % hold the truth; with many it is no wider."""
    from scipy.stats import ttest_ind, ttest_rel

    rng = np.random.default_rng(n)
    first, second = rng.normal(size=n), rng.normal(2, 4, size=n)
    paired = compare_paired(list(first), list(second))
    unpaired = compare_unpaired(list(first), list(second[:-2]))
    students = ttest_rel(second, first).confidence_interval()
    welchs = ttest_ind(second[:-2], first, equal_var=False).confidence_interval()

    for found, (low, high) in ((paired, students), (unpaired, welchs)):
        assert found.low <= low + 1e-9
        assert found.high >= high - 1e-9
        assert found.high - found.low < widest * (high - low)


def test_skewed_losses_are_covered_as_ratios() -> None:
    """Log-normal losses whose geometric means differ by a factor of 2."""
    rng = np.random.default_rng(1)
    found = [
        compare_paired(list(rng.lognormal(0, 1, 8)), list(2 * rng.lognormal(0, 1, 8)), "ratio")
        for _ in range(250)
    ]

    assert covered(found, 2) >= 0.91


def test_a_clear_difference_is_decided_and_the_same_every_time() -> None:
    """Six pairs that all say the same; resampling draws from a fixed stream."""
    pairs = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3.1, 4.0, 5.2, 5.9, 7.1, 8.0]
    found = compare_paired(*pairs)

    assert (found.decided, found.more_seeds) == (True, 0)
    assert found == compare_paired(*pairs)


def test_more_seeds_are_as_many_as_make_the_interval_narrower_than_the_difference() -> None:
    """By t at the observed spreads: the first n with t·(standard error) < |difference|."""
    from scipy.stats import t

    def enough(mean: float, variance: float, freedom: int) -> int:
        return next(
            n
            for n in range(6, 999)
            if t.ppf(0.975, freedom * (n - 1)) * math.sqrt(variance / n) < mean
        )

    after = [-1.0, 2.0, -0.5, 1.5, 0.2, 0.4]
    first, second = [0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.5, 0.5, 5.0]
    paired, unpaired = compare_paired([0.0] * 6, after), compare_unpaired(first, second)
    total = np.var(first, ddof=1) + np.var(second, ddof=1)

    assert not paired.decided
    assert paired.more_seeds == enough(float(np.mean(after)), float(np.var(after, ddof=1)), 1) - 6
    gap = float(np.mean(second) - np.mean(first))
    assert unpaired.more_seeds == enough(gap, float(total), 2) - 5


def test_a_tiny_difference_is_worth_no_number_of_seeds() -> None:
    """None where more than a thousand would be wanted, and where there is no difference."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=8)
    tiny = compare_paired([0.0] * 8, list(values - values.mean() + 0.001))
    none = compare_paired([0.0] * 8, list(values - values.mean()))

    assert tiny.more_seeds is None
    assert none.more_seeds is None or abs(none.estimate) > 0


def test_one_pair_has_no_interval_and_few_pairs_decide_nothing() -> None:
    """A single value has no spread; fewer than six cannot cover 95 %."""
    one = compare_paired([1.0], [2.0])
    few = compare_paired([1.0, 1.1, 0.9, 1.0], [9.0, 9.2, 9.1, 8.9])

    assert one.estimate == 1
    assert math.isnan(one.low)
    assert math.isnan(one.effect_size)
    assert not one.decided
    assert few.low > 0
    assert (few.decided, few.more_seeds) == (False, FEWEST - 4)


def test_no_pair_at_all_is_no_comparison() -> None:
    """NaN all over, nothing decided, nothing raised."""
    for found in (compare_paired([], []), compare_unpaired([], [1.0])):
        assert math.isnan(found.estimate)
        assert not found.decided
        assert found.more_seeds is None


def test_values_that_do_not_vary_have_an_interval_without_width() -> None:
    """All differences alike: decided if there is one, undecided and hopeless if there is none."""
    shift = compare_paired([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    same = compare_unpaired([1.0] * 6, [1.0] * 6)

    assert (shift.low, shift.high, shift.decided) == (1, 1, True)
    assert shift.effect_size == math.inf
    assert (same.low, same.high, same.decided, same.more_seeds) == (0, 0, False, None)


def test_ties_are_resampled_like_any_values() -> None:
    """Differences of 0 and 1 only: an interval within them, no warning, no NaN."""
    found = compare_paired([0.0] * 8, [0.0, 1.0] * 4)
    nearly = compare_paired([0.0] * 8, [0.0] * 7 + [1.0])

    assert 0 <= found.low < 0.5 < found.high <= 1
    assert math.isfinite(nearly.low)
    assert not nearly.decided


def test_what_is_not_finite_is_left_out_and_counted() -> None:
    """A pair goes as a whole; a ratio has no place for zero or less."""
    paired = compare_paired([1.0, math.nan, 3.0, 4.0], [2.0, 2.0, math.inf, 5.0])
    ratio = compare_paired([1.0, 2.0, 0.0], [2.0, 4.0, 1.0], "ratio")
    unpaired = compare_unpaired([1.0, math.nan], [2.0, 3.0, 4.0])

    assert (paired.n, paired.left_out) == ((2, 2), 2)
    assert (ratio.n, ratio.left_out) == ((2, 2), 1)
    assert ratio.estimate == pytest.approx(2)
    assert (unpaired.n, unpaired.left_out) == ((1, 3), 1)


def test_positive_losses_are_compared_by_ratio_all_else_by_difference() -> None:
    """Excess losses may be negative, accuracies are shares."""
    assert scale_of("test_loss", [1.0, math.nan]) == "ratio"
    assert scale_of("test_loss", [1.0, 0.0]) == "difference"
    assert scale_of("excess_loss", [1.0, 2.0]) == "difference"
    assert scale_of("test_accuracy", [0.5, 0.6]) == "difference"


def row(seed: int, loss: float | None, **given: object) -> dict[str, object]:
    """A run of batch norm by its row; `norm__momentum=0.5` sets a field."""
    fields = {name.replace("__", "."): value for name, value in given.items() if "__" in name}
    flat = flatten(CONFIG) | {"seed": seed} | fields
    return {
        "run_id": f"{seed}-{fields}",
        "status": "complete",
        "trajectory_id": f"abc{seed}",
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
