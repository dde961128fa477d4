"""Any momentum from pooled updates: against the sums written out, and PyTorch's recursion."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from normexp.config.norm import BatchNorm
from normexp.own.history import History, Rows

MOMENTA = np.geomspace(0.001, 1, 40)

LAYER_OF = torch.tensor([0, 0, 0, 1, 1] * 2)
"""Two layers with three and two channels."""

START = torch.tensor([0.0] * 5 + [1.0] * 5, dtype=torch.float64)


def rows(number: int, *, frozen: slice = slice(0, 0)) -> Rows:
    """Updates that drift and jump, the second layer's some left out."""
    generator = torch.Generator().manual_seed(number)
    noise = torch.randn(number, 10, generator=generator)
    statistics = noise + torch.linspace(0, 3, number)[:, None] + 50
    updates = torch.ones(number, 2, dtype=torch.long)
    updates[frozen, 1] = 0
    statistics = torch.where(updates[:, LAYER_OF] > 0, statistics, torch.nan)
    newest = torch.full((number, 2), 0.1, dtype=torch.float64)
    return Rows(statistics, updates, newest)


def history(given: Rows, most_bytes: float = 0, chunk: int = 50) -> History:
    """All of these updates, taken in by chunks."""
    found = History(START, LAYER_OF, most_bytes)
    for first in range(0, len(given.updates), chunk):
        found.add(Rows(*(each[first : first + chunk] for each in given)))
    return found


def by_hand(given: Rows, momentum: float, *, debiased: bool = False) -> torch.Tensor:
    """The recursion of PyTorch, layers without an update left alone; or what Adam makes of it."""
    running, left = START * (not debiased), torch.ones(10).double()
    for values, updates in zip(given.statistics.double(), given.updates[:, LAYER_OF], strict=True):
        kept = 1 - momentum * (updates > 0).double()
        running, left = kept * running + (1 - kept) * values.nan_to_num(), left * kept
    found = running / (1 - left) if debiased else running
    return torch.where(left < 1, found, torch.nan)


@pytest.mark.parametrize("number", [1, 3, 60, 400])
@pytest.mark.parametrize("frozen", [slice(0, 0), slice(0, 9), slice(12, 60), slice(80, 400)])
@pytest.mark.parametrize("most_bytes", [0, 1e9])
def test_averages_err_by_no_more_than_they_say(
    number: int, frozen: slice, most_bytes: float
) -> None:
    """In the worst case: l1 times the largest deviation; where nothing is pooled not at all."""
    given = rows(number, frozen=frozen)
    found = history(given, most_bytes)
    for momentum in (0.0013, 0.03, 0.2, 1.0):
        for estimator in ("ema", "debiased"):
            norm = BatchNorm(momentum=momentum, estimator=estimator)
            expected = by_hand(given, momentum, debiased=estimator == "debiased")
            estimate, error = found.estimate(norm), found.error(norm)
            known = ~expected.isnan()

            assert torch.equal(known, ~estimate.isnan())
            apart = (estimate - expected)[known]
            assert not len(apart) or float(apart.abs().amax()) <= error.l1 * 8 + 2e-5
            assert found.is_whole == (most_bytes > 0 or number < 400)
            assert (error.l1 > 0) == (not found.is_whole and momentum < 0.5)


@pytest.mark.parametrize(("number", "chunk"), [(2_000, 64), (40_000, 64), (40_000, 1_000)])
def test_every_momentum_has_a_small_error(number: int, chunk: int) -> None:
    """Below 1 % of an average's own noise, from few rows."""
    found = history(rows(number), chunk=chunk)
    errors = [found.error(BatchNorm(momentum=float(each))) for each in MOMENTA]

    assert max(each.relative for each in errors) < 0.01
    assert max(each.l1 for each in errors) < 0.02
    assert len(found.rows.updates) < 2 * (64 + 24 * np.log(number / 64) + chunk)


def test_the_error_is_the_difference_of_weights() -> None:
    """Written out with NumPy, from rows alone."""
    found = history(rows(5_000))
    sizes = found.rows.updates[:, 0].numpy()
    exact = 0.01 * 0.99 ** np.arange(4_999, -1, -1)
    ends = np.cumsum(sizes)
    pooled = np.concatenate(
        [
            np.full(size, exact[end - size : end].mean())
            for size, end in zip(sizes, ends, strict=True)
        ]
    )
    error = found.error(BatchNorm(momentum=0.01))

    assert sizes.sum() == 5_000
    assert (sizes[-64:] == 1).all()
    assert error.l1 == pytest.approx(np.abs(pooled - exact).sum())
    assert error.relative == pytest.approx(np.linalg.norm(pooled - exact) / np.linalg.norm(exact))


@pytest.mark.parametrize("frozen", [slice(0, 0), slice(500, 2_000)])
def test_cumulative_means_and_windows_are_exact(frozen: slice) -> None:
    """However long ago a batch was; of a layer that is frozen since, the last ones too."""
    given = rows(2_000, frozen=frozen)
    found = history(given)
    for column, layer in ((0, 0), (4, 1)):
        seen = given.statistics[given.updates[:, layer] > 0][:, column].double()
        mean = found.estimate(BatchNorm(momentum=None))[column]
        window = found.estimate(BatchNorm(estimator="window", window=16))[column]

        assert float(mean) == pytest.approx(float(seen.mean()), rel=1e-7)
        assert float(window) == pytest.approx(float(seen[-16:].mean()), rel=1e-7)


def test_what_the_model_gave_to_pooled_updates_is_kept() -> None:
    """The weights of rows are those of a recursion with them."""
    given = rows(3_000)
    found = history(given).rows
    running = START.clone()
    for values, newest in zip(found.statistics.double(), found.newest[:, LAYER_OF], strict=True):
        running = (1 - newest) * running + newest * values

    assert torch.allclose(running, by_hand(given, 0.1), rtol=1e-3)


class Largest(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The size of the largest tensor that an operation inside has made, in bytes."""

    size = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor):
            self.size = max(self.size, found.nbytes)
        return found


def test_pooling_takes_little_memory() -> None:
    """No copy of all that is kept, which may be as much as the memory allows."""
    channels = 4_000
    layer_of = torch.zeros(2 * channels, dtype=torch.long)
    found = History(torch.zeros(2 * channels).double(), layer_of, 63e6)
    one = torch.ones(64, 1)
    for _ in range(30):
        found.add(Rows(torch.randn(64, 2 * channels), one.long(), one.double() / 10))
    with Largest() as largest:  # type: ignore[no-untyped-call]
        found.add(Rows(torch.randn(64, 2 * channels), one.long(), one.double() / 10))

    assert not found.is_whole
    assert largest.size < 20e6
