"""A model with its norm: the shapes of one network, its initial weights, its two forward passes."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from normexp.config.schema import BatchNorm, RunConfig
from normexp.models.mlp import forward, linear_shapes, norm_sites
from normexp.norms.batch import Statistics, normalize_batch, normalize_with
from normexp.rng import stream

Parameters = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Network:
    """One network's structure; it holds no weights.

    Args:
        config: any configuration of this structure.
        inputs: features of x.
        outputs: features of y.
    """

    config: RunConfig
    inputs: int
    outputs: int

    @cached_property
    def sites(self) -> dict[str, int]:
        """Where this network has running statistics, and of how many features."""
        if isinstance(self.config.norm, BatchNorm):
            return norm_sites(self.config.model, self.inputs)
        return {}

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter's shape by name, in the order in which they are drawn."""
        shapes: dict[str, tuple[int, ...]] = {}
        linear = linear_shapes(self.config.model, self.inputs, self.outputs)
        for layer, (out, into) in linear.items():
            shapes |= {f"{layer}.weight": (out, into), f"{layer}.bias": (out,)}
        for site, features in self.sites.items():
            shapes |= {f"{site}.norm.weight": (features,), f"{site}.norm.bias": (features,)}
        return shapes

    def initial(self, config: RunConfig) -> dict[str, torch.Tensor]:
        """A run's initial weights: N(0, weight_std), constant biases, norms at identity.

        Only the linear weights are drawn, so arms with other norms start from the same ones.
        """
        rng = stream(config.seed, "weights")
        parameters = {}
        for name, shape in self.shapes.items():
            if name.endswith(".norm.weight"):
                value = torch.ones(shape, dtype=torch.float64)
            elif name.endswith(".norm.bias"):
                value = torch.zeros(shape, dtype=torch.float64)
            elif name.endswith(".bias"):
                value = torch.full(shape, config.model.bias_init, dtype=torch.float64)
            else:
                normal = torch.empty(shape, dtype=torch.float64).normal_(generator=rng)
                value = config.model.weight_std * normal
            parameters[name] = value.to(getattr(torch, config.train.dtype))
        return parameters

    def forward_in_training(
        self, parameters: Parameters, x: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, Statistics]]:
        """Predictions normalised by the batch's own statistics, and these statistics by site."""
        found: dict[str, Statistics] = {}

        def normalize(site: str, x: torch.Tensor) -> torch.Tensor:
            if site not in self.sites:
                return x
            y, found[site] = normalize_batch(x, *self._affine(parameters, site), self._eps)
            return y

        return forward(self.config.model, parameters, x, normalize), found

    def forward_in_evaluation(
        self, parameters: Parameters, statistics: Mapping[str, Statistics], x: torch.Tensor
    ) -> torch.Tensor:
        """Predictions normalised by the given statistics."""

        def normalize(site: str, x: torch.Tensor) -> torch.Tensor:
            if site not in self.sites:
                return x
            affine = self._affine(parameters, site)
            return normalize_with(statistics[site], x, *affine, self._eps)

        return forward(self.config.model, parameters, x, normalize)

    @cached_property
    def _eps(self) -> float:
        return getattr(self.config.norm, "eps", 0.0)

    @staticmethod
    def _affine(parameters: Parameters, site: str) -> tuple[torch.Tensor, torch.Tensor]:
        return parameters[f"{site}.norm.weight"], parameters[f"{site}.norm.bias"]
