"""Sampling noise left in running statistics: formulas against simulations that know none."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import Simulation, expect_mean, expect_square, expect_variance, settings

from normexp.errors import UsageError
from normexp.theory import noise, sampling
from normexp.theory.budget import budget
from normexp.theory.noise import Epoch
from normexp.theory.setting import Order, Setting

MOMENTA = (0.01, 0.1, 0.5, 0.9, 1.0)

EQUAL = {"batch_size": 20, "train_size": 200}
RAGGED = {"batch_size": 24, "train_size": 200}
TINY = {"batch_size": 3, "train_size": 12}


def simulated(order: Order, updates: int, sizes: dict[str, int], **more: object) -> Simulation:
    """Many replicas of a small training."""
    return replace(
        Simulation(updates=updates, batch_size=sizes["batch_size"], replicas=3000),
        train_size=sizes["train_size"], order=order, **more,  # type: ignore[arg-type]
    )  # fmt: skip


SHUFFLED = {
    "epoch end": simulated("shuffled", 30, EQUAL),
    "mid-epoch": simulated("shuffled", 34, EQUAL),
    "first epoch": simulated("shuffled", 4, EQUAL),
    "ragged, epoch end": simulated("shuffled", 27, RAGGED),
    "ragged, just after": simulated("shuffled", 28, RAGGED),
    "ragged, mid-epoch": simulated("shuffled", 31, RAGGED),
    "drop_last": simulated("shuffled", 24, RAGGED, drop_last=True),
    "drop_last, mid-epoch": simulated("shuffled", 27, RAGGED, drop_last=True),
    "one batch an epoch": simulated("shuffled", 3, {"batch_size": 200, "train_size": 200}),
}
FIXED = {f"fixed, {name}": replace(case, order="fixed") for name, case in SHUFFLED.items()}
CASES = {"independent": Simulation(updates=25, batch_size=20), **SHUFFLED, **FIXED}
NOTHING = 1e-16
"""A squared error of rounding alone."""

STATISTICS = ("mean", "unbiased_variance", "biased_variance")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_running_statistics_error_is_the_predicted_one(name: str, statistic: str) -> None:
    """Its mean square, bias of the biased variance included, for five momenta."""
    case = replace(CASES[name], statistic=statistic)
    setting = Setting(**settings(case))

    for momentum, errors in zip(MOMENTA, case.errors(MOMENTA), strict=True):
        if budget(setting, momentum).squared < NOTHING:
            assert np.abs(errors).max() < 1e-12
        else:
            expect_square(errors, budget(setting, momentum).squared)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("statistic", STATISTICS)
def test_debiased_and_cumulative_averages_have_the_predicted_error(
    name: str, statistic: str
) -> None:
    """Momentum 0, debiased, is the cumulative mean."""
    case = replace(CASES[name], statistic=statistic)
    setting = Setting(**settings(case))
    debiased = case.errors([0.03, 0.3], debiased=True)

    for momentum, errors in zip([0.03, 0.3, 0.0], debiased + case.errors([None]), strict=True):
        predicted = budget(setting, momentum, debiased=True).squared
        if predicted < NOTHING:
            assert np.abs(errors).max() < 1e-12
        else:
            expect_square(errors, predicted)


@pytest.mark.parametrize("order", ["shuffled", "fixed"])
def test_the_running_variances_noise_is_exact_for_tiny_batches(order: Order) -> None:
    """Four batches of three: what a formula for large batches would miss is half of it."""
    case = simulated(order, 40, TINY, statistic="unbiased_variance", replicas=20_000)
    setting = Setting(**settings(case))

    for momentum, errors in zip([0.02, 0.2], case.errors([0.02, 0.2]), strict=True):
        expect_square(errors, budget(setting, momentum).squared)


@pytest.mark.parametrize("order", ["shuffled", "fixed"])
def test_a_last_batch_of_one_has_a_biased_variance_of_nothing(order: Order) -> None:
    """Batches of 5, 5 and 1; the training set's own variance has a mean square of 1.2."""
    sizes = {"batch_size": 5, "train_size": 11}
    for updates in (30, 31):
        case = simulated(order, updates, sizes, statistic="biased_variance", replicas=20_000)
        setting = Setting(**settings(case))
        for momentum, errors in zip([0.1, 0.5], case.errors([0.1, 0.5]), strict=True):
            predicted = budget(setting, momentum)
            expect_square(errors, predicted.squared)
            expect_mean(errors, predicted.bias)


@pytest.mark.parametrize("order", ["shuffled", "fixed"])
@pytest.mark.parametrize("drop_last", [False, True])
def test_a_biased_variance_misses_a_share_of_a_variance_that_varies(
    order: Order, *, drop_last: bool
) -> None:
    """22 examples in batches of 5: the training sets' own variances have a variance of 2/21."""
    sizes = {"batch_size": 5, "train_size": 22}
    more = {"statistic": "biased_variance", "replicas": 20_000, "drop_last": drop_last}
    for updates in (40, 42):
        case = simulated(order, updates, sizes, **more)
        setting = Setting(**settings(case))
        debiased = case.errors([0.05], debiased=True)
        cumulative = case.errors([None])

        for momentum, errors in zip([0.05, 0.1], case.errors([0.05, 0.1]), strict=True):
            expect_square(errors, budget(setting, momentum).squared)
        for momentum, errors in zip([0.05, 0.0], debiased + cumulative, strict=True):
            expect_square(errors, budget(setting, momentum, debiased=True).squared)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_measured_noise_can_stand_in_for_that_of_independent_examples(statistic: str) -> None:
    """Four times the variance in a batch is twice the noise in the end, in every order."""
    for case in (CASES["independent"], CASES["ragged, mid-epoch"], CASES["fixed, mid-epoch"]):
        setting = Setting(**settings(replace(case, statistic=statistic)))
        louder = budget(replace(setting, noise_scale=4.0), 0.1).noise
        assert louder == pytest.approx(2 * budget(setting, 0.1).noise)


@pytest.mark.parametrize("name", ["independent", "epoch end", "ragged, mid-epoch"])
def test_flat_distributions_have_less_noisy_variances(name: str) -> None:
    """Excess kurtosis −1.2 of a uniform distribution."""
    case = replace(CASES[name], statistic="unbiased_variance", draw="uniform")
    flat = Setting(**settings(case))
    gaussian = replace(flat, excess_kurtosis=0.0)

    (errors,) = case.errors([0.3])
    expect_square(errors, budget(flat, 0.3).squared)
    assert budget(flat, 0.3).squared < 0.6 * budget(gaussian, 0.3).squared


@pytest.mark.parametrize("unbiased", [True, False])
@pytest.mark.parametrize(("draw", "kurtosis"), [("normal", 0.0), ("uniform", -1.2)])
def test_one_batchs_statistics_scatter_as_predicted(
    draw: str, kurtosis: float, *, unbiased: bool
) -> None:
    """Means and variances of batches of five with variance 4."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(20_000, 5)) if draw == "normal" else (
        rng.uniform(-(3**0.5), 3**0.5, size=(20_000, 5))
    )  # fmt: skip
    variances = (2 * values).var(axis=1, ddof=int(unbiased))

    expect_variance((2 * values).mean(axis=1), sampling.mean_variance(5, 4.0))
    expect_variance(variances, sampling.variance_variance(5, 4.0, kurtosis, unbiased=unbiased))
    expect_mean(variances, sampling.variance_expectation(5, 4.0, unbiased=unbiased))


@st.composite
def any_setting(draw: st.DrawFn) -> Setting:
    """Few batches of few examples, in any order and any place of an epoch."""
    return Setting(
        updates=draw(st.integers(1, 40)),
        batch_size=draw(st.integers(1, 9)),
        train_size=draw(st.integers(10, 40)),
        drop_last=draw(st.booleans()),
        order=draw(st.sampled_from(["shuffled", "fixed"])),
        initial_error=0.0,
    )


@given(setting=any_setting(), momentum=st.floats(1e-3, 1.0))
def test_the_means_noise_is_that_of_sampling_a_finite_population(
    setting: Setting, momentum: float
) -> None:
    """w'·C·w with the textbook's covariances of batch means, 1/n_j·[same batch] − 1/N."""
    size, updates, whole = setting.batch_size, setting.updates, setting.train_size or 0
    sizes = [min(size, whole - start) for start in range(0, whole, size)]
    sizes = [each for each in sizes if each == size or not setting.drop_last]
    places = [divmod(t, len(sizes)) for t in range(updates)]
    weights = [momentum * (1 - momentum) ** (updates - 1 - t) for t in range(updates)]
    expected = 0.0
    for (epoch, batch), weight in zip(places, weights, strict=True):
        for (other_epoch, other), other_weight in zip(places, weights, strict=True):
            if epoch == other_epoch or setting.order == "fixed":
                covariance = (batch == other) / sizes[batch] - 1 / whole
                expected += weight * other_weight * covariance

    assert budget(setting, momentum).squared == pytest.approx(expected, rel=1e-8, abs=1e-15)


def test_shuffled_noise_is_least_at_an_epochs_end() -> None:
    """Where a is small against 1/K, about (a·K)²/12 of independent batches'."""
    a, batches = 1e-3, 30
    epoch = Epoch(batches, 1.0, 1.0, 1 / batches)
    end = noise.shuffled(a, epoch)

    assert end == pytest.approx(a**3 * (batches**2 - 1) / 24, rel=0.01)
    assert end / noise.independent(a) == pytest.approx((a * batches) ** 2 / 12, rel=0.01)
    assert all(noise.shuffled(a, epoch, position=k) > end for k in range(1, batches))


@pytest.mark.parametrize("momentum", [1e-6, 9e-4, 1.2e-3, 0.0022, 0.2])
def test_a_small_difference_of_large_numbers_is_exact(momentum: float) -> None:
    """At an epoch's end, where the formula as it stands loses all its digits."""
    from fractions import Fraction

    a, batches = Fraction(momentum), 25
    q = 1 - a
    squares = sum((a * q**j) ** 2 for j in range(batches))
    exact = (squares - (1 - q**batches) ** 2 / batches) / (1 - q ** (2 * batches))

    found = noise.shuffled(momentum, Epoch(batches, 1.0, 1.0, 1 / batches))
    assert found == pytest.approx(float(exact), rel=1e-7, abs=0)


def test_a_small_last_batch_is_worth_dropping() -> None:
    """S1: 2,000 examples in batches of 64, the last one of 16."""
    ragged = Setting(updates=3200, batch_size=64, train_size=2000, order="shuffled")
    dropped = replace(ragged, updates=3100, drop_last=True)

    for momentum, expected in ((0.5, 1.868), (0.1, 1.516)):
        ratio = budget(ragged, momentum).noise / budget(dropped, momentum).noise
        assert ratio == pytest.approx(expected, abs=0.001)


def test_limits_of_independent_noise() -> None:
    """None at momentum 0 or before any update; one batch's at momentum 1."""
    assert noise.independent(0.0, 10, 2.0) == 0
    assert noise.independent(0.1, 0, 2.0) == 0
    assert noise.independent(1.0, 1, 2.0) == 2.0
    assert noise.independent(0.5) == pytest.approx(1 / 3)


def test_debiasing_leads_from_the_cumulative_mean_to_the_average() -> None:
    """v/t for momentum 0, v for one update, as without for many."""
    assert noise.debiased(0.0, 8, 2.0) == 0.25
    assert noise.debiased(1e-9, 8, 2.0) == pytest.approx(0.25)
    assert noise.debiased(0.3, 1, 2.0) == pytest.approx(2.0)
    assert noise.debiased(0.3, math.inf, 2.0) == pytest.approx(noise.independent(0.3, variance=2.0))


@pytest.mark.parametrize("formula", [noise.shuffled, noise.fixed])
def test_shuffling_that_is_no_shuffling(formula: object) -> None:
    """Nothing at momentum 0, nothing where a batch is the whole training set."""
    assert callable(formula)
    assert formula(0.0, Epoch(4, 1.0, 1.0, 0.25)) == 0
    assert formula(0.3, Epoch(1, 1.0, 1.0, 1.0)) == pytest.approx(0, abs=1e-15)
    assert formula(1.0, Epoch(4, 1.0, 2.0, 0.25)) == pytest.approx(2.0 - 0.25)


def test_impossible_numbers_are_refused() -> None:
    """Positions beyond the epoch, correlations beyond 1, variances of one example."""
    epoch = Epoch(4, 1.0, 1.0, 0.25)
    for wrong in (
        lambda: noise.shuffled(0.1, epoch, position=4),
        lambda: noise.fixed(1.5, epoch),
        lambda: noise.shuffled_cumulative(epoch, 0),
        lambda: noise.debiased(0.1, 0),
        lambda: Epoch(0, 1.0, 1.0, 1.0),
        lambda: sampling.variance_variance(1),
        lambda: sampling.variance_variance(4, 1.0, -3.0),
        lambda: sampling.mean_variance(0),
    ):
        with pytest.raises(UsageError):
            wrong()
