"""Optimizers on one flat vector, so that every network of a stack has its own learning rate.

`torch.optim` takes one learning rate for a tensor; these take a vector of them, and are otherwise
the same rules.
"""

import torch

from normexp.config.optim import Adam, AdamW, Optimizer, Sgd


class OptimizerState:
    """What an optimizer remembers; all vectors [numbers].

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
        self._first = torch.zeros_like(lr)  # first moment, or SGD's momentum
        self._second = torch.zeros_like(lr) if not isinstance(config, Sgd) else None
        self._scratch = torch.empty_like(lr)
        self.steps = 0

    @property
    def moments(self) -> dict[str, torch.Tensor]:
        """What it remembers, by name; `steps` is the rest."""
        found = {"first": self._first}
        return found if self._second is None else found | {"second": self._second}

    def update(self, parameters: torch.Tensor, gradient: torch.Tensor, scale: float = 1.0) -> None:
        """One step, in place.

        Args:
            parameters: to be changed.
            gradient: of the loss.
            scale: of the learning rate, as the schedule has it.
        """
        lr = self._lr if scale == 1 else self._lr * scale
        if isinstance(self._config, AdamW):
            if self._decay is not None:
                parameters.mul_(1 - lr * self._decay)
        elif self._decay is not None:
            gradient = gradient + self._decay * parameters
        self.steps += 1
        if isinstance(self._config, Sgd):
            parameters.sub_(self._direction(self._config, gradient).mul(lr))
        else:
            self._adam(self._config, parameters, gradient, lr)

    def _direction(self, config: Sgd, gradient: torch.Tensor) -> torch.Tensor:
        """SGD's step before the learning rate, with PyTorch's momentum: no dampening."""
        if not config.momentum:
            return gradient
        self._first.mul_(config.momentum).add_(gradient)
        return gradient + config.momentum * self._first if config.nesterov else self._first

    def _adam(
        self,
        config: Adam | AdamW,
        parameters: torch.Tensor,
        gradient: torch.Tensor,
        lr: torch.Tensor,
    ) -> None:
        """Kingma & Ba (2015), algorithm 1."""
        assert self._second is not None  # noqa: S101
        # The corrections of both moments are taken into the factor and eps: fewer passes.
        first = 1 - config.beta1**self.steps
        second = (1 - config.beta2**self.steps) ** 0.5
        self._first.lerp_(gradient, 1 - config.beta1)
        self._second.mul_(config.beta2).addcmul_(gradient, gradient, value=1 - config.beta2)
        ratio = torch.sqrt(self._second, out=self._scratch).add_(config.eps * second)
        torch.div(self._first, ratio, out=ratio)
        parameters.addcmul_(ratio, lr, value=-second / first)
