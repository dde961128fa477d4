"""Statistics of any module over a data set: beside its running statistics, or in their place."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from normexp.engine.recompute import Pool
from normexp.errors import UsageError
from normexp.nets.layout import Statistics
from normexp.own.layers import (
    Forward,
    Layers,
    TooFewError,
    bare,
    batch_norms,
    call,
    require_two,
    tracked,
    unchanged,
)
from normexp.own.reading import unread

Pools = dict[str, Pool]
"""The values that have come to each layer."""


@dataclass(frozen=True)
class Recalibrated:
    """Running statistics that were put into a model, and those that they replaced.

    Attributes:
        layers: of the model.
        before: two rows of [channels].
        after: two rows of [channels].
    """

    layers: Layers
    before: Statistics
    after: Statistics

    def undo(self) -> None:
        """Put the statistics back that were there before, to the bit."""
        self.layers.write(self.before)


def recalibrate(
    model: nn.Module,
    loader: Iterable[object],
    *,
    forward_fn: Forward | None = None,
    batches: int | None = None,
) -> Recalibrated:
    """Take the running statistics of a model anew from data, at fixed weights: see `population`.

    fvcore's `update_bn_stats` gives the same mean, and (N − 1)/N of the variance. Under
    `torch.distributed` every process gives its own batches, all must call, and all end with the
    same statistics. Modes, momenta, counts of batches and random numbers are left as they were.

    Args:
        model: compiled, data parallel or plain; `forward_fn` gets the module inside. Layers that
            are frozen, in evaluation mode of a model in training mode, keep theirs.
        loader: of tensors, of tuples whose first is the input, or of mappings of arguments.
        forward_fn: how the model is called with a batch, if otherwise.
        batches: as many at most; default: all.

    Returns:
        A handle: `undo()` puts the old statistics back.

    Raises:
        UsageError: no batch norm has running statistics, or no batch came to one; in another
            process too.
    """
    inner = bare(model)
    layers = tracked(inner)
    if distributed.is_available() and distributed.is_initialized():
        parts = _of_all_processes(inner, loader, forward_fn, batches)
    else:
        parts = [_pooled(inner, loader, forward_fn, None, batches)]
    before, found = layers.read(), _together(layers, parts)
    layers.write(found)
    return Recalibrated(layers, before, found)


def population(
    model: nn.Module,
    loader: Iterable[object],
    forward_fn: Forward | None = None,
    frozen: Collection[str] | None = None,
) -> Statistics:
    """Return statistics pooled over the batches of a loader, in training mode at fixed weights.

    PreciseBN: every layer is normalised by its own batch (Wu & Johnson 2021, "Rethinking Batch in
    BatchNorm", section 3), dropout and the like are on, as in `torch.optim.swa_utils.update_bn`.
    Each batch norm's momentum is set to 1, so that its buffers are the batch's statistics whatever
    its forward does (AMP); compiled modules run uncompiled. `SyncBatchNorm` waits for no other
    process: it takes the batch of this one. The model is left exactly as it was.

    Args:
        model: in any mode.
        loader: of batches, one epoch. One that is being iterated goes on where it is.
        forward_fn: how the model is called; default: see `normexp.own.layers.call`.
        frozen: layers that stay in evaluation mode; default: those that are in evaluation mode
            while the model is in training mode.

    Returns:
        Two rows of [channels], float64 on the CPU; the variance is unbiased over all values. A
        layer that no batch passes in training mode keeps its running statistics.

    Raises:
        UsageError: no batch came to a batch norm in training mode.
    """
    return _together(tracked(model), [_pooled(model, loader, forward_fn, frozen)])


def _of_all_processes(
    model: nn.Module, loader: Iterable[object], forward_fn: Forward | None, batches: int | None
) -> Sequence[Pools]:
    """Return what all processes found; where one fails, the others wait for it no longer."""
    found: Pools | str
    failed = None
    try:
        found = _pooled(model, loader, forward_fn, None, batches)
    except Exception as error:  # noqa: BLE001  raised below
        failed, found = error, str(error)
    parts: list[Pools | str] = [found] * distributed.get_world_size()
    distributed.all_gather_object(parts, found)
    if failed is not None:
        raise failed
    for rank, part in enumerate(parts):
        if isinstance(part, str):
            raise UsageError(f"process {rank} failed: {part}", "its own message says what to do")
    return [part for part in parts if not isinstance(part, str)]


def _together(layers: Layers, parts: Sequence[Pools]) -> Statistics:
    """Return the statistics of all parts."""
    if not any(parts):
        raise UsageError(
            "the loader gave no batch, or all batch norms are frozen",
            "give a loader that can be iterated anew",
        )
    found = layers.read()
    for name, span in layers.spans.items():
        whole = Pool()
        for pool in (part[name] for part in parts if name in part):
            whole.add(pool.mean, pool.squares, pool.count)
        if whole.count:
            found.mean[span], found.var[span] = whole.statistics()
    return found


def _pooled(
    model: nn.Module,
    loader: Iterable[object],
    forward_fn: Forward | None,
    frozen: Collection[str] | None,
    batches: int | None = None,
) -> Pools:
    """Return the values of this process's batches."""
    layers, norms = tracked(model), batch_norms(model)
    if frozen is None:
        frozen = {name for name, each in norms.items() if model.training and not each.training}
    pools: Pools = {}

    def take(name: str, norm: _BatchNorm, given: tuple[torch.Tensor, ...], _: object) -> None:
        if norm.training and norm.running_mean is not None and norm.running_var is not None:
            number = given[0].numel() // given[0].shape[1]
            mean, var = (each.cpu().double() for each in (norm.running_mean, norm.running_var))
            pools.setdefault(name, Pool()).add(mean, var * (number - 1), number)

    place = 0
    with ExitStack() as stack:
        stack.enter_context(unchanged(model, loader))
        stack.enter_context(unread())
        stack.enter_context(torch.compiler.set_stance("force_eager"))  # else no hooks
        model.train()
        for name, norm in norms.items():
            _take_each_batch(norm, training=name not in frozen)
            stack.callback(vars(norm).pop, "forward", None)
            stack.enter_context(norm.register_forward_pre_hook(require_two))
        for name, norm in layers.modules.items():
            stack.enter_context(norm.register_forward_hook(partial(take, name)))
        try:
            for batch in islice(_anew(loader), batches):
                place += 1
                (forward_fn or call)(model, batch)
        except TooFewError as error:
            raise UsageError(
                f"batch {place} has one example, or gives a batch norm one value per channel",
                "leave a last, smaller batch out: DataLoader(..., drop_last=True)",
            ) from error
    return pools


def _take_each_batch(norm: _BatchNorm, *, training: bool) -> None:
    """Let a layer's buffers hold the last batch's statistics, unless it is frozen."""
    norm.train(training)
    if training:
        norm.momentum = 1.0
        for buffer in (norm.running_mean, norm.running_var):
            if buffer is not None:
                buffer.zero_()  # NaN times 0 would stay NaN
    if isinstance(norm, nn.SyncBatchNorm):
        norm.forward = partial(_BatchNorm.forward, norm)  # type: ignore[method-assign]


def _anew(loader: Iterable[object]) -> Iterable[object]:
    """Return a loader of the same batches: one with lasting workers has but one epoch at a time."""
    if isinstance(loader, DataLoader) and loader.persistent_workers:
        loader = copy(loader)
        loader._iterator = None  # type: ignore[attr-defined] # noqa: SLF001
    return loader
