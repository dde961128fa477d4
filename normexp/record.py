"""What a training leaves behind, all that any momentum will ever need; and what one makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch


@dataclass(frozen=True)
class Record:
    """The trajectories of a stack, `models` leading everywhere.

    Channels are the features of all norm sites, one after the other in the order of the forward
    pass. Points are the evaluation points: before the first epoch and after each.
    """

    sites: dict[str, int]  # norm sites and their features, which make up the channels
    train_loss: torch.Tensor  # [models, steps], of each batch, before its update
    batch_mean: torch.Tensor  # [models, steps, channels]
    batch_var: torch.Tensor  # [models, steps, channels], unbiased
    population_mean: torch.Tensor  # [models, points, channels], the training set as one batch
    population_var: torch.Tensor  # [models, points, channels], unbiased
    train_loss_population: torch.Tensor  # [models, points], the training set as one batch
    test_loss_population: torch.Tensor  # [models, points]
    test_loss_test_batch: torch.Tensor  # [models, points]
    weights: dict[str, torch.Tensor]  # each [models, points, *shape]

    def select(self, index: torch.Tensor) -> "Record":
        """The record of these models, in this order, repeats allowed."""
        parts = {name: getattr(self, name)[index] for name in TENSORS}
        weights = {name: values[index] for name, values in self.weights.items()}
        return Record(sites=self.sites, **parts, weights=weights)


TENSORS = tuple(field.name for field in fields(Record) if field.name not in ("sites", "weights"))


def join(records: Sequence[Record]) -> Record:
    """Records of one structure side by side."""
    parts = {name: torch.cat([getattr(record, name) for record in records]) for name in TENSORS}
    weights = {
        name: torch.cat([record.weights[name] for record in records]) for name in records[0].weights
    }
    return Record(sites=records[0].sites, **parts, weights=weights)


@dataclass(frozen=True)
class Observation:
    """One run's running statistics and what they cost.

    Rows are the logged steps: every `log.every`-th, and the evaluation points.
    """

    rows: torch.Tensor  # [rows], steps
    running_mean: torch.Tensor  # [rows, channels]
    running_var: torch.Tensor  # [rows, channels]
    test_loss: torch.Tensor  # [points]


GROWTH_OF_DIVERGENCE = 1e6
"""A training loss this many times the first one has diverged too, though it be finite."""


def diverged_step(record: Record, model: int) -> int | None:
    """The first step, counted from 1, at which a training has diverged; None if it has not.

    Its batch's loss is not finite or has grown a millionfold since the first step; or the weights
    are not finite at an evaluation point, which sees the last update as well. Adam's steps are
    bounded by the learning rate, so an absurd rate need not overflow: with lr=1e6 S1's loss jumps
    from 1e3 to 1e13 and stays finite.
    """
    loss = record.train_loss[model]
    lost = ~loss.isfinite() | (loss > GROWTH_OF_DIVERGENCE * loss[0])
    points = record.test_loss_population[model].isfinite()
    for weights in record.weights.values():
        points &= weights[model].flatten(1).isfinite().all(1)
    steps_per_epoch = len(loss) // (len(points) - 1)
    after = [int(point) * steps_per_epoch for point in (~points).nonzero()[:1]]
    before = [int(step) + 1 for step in lost.nonzero()[:1]]
    return min(after + before, default=None)
