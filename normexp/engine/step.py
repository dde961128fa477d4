"""A step of a stack on one flat vector: losses, gradients, optimizers.

`torch.optim` takes one learning rate for a tensor; these optimizers take a vector of them, so that
every network has its own, and are otherwise the same rules. One vector makes for few and long
operations.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch.nn import functional

from normexp.config.network import Adam, AdamW, Optimizer, Sgd
from normexp.nets.layout import Memory, Statistics
from normexp.nets.network import Network
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


class Packing:
    """Positions of each network's parameters in the flat vector.

    One block a parameter, all networks in it, so that the view of a block is contiguous.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], models: int) -> None:
        self._shapes = dict(shapes)
        self._models = models
        self._lengths = [models * math.prod(shape) for shape in self._shapes.values()]

    def pack(self, networks: Sequence[Mapping[str, torch.Tensor]]) -> torch.Tensor:
        """Return the flat vector [numbers] of one parameter mapping a network."""
        blocks = [torch.stack([network[name] for network in networks]) for name in self._shapes]
        return torch.cat([block.reshape(-1) for block in blocks])

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """Return one value a network [models], repeated for each of its numbers [numbers]."""
        repeats = [length // self._models for length in self._lengths]
        return torch.cat([values.repeat_interleave(count) for count in repeats])

    def views(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the parameters by name, each [models, *shape], in the memory of the vector."""
        blocks = torch.split(flat, self._lengths)
        return {
            name: block.view(self._models, *shape)
            for (name, shape), block in zip(self._shapes.items(), blocks, strict=True)
        }


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


class OptimizerState:
    """An optimizer and its moments; all vectors [numbers].

    Args:
        config: which rule, and what it shares between networks.
        lr: learning rate of every number.
        weight_decay: of every number; None: there is none.
    """

    def __init__(
        self, config: Optimizer, lr: torch.Tensor, weight_decay: torch.Tensor | None
    ) -> None:
        self._config = config
        self._lr = lr
        self._decay = weight_decay
        self._scratch = torch.empty_like(lr)
        self.moments = {"first": torch.zeros_like(lr)}  # Adam's first, or SGD's momentum
        if not isinstance(config, Sgd):
            self.moments["second"] = torch.zeros_like(lr)
        self.steps = 0

    def update(self, parameters: torch.Tensor, gradient: torch.Tensor, scale: float = 1.0) -> None:
        """Change the parameters in place; the schedule's factor scales the learning rate."""
        lr = self._lr if scale == 1 else self._lr * scale
        if isinstance(self._config, AdamW):
            if self._decay is not None:
                parameters.mul_(1 - lr * self._decay)
        elif self._decay is not None:
            gradient = gradient + self._decay * parameters
        self.steps += 1
        if isinstance(self._config, Sgd):
            parameters.sub_(self._direction(self._config, gradient).mul(lr))
        elif isinstance(self._config, Adam | AdamW):
            self._adam(self._config, parameters, gradient, lr)

    def _direction(self, config: Sgd, gradient: torch.Tensor) -> torch.Tensor:
        """SGD's step before the learning rate, with PyTorch's momentum: no dampening."""
        if not config.momentum:
            return gradient
        first = self.moments["first"].mul_(config.momentum).add_(gradient)
        return gradient + config.momentum * first if config.nesterov else first

    def _adam(
        self,
        config: Adam | AdamW,
        parameters: torch.Tensor,
        gradient: torch.Tensor,
        lr: torch.Tensor,
    ) -> None:
        """Kingma & Ba (2015), algorithm 1."""
        # The corrections of both moments are taken into the factor and eps: fewer passes.
        first = 1 - config.beta1**self.steps
        second = (1 - config.beta2**self.steps) ** 0.5
        mean = self.moments["first"].lerp_(gradient, 1 - config.beta1)
        squares = self.moments["second"].mul_(config.beta2)
        squares.addcmul_(gradient, gradient, value=1 - config.beta2)
        ratio = torch.sqrt(squares, out=self._scratch).add_(config.eps * second)
        torch.div(mean, ratio, out=ratio)
        parameters.addcmul_(ratio, lr, value=-second / first)


def scale(schedule: str, step: int, steps: int) -> float:
    """Return the factor of the learning rate at the step-th of so many steps, counted from 0.

    Constant, or half a cosine from 1 to 0 as `torch.optim.lr_scheduler.CosineAnnealingLR` stepped
    after every batch (Loshchilov & Hutter 2017, equation 5, without restarts).
    """
    return (1 + math.cos(math.pi * step / steps)) / 2 if schedule == "cosine" else 1.0
