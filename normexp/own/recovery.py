"""A batch's statistics from the running statistics before and after it.

    r_t = (1 − m)·r_(t−1) + m·s_t,  hence  s_t = (r_t − (1 − m)·r_(t−1)) / m

in float64. Buffers are rounded to float32, so that s_t is right to about 6e-8·|r| / m. Where a
step had k equal updates (gradient checkpointing runs its layers twice), 1 − m is to the power of k;
with momentum null the weight of an update is one over the number of batches so far.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from normexp.own.history import Rows

FROZEN_AFTER = 64
"""Steps without an update after which a layer counts as frozen."""

ROUNDING = 2.0**-23
"""Of float32: a variance below this times the running one, over m, cannot be told from 0."""


class Readings(NamedTuple):
    """Buffers as they were after some steps, or after each forward pass in them."""

    steps: torch.Tensor  # [readings], the optimizer's step, from 1
    statistics: torch.Tensor  # [readings, 2 · channels], means of all channels, then variances
    counts: torch.Tensor  # [readings, layers], num_batches_tracked
    momenta: torch.Tensor  # [readings, layers], NaN for null, float64
    writes: torch.Tensor  # [readings, layers], how often buffers were written to in place


class Recovery:
    """Readings turned into rows, one chunk after the other.

    An update that compiled code makes writes into its buffer by an operation that PyTorch counts,
    `batch_norm` itself does not: what an update counts for is the least that was ever seen, and
    whatever is above it was somebody else's writing.

    Args:
        before: buffers before the first step, [2 · channels], float64. Where somebody has changed
            them before it, those after it are put there.
        counts: num_batches_tracked before it, [layers].
        writes: how often buffers had been written to, [layers].
        layer_of: the layer of each column, [2 · channels].

    Attributes:
        readings: so far.
        moved: the last step that updated a layer, [layers].
        several: readings with several updates, [layers].
        changed: readings before which somebody had changed the buffers, or that say nothing (they
            are not finite, or of momentum 0), [layers].
        lost: channels of updates whose variance cannot be told from 0, [layers].
    """

    def __init__(
        self,
        before: torch.Tensor,
        counts: torch.Tensor,
        writes: torch.Tensor,
        layer_of: torch.Tensor,
    ) -> None:
        self.before, self.counts, self.writes = before, counts, writes
        self.layer_of = layer_of
        self._writes_of_update = torch.full_like(counts, torch.iinfo(torch.long).max)
        self.readings = 0
        self.moved = torch.full_like(counts, -FROZEN_AFTER)  # the step of the last update; none yet
        self.several, self.changed, self.lost = (torch.zeros_like(counts) for _ in range(3))

    def rows(self, readings: Readings) -> Rows:
        """Return the updates of the steps that follow; a step with k equal ones has k rows."""
        seen = readings.statistics.double()
        counts = torch.cat([self.counts[None], readings.counts])
        updates = counts.diff(dim=0)
        changed = self._changed(updates, readings.writes) | (updates < 0)
        if not self.readings:  # a checkpoint loaded since then: averages begin from it
            loaded = changed[0, self.layer_of]
            self.before[loaded] = seen[0, loaded]
        active = torch.where(changed, 0, updates)
        kept = _kept(readings.momenta, counts[:-1], active)[:, self.layer_of]
        earlier = torch.cat([self.before[None], seen[:-1]])
        found = torch.where(kept == 0, seen, (seen - kept * earlier) / (1 - kept))
        strange = torch.zeros_like(active).index_add_(1, self.layer_of, (~found.isfinite()).long())
        changed |= (active > 0) & (strange > 0)
        active = torch.where(changed, 0, active)
        channels = seen.shape[1] // 2
        least = ROUNDING * seen[:, channels:] / (1 - kept[:, channels:])
        lost = (found[:, channels:] <= least) & (active > 0)[:, self.layer_of[:channels]]
        found[:, channels:].clamp_(min=0)
        self.readings += len(updates)
        self.several += ((updates > 1) & ~changed).sum(0)
        self.changed += changed.sum(0)
        self.lost.index_add_(0, self.layer_of[:channels], lost.sum(0))
        self.moved = torch.where(updates != 0, readings.steps[:, None], self.moved).amax(0)
        self.before, self.counts = seen[-1], readings.counts[-1]
        self.writes = readings.writes[-1]
        return self._repeated(found, active, counts[:-1], readings)

    def _changed(self, updates: torch.Tensor, writes: torch.Tensor) -> torch.Tensor:
        """Return before which steps somebody wrote into the buffers, [steps, layers]."""
        written = torch.cat([self.writes[None], writes]).diff(dim=0).clamp(min=0)
        once = torch.where(updates > 0, written // updates.clamp(min=1), self._writes_of_update)
        self._writes_of_update = torch.minimum(self._writes_of_update, once.amin(0))
        return written > updates.clamp(min=0) * self._writes_of_update

    def _repeated(
        self, found: torch.Tensor, active: torch.Tensor, counts: torch.Tensor, readings: Readings
    ) -> Rows:
        number, momenta = active.amax(1), readings.momenta
        step = torch.repeat_interleave(torch.arange(len(number)), number)
        order = torch.arange(len(step)) - (number.cumsum(0) - number)[step]  # within its step
        there = order[:, None] < active[step]
        newest = torch.where(
            momenta[step].isnan(), 1 / (counts[step] + order[:, None] + 1).double(), momenta[step]
        )
        statistics = torch.where(there[:, self.layer_of], found[step].float(), torch.nan)
        return Rows(statistics, there.long(), newest)


def _kept(momenta: torch.Tensor, counts: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
    """Return what so many updates leave of the value before, [steps, layers], float64."""
    cumulative = counts.double() / (counts + updates).clamp(min=1)
    return torch.where(momenta.isnan(), cumulative, (1 - momenta) ** updates)


def columns_of(sites: Sequence[int]) -> torch.Tensor:
    """Return the layer of every column of a row, [2 · channels], for layers of such widths."""
    once = torch.repeat_interleave(torch.arange(len(sites)), torch.tensor(sites))
    return torch.cat([once, once])
