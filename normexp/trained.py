"""The record of a training, all that any momentum will ever need, and observations made from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

TENSORS = ("train_loss", "batch_mean", "batch_var", "population_mean", "population_var")

GROWTH_OF_DIVERGENCE = {"squared error": 1e6, "cross entropy": 1e3}
"""A training loss this many times the loss at the start has diverged too, though it be finite."""


@dataclass(frozen=True)
class Record:
    """The trajectories of a stack, `models` leading everywhere.

    Channels are the features of all norm sites, one after the other in the order of the forward
    pass. Points are the evaluation points: before the first epoch and after each. A step has one
    update of the running statistics, or one for every virtual batch.
    """

    sites: dict[str, int]  # norm sites and their features, which make up the channels
    train_loss: torch.Tensor  # [models, steps], of each batch, before its update
    batch_mean: torch.Tensor  # [models, updates, channels]
    batch_var: torch.Tensor  # [models, updates, channels], unbiased
    population_mean: torch.Tensor  # [models, points, channels], the training set as one batch
    population_var: torch.Tensor  # [models, points, channels], unbiased
    references: dict[str, torch.Tensor]  # each [models, points]: losses and accuracies by column
    weights: dict[str, torch.Tensor]  # each [models, points, *shape]; none of a recorded loop
    start: torch.Tensor | None = None  # [models, 2, channels], a loop's statistics before step 1

    @property
    def epochs(self) -> int:
        """Epochs that it covers."""
        return self.population_mean.shape[1] - 1

    def select(self, index: list[int]) -> "Record":
        """Return the record of these models, in this order, repeats allowed."""
        return _combined([self], lambda parts: parts[0][index])


def join(records: Sequence[Record]) -> Record:
    """Return records of one structure side by side."""
    return _combined(records, torch.cat)


def follow(records: Sequence[Record]) -> Record:
    """Return records of the same models one after the other, as they trained."""
    return _combined(records, lambda parts: torch.cat(parts, 1))


def _combined(
    records: Sequence[Record], combine: Callable[[list[torch.Tensor]], torch.Tensor]
) -> Record:
    """A record whose every tensor is made from the same tensor of others."""
    first = records[0]
    return Record(
        sites=first.sites,
        **{name: combine([getattr(each, name) for each in records]) for name in TENSORS},
        references={
            name: combine([each.references[name] for each in records]) for name in first.references
        },
        weights={name: combine([each.weights[name] for each in records]) for name in first.weights},
    )


class Kept(NamedTuple):
    """All that a training needs to go on from an evaluation point, bit for bit.

    The weights are the last in the record; the order of the batches follows from seed and epoch.
    """

    record: Record  # up to the evaluation point
    memory: dict[str, torch.Tensor]  # each [models, ...]: the optimizer's, and that of norms

    def select(self, index: list[int]) -> "Kept":
        """Return what these models need, in this order."""
        memory = {name: values[index] for name, values in self.memory.items()}
        return Kept(self.record.select(index), memory)


def join_kept(several: Sequence[Kept]) -> Kept:
    """Return what networks of one structure need, side by side."""
    names = several[0].memory
    memory = {name: torch.cat([kept.memory[name] for kept in several]) for name in names}
    return Kept(join([kept.record for kept in several]), memory)


@dataclass(frozen=True)
class Observation:
    """One run's running statistics, and its test losses under them.

    Rows are the logged steps: every `log.every`-th, and the evaluation points.
    """

    rows: torch.Tensor  # [rows], steps
    running_mean: torch.Tensor  # [rows, channels]
    running_var: torch.Tensor  # [rows, channels]
    scores: dict[str, torch.Tensor]  # each [points]: test loss, accuracy under these statistics


def diverged_step(record: Record, model: int) -> int | None:
    """Return the first step, counted from 1, at which a training has diverged; None if none.

    Its batch's loss is not finite or has grown beyond all measure since the start; or the weights
    are not finite at an evaluation point, which sees the last update as well. Adam's steps are
    bounded by the learning rate, so an absurd rate need not overflow: with lr=1e6 S1's loss jumps
    from 1e3 to 1e13 and stays finite. Cross entropy grows with the logits, not with their square.
    """
    loss = record.train_loss[model]
    labels = "test_accuracy_population" in record.references
    growth = GROWTH_OF_DIVERGENCE["cross entropy" if labels else "squared error"]
    start = torch.maximum(loss[0], record.references["train_loss_population"][model, 0])
    lost = ~loss.isfinite() | ((loss > growth * start) & (start > 0))
    points = record.references["test_loss_population"][model].isfinite()
    for weights in record.weights.values():
        points &= weights[model].flatten(1).isfinite().all(1)
    steps_per_epoch = len(loss) // (len(points) - 1)
    after = [int(point) * steps_per_epoch for point in (~points).nonzero()[:1]]
    before = [int(step) + 1 for step in lost.nonzero()[:1]]
    return min(after + before, default=None)
