"""Training: it leaves batch statistics and weights, which no momentum changes.

Only norms that look back (`batch_renorm`, `ema_train`) use running statistics while they train.

Networks of one structure train side by side in memory, and none sees another.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch

from normexp.config.schema import RunConfig, batch_sizes, part_sizes, total_steps
from normexp.data.draw import Examples, orders
from normexp.engine.estimators import RunningStatistics
from normexp.engine.predict import Point, evaluate
from normexp.engine.step import OptimizerState, Packing, gradients, scale
from normexp.nets.layout import Memory, Statistics, batch_axis
from normexp.nets.models import padded, structure
from normexp.nets.network import Network
from normexp.nets.norms import looks_back
from normexp.numerics import keep_freed_memory
from normexp.trained import Kept, Record, follow

Report = Callable[[int], None]
"""Called after each step with how many networks took it."""

Keep = Callable[[int, Callable[[], Kept]], None]
"""Called at every evaluation point but the last with the epochs done, and how to keep them."""


def _ignore(*_: object) -> None:
    """Neither report nor keep anything."""


def train(
    configs: Sequence[RunConfig],
    report: Report = _ignore,
    keep: Keep = _ignore,
    start: Kept | None = None,
) -> Record:
    """Train one network a configuration and keep what observation needs.

    Args:
        configs: of one structure; they may differ in stackable fields.
        report: called after every step.
        keep: called at evaluation points, since a training can go on from there.
        start: what was kept of the same training, which goes on from there.

    Returns:
        The record of the trajectories, in the order of `configs`.
    """
    keep_freed_memory()
    stack = TrainingStack(configs)
    if start is None:
        parts = [_part([], stack)]
    else:
        stack.recall(start)
        parts = [start.record]
    epochs = configs[0].train.epochs
    for epoch in range(parts[0].epochs, epochs):
        steps: list[Step] = []
        for step in stack.epoch(epoch):
            steps.append(step)
            report(stack.networks)
        parts.append(_part(steps, stack))
        if epoch + 1 < epochs:
            keep(epoch + 1, lambda: Kept(follow(parts), stack.memory()))
    return follow(parts)


class Step(NamedTuple):
    """Results of one step."""

    train_loss: torch.Tensor  # [models], of the batch, before its update
    batch_mean: torch.Tensor  # [models, parts, channels]
    batch_var: torch.Tensor  # [models, parts, channels], unbiased


def _part(steps: Sequence[Step], stack: "TrainingStack") -> Record:
    """The record of these steps and of the evaluation point after them."""
    point, weights = stack.evaluate(), stack.weights()
    nothing = point.population_mean.new_empty(stack.networks, 0)
    channels = nothing.new_empty(stack.networks, 0, sum(stack.sites.values()))
    return Record(
        sites=stack.sites,
        train_loss=torch.stack([s.train_loss for s in steps], 1).cpu() if steps else nothing,
        batch_mean=torch.cat([channels, *(step.batch_mean.cpu() for step in steps)], 1),
        batch_var=torch.cat([channels, *(step.batch_var.cpu() for step in steps)], 1),
        population_mean=point.population_mean[:, None],
        population_var=point.population_var[:, None],
        references={name: values[:, None] for name, values in point.references.items()},
        weights={name: values[:, None] for name, values in weights.items()},
    )


class TrainingStack:
    """One network a configuration; they may differ in stackable fields.

    Inside, the stack is padded with copies of the last network; its results are without them.
    """

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        self.networks = len(configs)
        first = configs[0]
        filler = padded(first, len(configs)) - len(configs)
        self._configs = [*configs, *[configs[-1]] * filler]
        self._device = torch.device(first.executor.device)
        self._examples = Examples(self._configs, device=self._device)
        self._network = Network(first)
        self._packing = Packing(self._network.shapes, len(self._configs))
        initial = self._packing.pack([self._network.initial(each) for each in self._configs])
        self._flat = initial.to(self._device)
        self._gradients = gradients(self._network, self._packing, self._flat)
        decays = [each.optim.weight_decay for each in self._configs]
        rates = self._spread([each.optim.lr for each in self._configs])
        for name in structure(first).frozen & self._network.shapes.keys():
            self.by_name(rates)[name].zero_()  # no optimizer changes them
        self._optimizer = OptimizerState(
            first.optim,
            rates,
            self._spread(decays) if any(decays) else None,
        )
        self._running: RunningStatistics | None = None
        if looks_back(first.norm):
            norms = [each.norm for each in self._configs]
            self._running = RunningStatistics(norms, sum(self.sites.values()))
        self.steps_taken = 0

    @property
    def sites(self) -> dict[str, int]:
        """The sites with running statistics and their channels."""
        return self._network.tracked

    def epoch(self, epoch: int) -> Iterator[Step]:
        """Yield the steps of an epoch, each network in its own order."""
        for x, y in self.batches(epoch):
            yield self.step(x, y)

    def batches(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the steps' x and y, with padding, as `Examples` gives them."""
        sizes, everyone = batch_sizes(self._configs[0]), range(len(self._configs))
        order = orders(self._configs, epoch)
        yield from self._examples.batches(everyone, order, sizes, epoch * len(sizes))

    def step(self, x: torch.Tensor, y: torch.Tensor) -> Step:
        """Take one step of the optimizer on a batch."""
        config = self._configs[0]
        with self._network.drawing(self.steps_taken):
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
        """Return what a step on this batch would leave, and its gradient, flat."""
        step, gradient = self._gradient(x, y)
        return Step(*self._unpadded(step)), gradient.clone()

    def by_name(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return a flat vector such as a gradient by name, each [models, *shape], with padding."""
        return self._packing.views(flat)

    def evaluate(self) -> Point:
        """Return the references of these weights, which depend on no momentum."""
        weights = self.by_name(self._flat)
        mean, var, references = evaluate(self._network, weights, self._examples, self.steps_taken)
        mean, var, *values = self._kept([mean, var, *references.values()])
        return Point(mean, var, dict(zip(references, values, strict=True)))

    def weights(self) -> dict[str, torch.Tensor]:
        """Return a copy of the weights by name, each [models, *shape]."""
        views = self.by_name(self._flat)
        return dict(zip(views, self._kept(views.values()), strict=True))

    def memory(self) -> dict[str, torch.Tensor]:
        """Return what the next step depends on beside weights and batch, each [models, ...]."""
        state = self._state()
        return dict(zip(state, self._kept(state.values()), strict=True))

    def recall(self, kept: Kept) -> None:
        """Go on from an evaluation point of the same training."""
        for name, values in self.by_name(self._flat).items():
            values.copy_(self._padded(kept.record.weights[name][:, -1]))
        for name, values in self._state().items():
            values.copy_(self._padded(kept.memory[name]))
        self.steps_taken = self._optimizer.steps = kept.record.train_loss.shape[1]
        if self._running is not None:
            self._running.updates = self.steps_taken

    def _state(self) -> dict[str, torch.Tensor]:
        """Moments of the optimizer and running statistics by name, with padding, as they are."""
        found = {
            f"{moment}/{name}": values
            for moment, flat in self._optimizer.moments.items()
            for name, values in self.by_name(flat).items()
        }
        if self._running is not None:
            found |= {"running/mean": self._running.mean, "running/var": self._running.var}
        return found

    def _gradient(self, x: torch.Tensor, y: torch.Tensor) -> tuple[Step, torch.Tensor]:
        losses, statistics, gradient = self._gradients(x, y, self._memory())
        left = self._network.join(statistics, like=losses)
        parts = len(part_sizes(self._configs[0], x.shape[batch_axis(x)]))
        shape = (len(losses), parts, sum(self.sites.values()))
        return Step(losses, *(each.reshape(shape) for each in left)), gradient

    def _memory(self) -> Mapping[str, Memory]:
        """Running statistics before this step, by site, if the norms look back."""
        if self._running is None:
            return {}
        by_site = self._network.split(Statistics(self._running.mean, self._running.var))
        weight = self._running.next_weight()
        return {site: Memory(*each, weight, self.steps_taken) for site, each in by_site.items()}

    def _padded(self, values: torch.Tensor) -> torch.Tensor:
        """With copies of the last model's."""
        last = len(values) - 1
        return values[[*range(len(values)), *[last] * (len(self._configs) - len(values))]]

    def _spread(self, values: Sequence[float]) -> torch.Tensor:
        """One value a network, for each of its numbers."""
        each = torch.tensor(values, dtype=self._flat.dtype)
        return self._packing.spread(each).to(self._device)

    def _unpadded(self, parts: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """Copies without the padding, so that it is not kept in memory either."""
        return [part[: self.networks].clone() for part in parts]

    def _kept(self, parts: Iterable[torch.Tensor]) -> list[torch.Tensor]:
        """Copies without the padding, in the CPU's memory."""
        return [part.cpu() for part in self._unpadded(parts)]
