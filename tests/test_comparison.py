"""Comparisons: intervals that cover, effect sizes by their formulas, nothing decided by too few."""

import math

import numpy as np
import pytest

from normexp.insight.comparison import (
    FEWEST,
    Comparison,
    compare_paired,
    compare_unpaired,
    scale_of,
)

RNG = np.random.default_rng(20261121)


def covered(results: list[Comparison], truth: float) -> float:
    """The share of intervals that hold the truth."""
    return float(np.mean([each.low <= truth <= each.high for each in results]))


def test_a_paired_difference_has_its_mean_and_effect_size() -> None:
    """D_z is the mean of the differences over their standard deviation."""
    before, after = RNG.normal(5, 1, 12), RNG.normal(6, 1, 12)
    found = compare_paired(list(before), list(after))
    differences = after - before

    assert found.n == (12, 12)
    assert found.estimate == pytest.approx(differences.mean())
    assert found.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert found.low < found.estimate < found.high


def test_an_unpaired_difference_has_hedges_g() -> None:
    """Against the formula with the pooled standard deviation, written out."""
    first, second = RNG.normal(0, 1, 9), RNG.normal(2, 3, 14)
    found = compare_unpaired(list(first), list(second))
    pooled = math.sqrt((8 * first.var(ddof=1) + 13 * second.var(ddof=1)) / 21)
    small_sample = 1 - 3 / (4 * 23 - 9)

    assert found.estimate == pytest.approx(second.mean() - first.mean())
    assert found.effect_size == pytest.approx(found.estimate / pooled * small_sample)


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


def test_the_interval_of_many_values_is_that_of_the_normal_distribution() -> None:
    """With 400 values: mean ± 1.96·s/√n, to a few hundredths of its width."""
    values = RNG.normal(3, 2, 400)
    found = compare_paired([0.0] * 400, list(values))
    half = 1.96 * values.std(ddof=1) / 20

    assert found.low == pytest.approx(values.mean() - half, abs=0.08 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.08 * half)


@pytest.mark.parametrize("n", [6, 8])
def test_the_interval_of_few_values_holds_the_truth_95_times_in_a_hundred(n: int) -> None:
    """250 samples of normal values: at most three standard errors (4 %) less, paired or not."""
    rng = np.random.default_rng(n)
    samples = rng.normal(1, 2, (250, 2, n))
    paired = [compare_paired(list(a), list(b)) for a, b in samples]
    unpaired = [compare_unpaired(list(a), list(b)) for a, b in samples]

    assert 0.91 <= covered(paired, 0) <= 0.995
    assert covered(unpaired, 0) >= 0.91


def test_long_tails_are_covered_too() -> None:
    """Student's t with 3 degrees of freedom, n = 6: the BCa bootstrap alone holds 0 in 91 %."""
    samples = np.random.default_rng(3).standard_t(3, (500, 6))
    found = [compare_paired([0.0] * 6, list(sample)) for sample in samples]

    assert covered(found, 0) >= 0.94


def test_skew_is_covered_better_than_by_students_t() -> None:
    """Exponential differences of mean 1, n = 8: t alone holds it in 90 %."""
    from scipy.stats import t

    samples = np.random.default_rng(4).exponential(size=(500, 8))
    found = [compare_paired([0.0] * 8, list(sample)) for sample in samples]
    half = t.ppf(0.975, 7) * samples.std(axis=1, ddof=1) / math.sqrt(8)
    by_t = float(np.mean(np.abs(samples.mean(axis=1) - 1) <= half))

    assert covered(found, 1) >= max(0.91, by_t + 0.01)


def test_the_interval_holds_students_and_welchs() -> None:
    """As SciPy has them, paired and unpaired."""
    from scipy.stats import ttest_ind, ttest_rel

    first, second = RNG.normal(size=7), RNG.normal(2, 4, size=7)
    paired = compare_paired(list(first), list(second))
    unpaired = compare_unpaired(list(first), list(second[:5]))
    students = ttest_rel(second, first).confidence_interval()
    welchs = ttest_ind(second[:5], first, equal_var=False).confidence_interval()

    for found, (low, high) in ((paired, students), (unpaired, welchs)):
        assert found.low <= low + 1e-9
        assert found.high >= high - 1e-9
        assert found.high - found.low < 1.5 * (high - low)


def test_skewed_losses_are_covered_as_ratios() -> None:
    """Log-normal losses whose geometric means differ by a factor of 2."""
    rng = np.random.default_rng(1)
    found = [
        compare_paired(list(rng.lognormal(0, 1, 8)), list(2 * rng.lognormal(0, 1, 8)), "ratio")
        for _ in range(250)
    ]

    assert covered(found, 2) >= 0.91


def test_the_same_values_give_the_same_interval() -> None:
    """Resampling draws from a fixed stream."""
    values = list(RNG.normal(size=7))

    assert compare_paired(values, values[::-1]) == compare_paired(values, values[::-1])


def test_a_clear_difference_is_decided_and_wants_no_more_seeds() -> None:
    """Six pairs that all say the same."""
    found = compare_paired([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3.1, 4.0, 5.2, 5.9, 7.1, 8.0])

    assert found.decided
    assert found.more_seeds == 0


def test_more_seeds_are_as_many_as_make_the_interval_narrower_than_the_difference() -> None:
    """By Student's t at the observed spread: the first n with t·s/√n < |difference|."""
    from scipy.stats import t

    before, after = [0.0] * 6, [-1.0, 2.0, -0.5, 1.5, 0.2, 0.4]
    found = compare_paired(before, after)
    mean, spread = np.mean(after), np.std(after, ddof=1)
    enough = next(n for n in range(6, 999) if t.ppf(0.975, n - 1) * spread / math.sqrt(n) < mean)

    assert not found.decided
    assert found.more_seeds == enough - 6
    assert enough > 10


def test_more_seeds_of_independent_samples_count_both_spreads() -> None:
    """The standard error of a difference of means, as many of each."""
    from scipy.stats import t

    first, second = [0.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.5, 0.5, 5.0]
    found = compare_unpaired(first, second)
    total = np.var(first, ddof=1) + np.var(second, ddof=1)
    gap = np.mean(second) - np.mean(first)
    enough = next(n for n in range(6, 999) if t.ppf(0.975, 2 * n - 2) * math.sqrt(total / n) < gap)

    assert found.more_seeds == enough - 5


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
