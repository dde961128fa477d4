"""A model with its norm: the shapes of one network, its initial weights, its passes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch

from normexp.config.batches import part_sizes
from normexp.config.norm import BatchKind, NoNorm
from normexp.config.schema import RunConfig
from normexp.models.structure import ENTRANCE, FORWARD, Site, Structure, structure
from normexp.models.tensors import Listener, Tensors, nobody
from normexp.norms.batch import normalize_batch, normalize_with, unbiased
from normexp.norms.example import normalize_example
from normexp.norms.layout import batch_axis, of_channels
from normexp.norms.norm import has_statistics, in_training
from normexp.norms.shapes import affine_shapes
from normexp.norms.statistics import Affine, Memory, Statistics
from normexp.rng import stream

Parameters = Mapping[str, torch.Tensor]

NormalizeOverBatch = Callable[[BatchKind, str, torch.Tensor, Affine], torch.Tensor]
"""What a norm over the batch makes of the x at a site, in one pass."""


@dataclass(frozen=True)
class Network:
    """One network's structure; it holds no weights.

    Args:
        config: any configuration of this structure.
    """

    config: RunConfig

    @cached_property
    def sites(self) -> dict[str, Site]:
        """Where this network is normalised, in the order of the forward pass."""
        if isinstance(self.config.norm, NoNorm):
            return {}
        over_batch = has_statistics(self.config.norm)
        sites = self._structure.sites.items()
        return {name: site for name, site in sites if name != ENTRANCE or over_batch}

    @cached_property
    def tracked(self) -> dict[str, int]:
        """The sites with running statistics, and of how many channels."""
        found = self.sites if has_statistics(self.config.norm) else {}
        return {name: site.channels for name, site in found.items()}

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's shape by name, in the order in which they are drawn."""
        shapes = dict(self._structure.parameters)
        for name, site in self.sites.items():
            own = affine_shapes(self.config.norm, site.channels, site.pixels)
            shapes |= {f"{name}.norm.{key}": shape for key, shape in own.items()}
        return shapes

    def initial(self, config: RunConfig) -> dict[str, torch.Tensor]:
        """A run's initial weights, norms at identity.

        Only layers are drawn, weights and biases from streams of their own, so arms with other
        norms or biases start from the same weights.
        """
        streams = {key: stream(config.seed, key) for key in ("weights", "biases")}
        dtype = getattr(torch, config.train.dtype)
        return {
            name: self._initial(config, name, shape, streams).to(dtype)
            for name, shape in self.shapes.items()
        }

    def counts(self, batch: int) -> torch.Tensor:
        """Values behind the statistics of each part of a batch and channel, [parts, channels]."""
        return torch.tensor(part_sizes(self.config, batch))[:, None] * self._positions

    def in_training(
        self, parameters: Parameters, x: torch.Tensor, memory: Mapping[str, Memory]
    ) -> tuple[torch.Tensor, dict[str, Statistics]]:
        """Predictions in training mode, and what the batch leaves at every tracked site.

        Args:
            parameters: by name.
            x: of the batch.
            memory: by site, for norms whose running statistics enter training.
        """
        found: dict[str, Statistics] = {}
        sizes = part_sizes(self.config, x.shape[batch_axis(x)])

        def normalize(norm: BatchKind, site: str, x: torch.Tensor, affine: Affine) -> torch.Tensor:
            y, found[site] = in_training(norm, x, affine, sizes, memory.get(site))
            return y

        return self._forward(parameters, normalize, x), found

    def by_itself(
        self, parameters: Parameters, x: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, Statistics]]:
        """Predictions with every site in units of x as one batch, and its statistics by site."""
        found: dict[str, Statistics] = {}

        def normalize(norm: BatchKind, site: str, x: torch.Tensor, affine: Affine) -> torch.Tensor:
            variance = getattr(norm, "normalizing_variance", "biased")
            y, found[site] = normalize_batch(x, affine, norm.eps, variance)
            return y

        return self._forward(parameters, normalize, x), found

    def by_statistics(
        self,
        parameters: Parameters,
        statistics: Mapping[str, Statistics],
        x: torch.Tensor,
        listener: Listener = nobody,
    ) -> torch.Tensor:
        """Predictions in evaluation mode, normalised by the given statistics."""

        def normalize(norm: BatchKind, site: str, x: torch.Tensor, affine: Affine) -> torch.Tensor:
            return normalize_with(statistics[site], x, affine, norm.eps)

        return self._forward(parameters, normalize, x, listener)

    def mixture(
        self,
        parameters: Parameters,
        running: Mapping[str, Statistics],
        shares: torch.Tensor,
        x: torch.Tensor,
    ) -> dict[str, Statistics]:
        """The given statistics mixed with those of x as one batch, site by site in one pass.

        Args:
            parameters: by name.
            running: by site.
            shares: of x in the mixture, [models, 1].
            x: what evaluation sees.
        """
        found: dict[str, Statistics] = {}

        def normalize(norm: BatchKind, site: str, x: torch.Tensor, affine: Affine) -> torch.Tensor:
            mean, var = of_channels(x)
            if getattr(norm, "normalizing_variance", "biased") == "unbiased":
                var = unbiased(var, x)
            found[site] = Statistics(
                running[site].mean * (1 - shares) + mean * shares,
                running[site].var * (1 - shares) + var * shares,
            )
            return normalize_with(found[site], x, affine, norm.eps)

        self._forward(parameters, normalize, x)
        return found

    def mean_and_var_at(
        self,
        wanted: str,
        parameters: Parameters,
        statistics: Mapping[str, Statistics],
        x: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and biased variance of what comes to a site in evaluation mode.

        Args:
            wanted: the site.
            parameters: by name.
            statistics: of the sites before it.
            x: what evaluation sees.
        """
        found = []

        def normalize(norm: BatchKind, site: str, x: torch.Tensor, affine: Affine) -> torch.Tensor:
            if site == wanted:
                found.append(of_channels(x))
            known = statistics.get(site)
            return x if known is None else normalize_with(known, x, affine, norm.eps)

        self._forward(parameters, normalize, x)
        return found[0]

    @cached_property
    def _positions(self) -> torch.Tensor:
        """Values of every tracked channel in one example, [channels]."""
        positions = [[self.sites[name].positions] * n for name, n in self.tracked.items()]
        return torch.tensor([each for site in positions for each in site], dtype=torch.int64)

    @cached_property
    def _structure(self) -> Structure:
        return structure(self.config)

    def _forward(
        self,
        parameters: Parameters,
        over_batch: NormalizeOverBatch,
        x: torch.Tensor,
        listener: Listener = nobody,
    ) -> torch.Tensor:
        """Predictions [models, outputs, batch]."""
        norm, model = self.config.norm, self.config.model

        def normalize(site: str, x: torch.Tensor) -> torch.Tensor:
            if isinstance(norm, NoNorm) or site not in self.sites:
                return x
            affine = _affine(parameters, site)
            if isinstance(norm, BatchKind):
                return over_batch(norm, site, x, affine)
            return normalize_example(norm, x, affine)

        first = getattr(norm, "placement", "before") == "before"
        net = Tensors(parameters, normalize, model.activation, norm_first=first, listener=listener)
        prediction: torch.Tensor = FORWARD[type(model)](model, net, x, self.config.data.outputs)
        return prediction

    def _initial(
        self,
        config: RunConfig,
        name: str,
        shape: tuple[int, ...],
        streams: Mapping[str, torch.Generator],
    ) -> torch.Tensor:
        """One parameter of one network, in float64 whatever the dtype."""
        empty = torch.empty(shape, dtype=torch.float64)
        if ".norm." in name:
            return empty.fill_(1 if name.endswith(".weight") else 0)
        layer, _, key = name.rpartition(".")
        fan_in = prod(self.shapes[f"{layer}.weight"][1:])
        bound = fan_in**-0.5
        if key == "bias":
            if config.model.bias_init is not None:
                return empty.fill_(config.model.bias_init)
            return empty.uniform_(-bound, bound, generator=streams["biases"])
        if config.model.weight_init == "torch":
            return empty.uniform_(-bound, bound, generator=streams["weights"])
        he = config.model.weight_init == "he"
        std = (2 / fan_in) ** 0.5 if he else config.model.weight_std
        return std * empty.normal_(generator=streams["weights"])


def _affine(parameters: Parameters, site: str) -> Affine:
    return Affine(parameters.get(f"{site}.norm.weight"), parameters.get(f"{site}.norm.bias"))
