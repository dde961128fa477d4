"""The norms at one site, on vectors or images of a stack."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from normexp.config.norm import (
    BatchKind,
    BatchNorm,
    BatchRenorm,
    EmaTrain,
    ExampleKind,
    GhostNorm,
    GroupNorm,
    InstanceNorm,
    RmsNorm,
    limits,
)
from normexp.nets.layout import (
    VECTOR,
    Affine,
    Memory,
    Statistics,
    batch_axis,
    channel_axis,
    from_kernel,
    of_channels,
    spread,
    to_kernel,
    unbiased,
)

Normalized = tuple[torch.Tensor, Statistics]
"""The normalised x, and statistics of the batch."""


def in_training(
    config: BatchKind, x: torch.Tensor, affine: Affine, sizes: Sequence[int], memory: Memory | None
) -> Normalized:
    """Training mode of a norm over the batch, in parts of these sizes if it is ghost norm.

    Norms that look back are given the running statistics before this step.
    """
    if isinstance(config, GhostNorm):
        return _normalize_parts(config, x, affine, sizes)
    if isinstance(config, BatchNorm):
        y, whole = normalize_batch(x, affine, config.eps, config.normalizing_variance)
    else:
        assert memory is not None  # noqa: S101
        if isinstance(config, BatchRenorm):
            y, whole = _renormalize(config, x, affine, memory)
        else:
            y, whole = _normalize_by_average(config, x, affine, memory)
    return y, Statistics(whole.mean[:, None], whole.var[:, None])


def normalize_batch(
    x: torch.Tensor, affine: Affine, eps: float, variance: str = "biased"
) -> Normalized:
    """Batch normalisation in training mode.

    y = (x − mean) / √(variance + eps) · weight + bias; with the biased variance as
    `torch.nn.BatchNorm1d` and `2d`. With momentum 1 PyTorch's kernel leaves the batch's
    mean and unbiased variance in the buffers: no second pass over x. The unbiased variance is S4's,
    written by hand with `x.var()`: √((n − 1) / n) of the usual output.
    """
    if variance == "unbiased":
        mean, biased = of_channels(x)
        var = unbiased(biased, x)
        y = (x - spread(mean, x)) / spread((var + eps).sqrt(), x)
        return _scaled(y, affine), Statistics(mean.detach(), var.detach())
    models, kernel = x.shape[0], to_kernel(x)
    channels = kernel.shape[1]
    mean, var = x.new_zeros(channels), x.new_ones(channels)
    y = functional.batch_norm(
        kernel, mean, var, *affine.flat(), training=True, momentum=1.0, eps=eps
    )
    return from_kernel(y, models), Statistics(mean.view(models, -1), var.view(models, -1))


def normalize_with(
    statistics: Statistics, x: torch.Tensor, affine: Affine, eps: float
) -> torch.Tensor:
    """Evaluation mode: x in units of the given statistics, as `torch.nn.BatchNorm1d.eval()`."""
    y = functional.batch_norm(
        to_kernel(x),
        statistics.mean.reshape(-1),
        statistics.var.reshape(-1),
        *affine.flat(),
        training=False,
        eps=eps,
    )
    return from_kernel(y, x.shape[0])


def _normalize_parts(
    config: GhostNorm, x: torch.Tensor, affine: Affine, sizes: Sequence[int]
) -> Normalized:
    """Ghost batch norm: every part in units of itself, and the statistics of all parts, in order.

    Hoffer et al. (2017), "Train longer, generalize better", algorithm 1. Parts are consecutive
    examples of the batch, which is drawn in random order.
    """
    axis, variance = batch_axis(x), config.normalizing_variance
    pieces = torch.split(x, list(sizes), axis)
    parts = [normalize_batch(piece, affine, config.eps, variance) for piece in pieces]
    y = torch.cat([part for part, _ in parts], axis)
    means, variances = zip(*(statistics for _, statistics in parts), strict=True)
    return y, Statistics(torch.stack(means, 1), torch.stack(variances, 1))


def _renormalize(
    config: BatchRenorm, x: torch.Tensor, affine: Affine, memory: Memory
) -> Normalized:
    """Batch renormalisation, Ioffe (2017), "Batch Renormalization", algorithm 1.

    y = ((x − batch mean) / batch σ · r + d) · weight + bias with r = batch σ / running σ, clipped
    to [1/r_max, r_max], and d = (batch mean − running mean) / running σ, to [−d_max, d_max].
    No gradient goes through r and d. σ² is the biased variance + eps, as in the paper, which
    averages σ itself, as Keras does, with a `renorm_momentum` of its own for r and d beside the
    momentum of evaluation. This averages the variance with one momentum, as `torchrl` does.
    """
    mean, biased = of_channels(x)
    sigma = (biased + config.eps).sqrt()
    running_sigma = (memory.var + config.eps).sqrt().to(x)
    r_max, d_max = limits(config, memory.step)
    r = (sigma.detach() / running_sigma).clamp(1 / r_max, r_max)
    d = ((mean.detach() - memory.mean.to(x)) / running_sigma).clamp(-d_max, d_max)
    y = (x - spread(mean, x)) * spread(r / sigma, x) + spread(d, x)
    return _scaled(y, affine), Statistics(mean.detach(), unbiased(biased, x).detach())


def _normalize_by_average(
    config: EmaTrain, x: torch.Tensor, affine: Affine, memory: Memory
) -> Normalized:
    """X in units of the running statistics, which this batch has been averaged into.

    As `equinox.nn.BatchNorm(mode="ema")`, `equinox/nn/_batch_norm.py`: the gradient goes through
    the batch's part of the average.
    """
    mean, biased = of_channels(x)
    var = unbiased(biased, x)
    averaged = biased if config.running_variance == "biased" else var
    newest = memory.momentum.to(x)
    running_mean = memory.mean.to(x) * (1 - newest) + mean * newest
    running_var = memory.var.to(x) * (1 - newest) + averaged * newest
    y = (x - spread(running_mean, x)) / spread((running_var + config.eps).sqrt(), x)
    return _scaled(y, affine), Statistics(mean.detach(), var.detach())


def normalize_example(config: ExampleKind, x: torch.Tensor, affine: Affine) -> torch.Tensor:
    """Layer, instance, group and RMS norm: x in units of groups of each example's channels.

    y = (x − mean) / √(variance + eps) · weight + bias as `torch.nn.GroupNorm`: instance norm has a
    group a channel, layer norm one group; RMS norm divides by √(mean of x² + eps) alone. Training
    and evaluation are the same.
    """
    groups = x.shape[channel_axis(x)] if isinstance(config, InstanceNorm) else 1
    if isinstance(config, GroupNorm):
        groups = config.groups
    if x.dim() == VECTOR:
        grouped, axis = x.view(x.shape[0], groups, -1, x.shape[2]), 2  # [.., groups, members, ..]
    else:
        grouped, axis = x.reshape(*x.shape[:2], groups, -1), 3  # [.., .., groups, members]
    if isinstance(config, RmsNorm):
        y = grouped / (grouped.square().mean(axis, keepdim=True) + config.eps).sqrt()
    else:
        correction = 1 if config.normalizing_variance == "unbiased" else 0
        var, mean = torch.var_mean(grouped, axis, correction=correction, keepdim=True)
        y = (grouped - mean) / (var + config.eps).sqrt()
    return _scaled(y.view(x.shape), affine)


def _scaled(x: torch.Tensor, affine: Affine) -> torch.Tensor:
    """X times weight plus bias, of channels [models, channels] or of all elements of an image."""
    weight, bias = affine
    of_channels_alone = weight is not None and weight.dim() == 2  # noqa: PLR2004

    def over(values: torch.Tensor) -> torch.Tensor:
        return spread(values, x) if of_channels_alone else values[:, None]

    if weight is not None:
        x = x * over(weight)
    return x if bias is None else x + over(bias)
