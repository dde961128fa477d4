"""What of a training its running statistics depend on."""

import math
from dataclasses import dataclass
from typing import Literal

from normexp.errors import UsageError
from normexp.theory.bounds import whole, within
from normexp.theory.noise import Epoch
from normexp.theory.sampling import mean_variance, variance_expectation, variance_variance

Order = Literal["independent", "shuffled", "fixed"]
"""Every batch drawn anew; without replacement in a new order every epoch; in one order for ever."""

Statistic = Literal["mean", "unbiased_variance", "biased_variance"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A training, as far as the running statistics of one channel, or of like ones, depend on it.

    Errors and drift are in units of σ where the statistic is the mean, else of σ².

    Attributes:
        updates: T, of the running statistics, before evaluation.
        batch_size: B.
        train_size: N, of examples; None where batches are independent.
        order: how batches are drawn.
        drop_last: whether a smaller last batch is left out.
        statistic: that is averaged.
        initial_error: the initial value's distance from the truth at evaluation.
        drift_per_step: how far the truth moves in a step, in one direction.
        walk_per_step: standard deviation of a random step beside it.
        alignment: 0 where the signs of initial error and drift have nothing to do with one another
            (many channels; then both are root mean squares, and add as squares), 1 where they are
            known (one channel; then both are signed, and add as numbers).
        excess_kurtosis: of the values of a channel; only variances depend on it.
        noise_scale: variance of a batch's statistic over what independent examples would give.
    """

    updates: int
    batch_size: int
    train_size: int | None = None
    order: Order = "independent"
    drop_last: bool = False
    statistic: Statistic = "mean"
    initial_error: float = 1.0
    drift_per_step: float = 0.0
    walk_per_step: float = 0.0
    alignment: float = 0.0
    excess_kurtosis: float = 0.0
    noise_scale: float = 1.0

    def __post_init__(self) -> None:
        whole("number of updates", self.updates)
        whole("batch size", self.batch_size)
        within("initial error", self.initial_error, -math.inf)
        within("drift", self.drift_per_step, -math.inf)
        within("random step", self.walk_per_step)
        within("alignment", self.alignment, 0.0, 1.0)
        within("noise scale", self.noise_scale)
        if self.train_size is not None:
            whole("training set's size", self.train_size)
            _refuse_no_batch(self.batch_size, self.train_size, drop_last=self.drop_last)
        elif self.order != "independent":
            raise UsageError(f"the order is {self.order}, but the training set's size is not known")
        if self.statistic == "unbiased_variance":
            whole("number of examples in a batch", min(self.batch_size, self.last_batch), 2)

    @property
    def batches_per_epoch(self) -> int | None:
        """K, the smaller last one included; None where batches are independent for ever."""
        if self.train_size is None:
            return None
        full, rest = divmod(self.train_size, self.batch_size)
        return full + bool(rest and not self.drop_last)

    @property
    def last_batch(self) -> int:
        """Examples in an epoch's last batch."""
        rest = (self.train_size or 0) % self.batch_size
        return rest if rest and not self.drop_last else self.batch_size

    @property
    def epoch(self) -> Epoch:
        """The batches of an epoch as sources of noise; of one batch where all are independent."""
        repeats = self.train_size if self.order != "independent" else None
        last = self.last_batch if repeats else self.batch_size
        return Epoch(
            batches=(self.batches_per_epoch or 1) if repeats else 1,
            variance=self.variance_of(self.batch_size),
            last_variance=self.variance_of(last),
            whole_variance=self._unbiased(repeats) if repeats else 0.0,
            expectation=self._expectation(self.batch_size),
            last_expectation=self._expectation(last),
        )

    def variance_of(self, examples: int) -> float:
        """Variance of the statistic of so many examples: of its noise in one batch."""
        if self.statistic == "biased_variance" and examples == 1:
            return 0.0
        return self._unbiased(examples) * self._expectation(examples) ** 2

    def _unbiased(self, examples: int) -> float:
        if self.statistic == "mean":
            return self.noise_scale * mean_variance(examples)
        spread = variance_variance(examples, excess_kurtosis=self.excess_kurtosis)
        return self.noise_scale * spread

    def _expectation(self, examples: int) -> float:
        return variance_expectation(examples, unbiased=self.statistic != "biased_variance")


def _refuse_no_batch(batch_size: int, train_size: int, *, drop_last: bool) -> None:
    """An epoch without a full batch is empty once the smaller one is left out."""
    if drop_last and train_size < batch_size:
        raise UsageError(
            f"no batch of {batch_size} can be made of {train_size} training examples, "
            "and a smaller last batch is left out"
        )
