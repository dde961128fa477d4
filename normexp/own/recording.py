"""A recording: the batch statistics of one network, from its start to now.

It reads, recovers and keeps; what is made of them is in `normexp.own.evaluate`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from normexp.config.norm import BatchNorm
from normexp.errors import UsageError
from normexp.nets.layout import Statistics
from normexp.own.bank import Bank, bank_momenta
from normexp.own.history import EveryUpdate
from normexp.own.layers import batch_norms, tracked
from normexp.own.reading import BufferReader, ForwardReader, is_mute, unread, writes_of
from normexp.own.recovery import FROZEN_AFTER, Recovery, columns_of

Keep = Literal["auto", "every", "bank"]

PROBED = 3
"""Steps after which a loop that cannot be read is refused."""

SEVERAL = 0.05
"""Share of steps with several different updates that is still read: AMP skips some steps."""


@dataclass(frozen=True)
class Settings:
    """How to record: the arguments of `normexp.own.recorder.record`."""

    per_forward: bool
    checkpointed: bool
    keep: Keep
    most_bytes: float
    averages: int
    ring: int


class Recording:
    """The batch statistics so far.

    Args:
        model: in training.
        settings: how to record.

    Raises:
        UsageError: the model has nothing to record, or cannot be read so.
    """

    def __init__(self, model: nn.Module, settings: Settings) -> None:
        self.model, self.settings, self.layers = model, settings, tracked(model)
        bank_momenta(settings.averages)  # refused here, not after hours
        self._require_movement()
        self.steps = self.updates = 0  # updates are rows
        self.start = torch.cat(self.layers.read())  # [2 · channels], float64
        self.layer_of = columns_of(list(self.layers.sites.values()))
        self.left = torch.ones(len(self.layers.modules), dtype=torch.float64)  # of start, [layers]
        self.recovery = Recovery(self.start, self._counts(), self._writes(), self.layer_of)
        self.history: EveryUpdate | Bank = EveryUpdate(self.start, self.layer_of)
        if settings.keep == "bank":
            self.history = self._bank()
        self._idle = _follows_rank_0(model)
        self._reader = (ForwardReader if settings.per_forward else BufferReader)(self.layers)

    def close(self) -> None:
        """Let go of the model; what has been recorded stays."""
        self._take(wait=True)
        self._reader.close()

    def step(self) -> None:
        """Record a step that has just ended.

        Raises:
            UsageError: at the third step, if it and one before had several updates, or hooks have
                not been called.
        """
        if self._idle:
            return
        self.steps += 1
        self._trained = [each.training for each in self.layers.modules.values()]
        with torch.no_grad():
            self._reader.step(self.steps)
        self._take(wait=self.steps == PROBED)
        if self.steps == PROBED:
            self._require_calls()
            if self.recovery.several.amax() >= PROBED - 1:
                self._require_single()

    @property
    def still(self) -> set[str]:
        """Batch norms that are frozen, and those that keep no statistics.

        A layer is frozen if the last step left it in evaluation mode, or none of the last 64 steps
        updated it: others merely skip steps, as heads that take turns do.
        """
        skipped = (self.steps - self.recovery.moved).tolist()
        of_layers = zip(self.layers.modules, skipped, self._trained, strict=True)
        moving = {
            name
            for name, steps, in_training in of_layers
            if not steps or (in_training and steps < FROZEN_AFTER)
        }
        return set(batch_norms(self.model)) - moving

    def flush(self) -> None:
        """Look at all that has been read.

        Raises:
            UsageError: that is nothing, or of steps that cannot be read.
        """
        if self._idle:
            raise UsageError(
                "the running statistics of this process are overwritten by those of the first",
                "evaluate in the process of rank 0",
            )
        self._take(wait=True)
        self._require_single()
        if not self.updates:
            raise UsageError(
                f"{self.steps} steps were recorded, and no batch norm was updated in them",
                "train in training mode: model.train(), loss.backward(), optimizer.step()",
            )

    def statistics(self, norm: BatchNorm) -> Statistics:
        """Return the running statistics that an estimator has by now, two rows of [channels].

        Layers without an update, such as frozen ones, have those of the model.
        """
        self.flush()
        found = self.history.estimate(norm)
        halves = torch.where(found.isnan(), torch.cat(self.layers.read()), found).chunk(2)
        return Statistics(halves[0], halves[1])

    def put(self, statistics: Statistics) -> Statistics:
        """Set the model's running statistics between two steps, and return those before."""
        self._take(wait=True)
        before = self.layers.read()
        self.layers.write(statistics)
        self.recovery.before = torch.cat(self.layers.read())
        self.recovery.writes = self._writes()
        return before

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Overlook what is written into the buffers inside, and put back in the end."""
        before = self._writes()
        try:
            with unread():
                yield
        finally:
            self.recovery.writes += self._writes() - before

    def _take(self, *, wait: bool) -> None:
        if wait and self.steps and self.settings.per_forward:
            self._reader.step(self.steps)  # what has passed since then, a GAN's last batch
        for readings in self._reader.chunks.take(wait=wait):
            rows = self.recovery.rows(readings)
            self.history.add(rows)
            self.updates += len(rows.steps)
            self.left *= torch.where(rows.active, 1 - rows.newest, 1.0).prod(0)
        history = self.history
        full = self.settings.keep == "auto" and history.bytes > self.settings.most_bytes
        if full and isinstance(history, EveryUpdate):
            self.history = self._bank()
            self.history.add(history.rows)

    def _bank(self) -> Bank:
        return Bank(self.start, self.layer_of, self.settings.averages, self.settings.ring)

    def _require_single(self) -> None:
        """Refuse a loop whose steps have several updates that cannot be told apart."""
        several, readings = self.recovery.several, self.recovery.readings
        if self.settings.checkpointed or several.amax() <= 1 + SEVERAL * readings:
            return
        name = list(self.layers.modules)[int(several.argmax())]
        raise UsageError(
            f"{name} had several updates in {int(several.amax())} of {readings} steps, and its "
            "buffers do not tell them apart",
            "type record(..., per_forward=True), before torch.compile, where they differ (gradient "
            "accumulation, a GAN); checkpointed=True where they are equal (gradient checkpointing)",
        )

    def _require_calls(self) -> None:
        """Refuse hooks that compiled code passes by."""
        missed = self._counts() - self.recovery.counts
        if self.settings.per_forward and missed.amax() > 0:
            name = list(self.layers.modules)[int(missed.argmax())]
            raise UsageError(
                f"{int(missed.amax())} passes of {name} were not seen: compiled code has no hooks",
                "call record(..., per_forward=True) before torch.compile, in a new process or "
                "after torch._dynamo.reset()",
            )

    def _require_movement(self) -> None:
        mute = [name for name, each in self.layers.modules.items() if is_mute(each)]
        if mute and not self.settings.per_forward:
            raise UsageError(
                f"{mute[0]} has momentum 0 or coarse buffers: they do not say what a batch was",
                "type record(..., per_forward=True), before torch.compile",
            )

    def _counts(self) -> torch.Tensor:
        counts = [each.num_batches_tracked for each in self.layers.modules.values()]
        return torch.stack([each.cpu() for each in counts if each is not None])

    def _writes(self) -> torch.Tensor:
        return torch.tensor([writes_of(each) for each in self.layers.modules.values()])


def _follows_rank_0(model: nn.Module) -> bool:
    """Return whether the first process overwrites this one's buffers at every forward pass."""
    model = getattr(model, "_orig_mod", model)
    return (
        isinstance(model, nn.parallel.DistributedDataParallel)
        and bool(model.broadcast_buffers)
        and torch.distributed.get_rank(model.process_group) != 0
    )
