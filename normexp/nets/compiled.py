"""Passes of multi-layer perceptrons on a CPU, one network after the other, compiled.

`normexp.nets.passes` has the arithmetic, this file what it is told.
"""

from collections.abc import Callable, Mapping

import numpy as np
import torch

from normexp.config.network import Mlp, Sgd
from normexp.config.norm import BatchKind, EmaTrain, GhostNorm, GroupNorm
from normexp.config.schema import RunConfig, number_of_parts
from normexp.nets import kernels
from normexp.nets.compile import compiling
from normexp.nets.kernels import Pair, Recipe
from normexp.nets.layout import Memory, Parameters, Statistics
from normexp.nets.models import structure
from normexp.nets.network import BySite, Network
from normexp.nets.passes import predict, train

NORMS = {
    "none": kernels.NO_NORM,
    "batch_renorm": kernels.RENORM,
    "layer": kernels.GROUP,
    "group": kernels.GROUP,
    "rms": kernels.RMS,
}
"""Kinds of norms; all others are as batch norm."""


def recipe(config: RunConfig) -> Recipe:
    """Return what the compiled functions have to know of a network."""
    model, norm, optim = config.model, config.norm, config.optim
    assert isinstance(model, Mlp)  # noqa: S101
    kind = NORMS.get(norm.kind, kernels.BATCH)
    size = int(kind in {kernels.GROUP, kernels.RMS})
    if isinstance(norm, GhostNorm | GroupNorm):
        size = norm.size if isinstance(norm, GhostNorm) else norm.groups
    averaged = getattr(norm, "running_variance", "unbiased") == "unbiased"
    divided = getattr(norm, "normalizing_variance", "biased") == "unbiased"
    return Recipe(
        depth=model.depth,
        features=structure(config).parameters["hidden1.weight"][1],
        width=model.width,
        outputs=config.data.outputs,
        activation=getattr(kernels, model.activation.upper()),
        norm=kind,
        after=int(getattr(norm, "placement", "before") == "after"),
        affine=int(getattr(norm, "affine", False)),
        entrance=int(isinstance(norm, BatchKind) and bool(model.input_norm)),
        unbiased=int(averaged if isinstance(norm, EmaTrain) else divided),
        averaged_unbiased=int(averaged),
        size=size,
        eps=float(getattr(norm, "eps", 0)),
        optimizer=getattr(kernels, optim.kind.upper()),
        beta1=float(optim.momentum if isinstance(optim, Sgd) else getattr(optim, "beta1", 0)),
        beta2=float(getattr(optim, "beta2", 0)),
        optimizer_eps=float(getattr(optim, "eps", 0)),
        nesterov=int(getattr(optim, "nesterov", False)),
    )


def prepare(config: RunConfig, say: Callable[[], object]) -> None:
    """Compile what a network's training needs, unless this machine has it; `say` is called then."""
    with compiling(config.train.dtype) as missing:
        if missing:
            say()
            none, one = np.zeros(0), np.ones((1, 1), config.train.dtype)
            numbers, whole, pair = one[0], np.zeros(1, np.int64), (one, one)
            tiny = Recipe(1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0.0, 0, 0.5, 0.5, 0.0, 0)
            train(tiny, np.zeros(4, one.dtype), np.zeros(4, one.dtype), np.zeros(4, one.dtype),
                  (none, none), one, one, whole[:0], one[:0], whole, whole + 1,
                  np.ones((1, 6)), 0, numbers, pair)  # fmt: skip
            predict(tiny, np.zeros(4, one.dtype), one, (none, none), 0.0, one, pair)


class CompiledPasses:
    """Passes without gradient of a stack, as those of `Network`.

    Args:
        network: of all.
    """

    def __init__(self, network: Network) -> None:
        self._network, self._training = network, recipe(network.config)
        over_batch = isinstance(network.config.norm, BatchKind)
        divided = getattr(network.config.norm, "normalizing_variance", "biased")
        self._whole = self._training._replace(
            **({"norm": kernels.BATCH, "size": 0} if over_batch else {}),
            unbiased=int(divided == "unbiased"),
        )

    def in_training(
        self, parameters: Parameters, x: torch.Tensor, memory: Mapping[str, Memory]
    ) -> tuple[torch.Tensor, dict[str, Statistics]]:
        """See `Network`; of norms that do not look back."""
        assert not memory  # noqa: S101
        parts = number_of_parts(self._network.config, x.shape[-1])
        y, left = self._run(self._training, parameters, x, parts)
        return y, self._by_site(left)

    def by_itself(
        self, parameters: Parameters, x: torch.Tensor, variance: str | None = None
    ) -> tuple[torch.Tensor, dict[str, Statistics]]:
        """See `Network`."""
        whole = self._whole
        if variance is not None:
            whole = whole._replace(unbiased=int(variance == "unbiased"))
        y, left = self._run(whole, parameters, x)
        return y, self._by_site(Statistics(*(each[:, 0] for each in left)))

    def by_statistics(
        self, parameters: Parameters, statistics: BySite, x: torch.Tensor
    ) -> torch.Tensor:
        """See `Network`."""
        return self._run(self._whole, parameters, x, known=statistics)[0]

    def mixed(
        self, parameters: Parameters, known: BySite, shares: torch.Tensor, x: torch.Tensor
    ) -> BySite:
        """See `Network`."""
        _, left = self._run(self._whole, parameters, x, known=known, shares=shares[:, 0])
        count = 1.0 if self._whole.unbiased else (x.shape[-1] - 1) / x.shape[-1]
        own = Statistics(left.mean[:, 0], left.var[:, 0] * count)
        pairs = zip(self._network.join(known, like=x), own, strict=True)
        return self._by_site(Statistics(*(a * (1 - shares) + b * shares for a, b in pairs)))

    def _by_site(self, found: Statistics) -> dict[str, Statistics]:
        parts = (torch.split(each, list(self._network.tracked.values()), -1) for each in found)
        return dict(zip(self._network.tracked, map(Statistics, *parts), strict=True))

    def _run(  # noqa: PLR0913, PLR0917
        self,
        recipe: Recipe,
        parameters: Parameters,
        x: torch.Tensor,
        parts: int = 1,
        known: BySite | None = None,
        shares: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, Statistics]:
        """Predictions, and statistics [models, parts, channels]."""
        models = len(x)
        rows = torch.cat([each.reshape(models, -1) for each in parameters.values()], 1).numpy()
        channels = sum(self._network.tracked.values())
        y = x.new_empty(models, recipe.outputs, x.shape[-1])
        left = Statistics(*x.new_empty(2, models, parts, channels))
        pair: list[Pair] = [(np.empty(0), np.empty(0))] * models
        if known is not None:
            mean, var = (each.double().numpy() for each in self._network.join(known, like=x))
            pair = list(zip(mean, var, strict=True))
        weights = [1.0 if known is None else 0.0] * models if shares is None else shares.tolist()
        x = x.contiguous()
        for model in range(models):
            of_model: Pair = tuple(each[model].numpy() for each in left)  # type: ignore[assignment]
            predict(recipe, rows[model], x[model].numpy(), pair[model], weights[model],
                    y[model].numpy(), of_model)  # fmt: skip
        return y, left
