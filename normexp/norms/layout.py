"""The two layouts of activations, and per-channel numbers spread over them.

Vectors are features first, `[models, channels, batch]`: the networks of a stack are just more
features, and one call of PyTorch's kernel serves them all. Images are `[models, batch, channels,
height, width]`, so that a stack of one is what PyTorch's convolutions want, without a copy.
"""

import torch

VECTOR = 3
"""Dimensions of a stack's vectors; images have five."""


def batch_axis(x: torch.Tensor) -> int:
    """Where the examples of a stack's x are counted."""
    return 2 if x.dim() == VECTOR else 1


def to_kernel(x: torch.Tensor) -> torch.Tensor:
    """X as `torch.nn.functional` wants it, `[batch, models · channels, ...]`.

    The examples of vectors stand where pixels do, `[1, models · channels, batch]`: to statistics of
    a channel it is the same.
    """
    if x.dim() == VECTOR:
        return x.reshape(1, -1, x.shape[-1])
    return x.transpose(0, 1).flatten(1, 2)


def from_kernel(y: torch.Tensor, models: int) -> torch.Tensor:
    """What such a function gives, `[batch, models · channels, ...]`, in our layout."""
    if y.dim() == VECTOR:
        return y.view(models, -1, y.shape[-1])
    return y.view(len(y), models, -1, *y.shape[2:]).transpose(0, 1)


def spread(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Numbers of channels [models, channels], to be broadcast over x."""
    if x.dim() == VECTOR:
        return values[:, :, None]
    return values[:, None, :, None, None]


def of_channels(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance of every channel, both [models, channels], with gradients."""
    axes = (2,) if x.dim() == VECTOR else (1, 3, 4)
    var, mean = torch.var_mean(x, axes, correction=0)
    return mean, var


def values_of_a_channel(x: torch.Tensor) -> int:
    """How many numbers of x one channel of one model has."""
    return x.numel() // (x.shape[0] * x.shape[1 if x.dim() == VECTOR else 2])
