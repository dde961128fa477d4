"""Training: it yields batch statistics and weights, and knows nothing of momentum."""

from collections.abc import Callable, Mapping, Sequence

import torch

from normexp.config.schema import RunConfig
from normexp.engine.stack import Step, TrainingStack
from normexp.record import Record

Report = Callable[[int], None]
"""Told after each step how many networks took it."""


def _nobody(networks: int) -> None:
    """Hears no report."""


def train(configs: Sequence[RunConfig], report: Report = _nobody) -> Record:
    """Train one network a configuration and keep what observation needs.

    Args:
        configs: of one structure; they may differ in stackable fields.
        report: called after every step.

    Returns:
        The record of the trajectories, in the order of `configs`.
    """
    stack = TrainingStack(configs)
    steps: list[Step] = []
    points = [stack.evaluate()]
    weights = [stack.weights()]
    for epoch in range(configs[0].train.epochs):
        for step in stack.epoch(epoch):
            steps.append(step)
            report(stack.networks)
        points.append(stack.evaluate())
        weights.append(stack.weights())
    means, variances, references = zip(*points, strict=True)
    return Record(
        sites=stack.sites,
        train_loss=torch.stack([step.train_loss for step in steps], 1),
        batch_mean=torch.cat([step.batch_mean for step in steps], 1),
        batch_var=torch.cat([step.batch_var for step in steps], 1),
        population_mean=torch.stack(means, 1),
        population_var=torch.stack(variances, 1),
        references=_by_name(references),
        weights=_by_name(weights),
    )


def _by_name(points: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """What every point has by name, each [models, points, ...]."""
    return {name: torch.stack([point[name] for point in points], 1) for name in points[0]}
