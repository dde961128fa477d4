"""A training pass of vectors with its gradient written out.

A narrow layer has so few numbers that autograd's own work and fresh memory cost more than the
arithmetic. Here the calls of a pass and their arrays are put together once and run at every step.
`tests/test_written.py` compares both ways.
"""

from collections.abc import Callable
from functools import partial

import torch

from normexp.config.network import Mlp
from normexp.config.norm import BatchNorm, NoNorm
from normexp.config.schema import RunConfig, built
from normexp.nets.layout import (
    ACTIVATIONS,
    Affine,
    Parameters,
    Statistics,
    calls_to_normalize,
    gradient_of_vectors,
)
from normexp.nets.models import ENTRANCE, FORWARD, structure

Back = Callable[[torch.Tensor], torch.Tensor]
"""Maps the gradient by an operation's output, which it may overwrite, to that by its input."""


def is_written_out(config: RunConfig) -> bool:
    """Return whether this pass knows the model and its norm; autograd knows them all."""
    norm = config.norm
    plain = isinstance(norm, BatchNorm) and norm.normalizing_variance == "biased"
    return isinstance(config.model, Mlp) and (plain or isinstance(norm, NoNorm))


class WrittenPass:
    """Passes of a stack over batches of one size, see `Operations`, and their gradients.

    Args:
        config: of any of the networks.
        parameters: by name, each `[models, *shape]`; they are changed in place by others.
        slopes: where their gradients go, the same shapes.
        x: a batch, `[models, features, batch]`; only its shape counts.
    """

    def __init__(
        self, config: RunConfig, parameters: Parameters, slopes: Parameters, x: torch.Tensor
    ) -> None:
        self._norm = config.norm if isinstance(config.norm, BatchNorm) else None
        self._activation = ACTIVATIONS[built(config).activation]
        self._parameters, self._slopes = parameters, slopes
        self._blocks: dict[str, slice] = {}  # of the sites in the moments
        channels = sum(site.channels for site in structure(config).sites.values())
        self._moments = x.new_zeros(3, len(x) * channels)  # mean, biased variance, 1 / √(it + eps)
        self._calls: list[Callable[[], object]] = []
        self._back: list[Back] = []
        self._x = torch.empty_like(x)
        model = built(config)
        forward = FORWARD[type(model)]
        self._prediction: torch.Tensor = forward(model, self, self._x, config.data.outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predictions [models, outputs, batch], valid until the next pass."""
        self._x.copy_(x)
        for call in self._calls:
            call()
        return self._prediction

    def backward(self, by_prediction: torch.Tensor) -> None:
        """From the gradient by the last pass's predictions, which it overwrites, by parameters."""
        _, var, scale = self._moments
        if self._norm is not None:
            torch.add(var, self._norm.eps, out=scale).sqrt_().reciprocal_()
        by_this = by_prediction
        for back in reversed(self._back):
            by_this = back(by_this)

    @property
    def statistics(self) -> dict[str, Statistics]:
        """Of the last pass's batch, by site."""
        if self._norm is None:
            return {}
        count = self._x.shape[-1]
        mean, var, _ = self._moments
        mean, var = mean.clone(), var * (count / (count - 1))
        shape = (len(self._x), 1, -1)
        return {
            site: Statistics(mean[block].view(shape), var[block].view(shape))
            for site, block in self._blocks.items()
        }

    def linear(self, name: str, x: torch.Tensor, units: int) -> torch.Tensor:
        weight, bias = self._parameters[f"{name}.weight"], self._parameters[f"{name}.bias"]
        y = x.new_empty(len(x), units, x.shape[-1])
        self._calls += [partial(torch.bmm, weight, x, out=y), partial(y.add_, bias.unsqueeze(-1))]
        by_weight, by_bias = self._slopes[f"{name}.weight"], self._slopes[f"{name}.bias"]
        turned, weight_turned = x.transpose(1, 2), weight.transpose(1, 2)
        by_x = torch.empty_like(x) if self._back else None  # nobody asks for it by the input

        def back(by_y: torch.Tensor) -> torch.Tensor:
            torch.bmm(by_y, turned, out=by_weight)
            torch.sum(by_y, -1, out=by_bias)
            return by_y if by_x is None else torch.bmm(weight_turned, by_y, out=by_x)

        self._back.append(back)
        return y

    def entrance(self, x: torch.Tensor, *, norm: bool) -> torch.Tensor:
        return self._normalized(ENTRANCE, x) if norm else x

    def unit(self, name: str, x: torch.Tensor, *, norm: bool = True) -> torch.Tensor:
        first = self._norm is None or self._norm.placement == "before"
        if norm and first:
            x = self._normalized(name, x)
        x = self._activated(x)
        return x if first or not norm else self._normalized(name, x)

    def flatten(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def _activated(self, x: torch.Tensor) -> torch.Tensor:
        _, into, inward, needs_x = self._activation
        y = torch.empty_like(x) if needs_x else x
        self._calls.append(partial(into, x, y))

        def back(by_y: torch.Tensor) -> torch.Tensor:
            inward(by_y, x)
            return by_y

        self._back.append(back)
        return y

    def _normalized(self, name: str, x: torch.Tensor) -> torch.Tensor:
        if self._norm is None:
            return x
        keys = (f"{name}.norm.weight", f"{name}.norm.bias")
        affine = Affine(*(self._parameters.get(key) for key in keys))
        slopes = [self._slopes[key].view(-1) for key in keys if key in self._slopes]
        start = max((block.stop for block in self._blocks.values()), default=0)
        self._blocks[name] = slice(start, start + x.shape[:2].numel())
        mean, var, scale = self._moments[:, self._blocks[name]].view(3, *x.shape[:2])
        centred, y = torch.empty_like(x), torch.empty_like(x)
        moments = Statistics(mean, var)
        self._calls += calls_to_normalize(x, affine, self._norm.eps, moments, centred, y)
        gradient = gradient_of_vectors(centred, scale, affine)

        def back(by_y: torch.Tensor) -> torch.Tensor:
            by_x, *by_affine = gradient(by_y)
            for slope, each in zip(slopes, by_affine, strict=True):
                slope.copy_(each)
            return by_x

        self._back.append(back)
        return y
