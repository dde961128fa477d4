"""One norm at one site, whatever its kind: what it makes of x in each pass."""

import torch

from normexp.config.field import Role, specs
from normexp.config.norm import (
    BatchKind,
    BatchNorm,
    BatchRenorm,
    GhostNorm,
    Norm,
)
from normexp.norms.batch import normalize_batch
from normexp.norms.ghost import normalize_parts
from normexp.norms.lookback import normalize_by_average, renormalize
from normexp.norms.statistics import Affine, Memory, Statistics


def has_statistics(config: Norm) -> bool:
    """Whether the norm has running statistics."""
    return isinstance(config, BatchKind)


def looks_back(config: Norm) -> bool:
    """Whether the running statistics enter training."""
    kind: type = config.__class__
    momentum = specs(kind).get("momentum")
    return momentum is not None and momentum.rule.role is not Role.OBSERVED


def in_training(
    config: BatchKind, x: torch.Tensor, affine: Affine, sizes: list[int], memory: Memory | None
) -> tuple[torch.Tensor, Statistics]:
    """Training mode of a norm over the batch: x normalised, and what it leaves of each part.

    Args:
        config: of the norm.
        x: vectors or images of a stack.
        affine: of channels.
        sizes: examples of the parts that are normalised apart.
        memory: what is known before this step, for norms that look back.
    """
    if isinstance(config, GhostNorm):
        return normalize_parts(x, affine, config.eps, config.normalizing_variance, sizes)
    if isinstance(config, BatchNorm):
        y, whole = normalize_batch(x, affine, config.eps, config.normalizing_variance)
    else:
        assert memory is not None  # noqa: S101
        if isinstance(config, BatchRenorm):
            y, whole = renormalize(config, x, affine, memory)
        else:
            y, whole = normalize_by_average(config, x, affine, memory)
    return y, Statistics(whole.mean[:, None], whole.var[:, None])
