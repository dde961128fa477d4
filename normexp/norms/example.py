"""Norms that take every example by itself: layer, instance, group, root mean square.

Neither the batch nor a momentum has a part in them; training and evaluation are the same.
"""

import torch

from normexp.config.norm import ExampleKind, GroupNorm, InstanceNorm, RmsNorm
from normexp.norms.batch import scaled
from normexp.norms.layout import VECTOR
from normexp.norms.statistics import Affine


def normalize_example(config: ExampleKind, x: torch.Tensor, affine: Affine) -> torch.Tensor:
    """X in units of groups of its own channels.

    y = (x − mean) / √(variance + eps) · weight + bias as `torch.nn.GroupNorm`: instance norm has a
    group a channel, layer norm one group; RMS norm divides by √(mean of x² + eps) alone.
    """
    grouped, axis = _grouped(x, _groups(config, x))
    if isinstance(config, RmsNorm):
        y = grouped / (grouped.square().mean(axis, keepdim=True) + config.eps).sqrt()
    else:
        correction = 1 if config.normalizing_variance == "unbiased" else 0
        var, mean = torch.var_mean(grouped, axis, correction=correction, keepdim=True)
        y = (grouped - mean) / (var + config.eps).sqrt()
    return _scaled_elements(y.view(x.shape), affine)


def _groups(config: ExampleKind, x: torch.Tensor) -> int:
    if isinstance(config, GroupNorm):
        return config.groups
    return _channels(x) if isinstance(config, InstanceNorm) else 1


def _grouped(x: torch.Tensor, groups: int) -> tuple[torch.Tensor, int]:
    """X with an axis that holds the members of a group, and where that axis is."""
    if x.dim() == VECTOR:  # [models, groups, members, batch]
        return x.view(x.shape[0], groups, -1, x.shape[2]), 2
    return x.reshape(*x.shape[:2], groups, -1), 3  # [models, batch, groups, members]


def _channels(x: torch.Tensor) -> int:
    return x.shape[1 if x.dim() == VECTOR else 2]


def _scaled_elements(x: torch.Tensor, affine: Affine) -> torch.Tensor:
    """X times weight plus bias, of channels, or of all elements of an image's example."""
    if affine.weight is None or affine.weight.dim() == 2:  # noqa: PLR2004  [models, channels]
        return scaled(x, affine)
    y = x * affine.weight[:, None]  # [models, 1, channels, height, width]
    return y if affine.bias is None else y + affine.bias[:, None]
