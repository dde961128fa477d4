"""Statistics of any module over a data set: the reference beside its running statistics."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from normexp.engine.recompute import Pool
from normexp.errors import UsageError
from normexp.nets.layout import Statistics
from normexp.own.layers import Forward, Layers, batch_norms, call, tracked, unchanged
from normexp.own.reading import unread


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
    its forward does (AMP, SyncBN); compiled modules run uncompiled. The model is left exactly as it
    was.

    Args:
        model: in any mode.
        loader: of batches, one epoch.
        forward_fn: how the model is called; default: see `normexp.own.layers.call`.
        frozen: layers that stay in evaluation mode; default: those that are in evaluation mode
            while the model is in training mode.

    Returns:
        Two rows of [channels], float64 on the CPU; the variance is unbiased over all values. A
        layer that no batch passes in training mode keeps its running statistics.

    Raises:
        UsageError: the loader is empty.
    """
    return together(tracked(model), [pooled(model, loader, forward_fn, frozen)])


class Part(NamedTuple):
    """The batches of a loader: their number, and their values pooled by layer."""

    batches: int
    pools: dict[str, Pool]


def together(layers: Layers, parts: Sequence[Part]) -> Statistics:
    """Return the statistics of some parts; see `population`.

    Raises:
        UsageError: there was no batch in any.
    """
    if not any(part.batches for part in parts):
        raise UsageError("the loader gave no batch", "give one that can be iterated anew")
    found = layers.read()
    for name, span in layers.spans.items():
        whole = Pool()
        for pool in (part.pools[name] for part in parts if name in part.pools):
            whole.add(pool.mean, pool.squares, pool.count)
        if whole.count:
            found.mean[span], found.var[span] = whole.statistics()
    return found


def pooled(
    model: nn.Module,
    loader: Iterable[object],
    forward_fn: Forward | None = None,
    frozen: Collection[str] | None = None,
) -> Part:
    """Return the batches of this process; see `population`."""
    layers, norms = tracked(model), batch_norms(model)
    if frozen is None:
        frozen = {name for name, each in norms.items() if model.training and not each.training}
    is_shared = distributed.is_available() and distributed.is_initialized()
    processes = distributed.get_world_size() if is_shared else 1
    pools: dict[_BatchNorm, Pool] = {}

    def take(norm: _BatchNorm, given: tuple[torch.Tensor, ...], _: object) -> None:
        if norm.training and norm.running_mean is not None and norm.running_var is not None:
            number = given[0].numel() // given[0].shape[1]
            lost = 1 / processes if isinstance(norm, nn.SyncBatchNorm) else 1  # by a mean of all
            mean, var = (each.cpu().double() for each in (norm.running_mean, norm.running_var))
            pools.setdefault(norm, Pool()).add(mean, var * (number - lost), number)

    batches = 0
    eager = torch.compiler.set_stance("force_eager")  # else no hooks
    with unchanged(model, loader), unread(), eager:
        model.train()
        for name, norm in norms.items():
            _take_each_batch(norm, training=name not in frozen)
        handles = [each.register_forward_hook(take) for each in layers.modules.values()]
        try:
            for batch in loader:
                batches += 1
                (forward_fn or call)(model, batch)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UsageError(
                f"batch {batches} has one example, or gives a batch norm one value per channel",
                "leave a last, smaller batch out: DataLoader(..., drop_last=True)",
            ) from error
        finally:
            for handle in handles:
                handle.remove()
    return Part(batches, {name: pools[e] for name, e in layers.modules.items() if e in pools})


def _take_each_batch(norm: _BatchNorm, *, training: bool) -> None:
    """Let a layer's buffers hold the last batch's statistics, unless it is frozen."""
    norm.train(training)
    if training:
        norm.momentum = 1.0
        norm.reset_running_stats()  # NaN times 0 would stay NaN
