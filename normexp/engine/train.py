"""Training: it leaves batch statistics and weights, which no momentum changes.

Only norms that look back (`batch_renorm`, `ema_train`) use running statistics while they train.

Networks of one structure train side by side in memory, and none sees another.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch

from normexp.config.data import RandomLabels
from normexp.config.network import Mlp
from normexp.config.norm import NoNorm
from normexp.config.schema import RunConfig
from normexp.data.draw import Examples
from normexp.engine.predict import Point, evaluate
from normexp.engine.step import Autograd, Report, Steps, by_name, initial
from normexp.nets.models import is_compiled
from normexp.nets.network import Network
from normexp.trained import Kept, Record, follow

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
        report: called after some steps.
        keep: called at evaluation points, since a training can go on from there.
        start: what was kept of the same training, which goes on from there.

    Returns:
        The record of the trajectories, in the order of `configs`.
    """
    stack = TrainingStack(configs)
    if start is None:
        parts = [_part(None, stack)]
    else:
        stack.recall(start)
        parts = [start.record]
    epochs = configs[0].train.epochs
    for epoch in range(parts[0].epochs, epochs):
        parts.append(_part(stack.epoch(epoch, report), stack))
        if epoch + 1 < epochs:
            keep(epoch + 1, lambda: Kept(follow(parts), stack.memory()))
    return follow(parts)


def _part(steps: Steps | None, stack: "TrainingStack") -> Record:
    """The record of these steps and of the evaluation point after them."""
    point, weights = stack.evaluate(), stack.weights()
    if steps is None:
        nothing = point.population_mean.new_empty(stack.networks, 0)
        none = nothing.new_empty(stack.networks, 0, sum(stack.sites.values()))
        steps = Steps(nothing, none, none)
    return Record(
        sites=stack.sites,
        **{name: values.cpu() for name, values in steps._asdict().items()},
        population_mean=point.population_mean[:, None],
        population_var=point.population_var[:, None],
        references={name: values[:, None] for name, values in point.references.items()},
        weights={name: values[:, None] for name, values in weights.items()},
    )


def prepare(config: RunConfig, say: Callable[[], object]) -> None:
    """Compile what trains and evaluates such networks, unless this machine has it.

    Args:
        config: of any of them.
        say: called if there is something to compile.
    """
    if not is_compiled(config) or config.executor.device != "cpu":
        return
    from normexp.nets.compile import compiling

    with compiling(config.train.dtype) as missing:
        if missing:
            say()
            small = replace(config.train, epochs=1, batch_size=2)
            data = RandomLabels(train_size=2, features=1)
            train(
                [
                    replace(
                        config, data=data, model=Mlp(depth=1, width=1), norm=NoNorm(), train=small
                    )
                ]
            )


class TrainingStack:
    """One network a configuration; they may differ in stackable fields."""

    def __init__(self, configs: Sequence[RunConfig]) -> None:
        self.networks, self._configs = len(configs), configs
        device = torch.device(configs[0].executor.device)
        self._examples = Examples(configs, device=device)
        self._network = Network(configs[0])
        self._state = initial(self._network, configs)
        own = self._network, configs, self._examples, self._state
        if is_compiled(configs[0]) and device.type == "cpu":
            from normexp.engine.compiled import Compiled  # Numba, which others do without

            self.epoch = Compiled(*own).epoch
        else:
            self.epoch = Autograd(*own).epoch

    @property
    def sites(self) -> dict[str, int]:
        """The sites with running statistics and their channels."""
        return self._network.tracked

    def evaluate(self) -> Point:
        """Return the references of these weights, which depend on no momentum."""
        weights = by_name(self._state.parameters, self._network.shapes)
        mean, var, references = evaluate(self._network, weights, self._examples, self._state.steps)
        mean, var, *values = _kept([mean, var, *references.values()])
        return Point(mean, var, dict(zip(references, values, strict=True)))

    def weights(self) -> dict[str, torch.Tensor]:
        """Return a copy of the weights by name, each [models, *shape]."""
        views = by_name(self._state.parameters, self._network.shapes)
        return dict(zip(views, _kept(views.values()), strict=True))

    def memory(self) -> dict[str, torch.Tensor]:
        """Return what the next step depends on beside weights and batch, each [models, ...]."""
        memory = self._memory()
        return dict(zip(memory, _kept(memory.values()), strict=True))

    def recall(self, kept: Kept) -> None:
        """Go on from an evaluation point of the same training."""
        for name, values in by_name(self._state.parameters, self._network.shapes).items():
            values.copy_(kept.record.weights[name][:, -1])
        for name, values in self._memory().items():
            values.copy_(kept.memory[name])
        self._state.steps = kept.record.train_loss.shape[1]
        if self._state.running is not None:
            self._state.running.updates = self._state.steps

    def _memory(self) -> dict[str, torch.Tensor]:
        """Moments of the optimizer and running statistics by name, as they are."""
        found = {
            f"{moment}/{name}": values
            for moment, rows in self._state.moments.items()
            for name, values in by_name(rows, self._network.shapes).items()
        }
        if (running := self._state.running) is not None:
            found |= {"running/mean": running.mean, "running/var": running.var}
        return found


def _kept(parts: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """Copies in the CPU's memory."""
    return [part.detach().cpu().clone() for part in parts]
