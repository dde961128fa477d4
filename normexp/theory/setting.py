"""The parameters of a training that a running mean depends on."""

import math
from dataclasses import dataclass
from typing import Literal

from normexp.errors import UsageError
from normexp.theory.memory import within

Order = Literal["independent", "shuffled", "fixed"]
"""Every batch drawn anew; without replacement in a new order every epoch; always in one order."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A training, as far as the running means of like channels depend on it.

    Errors and drift are in units of σ, the standard deviation of a channel. Their signs differ by
    channel, so they add as squares.

    Attributes:
        updates: T, of the running mean, before evaluation.
        batch_size: B.
        train_size: N, of examples; None where batches are independent.
        order: how batches are drawn.
        drop_last: whether a smaller last batch is left out.
        initial_error: the initial value's distance from the truth at evaluation.
        drift_per_step: how far the truth moves in a step, in one direction.
        walk_per_step: standard deviation of a random step beside it.
        noise_scale: variance of a batch's mean over that of independent examples, σ²/B.
    """

    updates: int
    batch_size: int
    train_size: int | None = None
    order: Order = "independent"
    drop_last: bool = False
    initial_error: float = 1.0
    drift_per_step: float = 0.0
    walk_per_step: float = 0.0
    noise_scale: float = 1.0

    def __post_init__(self) -> None:
        _positive("number of updates", self.updates)
        _positive("batch size", self.batch_size)
        within("initial error", self.initial_error, -math.inf)
        within("drift", self.drift_per_step, -math.inf)
        within("random step", self.walk_per_step)
        within("noise scale", self.noise_scale)
        if self.train_size is None:
            if self.order != "independent":
                raise UsageError(
                    f"the order is {self.order}, but the training set's size is not known"
                )
            return
        _positive("training set's size", self.train_size)
        if self.drop_last and self.train_size < self.batch_size:
            raise UsageError(
                f"no batch of {self.batch_size} can be made of {self.train_size} training "
                "examples, and a smaller last batch is left out"
            )

    @property
    def batches_per_epoch(self) -> int | None:
        """K, the smaller last one included; None where batches are always independent."""
        if self.train_size is None:
            return None
        full, rest = divmod(self.train_size, self.batch_size)
        return full + bool(rest and not self.drop_last)

    @property
    def last_batch(self) -> int:
        """Examples in an epoch's last batch."""
        rest = (self.train_size or 0) % self.batch_size
        return rest if rest and not self.drop_last else self.batch_size


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise UsageError(f"{name} is {value}; it must be a whole number, 1 or more")
