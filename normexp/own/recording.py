"""A recording: the batch statistics of one network, from its start to now.

It reads, recovers and keeps; what is made of them is in `normexp.own.evaluate`.
"""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import distributed, nn

from normexp.config.norm import BatchNorm
from normexp.errors import UsageError
from normexp.nets.layout import Statistics
from normexp.own.history import History
from normexp.own.layers import bare, batch_norms, tracked
from normexp.own.reading import BufferReader, ForwardReader, count_of, is_mute, unread, writes_of
from normexp.own.recovery import FROZEN_AFTER, Recovery, columns_of

PROBED = 3
"""Steps after which a loop that cannot be read is refused."""

SEVERAL = 0.05
"""Share of steps with several different updates that is still read: AMP skips some steps."""


class Origin(NamedTuple):
    """What the model's own averages began from, and the updates that they have taken in since."""

    name: str  # `initial`, or `applied` if somebody has put it in
    statistics: torch.Tensor  # [2 · channels]
    left: torch.Tensor  # its weight by now, [layers]
    first: int  # update
    without: tuple[tuple[int, int], ...] = ()  # updates while other statistics were put in


@dataclass(frozen=True)
class Applied:
    """Statistics that were put into a recorded model, and those that they replaced."""

    recording: "Recording"
    before: Statistics
    origin: Origin
    updates: int  # until then

    def undo(self) -> None:
        """Put the statistics back that were there before."""
        self.recording.put(self.before, self)


class Recording:
    """The batch statistics so far.

    Args:
        model: in training.
        most_bytes: of updates, before they are pooled.
        per_forward: see `normexp.own.recorder.record`, as of the next.
        checkpointed: the passes of a step are equal.

    Raises:
        UsageError: the model has nothing to record, or cannot be read so.
    """

    def __init__(
        self, model: nn.Module, most_bytes: float, *, per_forward: bool, checkpointed: bool
    ) -> None:
        self.model, self.layers = model, tracked(model)
        self._per_forward, self._checkpointed = per_forward, checkpointed
        self._require_hooks(
            map(is_mute, self.layers.modules.values()),
            "has momentum 0 or coarse buffers: they do not say what a batch was",
        )
        self.steps = self.updates = 0  # updates are rows
        self._trained = [True] * len(self.layers.modules)  # training mode, at the last step
        self.start = torch.cat(self.layers.read())  # [2 · channels], float64
        self.layer_of = columns_of(list(self.layers.sites.values()))
        self.recovery = Recovery(self.start, self._counts(), self._writes(), self.layer_of)
        self.history = History(self.start, self.layer_of, most_bytes)
        self.origin = self._origin("initial")._replace(statistics=self.start)
        self._reader = (ForwardReader if per_forward else BufferReader)(self.layers)

    def close(self) -> None:
        """Let go of the model; what has been recorded stays."""
        self._take(wait=True)
        self._reader.close()

    def step(self) -> None:
        """Record a step that has just ended.

        Raises:
            UsageError: at the third step, if it cannot be read what batches were.
        """
        self.steps += 1
        self._trained = [each.training for each in self.layers.modules.values()]
        with torch.no_grad():
            self._reader.step(self.steps)
        self._take(wait=self.steps == PROBED)
        if self.steps == PROBED:
            self._require_calls()
            changed = (self.recovery.before != self.start).chunk(2)[0]
            uncounted = zip(self.layers.spans.values(), self.recovery.moved < 0, strict=True)
            self._require_hooks(
                [bool(never and changed[span].any()) for span, never in uncounted],
                "moves its statistics without counting batches",
            )
            if self.recovery.several.amax() >= PROBED - 1:
                self._require_single()

    @property
    def still(self) -> set[str]:
        """Batch norms that are frozen, and those that keep no statistics.

        A layer is frozen if the last step left it in evaluation mode, or none of the last 64 steps
        updated it: others merely skip steps, as heads that take turns do.
        """
        moving = {
            name
            for (name, steps), trained in zip(self._skipped.items(), self._trained, strict=True)
            if not steps or (trained and steps < FROZEN_AFTER)
        }
        return set(batch_norms(self.model)) - moving

    def flush(self) -> None:
        """Look at all that has been read.

        Raises:
            UsageError: that is nothing, or of steps that cannot be read.
        """
        if _follows_rank_0(self.model):
            raise UsageError(
                "the running statistics of this process are overwritten by those of the first",
                "evaluate in the process of rank 0",
            )
        self._take(wait=True)
        self._require_single()
        if not self.updates and (self.steps or self._missed.amax() > PROBED):
            raise UsageError(
                f"{self.steps} steps were recorded, and no batch norm was updated in them",
                "train in training mode, with the optimizer that was given: model.train(), "
                "loss.backward(), optimizer.step()",
            )

    def statistics(self, norm: BatchNorm) -> Statistics:
        """Return the running statistics that an estimator has by now, two rows of [channels].

        Layers without an update, such as frozen ones, have those of the model.
        """
        self._take(wait=True)
        found = self.history.estimate(norm)
        halves = torch.where(found.isnan(), torch.cat(self.layers.read()), found).chunk(2)
        return Statistics(halves[0], halves[1])

    def put(self, statistics: Statistics, undone: Applied | None = None) -> Applied:
        """Set the model's running statistics between two steps, or back to what they were."""
        self._take(wait=True)
        applied = Applied(self, self.layers.read(), self.origin, self.updates)
        self.layers.write(statistics)
        self.recovery.before = torch.cat(self.layers.read())
        self.recovery.writes = self._writes()
        self.origin = self._origin("applied")
        if undone is not None:
            without = (*undone.origin.without, (undone.updates, self.updates))
            self.origin = undone.origin._replace(without=without)
        return applied

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Overlook what is written into the buffers inside, and put back in the end."""
        before = self._writes()
        try:
            with unread():
                yield
        finally:
            self.recovery.writes += self._writes() - before

    def remarks(self) -> list[str]:
        """Return what the record lacks, in a sentence each."""
        recovery, names = self.recovery, list(self.layers.modules)
        others = [name for name in batch_norms(self.model) if name not in names]
        found = [f"{name} has track_running_stats=False: left out" for name in others]
        several = recovery.several * (not self._checkpointed)
        for counts, text in (
            (
                recovery.changed,
                "steps have no batch statistics: the buffers were changed before, or say nothing",
            ),
            (recovery.lost, "variances of a channel and step were too small to tell from 0"),
            (several, "steps had several updates, which are taken as equal"),
        ):
            if counts.any():
                most = names[int(counts.argmax())]
                found.append(f"{int(counts.amax())} {text} (at {most}, the most of all layers)")
        found += [
            f"{name} had no update in the last {steps} steps, and does not count as frozen"
            for name, steps in self._skipped.items()
            if steps and name not in self.still
        ]
        if (missed := int(self._missed.amax())) > PROBED:  # fewer are of a step that is not over
            found.append(
                f"{missed} updates since the last step were not recorded; of another optimizer? "
                "other.register_step_post_hook(lambda *_: recorder.step())"
            )
        return found

    @property
    def _skipped(self) -> dict[str, int]:
        """Steps since each layer's last update."""
        skipped = (self.steps - self.recovery.moved) * bool(self.steps)
        return dict(zip(self.layers.modules, skipped.tolist(), strict=True))

    @property
    def _missed(self) -> torch.Tensor:
        """Updates since the last step, [layers]; none of a checkpoint loaded before the first."""
        is_loaded = not self.steps and bool((self._writes() > self.recovery.writes).any())
        return (self._counts() - self.recovery.counts) * (not is_loaded)

    def _origin(self, name: str) -> Origin:
        left = torch.ones(len(self.layers.modules), dtype=torch.float64)
        return Origin(name, torch.cat(self.layers.read()), left, self.updates)

    def _take(self, *, wait: bool) -> None:
        if wait and self.steps and self._per_forward:
            self._reader.step(self.steps)  # what has passed since then, a GAN's last batch
        for readings in self._reader.chunks.take(wait=wait):
            rows = self.recovery.rows(readings)
            self.history.add(rows)
            self.updates += len(rows.updates)
            kept = torch.where(rows.updates > 0, 1 - rows.newest, 1.0).prod(0)
            self.origin = self.origin._replace(left=self.origin.left * kept)

    def _require_single(self) -> None:
        """Refuse a loop whose steps have several updates that cannot be told apart."""
        several, readings = self.recovery.several, self.recovery.readings
        if self._checkpointed or several.amax() <= 1 + SEVERAL * readings:
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
        missed = self._missed
        if self._per_forward and missed.amax() > 0:
            name = list(self.layers.modules)[int(missed.argmax())]
            raise UsageError(
                f"{int(missed.amax())} passes of {name} were not seen: compiled code has no hooks",
                "call record(..., per_forward=True) before torch.compile, in a new process or "
                "after torch._dynamo.reset()",
            )

    def _require_hooks(self, silent: Iterable[bool], reason: str) -> None:
        """Refuse layers whose buffers do not say what the batches were."""
        for name, is_silent in zip(self.layers.modules, silent, strict=True):
            if is_silent and not self._per_forward:
                raise UsageError(
                    f"{name} {reason}", "type record(..., per_forward=True), before torch.compile"
                )

    def _counts(self) -> torch.Tensor:
        return torch.stack([count_of(each).cpu() for each in self.layers.modules.values()])

    def _writes(self) -> torch.Tensor:
        return torch.tensor([writes_of(each) for each in self.layers.modules.values()])


def _follows_rank_0(model: nn.Module) -> bool:
    """Return whether the first process overwrites this one's buffers at every forward pass.

    A module does not know the wrapper around it, which may have come after the recorder.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return False
    parallel, inside = nn.parallel.DistributedDataParallel, bare(model)
    return distributed.get_rank() > 0 and any(
        each.broadcast_buffers and bare(each) is inside and distributed.get_rank(each.process_group)
        for each in gc.get_objects()
        if issubclass(type(each), parallel)
    )
