"""The batch statistics of a training: every update, or few numbers that give any momentum.

A *row* has the statistics of one update: the means of all channels, then their variances. Layers
need not update together: frozen ones skip rows, and a layer's average passes over them.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from normexp.config.norm import BatchNorm
from normexp.engine.budget import Weights, weights
from normexp.engine.estimators import Momenta

AT_ONCE = 256
"""Rows in float64 at a time."""


class Rows(NamedTuple):
    """Updates in their order."""

    steps: torch.Tensor  # [rows], the optimizer's step that an update came before, from 1
    statistics: torch.Tensor  # [rows, 2 · channels], variances unbiased; NaN without an update
    active: torch.Tensor  # [rows, layers], whether the layer was updated
    newest: torch.Tensor  # [rows, layers], the weight that the model gave to the batch, float64


class EveryUpdate:
    """All rows, in memory: exact for every estimator.

    Args:
        start: running statistics before the first row, [2 · channels], float64.
        layer_of: the layer of each of these columns, [2 · channels].
    """

    def __init__(self, start: torch.Tensor, layer_of: torch.Tensor) -> None:
        self._start, self._layer_of = start, layer_of
        layers = int(layer_of.max()) + 1
        none = Rows(
            torch.zeros(0, dtype=torch.long),
            torch.zeros(0, len(start)),
            torch.zeros(0, layers, dtype=torch.bool),
            torch.zeros(0, layers, dtype=torch.float64),
        )
        self._parts = [none]
        self.bytes = 0  # of the statistics so far

    def add(self, rows: Rows) -> None:
        """Take in the next rows."""
        self._parts.append(rows)
        self.bytes += rows.statistics.nbytes

    @property
    def rows(self) -> Rows:
        """All rows so far."""
        if len(self._parts) > 1:
            self._parts = [Rows(*(torch.cat(each) for each in zip(*self._parts, strict=True)))]
        return self._parts[0]

    def estimate(self, norm: BatchNorm) -> torch.Tensor:
        """Return a row of running statistics, float64; NaN for layers that had no update."""
        found, rows = torch.full_like(self._start, torch.nan), self.rows
        for layers, updates in together(rows.active):
            columns = torch.isin(self._layer_of, layers)
            by_batch = estimator_weights(norm, len(updates))
            total = by_batch.initial[0] * self._start[columns]
            for first in range(0, len(updates), AT_ONCE):
                some = slice(first, first + AT_ONCE)
                values = rows.statistics[updates[some]][:, columns].double()
                total += by_batch.batches[0, some] @ values
            found[columns] = total
        return found


def estimator_weights(norm: BatchNorm, updates: int) -> Weights:
    """Return the weights of so many batches and of the initial value, [1, updates] and [1, 1]."""
    momenta = Momenta([norm], updates)
    newest = torch.cat([momenta.weight(update) for update in range(updates)], 1)
    return weights([norm], newest)


def together(active: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Group layers that have the same updates: yield layers, and the rows with their updates.

    Args:
        active: [rows, layers]; layers without any are left out.
    """
    if not len(active):
        return
    patterns, group = torch.unique(active, dim=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        if patterns[:, number].any():
            yield (group == number).nonzero()[:, 0], patterns[:, number].nonzero()[:, 0]
