"""Adam on one flat vector, so that every network of a stack may have its own learning rate.

`torch.optim.Adam` takes one learning rate for a tensor; this takes a vector of them and is
otherwise the same rule, Kingma & Ba (2015), algorithm 1.
"""

import torch

from normexp.config.schema import Adam


class AdamState:
    """Moments of the gradient and the step count; all vectors [numbers]."""

    def __init__(self, config: Adam, lr: torch.Tensor) -> None:
        self._config = config
        self._lr = lr
        self._mean = torch.zeros_like(lr)
        self._square = torch.zeros_like(lr)
        self._steps = 0

    def update(self, parameters: torch.Tensor, gradient: torch.Tensor) -> None:
        """One step, in place."""
        beta1, beta2 = self._config.beta1, self._config.beta2
        self._steps += 1
        self._mean.lerp_(gradient, 1 - beta1)
        self._square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = self._square.sqrt().div_((1 - beta2**self._steps) ** 0.5).add_(self._config.eps)
        step = (self._mean / root).mul_(self._lr).div_(1 - beta1**self._steps)
        parameters.sub_(step)
