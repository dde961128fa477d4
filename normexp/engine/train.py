"""Training: it yields batch statistics and weights, and knows nothing of momentum."""

from collections.abc import Callable, Sequence

import torch

from normexp.config.schema import RunConfig
from normexp.engine.memory import keep_freed_memory
from normexp.engine.stack import Step, TrainingStack
from normexp.record import Kept, Record, follow

Report = Callable[[int], None]
"""Told after each step how many networks took it."""

Keep = Callable[[int, Callable[[], Kept]], None]
"""Told at every evaluation point but the last how many epochs are done, and how to keep them."""


def _nobody(networks: int) -> None:
    """Hears no report."""


def _nothing(epochs: int, kept: Callable[[], Kept]) -> None:
    """Keeps nothing."""


def train(
    configs: Sequence[RunConfig],
    report: Report = _nobody,
    keep: Keep = _nothing,
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


def _part(steps: Sequence[Step], stack: TrainingStack) -> Record:
    """What these steps have left and the evaluation point after them shows."""
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
