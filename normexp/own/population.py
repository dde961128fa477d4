"""Statistics of any module over a data set: the reference beside its running statistics."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normexp.engine.recompute import Pool
from normexp.errors import UsageError
from normexp.nets.layout import Statistics
from normexp.own.layers import Forward, Layers, call, tracked, unchanged


def population(
    model: nn.Module,
    loader: Iterable[object],
    forward_fn: Forward | None = None,
    layers: Layers | None = None,
) -> Statistics:
    """Return statistics pooled over the batches of a loader, in training mode at fixed weights.

    PreciseBN: every layer is normalised by its own batch (Wu & Johnson 2021, "Rethinking Batch in
    BatchNorm", section 3), dropout and the like are on, as in `torch.optim.swa_utils.update_bn`.
    Each batch norm's momentum is set to 1, so that its buffers are the batch's statistics whatever
    its forward does (AMP, SyncBN); compiled modules run uncompiled. The model is left exactly as it
    was.

    Args:
        model: in any mode; batch norms in evaluation mode of a model in training mode are frozen.
        loader: of batches, one epoch.
        forward_fn: how the model is called; default: see `normexp.own.layers.call`.
        layers: of the model; default: all with running statistics.

    Returns:
        Two rows of [channels], float64 on the CPU; the variance is unbiased over all values. A
        layer that no batch passes in training mode keeps its running statistics.

    Raises:
        UsageError: the loader is empty.
    """
    layers = layers or tracked(model)
    found = layers.read()
    pools: dict[_BatchNorm, Pool] = {}

    def take(norm: _BatchNorm, given: tuple[torch.Tensor, ...], _: object) -> None:
        if norm.training and norm.running_mean is not None and norm.running_var is not None:
            number = given[0].numel() // given[0].shape[1]
            mean, var = (each.double().cpu() for each in (norm.running_mean, norm.running_var))
            pools.setdefault(norm, Pool()).add(mean, var * (number - 1), number)

    batches = 0
    with unchanged(model, loader), in_training(model):
        handles = [each.register_forward_hook(take) for each in layers.modules.values()]
        try:
            for batch in loader:
                (forward_fn or call)(model, batch)
                batches += 1
        finally:
            for handle in handles:
                handle.remove()
    if not batches:
        raise UsageError("train= gave no batch", "give a loader that can be iterated anew")
    for name, span in layers.spans.items():
        if (pool := pools.get(layers.modules[name])) is not None:
            for row, values in zip(found, pool.statistics(), strict=True):
                row[span] = values
    return found


@contextmanager
def in_training(model: nn.Module) -> Iterator[None]:
    """Let batch norms of a model hold their last batch's statistics, in training mode.

    Frozen ones aside: those in evaluation mode of a model in training mode. Inside of `unchanged`,
    which puts back what is set here. Compiled modules run uncompiled, so that hooks are called.
    """
    norms = [each for each in model.modules() if isinstance(each, _BatchNorm)]
    frozen = [each for each in norms if model.training and not each.training]
    model.train()
    for norm in norms:
        norm.train(norm not in frozen)
        if norm.training:
            norm.momentum = 1.0
            norm.reset_running_stats()  # NaN times 0 would stay NaN
    with torch.compiler.set_stance("force_eager"):
        yield
