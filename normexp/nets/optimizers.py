"""Optimizers on one flat vector, so that every network of a stack has its own learning rate.

`torch.optim` takes one learning rate for a tensor; these take a vector of them, and are otherwise
the same rules. The flat vector makes for few and long operations.
"""

import math
from collections.abc import Mapping, Sequence

import torch

from normexp.config.network import Adam, AdamW, Optimizer, Sgd


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
