"""One network: its operations on the tensors of a stack, its initial weights, its passes."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from normexp.config.network import Own
from normexp.config.norm import BatchKind, NoNorm
from normexp.config.schema import RunConfig, built, part_sizes
from normexp.nets.layout import (
    ACTIVATIONS,
    VECTOR,
    Affine,
    Memory,
    Parameters,
    Statistics,
    batch_axis,
    from_kernel,
    of_channels,
    to_kernel,
    unbiased,
)
from normexp.nets.models import ENTRANCE, FORWARD, Site, norm_sites, parameter_shapes
from normexp.nets.norms import in_training, normalize_batch, normalize_example, normalize_with
from normexp.numerics import stream

if TYPE_CHECKING:
    from normexp.nets.module import Module

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
            to_kernel(x),
            weight.flatten(0, 1),
            bias.flatten(),
            stride,
            padding,
            groups=len(x),
        )
        return from_kernel(y, len(x))

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


BySite = Mapping[str, Statistics]

NormalizeOverBatch = Callable[[BatchKind, str, torch.Tensor, Affine], torch.Tensor]
"""Normalises the x at a site, in one pass."""


@dataclass(frozen=True)
class Network:
    """One network's structure; it holds no weights.

    Args:
        config: any configuration of this structure.
    """

    config: RunConfig

    @cached_property
    def sites(self) -> dict[str, Site]:
        """Sites that are normalised, in the order of the forward pass."""
        return norm_sites(self.config)

    @cached_property
    def tracked(self) -> dict[str, int]:
        """Channels of the sites with running statistics."""
        over_batch = isinstance(self.config.norm, BatchKind)
        return {name: site.channels for name, site in self.sites.items() if over_batch}

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's shape by name, in the order in which they are drawn."""
        return parameter_shapes(self.config)

    @cached_property
    def module(self) -> "Module | None":
        """The user's module, of its seed, if the model is one."""
        if not isinstance(self.config.model, Own):
            return None
        from normexp.nets.module import Module

        model, dtype = self.config.model, getattr(torch, self.config.train.dtype)
        return Module(model, self.config.seed, dtype)

    def drawing(self, step: int) -> AbstractContextManager[None]:
        """Let a user's module draw, as for dropout, from its seed and this step alone."""
        if self.module is None:
            return nullcontext()
        from normexp.nets.source import drawing

        return drawing(self.config.seed, step)

    def initial(self, config: RunConfig) -> dict[str, torch.Tensor]:
        """Return a run's initial weights, norms at identity; those of a user's module are its own.

        Only layers are drawn, weights and biases from streams of their own, so arms with other
        norms or biases start from the same weights. They are drawn in float64 whatever the dtype.
        """
        if self.module is not None:
            return self.module.weights(self.shapes)
        streams = {key: stream(config.seed, key) for key in ("weights", "biases")}
        dtype = getattr(torch, config.train.dtype)
        return {
            name: self._initial(config, name, shape, streams).to(dtype)
            for name, shape in self.shapes.items()
        }

    def counts(self, batch: int) -> torch.Tensor:
        """Values behind the statistics of each part of a batch and channel, [parts, channels]."""
        positions = [self.sites[name].positions for name in self.tracked]
        each = torch.tensor([positions, [*self.tracked.values()]], dtype=torch.int64)
        of_channels = torch.repeat_interleave(*each)
        return torch.tensor(part_sizes(self.config, batch))[:, None] * of_channels

    def split(self, statistics: Statistics) -> dict[str, Statistics]:
        """Return statistics of all channels, [models, channels], by site."""
        parts = (torch.split(each, list(self.tracked.values()), 1) for each in statistics)
        return dict(zip(self.tracked, map(Statistics, *parts), strict=True))

    def join(self, by_site: BySite, like: torch.Tensor) -> Statistics:
        """Return statistics by site side by side, [models, (parts,) channels].

        If no site is tracked, there are as many models as in `like`, and no channels.
        """
        found = [by_site[site] for site in self.tracked]
        if not found:
            return Statistics(*like.new_empty(2, len(like), 0))
        return Statistics(*(torch.cat(each, -1) for each in zip(*found, strict=True)))

    def in_training(
        self, parameters: Parameters, x: torch.Tensor, memory: Mapping[str, Memory]
    ) -> tuple[torch.Tensor, dict[str, Statistics]]:
        """Predictions in training mode, and statistics of the batch's parts by site.

        Norms whose running statistics enter training find them in `memory`, by site.
        """
        found: dict[str, Statistics] = {}
        sizes = part_sizes(self.config, x.shape[batch_axis(x)])

        def normalize(norm: BatchKind, site: str, x: torch.Tensor, affine: Affine) -> torch.Tensor:
            y, found[site] = in_training(norm, x, affine, sizes, memory.get(site))
            return y

        return self.forward(parameters, x, normalize, training=True), found

    def by_itself(
        self, parameters: Parameters, x: torch.Tensor, variance: str | None = None
    ) -> tuple[torch.Tensor, dict[str, Statistics]]:
        """Predictions with every site in units of x as one batch, and its statistics by site.

        The variance is the one that training mode divides by, unless it is named.
        """
        found: dict[str, Statistics] = {}

        def normalize(norm: BatchKind, site: str, x: torch.Tensor, affine: Affine) -> torch.Tensor:
            by = variance or str(getattr(norm, "normalizing_variance", "biased"))
            y, found[site] = normalize_batch(x, affine, norm.eps, by)
            return y

        return self.forward(parameters, x, normalize), found

    def mixed(
        self, parameters: Parameters, known: BySite, shares: torch.Tensor, x: torch.Tensor
    ) -> BySite:
        """Return known statistics mixed with those of x, of which such shares are, [models, 1].

        The variance of x is the one that training mode divides by.
        """
        found: dict[str, Statistics] = {}

        def mix(norm: BatchKind, site: str, x: torch.Tensor, affine: Affine) -> torch.Tensor:
            mean, var = of_channels(x)
            if getattr(norm, "normalizing_variance", "biased") == "unbiased":
                var = unbiased(var, x)
            pairs = zip(known[site], (mean, var), strict=True)
            found[site] = Statistics(*(old * (1 - shares) + new * shares for old, new in pairs))
            return normalize_with(found[site], x, affine, norm.eps)

        self.forward(parameters, x, mix)
        return found

    def by_statistics(
        self,
        parameters: Parameters,
        statistics: BySite,
        x: torch.Tensor,
        listener: Listener = nobody,
    ) -> torch.Tensor:
        """Predictions in evaluation mode, normalised by the given statistics."""

        def normalize(norm: BatchKind, site: str, x: torch.Tensor, affine: Affine) -> torch.Tensor:
            return normalize_with(statistics[site], x, affine, norm.eps)

        return self.forward(parameters, x, normalize, listener)

    def forward(
        self,
        parameters: Parameters,
        x: torch.Tensor,
        over_batch: NormalizeOverBatch,
        listener: Listener = nobody,
        *,
        training: bool = False,
    ) -> torch.Tensor:
        """Predictions [models, outputs, batch]; `over_batch` normalises at the tracked sites."""
        norm = self.config.norm

        def normalize(site: str, x: torch.Tensor) -> torch.Tensor:
            if isinstance(norm, NoNorm) or site not in self.sites:
                return x
            affine = Affine(*(parameters.get(f"{site}.norm.{of}") for of in ("weight", "bias")))
            if isinstance(norm, BatchKind):
                return over_batch(norm, site, x, affine)
            return normalize_example(norm, x, affine)

        if self.module is not None:
            return self.module(parameters, x, normalize, training=training)
        model = built(self.config)
        first = getattr(norm, "placement", "before") == "before"
        activation = ACTIVATIONS[model.activation]
        net = Tensors(parameters, normalize, activation, first, listener)
        prediction: torch.Tensor = FORWARD[type(model)](model, net, x, self.config.data.outputs)
        return prediction

    def _initial(
        self,
        config: RunConfig,
        name: str,
        shape: tuple[int, ...],
        streams: Mapping[str, torch.Generator],
    ) -> torch.Tensor:
        empty, model = torch.empty(shape, dtype=torch.float64), built(config)
        if ".norm." in name:
            return empty.fill_(1 if name.endswith(".weight") else 0)
        layer, _, key = name.rpartition(".")
        fan_in = prod(self.shapes[f"{layer}.weight"][1:])
        bound = fan_in**-0.5
        if key == "bias":
            if model.bias_init is not None:
                return empty.fill_(model.bias_init)
            return empty.uniform_(-bound, bound, generator=streams["biases"])
        if model.weight_init == "torch":
            return empty.uniform_(-bound, bound, generator=streams["weights"])
        std = (2 / fan_in) ** 0.5 if model.weight_init == "he" else model.weight_std
        return std * empty.normal_(generator=streams["weights"])
