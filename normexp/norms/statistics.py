"""What norms over the batch leave and what they are given."""

from typing import NamedTuple

import torch


class Statistics(NamedTuple):
    """Mean and variance of every channel.

    A training pass leaves one set a part of the batch, all other passes take or leave one in all.
    """

    mean: torch.Tensor  # [models, channels] or [models, parts, channels]
    var: torch.Tensor  # the same shape, unbiased (divided by n - 1), as PyTorch's running_var


class Affine(NamedTuple):
    """What a norm has learned, if anything."""

    weight: torch.Tensor | None  # [models, *shape of the site's parameters]
    bias: torch.Tensor | None  # the same


class Memory(NamedTuple):
    """What a norm that looks back in training knows at a site before a step."""

    mean: torch.Tensor  # [models, channels], running
    var: torch.Tensor  # [models, channels], running
    momentum: torch.Tensor  # [models, 1], weight that the batch of this step gets
    step: int  # steps taken
