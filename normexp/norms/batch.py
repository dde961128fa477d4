"""Batch normalisation, with its batch statistics laid open.

Features first, `[*, features, batch]`: then the networks of a stack are just more features, and
one call of PyTorch's kernel serves them all.
"""

from typing import NamedTuple

import torch
from torch.nn import functional


class Statistics(NamedTuple):
    """Mean and variance of every feature."""

    mean: torch.Tensor  # [*, features]
    var: torch.Tensor  # [*, features], unbiased (divided by batch - 1), as PyTorch's running_var


def normalize_batch(
    x: torch.Tensor,  # [*, features, batch]
    weight: torch.Tensor,  # [*, features]
    bias: torch.Tensor,  # [*, features]
    eps: float,
) -> tuple[torch.Tensor, Statistics]:
    """Training mode: x in units of its own batch, and the statistics of that batch.

    y = (x − mean) / √(biased variance + eps) · weight + bias, as `torch.nn.BatchNorm1d`. With
    momentum 1 the kernel leaves the batch's mean and unbiased variance in the buffers: no second
    pass over x.
    """
    features = weight.numel()
    mean, var = x.new_zeros(features), x.new_ones(features)
    y = functional.batch_norm(
        x.reshape(1, features, -1),
        mean,
        var,
        weight.reshape(-1),
        bias.reshape(-1),
        training=True,
        momentum=1.0,
        eps=eps,
    )
    return y.view(x.shape), Statistics(mean.view(weight.shape), var.view(weight.shape))


def normalize_with(
    statistics: Statistics,
    x: torch.Tensor,  # [*, features, batch]
    weight: torch.Tensor,  # [*, features]
    bias: torch.Tensor,  # [*, features]
    eps: float,
) -> torch.Tensor:
    """Evaluation mode: x in units of the given statistics, as `torch.nn.BatchNorm1d.eval()`."""
    y = functional.batch_norm(
        x.reshape(1, weight.numel(), -1),
        statistics.mean.reshape(-1),
        statistics.var.reshape(-1),
        weight.reshape(-1),
        bias.reshape(-1),
        training=False,
        eps=eps,
    )
    return y.view(x.shape)
