"""The operations of a model on the tensors of a stack."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch.nn import functional

from normexp.nets.layout import VECTOR
from normexp.nets.structure import ENTRANCE

Normalize = Callable[[str, torch.Tensor], torch.Tensor]
"""Normalises the x at a site."""

Listener = Callable[[str, str, torch.Tensor], None]
"""Gets a layer's name, `pre_activation` or `activation`, and the numbers."""


def nobody(layer: str, values: str, x: torch.Tensor) -> None:
    """Ignore the numbers."""


@dataclass(frozen=True)
class Tensors:
    """One pass of a stack; see `Operations`.

    Vectors are `[models, features, batch]`, images `[models, batch, channels, height, width]`.
    """

    parameters: Mapping[str, torch.Tensor]  # by name, each [models, *shape]
    normalize: Normalize
    activation: Callable[[torch.Tensor], torch.Tensor]
    norm_first: bool  # whether the norm stands before the activation
    listener: Listener = nobody

    def linear(self, name: str, x: torch.Tensor, units: int) -> torch.Tensor:
        y = self.parameters[f"{name}.weight"] @ x
        assert y.shape[1] == units  # noqa: S101
        return y.add_(self.parameters[f"{name}.bias"].unsqueeze(-1))  # in place: one array less

    def convolution(  # noqa: PLR0913
        self,
        name: str,
        x: torch.Tensor,
        channels: int,
        *,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
    ) -> torch.Tensor:
        """See `Operations`; the networks of a stack are groups of channels."""
        weight, bias = self.parameters[f"{name}.weight"], self.parameters[f"{name}.bias"]
        assert weight.shape[1::3] == (channels, kernel)  # noqa: S101
        y = functional.conv2d(
            x.transpose(0, 1).flatten(1, 2),
            weight.flatten(0, 1),
            bias.flatten(),
            stride,
            padding,
            groups=len(x),
        )
        return y.view(len(y), len(x), channels, *y.shape[2:]).transpose(0, 1)

    def entrance(self, x: torch.Tensor, *, norm: bool) -> torch.Tensor:
        self.listener(ENTRANCE, "pre_activation", x)
        if norm:
            x = self.normalize(ENTRANCE, x)
        self.listener(ENTRANCE, "activation", x)
        return x

    def unit(
        self,
        name: str,
        x: torch.Tensor,
        shortcut: torch.Tensor | None = None,
        *,
        norm: bool = True,
    ) -> torch.Tensor:
        self.listener(name, "pre_activation", x)
        if norm and self.norm_first:
            x = self.normalize(name, x)
        x = self.activation(x if shortcut is None else x + shortcut)
        self.listener(name, "activation", x)
        if norm and not self.norm_first:
            x = self.normalize(name, x)
        return x

    def max_pool(self, x: torch.Tensor, size: int) -> torch.Tensor:
        y = functional.max_pool2d(x.flatten(0, 1), size)
        return y.view(*x.shape[:2], *y.shape[1:])

    def average(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((3, 4)).transpose(1, 2)

    def flatten(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.dim() == VECTOR else x.flatten(2).transpose(1, 2)

    def shrink(self, x: torch.Tensor, channels: int, stride: int) -> torch.Tensor:
        x = x[..., ::stride, ::stride]
        return functional.pad(x, (0, 0, 0, 0, 0, channels - x.shape[2]))
