"""The batch statistics of a training: all updates of late, and of long ago in groups.

A *row* has the mean statistics of one update or of some that follow one another: the means of all
channels, then their variances. Layers need not update together: frozen ones skip rows, and a
layer's average passes over them. Rows are pooled where they take more memory than they may. Then a
row has no more updates than a few per cent of those after it, over which an average's weights are
nearly equal: it is given their sum.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from normexp.config.norm import BatchNorm
from normexp.engine.budget import Weights, weights

AT_ONCE = 256
"""Rows in float64 at a time."""

NEWEST = 64
"""Updates of each layer that are never pooled."""

A_FOLD = 24
"""Rows from one age to e times that age: errors stay within 1 % of an average's own noise."""


class Rows(NamedTuple):
    """Updates in their order, one a row or more."""

    statistics: torch.Tensor  # [rows, 2 · channels], variances unbiased; NaN without an update
    updates: torch.Tensor  # [rows, layers], how many the layer had
    newest: torch.Tensor  # [rows, layers], the weight that the model gave to them, float64


class Error(NamedTuple):
    """The error of an average over pooled rows, whatever the batches.

    Attributes:
        relative: its deviation if batches are independent, over that of the exact average.
        l1: the sum of the weights' differences: a bound on the error in units of the largest
            deviation of a batch.
    """

    relative: float
    l1: float


class History:
    """All updates in rows.

    Args:
        start: running statistics before the first row, [2 · channels], float64.
        layer_of: the layer of each of these columns, [2 · channels].
        most_bytes: that rows may take before they are pooled.
    """

    def __init__(self, start: torch.Tensor, layer_of: torch.Tensor, most_bytes: float) -> None:
        self._start, self._layer_of, self._most_bytes = start, layer_of, most_bytes
        none = torch.zeros(0, int(layer_of.max()) + 1)
        self._parts = [Rows(torch.zeros(0, len(start)), none.long(), none.double())]
        self._bytes = 0

    def add(self, rows: Rows) -> None:
        """Take in the next rows."""
        self._parts.append(rows)
        self._bytes += sum(each.nbytes for each in rows)
        if self._bytes > self._most_bytes:
            self._pool()
            self._bytes = sum(each.nbytes for each in self.rows)
            self._most_bytes = max(self._most_bytes, 2 * self._bytes)

    @property
    def rows(self) -> Rows:
        """All rows so far."""
        if len(self._parts) > 1:
            self._parts = [Rows(*(torch.cat(each) for each in zip(*self._parts, strict=True)))]
        return self._parts[0]

    @property
    def is_whole(self) -> bool:
        """Whether every row is one update."""
        return all(bool((part.updates <= 1).all()) for part in self._parts)

    def estimate(self, norm: BatchNorm) -> torch.Tensor:
        """Return a row of running statistics, float64; NaN for layers that had no update."""
        found = torch.full_like(self._start, torch.nan)
        for layers, kept, exact, by_row, _ in self._weighed(norm):
            columns = torch.isin(self._layer_of, layers)
            total = exact.initial[0] * self._start[columns]
            for first in range(0, len(kept), AT_ONCE):
                some = slice(first, first + AT_ONCE)
                total += by_row[some] @ self.rows.statistics[kept[some]][:, columns].double()
            found[columns] = total
        return found

    def error(self, norm: BatchNorm) -> Error:
        """Return the error of what `estimate` gives, of the layer where it is largest."""
        found = [Error(0.0, 0.0)]
        for _, _, exact, _, spread in self._weighed(norm):
            apart = exact.batches[0] - spread
            relative = apart.norm() / exact.batches.norm()
            found.append(Error(float(relative), float(apart.abs().sum())))
        return max(found)

    def _weighed(
        self, norm: BatchNorm
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, Weights, torch.Tensor, torch.Tensor]]:
        """Yield layers with the same updates, their rows, and weights.

        These are exact by update, summed by row, and by update as the rows' sums are spread.
        """
        updates = self.rows.updates
        if not len(updates):
            return
        counts, group = torch.unique(updates, dim=1, return_inverse=True)
        for pattern, each in enumerate(counts.T):
            if each.any():
                kept = each.nonzero()[:, 0]
                exact = weights_of(norm, int(each.sum()))
                row = torch.repeat_interleave(each[kept])
                by_row = torch.zeros(len(kept)).double().index_add_(0, row, exact.batches[0])
                spread = (by_row / each[kept])[row]
                yield (group == pattern).nonzero()[:, 0], kept, exact, by_row, spread

    def _pool(self) -> None:
        """Put rows together whose age is nearly the same, counted in updates of each layer."""
        updates = torch.cat([each.updates for each in self._parts])
        newest = torch.cat([each.newest for each in self._parts])
        age = updates.sum(0) - updates.cumsum(0)
        folds = (age / NEWEST).clamp(min=1).log()
        step = age.clamp(max=NEWEST) + (A_FOLD * folds).floor()
        row = torch.cat([torch.zeros(1), step.diff(dim=0).any(1)]).long().cumsum(0)
        none = torch.zeros(int(row[-1]) + 1, updates.shape[1])
        number = none.long().index_add_(0, row, updates)
        kept = torch.where(updates > 0, 1 - newest, 1.0).log()
        total = torch.zeros(len(none), len(self._start), dtype=torch.float64)
        done = 0
        for part in self._parts:
            for first in range(0, len(part.updates), AT_ONCE):
                some = Rows(*(each[first : first + AT_ONCE] for each in part))
                to = row[done : done + len(some.updates)]
                share = some.updates / number[to].clamp(min=1)
                values = some.statistics.double().nan_to_num(0)
                total.index_add_(0, to, values * share[:, self._layer_of])
                done += len(to)
        statistics = torch.where((number > 0)[:, self._layer_of], total.float(), torch.nan)
        weight = 1 - none.double().index_add_(0, row, kept).exp()
        self._parts = [Rows(statistics, number, weight)]


def weights_of(norm: BatchNorm, updates: int) -> Weights:
    """Return the weights of so many batches and of the initial value, [1, updates] and [1, 1]."""
    newest = 1 / torch.arange(1, updates + 1).double()
    if norm.momentum is not None:
        newest.fill_(norm.momentum)
    return weights([norm], newest[None])
