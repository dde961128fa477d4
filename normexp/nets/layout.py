"""Layouts of a stack's activations, and activations.

Vectors are features first, `[models, channels, batch]`: the networks of a stack are just more
features, and one call of PyTorch's kernel serves them all. Images are `[models, batch, channels,
height, width]`, so that a stack of one is what PyTorch's convolutions want, without a copy.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch.nn import functional

Parameters = Mapping[str, torch.Tensor]
"""Of a stack by name, each [models, *shape]."""

VECTOR = 3
"""Dimensions of a stack's vectors; images have five."""


class Statistics(NamedTuple):
    """Mean and variance of every channel.

    A training pass leaves one set for each part of the batch; other passes take or leave one set.
    """

    mean: torch.Tensor  # [models, channels] or [models, parts, channels]
    var: torch.Tensor  # the same shape, unbiased (divided by n - 1), as PyTorch's running_var


class Affine(NamedTuple):
    """Learned scale and shift of a norm, if it has them."""

    weight: torch.Tensor | None  # [models, *shape of the site's parameters]
    bias: torch.Tensor | None  # the same

    def flat(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Weight and bias as PyTorch's kernels want them, [models · channels]."""
        weight, bias = self
        return (
            None if weight is None else weight.reshape(-1),
            None if bias is None else bias.reshape(-1),
        )


class Memory(NamedTuple):
    """Running statistics at a site before a step, for norms that use them in training."""

    mean: torch.Tensor  # [models, channels]
    var: torch.Tensor  # [models, channels]
    momentum: torch.Tensor  # [models, 1], weight of this step's batch
    step: int  # steps taken


def batch_axis(x: torch.Tensor) -> int:
    """Return the axis of the examples."""
    return 2 if x.dim() == VECTOR else 1


def channel_axis(x: torch.Tensor) -> int:
    """Return the axis of the channels."""
    return 1 if x.dim() == VECTOR else 2


def to_kernel(x: torch.Tensor) -> torch.Tensor:
    """Return x as `torch.nn.functional` wants it, `[batch, models · channels, ...]`.

    The examples of vectors stand where pixels do, `[1, models · channels, batch]`: to statistics of
    a channel it is the same.
    """
    if x.dim() == VECTOR:
        return x.reshape(1, -1, x.shape[-1])
    return x.transpose(0, 1).flatten(1, 2)


def from_kernel(y: torch.Tensor, models: int) -> torch.Tensor:
    """Return a kernel's result, `[batch, models · channels, ...]`, in the layout of a stack."""
    if y.dim() == VECTOR:
        return y.view(models, -1, y.shape[-1])
    return y.view(len(y), models, -1, *y.shape[2:]).transpose(0, 1)


def spread(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return numbers of channels, [models, channels], in a shape that broadcasts over x."""
    if x.dim() == VECTOR:
        return values[:, :, None]
    return values[:, None, :, None, None]


def of_channels(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and biased variance of every channel, both [models, channels]."""
    axes = (2,) if x.dim() == VECTOR else (1, 3, 4)
    var, mean = torch.var_mean(x, axes, correction=0)
    return mean, var


def unbiased(biased: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the variance over n − 1 of the channels of x, given that over n."""
    count = x.numel() // (x.shape[0] * x.shape[channel_axis(x)])
    return biased * (count / (count - 1))


ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "gelu": functional.gelu,
    "silu": functional.silu,
}
