"""Norms whose running statistics enter training: momentum changes the weights."""

import torch

from normexp.config.norm import BatchRenorm, EmaTrain
from normexp.norms.batch import scaled, unbiased
from normexp.norms.layout import of_channels, spread
from normexp.norms.statistics import Affine, Memory, Statistics


def renormalize(
    config: BatchRenorm, x: torch.Tensor, affine: Affine, memory: Memory
) -> tuple[torch.Tensor, Statistics]:
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
    return scaled(y, affine), Statistics(mean.detach(), unbiased(biased, x).detach())


def limits(config: BatchRenorm, step: int) -> tuple[float, float]:
    """r_max and d_max after so many steps: 1 and 0 in the warm-up, then growing evenly."""
    since = step - config.warmup_steps
    if since < 0:
        share = 0.0
    else:
        share = min(1.0, (since + 1) / config.ramp_steps) if config.ramp_steps else 1.0
    return 1 + share * (config.r_max - 1), share * config.d_max


def normalize_by_average(
    config: EmaTrain, x: torch.Tensor, affine: Affine, memory: Memory
) -> tuple[torch.Tensor, Statistics]:
    """X in units of the running statistics that this batch is already in.

    As `equinox.nn.BatchNorm(mode="ema")`, `equinox/nn/_batch_norm.py`: the gradient goes through
    the batch's part of the average.
    """
    mean, biased = of_channels(x)
    var = unbiased(biased, x)
    averaged = biased if config.running_variance == "biased" else var
    newest = memory.momentum.to(x)
    center = memory.mean.to(x) * (1 - newest) + mean * newest
    spread_of = memory.var.to(x) * (1 - newest) + averaged * newest
    y = (x - spread(center, x)) / spread((spread_of + config.eps).sqrt(), x)
    return scaled(y, affine), Statistics(mean.detach(), var.detach())
