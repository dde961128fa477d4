"""Reads the buffers of batch norms while they train; no step waits for a device.

Readings collect in memory of the model's device and leave it in chunks. From a CUDA device the copy
of a chunk is only started, and looked at when the next one leaves.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from normexp.own.layers import Layers
from normexp.own.recovery import Readings

PRECISE = (torch.float32, torch.float64)
"""Buffers from which a batch's statistics can be recovered."""

MOST_READINGS = 64
MOST_BYTES = 2**24
"""Readings of a chunk, and the device memory that it may take."""


class Chunks:
    """Readings on the device, and those that leave it."""

    def __init__(self, layers: Layers) -> None:
        buffers = [each for layer in layers.modules.values() for each in layer.buffers()]
        columns = 2 * sum(layers.sites.values())
        size = min(MOST_READINGS, max(1, MOST_BYTES // (4 * columns)))
        self._device = buffers[0].device
        wide = any(each.dtype == torch.float64 for each in buffers)
        dtype = torch.float64 if wide else torch.float32
        self._cuda = self._device.type == "cuda"
        self._values = torch.empty(size, columns, dtype=dtype, device=self._device)
        self._counts = torch.empty(size, len(layers.modules), dtype=torch.long, device=self._device)
        self._meta: list[tuple[int, list[float], list[int]]] = []  # step, momenta, writes
        self._leaving: list[tuple[Readings, torch.Event | None]] = []

    def append(
        self,
        values: list[torch.Tensor],
        counts: list[torch.Tensor],
        meta: tuple[int, list[float], list[int]],
    ) -> None:
        """Copy one reading into the chunk, by two kernels."""
        row = len(self._meta)
        torch.cat([each.to(self._device) for each in values], out=self._values[row])
        torch.stack([each.to(self._device) for each in counts], out=self._counts[row])
        self._meta.append(meta)
        if len(self._meta) == len(self._values):
            self._leave()

    def take(self, *, wait: bool) -> list[Readings]:
        """Return chunks that have come, oldest first; with `wait`, all that has been read."""
        if wait and self._meta:
            self._leave()
        number = len(self._leaving) - (not wait and self._cuda)
        found, self._leaving = self._leaving[:number], self._leaving[number:]
        for _, event in found:
            if event is not None:
                event.synchronize()
        return [readings for readings, _ in found]

    def _leave(self) -> None:
        steps, momenta, writes = zip(*self._meta, strict=True)
        values, counts = (self._to_host(e[: len(steps)]) for e in (self._values, self._counts))
        event = None
        if self._cuda:
            event = torch.Event(self._device)
            event.record()
        readings = Readings(
            torch.tensor(steps),
            values,
            counts,
            torch.tensor(momenta, dtype=torch.float64),
            torch.tensor(writes),
        )
        self._leaving.append((readings, event))
        self._meta = []

    def _to_host(self, values: torch.Tensor) -> torch.Tensor:
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=self._cuda)
        return host.copy_(values, non_blocking=self._cuda)


class BufferReader:
    """One reading a step, of the buffers alone: no hooks, so that compiled models can be read."""

    def __init__(self, layers: Layers) -> None:
        self._layers, self.chunks = list(layers.modules.values()), Chunks(layers)

    def step(self, step: int) -> None:
        """Note what the optimizer's step, which has just ended, has left."""
        buffers = [each._buffers for each in self._layers]  # noqa: SLF001  106 lookups a step
        values = [each[name] for name in ("running_mean", "running_var") for each in buffers]
        counts = [count_of(each) for each in self._layers]
        momenta = [number_of(each.momentum) for each in self._layers]
        writes = [writes_of(each) for each in self._layers]
        self.chunks.append(values, counts, (step, momenta, writes))  # type: ignore[arg-type]

    def close(self) -> None:
        """Do nothing: there are no hooks."""


class ForwardReader:
    """One reading a forward pass, by hooks on the layers.

    The buffers after a pass are read. Where they do not say what the batch was (see `is_mute`), the
    statistics are computed from the layer's input, and stand as those of momentum 1.
    """

    paused = 0  # how many callers are inside of `unread`

    def __init__(self, layers: Layers) -> None:
        self._layers, self.chunks = layers, Chunks(layers)
        self._latest = [(self._read(e), 0.5, writes_of(e)) for e in layers.modules.values()]
        self._counts = [count_of(each).clone() for each in layers.modules.values()]
        self._seen: list[list[tuple[torch.Tensor, float, int]]] = [[] for _ in self._latest]
        self._handles = [
            each.register_forward_hook(self._hook(number, each))
            for number, each in enumerate(layers.modules.values())
        ]

    def step(self, step: int) -> None:
        """Note what the forward passes have left that were not noted yet."""
        for place in range(max(map(len, self._seen), default=0)):
            for layer, seen in enumerate(self._seen):
                if place < len(seen):
                    self._latest[layer] = seen[place]
                    self._counts[layer] = self._counts[layer] + 1
            values, momenta, writes = map(list, zip(*self._latest, strict=True))
            parts = [each[number] for number in (0, 1) for each in values]
            self.chunks.append(parts, self._counts, (step, momenta, writes))
        for seen in self._seen:
            seen.clear()

    def close(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()

    def _hook(self, number: int, own: _BatchNorm) -> Callable[..., None]:
        def take(layer: _BatchNorm, given: tuple[torch.Tensor, ...], _: object) -> None:
            if not layer.training or layer is not own or ForwardReader.paused:
                return  # copies of a model have its hooks
            compiled = torch.compiler.is_compiling()  # there is no such count in compiled code
            writes = self._latest[number][2] if compiled else writes_of(layer)
            if is_mute(layer):
                x = given[0].detach()
                axes = [axis for axis in range(x.dim()) if axis != 1]
                var, mean = torch.var_mean(x.float(), axes, correction=1)
                now = torch.stack([mean, var]), 1.0, writes
            else:
                now = self._read(layer), number_of(layer.momentum), writes
            self._seen[number].append(now)

        return take

    @staticmethod
    def _read(layer: _BatchNorm) -> torch.Tensor:
        """A copy of mean and variance, [2, channels]."""
        buffers = (layer.running_mean, layer.running_var)
        return torch.stack([each.detach() for each in buffers if each is not None])


@contextmanager
def unread() -> Iterator[None]:
    """Let hooks overlook the forward passes inside: their batches are not the training's."""
    ForwardReader.paused += 1
    try:
        yield
    finally:
        ForwardReader.paused -= 1


def is_mute(layer: _BatchNorm) -> bool:
    """Return whether buffers do not say what the batch was: they never move, or are too coarse."""
    mean = layer.running_mean
    return layer.momentum == 0 or (mean is not None and mean.dtype not in PRECISE)


def number_of(momentum: float | None) -> float:
    """A momentum as a number: NaN is the cumulative mean."""
    return math.nan if momentum is None else momentum


def writes_of(layer: _BatchNorm) -> int:
    """How often a layer's buffers have been written to by operations that PyTorch counts."""
    buffers = (layer.running_mean, layer.running_var)
    return sum(each._version for each in buffers if each is not None)  # noqa: SLF001


def count_of(layer: _BatchNorm) -> torch.Tensor:
    """The number of batches that a layer has seen."""
    count = layer.num_batches_tracked
    return torch.zeros((), dtype=torch.long) if count is None else count
