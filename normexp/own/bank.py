"""Any momentum from few numbers: averages with some momenta, and the last raw statistics.

An exponential average with momentum m weighs the batch of age i by m(1 − m)^i. A *bank* holds K
averages whose momenta are spaced evenly in the logarithm; a *ring* holds the last R batches, which
the bank has yet to take in. The weights of m at ages below R are exact, those beyond are (1 − m)^R
times those of m itself, and the bank's mix stands for them: the least squares of the weights'
difference over the batches so far, such that they sum to the same (a constant is exact) and have
the same mean age (a steady drift is exact). All is in closed form: over n batches
⟨a, b⟩ = ab · (1 − ((1 − a)(1 − b))^n) / (a + b − ab). The idea is that of
Karras et al. (2024), "Analyzing and Improving the Training Dynamics of Diffusion Models", section
3.2, for averages of weights.
"""

from math import log10
from typing import NamedTuple

import torch

from normexp.config.norm import BatchNorm
from normexp.errors import UsageError
from normexp.own.history import Rows, together

AVERAGES, RING = 10, 16
"""K and R: any momentum from .001 to 1 within .9 % of its own noise."""

SLOWEST, FASTEST = 0.001, 0.25
"""Momenta of a bank's first and last average."""

MOST_AVERAGES = 12
"""Beyond, the mixes' weights grow so large that float32 loses what they gain."""

FOREVER = 10**9
"""Batches of a training without end."""

AGES = 20_000
"""Ages over which weights are compared one by one."""

RIDGE, TINY = 1e-10, 1e-300
"""What keeps the mixes' weights small where averages are alike, and divisors from 0."""


class Certificate(NamedTuple):
    """The error of a mix, whatever the batches.

    Attributes:
        relative: the error's deviation if batches are independent, over that of the exact average.
        l1: the sum of the weights' differences: a bound on the error in units of the largest
            deviation of a batch.
    """

    relative: float
    l1: float


EXACT = Certificate(0.0, 0.0)


def bank_momenta(number: int = AVERAGES) -> torch.Tensor:
    """Return the momenta of a bank, [number], float64.

    Raises:
        UsageError: there are too few to fit, or too many for float32.
    """
    if not 3 <= number <= MOST_AVERAGES:  # noqa: PLR2004  two constraints, and something to fit
        raise UsageError(
            f"a bank of {number} averages is not possible", f"take 3 to {MOST_AVERAGES} averages"
        )
    return torch.logspace(log10(SLOWEST), log10(FASTEST), number, dtype=torch.float64)


def mix(momentum: float, bank: torch.Tensor, batches: int = FOREVER) -> torch.Tensor:
    """Return the weights of a bank's averages that come nearest to a momentum, [K].

    Args:
        momentum: of the average that they stand for.
        bank: momenta of its averages, [K], float64.
        batches: that the bank has taken in; of fewer the mix is better.
    """
    inner = _gram(bank, bank, batches)
    target = _gram(bank, torch.tensor([momentum]).double(), batches)
    sums, wanted = _sums(bank, batches), _sums(torch.tensor([momentum]).double(), batches)
    corner = torch.zeros(2, 2, dtype=torch.float64)
    system = torch.cat([torch.cat([inner, sums.T], 1), torch.cat([sums, corner], 1)])
    scale = inner.diagonal().rsqrt()
    scale = torch.cat([scale, 1 / (sums * scale).norm(dim=1).clamp(min=TINY)])[:, None]
    scaled = scale * system * scale.T
    scaled.diagonal()[: len(bank)] += RIDGE
    right = scale * torch.cat([target, wanted])
    found: torch.Tensor = scale * torch.linalg.lstsq(scaled, right, driver="gelsd").solution
    return found[: len(bank), 0]


def certificate(
    momentum: float, bank: torch.Tensor, ring: int, batches: int = FOREVER
) -> Certificate:
    """Return the error of a momentum's mix behind a ring of so many batches.

    Args:
        momentum: of the average.
        bank: momenta of its averages, [K], float64.
        ring: batches that are kept as they are.
        batches: that the bank has taken in; the default bounds all.
    """
    if momentum == 1 or batches < 1:
        return EXACT
    own = torch.tensor([momentum]).double()
    kinds = torch.cat([bank, own])
    apart = torch.cat([mix(momentum, bank, batches), -torch.ones(1, dtype=torch.float64)])
    age = torch.arange(min(batches, AGES)).double()[:, None]
    differences = (1 - momentum) ** ring * (kinds * (1 - kinds) ** age) @ apart
    noise = (momentum / (2 - momentum)) ** 0.5
    return Certificate(float(differences.norm() / noise), float(differences.abs().sum()))


def _gram(one: torch.Tensor, other: torch.Tensor, batches: int) -> torch.Tensor:
    """Inner products of the weights of momenta over so many ages."""
    kept = (1 - one[:, None]) * (1 - other)
    return one[:, None] * other / (1 - kept) * (1 - kept**batches)


def _sums(momenta: torch.Tensor, batches: int) -> torch.Tensor:
    """Sums of the weights of momenta over so many ages, and of weights times age, [2, momenta]."""
    kept = 1 - momenta
    left = kept**batches
    return torch.stack([1 - left, kept / momenta * (1 - left) - batches * left])


class Bank:
    """Averages of deviations from each layer's first batch, in float32, and the ring before them.

    Args:
        start: running statistics before the first row, [2 · channels], float64.
        layer_of: the layer of each of these columns, [2 · channels].
        averages: K.
        ring: R.
    """

    def __init__(
        self,
        start: torch.Tensor,
        layer_of: torch.Tensor,
        averages: int,
        ring: int,
    ) -> None:
        self.momenta, self.ring = bank_momenta(averages), ring
        self._start, self._layer_of = start, layer_of
        self._first = torch.full_like(start, torch.nan)
        self._total = torch.zeros_like(start)  # of deviations, for the cumulative mean
        self._averages = torch.zeros(averages, len(start))
        self._recent = torch.zeros(ring, len(start))  # the newest last
        self._updates = torch.zeros(int(layer_of.max()) + 1, dtype=torch.long)  # of each layer

    @property
    def bytes(self) -> int:
        """Memory that it takes, however long the training."""
        return self._averages.nbytes + self._recent.nbytes

    def certificate(self, momentum: float) -> Certificate:
        """Return the error of a momentum after the batches so far."""
        longest = int(self._updates.max()) - self.ring
        return certificate(momentum, self.momenta, self.ring, longest)

    def add(self, rows: Rows) -> None:
        """Take in the next rows."""
        for layers, updates in together(rows.active):
            for before in set(self._updates[layers].tolist()):
                same = layers[self._updates[layers] == before]
                columns = torch.isin(self._layer_of, same)
                self._take(columns, rows.statistics[updates][:, columns], before)
                self._updates[same] += len(updates)

    def _take(self, columns: torch.Tensor, values: torch.Tensor, before: int) -> None:
        """Take in updates of layers that have had so many."""
        if not before:
            self._first[columns] = values[0].double()
        self._total[columns] += (values.double() - self._first[columns]).sum(0)
        waiting = self._recent[self.ring - min(before, self.ring) :, columns]
        waiting = torch.cat([waiting, values])
        ripe = len(waiting) - self.ring
        if ripe > 0:
            age = torch.arange(ripe - 1, -1, -1).double()
            by_age = self.momenta[:, None] * (1 - self.momenta[:, None]) ** age
            deviations = waiting[:ripe] - self._first[columns].float()
            old = (1 - self.momenta[:, None]) ** ripe * self._averages[:, columns].double()
            self._averages[:, columns] = (old + (by_age.float() @ deviations).double()).float()
        kept = waiting[-self.ring :]
        self._recent[self.ring - len(kept) :, columns] = kept

    def estimate(self, norm: BatchNorm) -> torch.Tensor:
        """Return a row of running statistics, float64; NaN for layers that had no update.

        Raises:
            UsageError: a window is longer than the ring.
        """
        found = torch.full_like(self._start, torch.nan)
        for updates in set(self._updates.tolist()):
            columns = self._updates[self._layer_of] == updates
            if updates:
                found[columns] = self._estimated(norm, columns, updates)
        return found

    def _estimated(self, norm: BatchNorm, columns: torch.Tensor, updates: int) -> torch.Tensor:
        first, momentum = self._first[columns], norm.momentum
        recent = self._recent[self.ring - min(updates, self.ring) :, columns].double() - first
        if norm.estimator == "window":
            if norm.window > self.ring:
                raise UsageError(
                    f"a window of {norm.window} is longer than the {self.ring} batches kept",
                    'record(..., keep="every") keeps all of them',
                )
            return first + recent[-norm.window :].mean(0)
        if momentum is None:
            return first + self._total[columns] / updates
        left = (1 - momentum) ** updates
        age = torch.arange(len(recent) - 1, -1, -1).double()
        found = (momentum * (1 - momentum) ** age) @ recent
        if updates > self.ring and momentum < 1:
            mixed = (
                mix(momentum, self.momenta, updates - self.ring)
                @ self._averages[:, columns].double()
            )
            found = found + (1 - momentum) ** self.ring * mixed
        if norm.estimator == "debiased":
            return first + found / (1 - left)
        return first + found + left * (self._start[columns] - first)
