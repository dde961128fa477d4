"""Networks of one structure in training, side by side in memory and blind to each other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch

from normexp.config.batches import batch_sizes, part_sizes, total_steps
from normexp.config.schema import RunConfig
from normexp.data.examples import Examples
from normexp.data.order import orders
from normexp.engine.estimators import RunningStatistics
from normexp.engine.gradients import gradients
from normexp.engine.packed import Packing
from normexp.engine.references import Point, channels, evaluate
from normexp.models.network import Network
from normexp.models.structure import padded
from normexp.norms.layout import batch_axis
from normexp.norms.norm import looks_back
from normexp.norms.statistics import Memory
from normexp.optim.optimizer import OptimizerState
from normexp.optim.schedule import scale
from normexp.record import Kept


class Step(NamedTuple):
    """What one step leaves."""

    train_loss: torch.Tensor  # [models], of the batch, before its update
    batch_mean: torch.Tensor  # [models, parts, channels]
    batch_var: torch.Tensor  # [models, parts, channels], unbiased


class TrainingStack:
    """One network a configuration; they may differ in stackable fields.

    Inside, the stack is padded with copies of the last network; what it gives out has them not.
    """

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        self.networks = len(configs)
        first = configs[0]
        configs = [*configs, *[configs[-1]] * (padded(first, len(configs)) - len(configs))]
        self._configs = configs
        self._device = torch.device(first.executor.device)
        self._examples = Examples(configs, device=self._device)
        self._network = Network(first)
        self._packing = Packing(self._network.shapes, len(configs))
        initial = self._packing.pack([self._network.initial(config) for config in configs])
        self._flat = initial.to(self._device)
        self._gradients = gradients(self._network, self._packing, self._flat)
        decays = [config.optim.weight_decay for config in configs]
        self._optimizer = OptimizerState(
            first.optim,
            self._spread([config.optim.lr for config in configs]),
            self._spread(decays) if any(decays) else None,
        )
        self._running = _running(self._network, configs)
        self.steps_taken = 0

    def epoch(self, epoch: int) -> Iterator[Step]:
        """One pass over the training set, each network in its own order."""
        for x, y in self.batches(epoch):
            yield self.step(x, y)

    def batches(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The steps' x and y, padding with, as `Examples` gives them."""
        sizes, everyone = batch_sizes(self._configs[0]), range(len(self._configs))
        order = orders(self._configs, epoch)
        yield from self._examples.batches(everyone, order, sizes, epoch * len(sizes))

    def step(self, x: torch.Tensor, y: torch.Tensor) -> Step:
        """One step of the optimizer on a batch."""
        config = self._configs[0]
        step, gradient = self._gradient(x, y)
        factor = scale(config.train.schedule, self.steps_taken, total_steps(config))
        self._optimizer.update(self._flat, gradient, factor)
        if self._running is not None:
            count = self._network.counts(x.shape[batch_axis(x)])
            mean, var = (each[:, 0].cpu() for each in (step.batch_mean, step.batch_var))
            self._running.update(mean, var, count[0])
        self.steps_taken += 1
        return Step(*self._unpadded(step))

    def gradient(self, x: torch.Tensor, y: torch.Tensor) -> tuple[Step, torch.Tensor]:
        """What a step on this batch would leave, and the gradient that it would take, flat."""
        step, gradient = self._gradient(x, y)
        return Step(*self._unpadded(step)), gradient.clone()

    def by_name(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """A flat vector such as a gradient as parameters, each [models, *shape], padding with."""
        return self._packing.views(flat)

    @property
    def sites(self) -> dict[str, int]:
        """The sites with running statistics and their channels."""
        return self._network.tracked

    def evaluate(self) -> Point:
        """What these weights predict when the statistics are right."""
        weights = self.by_name(self._flat)
        mean, var, references = evaluate(self._network, weights, self._examples, self.steps_taken)
        mean, var, *values = self._kept([mean, var, *references.values()])
        return Point(mean, var, dict(zip(references, values, strict=True)))

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of the weights by name, each [models, *shape]."""
        views = self.by_name(self._flat)
        return dict(zip(views, self._kept(views.values()), strict=True))

    def memory(self) -> dict[str, torch.Tensor]:
        """What the next step depends on beside weights and batch, each [models, ...]."""
        found = {
            f"{moment}/{name}": values
            for moment, flat in self._optimizer.moments.items()
            for name, values in self.by_name(flat).items()
        }
        if self._running is not None:
            found |= {"running/mean": self._running.mean, "running/var": self._running.var}
        return dict(zip(found, self._kept(found.values()), strict=True))

    def recall(self, kept: Kept) -> None:
        """Go on from an evaluation point of the same training."""
        last = {name: values[:, -1] for name, values in kept.record.weights.items()}
        self._flat.copy_(self._packed(last))
        for moment, flat in self._optimizer.moments.items():
            flat.copy_(self._packed({name: kept.memory[f"{moment}/{name}"] for name in last}))
        self.steps_taken = kept.record.train_loss.shape[1]
        self._optimizer.steps = self.steps_taken
        if self._running is not None:
            mean, var = (self._padded(kept.memory[f"running/{of}"]) for of in ("mean", "var"))
            self._running.recall(mean, var, self.steps_taken)

    def _packed(self, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Parameters without padding, each [models, *shape], as a flat vector with it."""
        filled = {name: self._padded(values) for name, values in parameters.items()}
        models = range(len(self._configs))
        return self._packing.pack([{n: v[m] for n, v in filled.items()} for m in models])

    def _padded(self, values: torch.Tensor) -> torch.Tensor:
        """With copies of the last model's."""
        last = len(values) - 1
        return values[[*range(len(values)), *[last] * (len(self._configs) - len(values))]]

    def _gradient(self, x: torch.Tensor, y: torch.Tensor) -> tuple[Step, torch.Tensor]:
        losses, statistics, gradient = self._gradients(x, y, self._memory())
        left = channels(self._network, statistics, len(losses), losses.dtype)
        parts = len(part_sizes(self._configs[0], x.shape[batch_axis(x)]))
        shape = (len(losses), parts, sum(self.sites.values()))
        return Step(losses, *(each.reshape(shape) for each in left)), gradient

    def _memory(self) -> Mapping[str, Memory]:
        """What the norms know before this step, by site, if they look back."""
        if self._running is None:
            return {}
        widths = list(self.sites.values())
        means = torch.split(self._running.mean, widths, 1)
        variances = torch.split(self._running.var, widths, 1)
        newest = self._running.newest()
        return {
            site: Memory(mean, var, newest, self.steps_taken)
            for site, mean, var in zip(self.sites, means, variances, strict=True)
        }

    def _spread(self, values: Sequence[float]) -> torch.Tensor:
        """One value a network, for each of its numbers."""
        each = torch.tensor(values, dtype=self._flat.dtype)
        return self._packing.spread(each).to(self._device)

    def _unpadded(self, parts: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """Copies without the padding, so that it is not kept in memory either."""
        return [part[: self.networks].clone() for part in parts]

    def _kept(self, parts: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """The same, out of the device's memory."""
        return [part.cpu() for part in self._unpadded(parts)]


def _running(network: Network, configs: Sequence[RunConfig]) -> RunningStatistics | None:
    """The running statistics of a stack whose norms look back in training."""
    if not looks_back(configs[0].norm):
        return None
    return RunningStatistics([c.norm for c in configs], sum(network.tracked.values()))
