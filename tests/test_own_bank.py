"""Any momentum from a bank of averages and a ring of batches: errors in closed form, and tried."""

import numpy as np
import pytest
import torch

from normexp.config.norm import BatchNorm
from normexp.errors import UsageError
from normexp.own.bank import Bank, bank_momenta, certificate, mix
from normexp.own.history import EveryUpdate, Rows

MOMENTA = np.geomspace(0.001, 1, 40)

LAYER_OF = torch.tensor([0, 0, 0, 1, 1] * 2)
"""Two layers with three and two channels."""

START = torch.tensor([0.0] * 5 + [1.0] * 5, dtype=torch.float64)


@pytest.mark.parametrize(
    ("averages", "ring", "slowest", "relative", "l1"),
    [
        (10, 16, 0.001, 0.0081, 0.012),
        (8, 16, 0.001, 0.026, 0.035),
        (12, 16, 0.001, 0.0027, 0.0042),
        (10, 16, 0.01, 0.0010, 0.0032),
    ],
)
def test_every_momentum_has_a_small_error(
    averages: int, ring: int, slowest: float, relative: float, l1: float
) -> None:
    """Ten averages and sixteen batches: below .9 % of an average's own noise, from .001 to 1."""
    found = [
        certificate(float(each), bank_momenta(averages), ring)
        for each in MOMENTA
        if each >= slowest
    ]

    assert max(each.relative for each in found) < relative
    assert max(each.l1 for each in found) < l1


@pytest.mark.parametrize("momentum", [0.00125, 0.004, 0.03, 0.2, 0.6])
@pytest.mark.parametrize("batches", [1, 40, 600, 10**9])
def test_a_certificate_is_the_difference_of_weights(momentum: float, batches: int) -> None:
    """Summed over ages one by one, with NumPy; the mix is unbiased for constants and drifts."""
    bank, ages = bank_momenta(), np.arange(min(batches, 30_000))
    of_bank = [float(each) * (1 - float(each)) ** ages for each in bank]
    own = momentum * (1 - momentum) ** ages
    by_average = mix(momentum, bank, batches).numpy()
    mixed = sum(w * each for w, each in zip(by_average, of_bank, strict=True))
    apart = (1 - momentum) ** 16 * (mixed - own)
    found = certificate(momentum, bank, 16, batches)
    noise = np.sqrt(momentum / (2 - momentum))

    assert found.l1 == pytest.approx(np.abs(apart).sum(), rel=1e-3, abs=1e-7)
    assert found.relative == pytest.approx(np.linalg.norm(apart) / noise, rel=1e-3, abs=1e-7)
    assert abs(apart.sum()) < 1e-7
    assert abs((apart * ages).sum()) < 1e-5 * max(1, min(batches, 1 / momentum))
    assert found.l1 <= certificate(momentum, bank, 16).l1 + 1e-6


def rows(number: int, *, frozen: slice = slice(0, 0)) -> Rows:
    """Updates that drift and jump, the second layer's some left out."""
    generator = torch.Generator().manual_seed(number)
    noise = torch.randn(number, 10, generator=generator)
    statistics = noise + torch.linspace(0, 3, number)[:, None] + 50
    active = torch.ones(number, 2, dtype=torch.bool)
    active[frozen, 1] = False
    statistics = torch.where(active[:, LAYER_OF], statistics, torch.nan)
    newest = torch.full((number, 2), 0.1, dtype=torch.float64)
    return Rows(torch.arange(number) + 1, statistics, active, newest)


def both(number: int, frozen: slice = slice(0, 0), chunk: int = 50) -> tuple[EveryUpdate, Bank]:
    """The same updates in full and in a bank."""
    every, bank = EveryUpdate(START, LAYER_OF), Bank(START, LAYER_OF, 10, 16)
    whole = rows(number, frozen=frozen)
    for first in range(0, number, chunk):
        part = Rows(*(each[first : first + chunk] for each in whole))
        every.add(part)
        bank.add(part)
    return every, bank


@pytest.mark.parametrize("number", [3, 16, 17, 400])
@pytest.mark.parametrize("frozen", [slice(0, 0), slice(0, 9), slice(12, 60)])
def test_a_bank_errs_by_no_more_than_its_certificate(number: int, frozen: slice) -> None:
    """In the worst case: L1 times the largest deviation; up to the ring's length by nothing."""
    every, bank = both(number, frozen)
    for momentum in (0.0013, 0.004, 0.03, 0.2, 0.6, 1.0):
        for estimator in ("ema", "debiased"):
            norm = BatchNorm(momentum=momentum, estimator=estimator)
            expected, found = every.estimate(norm), bank.estimate(norm)
            known = ~expected.isnan()
            apart = (found - expected)[known].abs().amax() if known.any() else torch.tensor(0.0)
            most = certificate(momentum, bank_momenta(), 16).l1 * 8 if number > 16 else 0
            share = 1 - (1 - momentum) ** number if estimator == "debiased" else 1

            assert torch.equal(known, ~found.isnan())
            assert float(apart) <= most / share + 1e-4


def test_cumulative_means_and_windows_are_exact() -> None:
    """However long ago a batch was, or as long as the ring keeps it."""
    every, bank = both(300, slice(100, 120))
    for norm in (BatchNorm(momentum=None), BatchNorm(estimator="window", window=16)):
        assert torch.allclose(bank.estimate(norm), every.estimate(norm), rtol=1e-9, atol=0)
    raw = rows(300).statistics.double()
    assert torch.allclose(every.estimate(BatchNorm(momentum=None))[:3], raw.mean(0)[:3])
    with pytest.raises(UsageError, match="a window of 17 is longer than the 16 batches kept"):
        bank.estimate(BatchNorm(estimator="window", window=17))


def test_averages_are_pytorchs_recursion() -> None:
    """R ← (1 − m)·r + m·s, layers without an update left alone."""
    every, _ = both(60, slice(20, 30))
    given, running = rows(60, frozen=slice(20, 30)), START.clone()
    for values, active in zip(given.statistics.double(), given.active[:, LAYER_OF], strict=True):
        running = torch.where(active, 0.97 * running + 0.03 * values, running)

    assert torch.allclose(every.estimate(BatchNorm(momentum=0.03)), running, rtol=1e-12)


def test_a_bank_takes_the_same_memory_however_long() -> None:
    """And its chunks may be of any length."""
    short, long = both(40)[1], both(400, chunk=7)[1]
    again = both(400, chunk=400)[1]
    norm = BatchNorm(momentum=0.01)

    assert short.bytes == long.bytes == 4 * 26 * 10
    assert torch.allclose(long.estimate(norm), again.estimate(norm), rtol=1e-6)


@pytest.mark.parametrize("averages", [2, 13])
def test_banks_that_cannot_work_are_refused(averages: int) -> None:
    """Too few to fit, too many for float32."""
    with pytest.raises(UsageError, match="averages is not possible"):
        bank_momenta(averages)
