"""Batch normalisation, with its batch statistics laid open."""

import torch
from torch.nn import functional

from normexp.norms.layout import (
    VECTOR,
    from_kernel,
    of_channels,
    spread,
    to_kernel,
    values_of_a_channel,
)
from normexp.norms.statistics import Affine, Statistics
from normexp.norms.vectors import flat, normalize_vectors


def normalize_batch(
    x: torch.Tensor, affine: Affine, eps: float, variance: str = "biased"
) -> tuple[torch.Tensor, Statistics]:
    """Training mode: x in units of its own batch, and the statistics of that batch.

    y = (x − mean) / √(variance + eps) · weight + bias; with the biased variance as
    `torch.nn.BatchNorm1d` and `2d`. Of images, with momentum 1 PyTorch's kernel leaves the batch's
    mean and unbiased variance in the buffers: no second pass over x.
    """
    if variance == "unbiased":
        return _by_unbiased_variance(x, affine, eps)
    if x.dim() == VECTOR and x.device.type == "cpu":
        y, (mean, var) = normalize_vectors(x, affine, eps)
        return y, Statistics(mean, unbiased(var, x))
    models, kernel = x.shape[0], to_kernel(x)
    channels = kernel.shape[1]
    mean, var = x.new_zeros(channels), x.new_ones(channels)
    y = functional.batch_norm(
        kernel, mean, var, *flat(affine), training=True, momentum=1.0, eps=eps
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
        *flat(affine),
        training=False,
        eps=eps,
    )
    return from_kernel(y, x.shape[0])


def scaled(x: torch.Tensor, affine: Affine) -> torch.Tensor:
    """X times weight plus bias, both of channels [models, channels]."""
    if affine.weight is not None:
        x = x * spread(affine.weight, x)
    return x if affine.bias is None else x + spread(affine.bias, x)


def unbiased(biased: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The variance over n − 1 of what is the variance over n, of the channels of x."""
    count = values_of_a_channel(x)
    return biased * (count / (count - 1))


def _by_unbiased_variance(
    x: torch.Tensor, affine: Affine, eps: float
) -> tuple[torch.Tensor, Statistics]:
    """As S4 writes it by hand, with `x.var()`: √((n − 1) / n) of the usual output."""
    mean, biased = of_channels(x)
    var = unbiased(biased, x)
    y = (x - spread(mean, x)) / spread((var + eps).sqrt(), x)
    return scaled(y, affine), Statistics(mean.detach(), var.detach())
