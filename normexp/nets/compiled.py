"""Passes of networks on a CPU, one network after the other, compiled.

`normexp.nets.passes` has the arithmetic, this file what it is told.
"""

from collections.abc import Mapping
from itertools import accumulate
from math import prod

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from normexp.config.network import Sgd
from normexp.config.norm import EmaTrain, GhostNorm, GroupNorm
from normexp.config.schema import built, number_of_parts
from normexp.nets import kernels
from normexp.nets.kernels import Array, Recipe
from normexp.nets.layout import VECTOR, Memory, Parameters, Statistics, batch_axis
from normexp.nets.models import ENTRANCE, FORWARD, structure
from normexp.nets.network import BySite, Network
from normexp.nets.passes import predict

NORMS = {
    "none": kernels.NO_NORM,
    "batch_renorm": kernels.RENORM,
    "layer": kernels.GROUP,
    "group": kernels.GROUP,
    "rms": kernels.RMS,
}
"""Kinds of norms; all others are as batch norm."""

Rows = tuple[int, ...]
"""The first of the rows that the network's numbers are in, and their shape: that of one example."""


class Stages:
    """The stages of a network, see `Operations`, in the order of the forward pass.

    In evaluation all layers use the same rows: one block for what they take and leave, one for what
    they give, one for what norms give. In training only what gradients need has its own.
    """

    def __init__(self, network: Network, *, training: bool) -> None:
        config, self._network, self._training = network.config, network, training
        starts = accumulate(map(prod, network.shapes.values()), initial=0)
        self._at = dict(zip(network.shapes, starts, strict=False))
        channels = accumulate(network.tracked.values(), initial=0)
        self._channel = dict(zip(network.tracked, channels, strict=False))
        model = built(config)
        self._activation = getattr(kernels, model.activation.upper())
        self._first = getattr(config.norm, "placement", "before") == "before"
        shape, layers = config.data.shape, structure(config).layers.values()
        self._inputs = prod(shape)
        widest = max(site.channels * site.positions for site in layers)
        self.widest = max(self._inputs, widest, config.data.outputs) + 1
        self.rows = self._inputs + 1 + (0 if training else 3 * self.widest)
        self.stages: list[list[int]] = []
        self._lists: list[Array] = []
        self._given = self._new(1, self.widest)
        FORWARD[type(model)](model, self, (0, *shape), config.data.outputs)

    def told(self) -> tuple[Recipe, Array, Array]:
        """Return what compiled functions are told."""
        return self.recipe(), np.array(self.stages), np.concatenate(self._lists)

    def recipe(self) -> Recipe:
        """Return what the stages share."""
        norm, optim = self._network.config.norm, self._network.config.optim
        kind = NORMS.get(norm.kind, kernels.BATCH)
        size = int(kind in {kernels.GROUP, kernels.RMS})
        if isinstance(norm, GroupNorm):
            size = norm.groups
        elif isinstance(norm, GhostNorm) and self._training:
            size = norm.size
        averaged = getattr(norm, "running_variance", "unbiased")
        divided = getattr(norm, "normalizing_variance", "biased")
        if isinstance(norm, EmaTrain) and self._training:
            divided = averaged
        return Recipe(
            norm=kind if self._training or size else min(kind, kernels.BATCH),
            unbiased=int(divided == "unbiased"),
            averaged_unbiased=int(averaged == "unbiased"),
            size=size,
            eps=float(getattr(norm, "eps", 0)),
            optimizer=getattr(kernels, optim.kind.upper()),
            beta1=float(optim.momentum if isinstance(optim, Sgd) else getattr(optim, "beta1", 0)),
            beta2=float(getattr(optim, "beta2", 0)),
            optimizer_eps=float(getattr(optim, "eps", 0)),
            nesterov=int(getattr(optim, "nesterov", False)),
            rows=self.rows,
            widest=self.widest,
        )

    def linear(self, name: str, x: Rows, units: int) -> Rows:
        return self.convolution(name, (*x, 1, 1), units, kernel=1)[:2]

    def convolution(
        self, name: str, x: Rows, channels: int, *, kernel: int, padding: int = 0
    ) -> Rows:
        first, into, *sides = x
        taken = into * prod(sides)  # what lies outside is the row behind these, which is 0
        around = ((0, 0), (padding, padding), (padding, padding))
        rows = np.pad(np.arange(taken).reshape(into, *sides), around, constant_values=taken)
        windows = sliding_window_view(rows, (kernel, kernel), (1, 2))  # [into, down, across, ..]
        pixels, y = prod(windows.shape[1:3]), self._given
        self._add(
            self._at[f"{name}.weight"], into * kernel**2, channels, first, y, y, y,
            pixels=pixels, taken=taken + 1,
        )  # fmt: skip
        units = np.arange(channels) * pixels + np.arange(pixels)[:, None]
        self._lists += [np.moveaxis(windows, 0, 2).reshape(-1), units.reshape(-1)]
        return (y, channels, *windows.shape[1:3])

    def entrance(self, x: Rows, *, norm: bool) -> Rows:
        return self._normalized(ENTRANCE, x) if norm and ENTRANCE in self._network.sites else x

    def unit(self, name: str, x: Rows, *, norm: bool = True) -> Rows:
        last = self.stages[-1]
        norm = norm and name in self._network.sites
        if norm and self._first:
            self._normalize(name)
        else:
            last[kernels.Y] = last[kernels.Z] = self._new(1, prod(x[1:]))
        last[kernels.H], last[kernels.KIND] = self._new(0, prod(x[1:])), self._activation
        h = last[kernels.H], *x[1:]
        return self._normalized(name, h) if norm and not self._first else h

    def max_pool(self, x: Rows, size: int) -> Rows:
        first, channels, *sides = x
        taken = channels * prod(sides)
        rows = np.arange(taken).reshape(channels, *sides)
        windows = sliding_window_view(rows, (size, size), (1, 2))[:, ::size, ::size]
        shape = windows.shape[:3]
        h, self.rows = self.rows, self.rows + prod(shape) + 1  # in evaluation too, as the last is 0
        self._add(-1, size**2, prod(shape), first, h, h, h, pixels=1, taken=taken)
        self.stages[-1][kernels.KIND] = kernels.POOL
        self._lists.append(windows.reshape(-1))
        return (h, *shape)

    def flatten(self, x: Rows) -> Rows:
        return x[0], prod(x[1:])

    def _new(self, block: int, units: int) -> int:
        """The first of new rows, or in evaluation of a block."""
        if not self._training:
            return self._inputs + 1 + block * self.widest
        self.rows += units
        return self.rows - units

    def _normalized(self, name: str, x: Rows) -> Rows:
        """A stage of a norm alone."""
        row, units, *sides = x
        h = self._new(0, prod(x[1:]))
        self._add(-1, units, units, row, row, row, h, pixels=prod(sides), taken=0)
        self._normalize(name)
        return self.stages[-1][kernels.H], *x[1:]

    def _normalize(self, name: str) -> None:
        """Let the last stage normalise."""
        last, scales = self.stages[-1], getattr(self._network.config.norm, "groups", 1)
        last[kernels.Z] = self._new(2, last[kernels.UNITS] * last[kernels.PIXELS])
        last[kernels.AFFINE] = self._at.get(f"{name}.norm.weight", -1)
        last[kernels.CHANNEL] = self._channel.get(name, 0)
        last[kernels.SCALES] = self.rows
        self.rows += scales
        parameters = prod(self._network.shapes.get(f"{name}.norm.weight", (1,)))
        last[kernels.SHARED] = last[kernels.UNITS] * last[kernels.PIXELS] // parameters

    def _add(self, *columns: int, pixels: int, taken: int) -> None:
        there = sum(map(len, self._lists))
        self.stages.append([*columns, -1, -1, 0, kernels.IDENTITY, pixels, 1, taken, there])


class CompiledPasses:
    """Passes without gradient of a stack, as those of `Network`.

    Args:
        network: of all.
    """

    def __init__(self, network: Network) -> None:
        self._network, self._stages = network, Stages(network, training=False)

    def in_training(
        self, parameters: Parameters, x: torch.Tensor, memory: Mapping[str, Memory]
    ) -> tuple[torch.Tensor, dict[str, Statistics]]:
        """See `Network`; of norms that do not look back."""
        assert not memory  # noqa: S101
        stages = Stages(self._network, training=True)
        return self._run(stages, stages.recipe(), parameters, x)

    def by_itself(
        self, parameters: Parameters, x: torch.Tensor, variance: str | None = None
    ) -> tuple[torch.Tensor, dict[str, Statistics]]:
        """See `Network`."""
        recipe = self._stages.recipe()
        if variance is not None:
            recipe = recipe._replace(unbiased=int(variance == "unbiased"))
        y, found = self._run(self._stages, recipe, parameters, x)
        return y, {site: Statistics(*(each[:, 0] for each in of)) for site, of in found.items()}

    def by_statistics(
        self, parameters: Parameters, statistics: BySite, x: torch.Tensor
    ) -> torch.Tensor:
        """See `Network`."""
        recipe = self._stages.recipe()
        return self._run(self._stages, recipe, parameters, x, statistics, torch.zeros(len(x)))[0]

    def mixed(
        self, parameters: Parameters, known: BySite, shares: torch.Tensor, x: torch.Tensor
    ) -> BySite:
        """See `Network`."""
        recipe = self._stages.recipe()
        _, found = self._run(self._stages, recipe, parameters, x, known, shares[:, 0])
        examples, sites = x.shape[batch_axis(x)], self._network.sites
        return {
            site: Statistics(
                known[site].mean * (1 - shares) + own.mean[:, 0] * shares,
                known[site].var * (1 - shares)
                + own.var[:, 0]
                * shares
                * (1 if recipe.unbiased else 1 - 1 / (examples * sites[site].positions)),
            )
            for site, own in found.items()
        }

    def _run(  # noqa: PLR0913, PLR0917
        self,
        stages: Stages,
        recipe: Recipe,
        parameters: Parameters,
        x: torch.Tensor,
        known: BySite | None = None,
        shares: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, dict[str, Statistics]]:
        """Predictions, and statistics [models, parts, channels] by site."""
        x = pixels_first(x)
        network, models, examples = self._network, len(x), x.shape[-1]
        parts = number_of_parts(network.config, examples) if recipe.size else 1
        names = [parameters[name].reshape(models, -1) for name in network.shapes]
        rows, (_, table, lists) = torch.cat(names, 1), stages.told()
        left = x.new_empty(2, models, parts, sum(network.tracked.values()))
        y = x.new_empty(models, network.config.data.outputs, examples)
        running = left[:, :, 0] if known is None else network.join(known, like=x)
        own = torch.ones(models) if shares is None else shares
        known_of_all = tuple(each.double().contiguous().numpy() for each in running)
        of_all = tuple(each.numpy() for each in left)
        predict(recipe, table, lists, rows.numpy(), x.numpy(), known_of_all,
                own.double().numpy(), y.numpy(), of_all)  # fmt: skip
        parted = (torch.split(each, list(network.tracked.values()), -1) for each in left)
        return y, dict(zip(network.tracked, map(Statistics, *parted), strict=True))


def pixels_first(x: torch.Tensor) -> torch.Tensor:
    """Return the x of a stack as [models, pixels, examples], without gaps."""
    return (x if x.dim() == VECTOR else x.flatten(2).transpose(1, 2)).contiguous()
