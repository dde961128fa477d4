"""Drift, short trainings and the best momentum: formulas against recursions and simulations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import Array, Simulation, between, expect_square, recursion, settings

from normexp.theory import drift, transient
from normexp.theory.budget import best_momentum, budget
from normexp.theory.minimum import least
from normexp.theory.setting import Setting

MOMENTA = (0.001, 0.01, 0.1, 0.5, 0.9, 1.0)

GRID = np.geomspace(1e-4, 1.0, 2000)


@pytest.mark.parametrize("momentum", [0.0, 1e-9, *MOMENTA])
@pytest.mark.parametrize("updates", [1, 2, 50, 3000])
def test_the_lag_is_the_recursions_after_the_optimizer_step(momentum: float, updates: int) -> None:
    """A noiseless truth that moves by 0.01 a step, seen one step after the last batch."""
    moving = 0.01 * np.arange(1.0, updates + 2)
    running = recursion(momentum, moving[:-1], 0.0)
    missing = moving[-1] * recursion(momentum, np.ones(updates), 0.0) - running

    assert drift.linear_lag(momentum, 0.01, updates) == pytest.approx(missing, rel=1e-5, abs=1e-15)


def test_lags_in_the_long_run() -> None:
    """d/a, of which momentum 1 keeps the one step before evaluation; the cumulative one grows."""
    assert drift.linear_lag(0.1, 0.01) == pytest.approx(0.1)
    assert drift.linear_lag(1.0, 0.01) == 0.01
    assert drift.linear_lag(0.1, -0.01, 1000) == pytest.approx(-0.1)
    assert drift.cumulative_lag(0.01, 99) == pytest.approx(0.01 * (100 - np.arange(1, 100).mean()))


@pytest.mark.parametrize("updates", [1, 5, 60])
def test_the_lag_behind_a_random_walk_is_a_simulations(updates: int) -> None:
    """Noise of batches aside, with all weight on batches of the walk."""
    momenta = (0.05, 0.4, 1.0)
    for debiased in (False, True):
        found = [_behind_a_walk(a, 0.5, updates, debiased=debiased) for a in momenta]
        setting = Setting(updates=updates, batch_size=4, walk_per_step=0.5, noise_scale=0.0,
                          initial_error=0.0)  # fmt: skip
        for momentum, errors in zip(momenta, found, strict=True):
            expect_square(errors, budget(setting, momentum, debiased=debiased).squared)
            if not debiased:
                expect_square(errors, drift.walk_variance(momentum, 0.25, updates))


@pytest.mark.parametrize("updates", [1, 2, 30])
def test_the_cumulative_mean_lags_a_random_walk_as_simulated(updates: int) -> None:
    """Ever further."""
    setting = Setting(updates=updates, batch_size=4, walk_per_step=0.5, noise_scale=0.0)
    walk = (0.5 * np.random.default_rng(5).normal(size=(updates + 1, 4000))).cumsum(axis=0)

    errors = walk[:-1].mean(axis=0) - walk[-1]
    expect_square(errors, budget(setting, 0.0, debiased=True).squared)


def _behind_a_walk(momentum: float, step: float, updates: int, *, debiased: bool) -> Array:
    """Errors of running statistics that start right and see no noise, seen one step later."""
    walk = (step * np.random.default_rng(4).normal(size=(updates + 1, 4000))).cumsum(axis=0)
    running = walk[-1]
    for values in walk[:-1]:
        running = (1 - momentum) * running + momentum * values
    weight = 1 - (1 - momentum) ** updates if debiased else 1.0
    return np.asarray((running - walk[-1]) / weight)


@pytest.mark.parametrize(
    ("case", "momenta"),
    [
        (Simulation(updates=60, batch_size=8, initial_error=-2.0, drift=0.02), (0.03, 0.2)),
        (Simulation(updates=60, batch_size=8, initial_error=2.0, drift=0.02), (0.03, 0.2)),
        (Simulation(updates=33, batch_size=8, train_size=60, order="shuffled",
                    initial_error=0.5, drift=-0.05, walk=0.1), (0.03, 0.4)),
        (Simulation(updates=33, batch_size=8, train_size=60, order="fixed", drop_last=True,
                    statistic="unbiased_variance", initial_error=0.7, drift=0.1), (0.03, 0.4)),
        (Simulation(updates=33, batch_size=8, train_size=60, order="independent",
                    statistic="biased_variance", initial_error=0.7, drift=0.01), (0.03, 0.4)),
    ],
)  # fmt: skip
def test_all_causes_together_make_the_error_of_a_simulation(
    case: Simulation, momenta: tuple[float, ...]
) -> None:
    """Initial value, drift, random steps, biased variances and noise, plain and debiased."""
    setting = Setting(**settings(case))

    for debiased in (False, True):
        for momentum, errors in zip(momenta, case.errors(momenta, debiased=debiased), strict=True):
            expect_square(errors, budget(setting, momentum, debiased=debiased).squared)
    (cumulative,) = case.errors([None])
    expect_square(cumulative, budget(setting, 0.0, debiased=True).squared)


@given(alignment=st.floats(0, 1), momentum=between, drifting=st.floats(-0.1, 0.1))
def test_the_causes_sum_to_the_whole(alignment: float, momentum: float, drifting: float) -> None:
    """In squares; as numbers where the signs are known, as squares where they are not."""
    setting = Setting(updates=40, batch_size=8, drift_per_step=drifting, alignment=alignment)
    found = budget(setting, momentum)

    crossed = 2 * alignment * found.initial * found.drift
    squares = found.initial**2 + found.drift**2 + found.noise**2
    assert found.squared == pytest.approx(squares + crossed, abs=1e-15)
    assert sum(found.shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("drifting", [1e-5, 1e-3, 0.02, 0.1, 0.9])
def test_no_momentum_weighs_drift_and_noise_better(drifting: float) -> None:
    """Noise from the weights of 40,000 batches squared, lag from their ages."""
    best = drift.best_for_linear(drifting, 1.0)

    def cost(a: float) -> float:
        ages = np.arange(40_000)
        weights = a * (1 - a) ** ages
        return float((weights**2).sum() + (drifting * (weights * (ages + 1)).sum()) ** 2)

    assert cost(best) <= min(cost(a) for a in GRID[GRID > 1e-3][::20]) * (1 + 1e-9)
    assert cost(best) <= min(cost(best * 0.99), cost(min(1.0, best * 1.01)))
    if best < 0.1:
        assert cost(best) == pytest.approx(0.75 * best, rel=best)


def test_the_ends_of_drift() -> None:
    """Nothing moves: remember all. Nothing is noisy, or all moves: the newest batch alone."""
    assert drift.best_for_linear(0.0, 1.0) == 0
    assert drift.best_for_linear(0.1, 0.0) == 1
    assert drift.best_for_linear(-1.0, 1.0) == 1
    assert drift.best_for_linear(0.9999999, 1.0) == pytest.approx(1, abs=1e-6)
    assert drift.linear_lag(0.0, 1.0) == 0
    assert drift.walk_variance(0.0, 1.0) == 0
    assert drift.walk_variance(0.5, 0.03) == pytest.approx(0.04)


@given(ratio=st.floats(1e-9, 1.0))
def test_the_cubics_root_is_a_root(ratio: float) -> None:
    """a³/(2 − a)² is d²/v."""
    a = drift.best_for_linear(math.sqrt(ratio), 1.0)

    assert a**3 / (2 - a) ** 2 == pytest.approx(ratio, rel=1e-7)


@pytest.mark.parametrize(("updates", "known"), [(100, 0.0395), (2000, 0.00275)])
def test_no_momentum_is_better_for_so_many_updates(updates: int, known: float) -> None:
    """In weights written out, and as once simulated."""
    best = transient.best_for_updates(updates, 1.0, 0.1235)

    def cost(a: float) -> float:
        weights = a * (1 - a) ** np.arange(updates)
        return float((1 - weights.sum()) ** 2 + 0.1235 * (weights**2).sum())

    assert cost(best) <= min(cost(a) for a in GRID[::10]) * (1 + 1e-9)
    assert transient.squared_error(best, updates, 1.0, 0.1235) == pytest.approx(cost(best))
    assert best == pytest.approx(known, rel=0.01)


def test_the_ends_of_a_short_training() -> None:
    """An exact initial value is best kept; without noise the newest batch is best."""
    assert transient.best_for_updates(100, 0.0, 1.0) == 0
    assert transient.best_for_updates(100, 1.0, 0.0) == 1


BEST = {
    "independent": Simulation(updates=100, batch_size=8, initial_error=1.0, replicas=2000),
    "shuffled": Simulation(updates=99, batch_size=8, train_size=72, order="shuffled",
                           initial_error=1.0, replicas=2000),
    "ragged": Simulation(updates=100, batch_size=8, train_size=78, order="shuffled",
                         initial_error=1.0, replicas=2000),
    "drift": Simulation(updates=100, batch_size=8, train_size=72, order="shuffled",
                        initial_error=-1.0, drift=0.02, replicas=2000),
}  # fmt: skip


@pytest.mark.parametrize("name", BEST)
def test_the_best_momentum_is_the_best_of_a_simulation(name: str) -> None:
    """On the same data, no other momentum does better by more than chance."""
    case = BEST[name]
    best = best_momentum(Setting(**settings(case)))
    momenta = [best, *(best * factor for factor in (0.3, 0.6, 0.8, 1.25, 1.6, 3.0)), 1.0]
    squares = [errors**2 for errors in case.errors([a for a in momenta if a <= 1])]

    for other in squares[1:]:
        paired = squares[0] - other
        assert paired.mean() <= 4 * paired.std() / len(paired) ** 0.5


@pytest.mark.parametrize("place", [2e-5, 0.0123, 0.97])
def test_a_minimum_is_found_to_many_digits(place: float) -> None:
    """Between the points of the grid, and beyond a higher valley."""

    def cost(a: float) -> float:
        return min(abs(math.log(a / place)), 1 + abs(a - 0.5)) if a else 9.0

    assert least(cost, 1e-6) == pytest.approx(place, rel=1e-9)


def test_debiasing_never_costs_where_nothing_drifts() -> None:
    """The best debiased momentum is the cumulative mean, better than the best plain one."""
    setting = Setting(updates=100, batch_size=50)

    assert best_momentum(setting, debiased=True) == 0
    plain, cumulative = budget(setting, best_momentum(setting)), budget(setting, 0.0, debiased=True)
    assert cumulative.error == pytest.approx(1 / math.sqrt(5000))
    assert cumulative.error < plain.error
