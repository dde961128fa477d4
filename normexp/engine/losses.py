"""Losses, accuracies and gradients of a stack, one a network."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch.nn import functional

from normexp.nets.layout import Memory, Statistics
from normexp.nets.network import Network
from normexp.nets.optimizers import Packing
from normexp.nets.written import WrittenPass, is_written_out


def is_labels(y: torch.Tensor) -> bool:
    """Return whether y is classes."""
    return not y.is_floating_point()


def loss(prediction: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Losses [models]: cross entropy of labels, mean squared error of targets.

    Args:
        prediction: [models, outputs, batch].
        y: labels [models, batch], whole numbers; or targets [models, outputs, batch].
    """
    if is_labels(y):
        return functional.cross_entropy(prediction, y, reduction="none").mean(-1)
    return (prediction - y).square().mean((-2, -1))


def loss_and_gradient(
    prediction: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`loss` and its gradient by the prediction, written out: autograd is slow on so little.

    That of cross entropy is (softmax − one at the label) / examples, that of the mean squared error
    2 (prediction − target) / (outputs · examples).
    """
    if is_labels(y):
        logarithms, own = functional.log_softmax(prediction, 1), y[:, None]
        losses = -logarithms.gather(1, own)[:, 0].mean(-1)
        gradient = logarithms.exp_().scatter_add_(
            1, own, prediction.new_full((), -1).expand_as(own)
        )
        return losses, gradient.div_(y.shape[-1])
    gradient = prediction - y
    losses = gradient.square().mean((-2, -1))
    return losses, gradient.mul_(2 / y[0].numel())


def scores(prediction: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    """Losses [models], and accuracies where y is labels.

    A prediction that is not finite counts as wrong.
    """
    found = {"loss": loss(prediction, y)}
    if is_labels(y):
        right = (prediction.argmax(1) == y) & prediction.isfinite().all(1)
        found["accuracy"] = right.to(prediction.dtype).mean(-1)
    return found


class Found(NamedTuple):
    """Results of one batch."""

    losses: torch.Tensor  # [models]
    statistics: dict[str, Statistics]  # by site, of the batch
    gradient: torch.Tensor  # [numbers], to be used before the next batch


Gradients = Callable[[torch.Tensor, torch.Tensor, Mapping[str, Memory]], Found]
"""A stack's gradients at the present weights: of x and y, given the norms' running statistics."""


def gradients(network: Network, packing: Packing, flat: torch.Tensor) -> Gradients:
    """Return the gradients of the parameters in a flat vector, which others change in place."""
    on_cpu = flat.device.type == "cpu"  # for whose kernels it is written
    written = on_cpu and is_written_out(network.config)
    return (written_out if written else by_autograd)(network, packing, flat)


def by_autograd(network: Network, packing: Packing, flat: torch.Tensor) -> Gradients:
    """Return the gradients of any network."""
    own = flat.detach().requires_grad_()  # the same memory

    def of_batch(x: torch.Tensor, y: torch.Tensor, memory: Mapping[str, Memory]) -> Found:
        prediction, statistics = network.in_training(packing.views(own), x, memory)
        losses = loss(prediction, y)
        # Each loss sends its gradient to its own network only. Asked with ones instead of the sum,
        # PyTorch imports SymPy, which takes half a second.
        (gradient,) = torch.autograd.grad(losses.sum(), own)
        return Found(losses.detach(), statistics, gradient)

    return of_batch


def written_out(network: Network, packing: Packing, flat: torch.Tensor) -> Gradients:
    """Return the gradients of networks that `is_written_out`."""
    gradient = torch.zeros_like(flat)
    parameters, slopes = packing.views(flat), packing.views(gradient)
    passes: dict[torch.Size, WrittenPass] = {}

    def of_batch(x: torch.Tensor, y: torch.Tensor, memory: Mapping[str, Memory]) -> Found:
        assert not memory  # noqa: S101
        if x.shape not in passes:
            passes[x.shape] = WrittenPass(network.config, parameters, slopes, x)
        own = passes[x.shape]
        losses, by_prediction = loss_and_gradient(own.forward(x), y)
        own.backward(by_prediction)
        return Found(losses, own.statistics, gradient)

    return of_batch
