"""Theory: closed forms against weights written out, textbook covariances and simulations."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normexp.errors import UsageError
from normexp.theory import memory
from normexp.theory.budget import best_momentum, budget, least
from normexp.theory.setting import Setting

Array = npt.NDArray[np.float64]

MOMENTA = (0.0, 1e-9, 0.001, 0.1, 0.5, 1.0)


def test_half_life_is_where_half_the_weight_is_left() -> None:
    """(1 − a) to the power of the half-life is 1/2; 0 for a = 1; none without forgetting."""
    for momentum in (0.001, 0.1, 0.5, 0.9):
        steps = memory.half_life(momentum)
        assert steps is not None
        assert (1 - momentum) ** steps == pytest.approx(0.5)
    assert memory.half_life(1.0) == 0
    assert memory.half_life(0.0) is memory.half_life(None) is None


@pytest.mark.parametrize("momentum", MOMENTA)
@pytest.mark.parametrize("updates", [0, 1, 7, 100])
def test_the_initial_value_weighs_what_the_recursion_leaves_of_it(
    momentum: float, updates: int
) -> None:
    """Batches of 0 leave of an initial 1 its weight; batches of 1 build theirs up from 0."""
    left, gone = 1.0, 0.0
    for _ in range(updates):
        left, gone = (1 - momentum) * left, (1 - momentum) * gone + momentum

    assert memory.weight_left(momentum, updates) == pytest.approx(left, rel=1e-9)
    assert memory.weight_gone(momentum, updates) == pytest.approx(gone, rel=1e-9)


@pytest.mark.parametrize("momentum", MOMENTA[2:])
def test_the_noise_factor_is_that_of_the_weights(momentum: float) -> None:
    """Of 40,000 independent batches."""
    weights = weights_of(momentum, 40_000, debiased=False)

    assert memory.noise_factor(momentum) == pytest.approx((weights**2).sum() ** 0.5)
    assert memory.noise_factor(0.0) == 0


def weights_of(momentum: float, updates: int, *, debiased: bool) -> Array:
    """Weights of all batches, the oldest first; debiased, momentum 0 is the cumulative mean."""
    if debiased and momentum == 0:
        return np.full(updates, 1 / updates)
    weights = momentum * (1 - momentum) ** np.arange(updates - 1.0, -1.0, -1.0)
    return weights / weights.sum() if debiased else weights


def covariance(setting: Setting) -> Array:
    """Of batch means in finite populations: 1/n_j·[same batch] − 1/N, between epochs 0."""
    size, updates, whole = setting.batch_size, setting.updates, setting.train_size or 0
    if setting.order == "independent":
        return np.eye(updates) / size
    sizes = [min(size, whole - start) for start in range(0, whole, size)]
    sizes = [each for each in sizes if each == size or not setting.drop_last]
    epochs, batches = np.divmod(np.arange(updates), len(sizes))
    same = batches[:, None] == batches
    found = same / np.array(sizes)[batches] - 1 / whole
    known = setting.order == "fixed" or epochs[:, None] == epochs
    return np.asarray(np.where(known, found, 0.0))


@st.composite
def settings(draw: st.DrawFn) -> Setting:
    """Few batches of few examples, in any order and any place of an epoch."""
    return Setting(
        updates=draw(st.integers(1, 40)),
        batch_size=draw(st.integers(1, 9)),
        train_size=draw(st.integers(10, 40)),
        drop_last=draw(st.booleans()),
        order=draw(st.sampled_from(["independent", "shuffled", "fixed"])),
        initial_error=draw(st.floats(-2, 2)),
        drift_per_step=draw(st.floats(-0.1, 0.1)),
        walk_per_step=draw(st.floats(0, 0.5)),
        noise_scale=draw(st.floats(0, 4)),
    )


@given(setting=settings(), momentum=st.just(0.0) | st.floats(1e-3, 1.0), debiased=st.booleans())
def test_every_part_of_the_error_follows_from_the_weights(
    setting: Setting, momentum: float, *, debiased: bool
) -> None:
    """Σ w·age·d; each random step by the weight of the batches before it; w'·C·w."""
    weights = weights_of(momentum, setting.updates, debiased=debiased)
    ages = np.arange(setting.updates, 0, -1)
    found = budget(setting, momentum, debiased=debiased)
    initial = 0.0 if debiased else (1 - weights.sum()) * setting.initial_error
    walk = setting.walk_per_step**2 * (weights.cumsum() ** 2).sum()
    noise = setting.noise_scale * weights @ covariance(setting) @ weights

    assert found.initial == pytest.approx(initial, abs=1e-12)
    assert found.drift == pytest.approx(-setting.drift_per_step * (weights @ ages), abs=1e-12)
    assert found.walk**2 == pytest.approx(walk, rel=1e-6, abs=1e-12)
    assert found.noise**2 == pytest.approx(noise, rel=1e-8, abs=1e-14)
    total = found.initial**2 + found.drift**2 + found.walk**2 + found.noise**2
    assert found.error**2 == pytest.approx(total)
    assert sum(found.shares.values()) == pytest.approx(1) or total == 0


@dataclass(frozen=True)
class Simulation:
    """A setting's running mean in as many replicas, each with data and order of its own."""

    setting: Setting
    replicas: int = 3000

    def errors(self, momenta: Sequence[float | None], *, debiased: bool = False) -> list[Array]:
        """Running mean minus truth after the last step, [replicas]; None: cumulative."""
        setting, rng = self.setting, np.random.default_rng(0)
        data = rng.normal(size=(self.replicas, setting.train_size or 1))
        walk = setting.walk_per_step * rng.normal(size=(setting.updates + 1, self.replicas))
        moved = (setting.drift_per_step + walk).cumsum(axis=0)
        truth = moved[-1] + (0.0 if setting.order == "independent" else data.mean(axis=1))
        initial = truth + setting.initial_error
        running = [initial.copy() for _ in momenta]
        left = [1.0 for _ in momenta]
        for step, batch in zip(range(setting.updates), self._batches(rng, data), strict=False):
            found = batch.mean(axis=1) + moved[step]
            for i, momentum in enumerate(momenta):
                a = 1 / (step + 1) if momentum is None else momentum
                running[i] = (1 - a) * running[i] + a * found
                left[i] *= 1 - a
        if debiased:
            running = [(r - w * initial) / (1 - w) for r, w in zip(running, left, strict=True)]
        return [each - truth for each in running]

    def _batches(self, rng: np.random.Generator, data: Array) -> Iterator[Array]:
        """Batches without end, as a data loader makes them."""
        size = self.setting.batch_size
        while self.setting.order == "independent":
            yield rng.normal(size=(self.replicas, size))
        while True:
            epoch = rng.permuted(data, axis=1) if self.setting.order == "shuffled" else data
            for start in range(0, data.shape[1], size):
                batch = epoch[:, start : start + size]
                if batch.shape[1] == size or not self.setting.drop_last:
                    yield batch


CASES = {
    "independent": Setting(updates=60, batch_size=8, initial_error=-2.0, drift_per_step=0.02),
    "shuffled": Setting(updates=33, batch_size=8, train_size=60, order="shuffled",
                        initial_error=0.5, drift_per_step=-0.05, walk_per_step=0.1),
    "epoch end": Setting(updates=30, batch_size=20, train_size=200, order="shuffled",
                         initial_error=0.0),
    "fixed": Setting(updates=33, batch_size=8, train_size=60, order="fixed", drop_last=True,
                     initial_error=0.7, drift_per_step=0.1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_error_is_that_of_a_simulation(name: str) -> None:
    """Mean squares within four standard errors: plain, debiased and cumulative."""
    case = Simulation(CASES[name])
    slow, fast = case.errors([0.03, 0.4])
    (debiased_slow,), (cumulative,) = case.errors([0.03], debiased=True), case.errors([None])
    found = {(0.03, False): slow, (0.4, False): fast,
             (0.03, True): debiased_slow, (0.0, True): cumulative}  # fmt: skip

    for (momentum, debiased), errors in found.items():
        parts = budget(case.setting, momentum, debiased=debiased)
        expected = (parts.initial + parts.drift) ** 2 + parts.walk**2 + parts.noise**2
        squares = errors**2
        error = squares.std() / len(squares) ** 0.5
        assert squares.mean() == pytest.approx(expected, abs=4 * error + 1e-25, rel=0)


@pytest.mark.parametrize("momentum", [1e-6, 9e-4, 1.2e-3, 0.0022, 0.2])
def test_a_small_difference_of_large_numbers_is_exact(momentum: float) -> None:
    """At an epoch's end, where the formula as it stands loses all its digits."""
    a, batches = Fraction(momentum), 25
    q = 1 - a
    squares = sum((a * q**j) ** 2 for j in range(batches))
    exact = (squares - (1 - q**batches) ** 2 / batches) / (1 - q ** (2 * batches))
    setting = Setting(updates=batches * 10**9, batch_size=1, train_size=batches, order="shuffled")

    assert budget(setting, momentum).noise ** 2 == pytest.approx(float(exact), rel=1e-7, abs=0)


def test_a_small_last_batch_is_worth_dropping() -> None:
    """S1: 2,000 examples in batches of 64, the last one of 16."""
    ragged = Setting(updates=3200, batch_size=64, train_size=2000, order="shuffled")
    dropped = replace(ragged, updates=3100, drop_last=True)

    for momentum, expected in ((0.5, 1.868), (0.1, 1.516)):
        ratio = budget(ragged, momentum).noise / budget(dropped, momentum).noise
        assert ratio == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize(("drift", "updates"), [(0.0, 100), (0.0, 2000), (0.02, 5000)])
def test_no_momentum_has_less_error_than_the_best(drift: float, updates: int) -> None:
    """In weights written out; without drift as once simulated."""
    setting = Setting(updates=updates, batch_size=1, noise_scale=0.1235, drift_per_step=drift)
    best = best_momentum(setting)

    def cost(a: float) -> float:
        weights = weights_of(a, updates, debiased=False)
        ages = np.arange(updates, 0, -1)
        left, lag = 1 - weights.sum(), drift * (weights @ ages)
        return float(left**2 + lag**2 + 0.1235 * (weights**2).sum())

    assert budget(setting, best).squared == pytest.approx(cost(best))
    assert cost(best) <= min(cost(a) for a in np.geomspace(1e-4, 1.0, 200)) * (1 + 1e-9)
    known = {(0.0, 100): 0.0395, (0.0, 2000): 0.00275}
    assert best == pytest.approx(known.get((drift, updates), best), rel=0.01)


@pytest.mark.parametrize("place", [2e-5, 0.0123, 0.97])
def test_a_minimum_is_found_to_many_digits(place: float) -> None:
    """Between the points of the grid, and beyond a higher valley."""

    def cost(a: float) -> float:
        return min(abs(math.log(a / place)), 1 + abs(a - 0.5)) if a else 9.0

    assert least(cost, 1e-6) == pytest.approx(place, rel=1e-9)


def test_the_ends_of_the_best_momentum() -> None:
    """Exact and still: keep it. No noise: the newest batch. Debiased and still: the mean of all."""
    setting = Setting(updates=100, batch_size=50)
    cumulative = budget(setting, 0.0, debiased=True)

    assert best_momentum(replace(setting, initial_error=0.0)) == 0
    assert best_momentum(replace(setting, noise_scale=0.0)) == 1
    assert best_momentum(setting, debiased=True) == 0
    assert cumulative.error == pytest.approx(1 / math.sqrt(5000))
    assert cumulative.error < budget(setting, best_momentum(setting)).error


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: memory.weight_left(-0.1, 3),
        lambda: memory.weight_left(0.1, -1),
        lambda: memory.half_life(math.nan),
        lambda: memory.noise_factor(1.01),
        lambda: budget(Setting(updates=10, batch_size=8), 1.5),
        lambda: Setting(updates=0, batch_size=8),
        lambda: Setting(updates=10, batch_size=8, order="shuffled"),
        lambda: Setting(updates=10, batch_size=8, train_size=7, drop_last=True),
        lambda: Setting(updates=10, batch_size=8, noise_scale=-1.0),
        lambda: Setting(updates=10, batch_size=8, drift_per_step=math.nan),
    ],
)
def test_impossible_numbers_are_refused(wrong: Callable[[], object]) -> None:
    """Each with a line that says what is allowed."""
    with pytest.raises(UsageError):
        wrong()
