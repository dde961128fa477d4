"""The parameters of a training that a running mean depends on, and the noise left in it.

A batch's mean is unbiased for the training set's own, whichever examples are in it. So for weights
`w_j` of an epoch's batches of `n_j` out of N examples, averaged over training sets, the variance is

    σ²·(Σ w_j²/n_j − (Σ w_j)²/N) = σ²·Σ (u − ū)² over all N examples,

where u is w_j/n_j for the examples of batch j, and 0 for those in no batch. The second form loses
no digits where all weights are nearly the same.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from normexp.errors import UsageError
from normexp.theory.memory import weight_gone, weight_left, within

if TYPE_CHECKING:
    import numpy as np

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


def noise_variance(setting: Setting, momentum: float | None) -> float:
    """Variance of the sampling noise in a running mean after the setting's updates, in σ².

    Independent batches leave σ²/B·a/(2 − a)·(1 − q^(2T)). Shuffled ones leave little at an epoch's
    end, and more within. In one order for ever the weights of a batch's appearances add up, and its
    noise never averages out.

    Args:
        setting: of the training.
        momentum: above 0; None for the cumulative mean, in which every batch weighs 1/T.
    """
    updates, batches = setting.updates, setting.batches_per_epoch
    if setting.order == "independent" or batches is None:
        kept = 1 / updates if momentum is None else momentum / (2 - momentum)
        gone = 1.0 if momentum is None else weight_gone(momentum, 2 * updates)
        return setting.noise_scale / setting.batch_size * kept * gone
    import numpy as np

    epochs, position = divmod(updates, batches)
    if momentum is None:
        weights, times, squares = np.full(batches, 1 / updates), float(epochs), float(epochs)
    else:
        ages = np.arange(batches - 1.0, -1.0, -1.0)  # powers would take eight times as long
        left = np.exp(ages * math.log1p(-momentum)) if momentum < 1 else ages == 0
        weights = momentum * left
        times, squares = (
            weight_left(momentum, power * position)
            * weight_gone(momentum, power * batches * epochs)
            / weight_gone(momentum, power * batches)
            for power in (1, 2)
        )  # of what an epoch leaves, over all epochs
    sizes = np.full(batches, float(setting.batch_size))
    sizes[-1] = setting.last_batch
    recent = np.zeros(batches)
    recent[:position] = weights[batches - position :]

    def spread(each: "np.ndarray[Any, Any]") -> float:
        size = setting.train_size or 0
        mean = each.sum() / size
        missing = (size - sizes.sum()) * mean**2
        return float((sizes * np.square(each / sizes - mean)).sum() + missing)

    if setting.order == "fixed":
        return setting.noise_scale * spread(recent + times * weights)
    return setting.noise_scale * (spread(recent) + squares * spread(weights))
