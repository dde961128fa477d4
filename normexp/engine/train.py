"""Training: it yields batch statistics and weights, and knows nothing of momentum."""

from collections.abc import Callable, Sequence

import torch

from normexp.config.schema import RunConfig
from normexp.engine.references import Point
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
    return Record(
        sites=stack.sites,
        **_stacked(steps),
        **_stacked(points),
        weights={name: torch.stack([point[name] for point in weights], 1) for name in weights[0]},
    )


def _stacked(moments: Sequence[Step] | Sequence[Point]) -> dict[str, torch.Tensor]:
    """Each part of the moments as one tensor [models, moments, ...]."""
    parts = zip(*moments, strict=True)
    return {
        name: torch.stack(part, 1) for name, part in zip(moments[0]._fields, parts, strict=True)
    }
