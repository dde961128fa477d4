"""Losses and gradients of a stack, written out where that is quicker, else by autograd."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch

from normexp.engine.losses import loss, loss_and_gradient
from normexp.engine.packed import Packing
from normexp.models.network import Network
from normexp.models.written import WrittenPass, is_written_out
from normexp.norms.statistics import Memory, Statistics


class Found(NamedTuple):
    """What one batch gives."""

    losses: torch.Tensor  # [models]
    statistics: dict[str, Statistics]  # by site, of the batch
    gradient: torch.Tensor  # [numbers], to be used before the next batch


class Gradients(Protocol):
    """A stack's gradients at the weights of the moment."""

    def __call__(self, x: torch.Tensor, y: torch.Tensor, memory: Mapping[str, Memory]) -> Found:
        """On a batch, given what the norms know."""


def gradients(network: Network, packing: Packing, flat: torch.Tensor) -> Gradients:
    """Those of the parameters in a flat vector, which is changed in place by others."""
    on_cpu = flat.device.type == "cpu"  # for whose kernels it is written
    kind = WrittenOut if on_cpu and is_written_out(network.config) else ByAutograd
    return kind(network, packing, flat)


class ByAutograd:
    """Of any network."""

    def __init__(self, network: Network, packing: Packing, flat: torch.Tensor) -> None:
        self._network, self._packing = network, packing
        self._flat = flat.detach().requires_grad_()  # the same memory

    def __call__(self, x: torch.Tensor, y: torch.Tensor, memory: Mapping[str, Memory]) -> Found:
        """See `Gradients`."""
        parameters = self._packing.views(self._flat)
        prediction, statistics = self._network.in_training(parameters, x, memory)
        losses = loss(prediction, y)
        # Each loss sends its gradient to its own network only. Asked with ones instead of the sum,
        # PyTorch imports SymPy, which takes half a second.
        (gradient,) = torch.autograd.grad(losses.sum(), self._flat)
        return Found(losses.detach(), statistics, gradient)


class WrittenOut:
    """Of networks that `is_written_out`."""

    def __init__(self, network: Network, packing: Packing, flat: torch.Tensor) -> None:
        self._network = network
        self._gradient = torch.zeros_like(flat)
        self._parameters, self._slopes = packing.views(flat), packing.views(self._gradient)
        self._passes: dict[torch.Size, WrittenPass] = {}

    def __call__(self, x: torch.Tensor, y: torch.Tensor, memory: Mapping[str, Memory]) -> Found:
        """See `Gradients`."""
        assert not memory  # noqa: S101
        if x.shape not in self._passes:
            config = self._network.config
            self._passes[x.shape] = WrittenPass(config, self._parameters, self._slopes, x)
        own = self._passes[x.shape]
        losses, by_prediction = loss_and_gradient(own.forward(x), y)
        own.backward(by_prediction)
        return Found(losses, own.statistics, self._gradient)
