"""Passes of multi-layer perceptrons on a CPU, one network after the other, compiled.

`normexp.nets.passes` has the arithmetic, this file what it is told.
"""

from collections.abc import Mapping
from itertools import accumulate
from math import prod

import numpy as np
import torch

from normexp.config.network import Mlp, Sgd
from normexp.config.norm import EmaTrain, GhostNorm, GroupNorm
from normexp.config.schema import number_of_parts
from normexp.nets import kernels
from normexp.nets.kernels import Recipe
from normexp.nets.layout import Memory, Parameters, Statistics
from normexp.nets.models import ENTRANCE, FORWARD
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

Rows = tuple[int, int]
"""The first and the number of rows that the network's numbers are in."""


class Stages:
    """The stages of a network, see `Operations`, in the order of the forward pass.

    In evaluation all layers use the same rows: one block for what they take and leave, one for what
    they give, one for what norms give. In training only what gradients need has its own.
    """

    def __init__(self, network: Network, *, training: bool) -> None:
        config, self._network, self._training = network.config, network, training
        assert isinstance(config.model, Mlp)  # noqa: S101
        starts = accumulate(map(prod, network.shapes.values()), initial=0)
        self._at = dict(zip(network.shapes, starts, strict=False))
        channels = accumulate(network.tracked.values(), initial=0)
        self._channel = dict(zip(network.tracked, channels, strict=False))
        self._activation = getattr(kernels, config.model.activation.upper())
        self._first = getattr(config.norm, "placement", "before") == "before"
        features = prod(config.data.shape)
        self.widest = max(features, config.model.width, config.data.outputs)
        self.rows = 0 if training else 3 * self.widest
        self.stages: list[list[int]] = []
        x = self._new(0, features), features
        self._given = self._new(1, self.widest)
        FORWARD[Mlp](config.model, self, x, config.data.outputs)

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
        y = self._given
        self._add(self._at[f"{name}.weight"], x[1], units, x[0], y, y, y)
        return y, units

    def entrance(self, x: Rows, *, norm: bool) -> Rows:
        return self._normalized(ENTRANCE, x) if norm and ENTRANCE in self._network.sites else x

    def unit(self, name: str, x: Rows, *, norm: bool = True) -> Rows:
        (_, units), last = x, self.stages[-1]
        norm = norm and name in self._network.sites
        if norm and self._first:
            self._normalize(name)
        else:
            last[kernels.Y] = last[kernels.Z] = self._new(1, units)
        last[kernels.H], last[kernels.KIND] = self._new(0, units), self._activation
        h = last[kernels.H], units
        return self._normalized(name, h) if norm and not self._first else h

    def flatten(self, x: Rows) -> Rows:
        return x

    def _new(self, block: int, units: int) -> int:
        """The first of new rows, or in evaluation of a block."""
        if not self._training:
            return block * self.widest
        self.rows += units
        return self.rows - units

    def _normalized(self, name: str, x: Rows) -> Rows:
        """A stage of a norm alone."""
        row, units = x
        self._add(-1, units, units, row, row, row, self._new(0, units))
        self._normalize(name)
        return self.stages[-1][kernels.H], units

    def _normalize(self, name: str) -> None:
        """Let the last stage normalise."""
        last, scales = self.stages[-1], getattr(self._network.config.norm, "groups", 1)
        last[kernels.Z] = self._new(2, last[kernels.UNITS])
        last[kernels.AFFINE] = self._at.get(f"{name}.norm.weight", -1)
        last[kernels.CHANNEL] = self._channel.get(name, 0)
        last[kernels.SCALES] = self.rows
        self.rows += scales

    def _add(self, *columns: int) -> None:
        self.stages.append([*columns, -1, -1, 0, kernels.IDENTITY])


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
        count = 1.0 if recipe.unbiased else (x.shape[-1] - 1) / x.shape[-1]
        return {
            site: Statistics(
                known[site].mean * (1 - shares) + own.mean[:, 0] * shares,
                known[site].var * (1 - shares) + own.var[:, 0] * count * shares,
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
        network, models, examples = self._network, len(x), x.shape[-1]
        parts = number_of_parts(network.config, examples) if recipe.size else 1
        names = [parameters[name].reshape(models, -1) for name in network.shapes]
        rows, table = torch.cat(names, 1), np.array(stages.stages)
        left = x.new_empty(2, models, parts, sum(network.tracked.values()))
        y = x.new_empty(models, network.config.data.outputs, examples)
        running = left[:, :, 0] if known is None else network.join(known, like=x)
        mean, var = (each.double().numpy() for each in running)
        own = [1.0] * models if shares is None else shares.tolist()
        x = x.contiguous()
        for model in range(models):
            of_model = tuple(each[model].numpy() for each in left)
            known_of_model = mean[model], var[model]
            predict(recipe, table, rows[model].numpy(), x[model].numpy(), known_of_model,
                    own[model], y[model].numpy(), of_model)  # fmt: skip
        parted = (torch.split(each, list(network.tracked.values()), -1) for each in left)
        return y, dict(zip(network.tracked, map(Statistics, *parted), strict=True))
