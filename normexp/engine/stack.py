"""Networks of one structure in training, side by side in memory and blind to each other."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch

from normexp.config.rules import batch_sizes
from normexp.config.schema import RunConfig
from normexp.data.dataset import Dataset, draw
from normexp.engine.packed import Packing
from normexp.engine.references import Point, channels, evaluate, squared_error
from normexp.models.network import Network
from normexp.optim.adam import AdamState
from normexp.planning.plan import padded
from normexp.rng import stream


class Step(NamedTuple):
    """What one step leaves."""

    train_loss: torch.Tensor  # [models], of the batch, before its update
    batch_mean: torch.Tensor  # [models, channels]
    batch_var: torch.Tensor  # [models, channels], unbiased


class TrainingStack:
    """One network a configuration; they may differ in stackable fields.

    Inside, the stack is padded with copies of the last network; what it gives out has them not.
    """

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        self.networks = len(configs)
        configs = [*configs, *[configs[-1]] * (padded(len(configs)) - len(configs))]
        self._configs = configs
        self._data = Dataset(*map(torch.stack, zip(*map(draw, configs), strict=True)))
        features, outputs = self._data.x.shape[1], self._data.y.shape[1]
        self._network = Network(configs[0], features, outputs)
        self._packing = Packing(self._network.shapes, len(configs))
        self._flat = self._packing.pack([self._network.initial(config) for config in configs])
        self._flat.requires_grad_()
        lr = torch.tensor([config.optim.lr for config in configs], dtype=self._flat.dtype)
        self._optimizer = AdamState(configs[0].optim, self._packing.spread(lr))
        self._ones = torch.ones(len(configs), dtype=self._flat.dtype)

    def epoch(self, epoch: int) -> Iterator[Step]:
        """One pass over the training set, each network in its own order."""
        for x, y in self.batches(epoch):
            yield self.step(x, y)

    def batches(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The steps' x [models, features, batch] and y [models, outputs, batch], padding with."""
        size = self._data.x.shape[-1]
        orders = [
            torch.randperm(size, generator=stream(config.seed, "order", epoch))
            for config in self._configs
        ]
        order = torch.stack(orders)[:, None]  # [models, 1, examples]
        x = self._data.x.gather(2, order.expand(self._data.x.shape))
        y = self._data.y.gather(2, order.expand(self._data.y.shape))
        start = 0
        for batch in batch_sizes(self._configs[0]):
            yield x[..., start : start + batch], y[..., start : start + batch]
            start += batch

    def step(self, x: torch.Tensor, y: torch.Tensor) -> Step:
        """One step of the optimizer on a batch."""
        step, gradient = self.gradient(x, y)
        with torch.no_grad():
            self._optimizer.update(self._flat, gradient)
        return step

    def gradient(self, x: torch.Tensor, y: torch.Tensor) -> tuple[Step, torch.Tensor]:
        """What a step on this batch would leave, and the gradient that it would take, flat."""
        parameters = self.by_name(self._flat)
        prediction, statistics = self._network.forward_in_training(parameters, x)
        loss = squared_error(prediction, y)
        # Ones, not a sum: each loss sends its gradient to its own network only.
        (gradient,) = torch.autograd.grad(loss, self._flat, self._ones)
        step = Step(loss.detach(), *channels(self._network, statistics, loss))
        return Step(*self._unpadded(step)), gradient

    def by_name(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """A flat vector such as a gradient as parameters, each [models, *shape], padding with."""
        return self._packing.views(flat)

    @property
    def sites(self) -> dict[str, int]:
        """The norm sites and their features."""
        return self._network.sites

    def evaluate(self) -> Point:
        """What these weights predict when the statistics are right."""
        point = evaluate(self._network, self.by_name(self._flat.detach()), self._data)
        return Point(*self._unpadded(point))

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the weights by name, each [models, *shape]."""
        views = self.by_name(self._flat.detach())
        return dict(zip(views, self._unpadded(views.values()), strict=True))

    def _unpadded(self, parts: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """Copies without the padding, so that it is not kept in memory either."""
        return [part[: self.networks].clone() for part in parts]
