"""Memory and composition: formulas against recursions and simulations."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import Simulation, expect_square, recursion

from normexp.errors import UsageError
from normexp.theory import composition, drift, memory, transient
from normexp.theory.setting import Setting

MOMENTA = (0.001, 0.01, 0.1, 0.5, 0.9, 1.0)


def test_half_life_is_where_half_the_weight_is_left() -> None:
    """(1 − a) to the power of the half-life is 1/2; 0 for a = 1; none without forgetting."""
    for momentum in (0.001, 0.01, 0.1, 0.5, 0.9):
        steps = memory.half_life(momentum)
        assert steps is not None
        assert (1 - momentum) ** steps == pytest.approx(0.5)
    assert memory.half_life(1.0) == 0
    assert memory.half_life(0.0) is None
    assert memory.half_life(None) is None


@pytest.mark.parametrize("momentum", [0.0, *MOMENTA])
@pytest.mark.parametrize("updates", [0, 1, 7, 100])
def test_the_initial_value_weighs_what_the_recursion_leaves_of_it(
    momentum: float, updates: int
) -> None:
    """Batches of 0 leave of an initial 1 its weight; batches of 1 build theirs up from 0."""
    left = recursion(momentum, np.zeros(updates), 1.0)
    gone = recursion(momentum, np.ones(updates), 0.0)

    assert memory.weight_left(momentum, updates) == pytest.approx(left, rel=1e-9, abs=1e-300)
    assert memory.weight_gone(momentum, updates) == pytest.approx(gone, rel=1e-9)


def test_the_ends_of_memory() -> None:
    """Momentum 0 keeps the initial value for ever, momentum 1 not for one update."""
    assert memory.noise_factor(0.0) == 0
    assert memory.noise_factor(1.0) == 1
    assert memory.weight_left(0.1, math.inf) == 0


@pytest.mark.parametrize("momentum", MOMENTA[1:])
def test_the_noise_factor_is_a_simulations(momentum: float) -> None:
    """Long after the start."""
    (errors,) = Simulation(updates=int(5 / momentum), batch_size=4).errors([momentum])

    expect_square(errors, memory.noise_factor(momentum) ** 2 / 4)


@given(momentum=st.floats(0.001, 0.999), ratio=st.floats(0.1, 20))
def test_a_scaled_momentum_forgets_equally_fast_by_examples(momentum: float, ratio: float) -> None:
    """Its half-life in steps is the other's over the ratio."""
    scaled = composition.scaled(momentum, ratio)
    before = memory.half_life(momentum)
    assert before is not None

    if scaled < 0.999999:  # beyond, 1 − a has few digits
        assert memory.half_life(scaled) == pytest.approx(before / ratio, rel=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: memory.weight_left(-0.1, 3),
        lambda: memory.weight_left(0.1, -1),
        lambda: memory.half_life(math.nan),
        lambda: memory.noise_factor(1.01),
        lambda: composition.scaled(0.1, 0.0),
        lambda: drift.linear_lag(0.1, math.inf),
        lambda: drift.cumulative_lag(0.1, 0),
        lambda: drift.best_for_linear(0.1, -1.0),
        lambda: transient.best_for_updates(0, 1.0, 1.0),
        lambda: Setting(updates=0, batch_size=8),
        lambda: Setting(updates=10, batch_size=8, order="shuffled"),
        lambda: Setting(updates=10, batch_size=8, train_size=7, drop_last=True),
        lambda: Setting(updates=10, batch_size=8, train_size=17, statistic="unbiased_variance"),
        lambda: Setting(updates=10, batch_size=8, alignment=1.5),
        lambda: Setting(updates=10, batch_size=8, drift_per_step=math.nan),
    ],
)
def test_impossible_numbers_are_refused(wrong: Callable[[], object]) -> None:
    """Each with a line that says what is allowed."""
    with pytest.raises(UsageError):
        wrong()
