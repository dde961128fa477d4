"""What several updates a step, or another batch size, make of a momentum."""

import math

from normexp.theory.bounds import momentum_of, whole, within


def scaled(momentum: float, ratio: float) -> float:
    """The momentum whose updates forget as `ratio` updates do: q → q^κ, a' = 1 − (1 − a)^κ.

    The rule for batches κ times as large: statistics then forget equally fast by examples seen
    (Busbridge et al. 2023, arXiv 2307.13813, for weights). κ = 1/k undoes κ = k.

    Args:
        momentum: in [0, 1]; 0 and 1 stay.
        ratio: new batch size over old, positive, no need to be whole.

    Raises:
        UsageError: the momentum lies outside [0, 1], or the ratio is not positive.
    """
    within("ratio", ratio, above=True)
    if momentum_of(momentum) == 1:
        return 1.0
    return -math.expm1(ratio * math.log1p(-momentum))


def checkpointed(momentum: float) -> float:
    """The momentum that gradient checkpointing makes of one: 1 − (1 − a)² = a·(2 − a).

    It runs a layer's forward pass twice on the same batch, and so updates twice with the same
    statistics (insightface#2053): exactly one update with this momentum, noise included.

    Raises:
        UsageError: the momentum lies outside [0, 1].
    """
    return momentum_of(momentum) * (2 - momentum)


def before_checkpointing(momentum: float) -> float:
    """The momentum to set so that checkpointing makes it this one: 1 − √(1 − a).

    Raises:
        UsageError: the momentum lies outside [0, 1].
    """
    return momentum_of(momentum) / (1 + math.sqrt(1 - momentum))


def accumulated(momentum: float, micro_batches: int) -> float:
    """How much of its memory a step of k micro-batches replaces: 1 − (1 − a)^k.

    Gradient accumulation updates k times a step. Half-life and drift lag in steps are those of this
    momentum; the noise is not, since the last micro-batch weighs most: it is `momentum`'s own, at
    the micro-batch's size. Ghost norm's k parts, one after another, are the same.

    Raises:
        UsageError: the momentum lies outside [0, 1], or there is not even one micro-batch.
    """
    return scaled(momentum, whole("number of micro-batches", micro_batches))


def before_accumulation(momentum: float, micro_batches: int) -> float:
    """The momentum to set so that k micro-batches a step replace this much: 1 − (1 − a)^(1/k).

    Raises:
        UsageError: the momentum lies outside [0, 1], or there is not even one micro-batch.
    """
    return scaled(momentum, 1 / whole("number of micro-batches", micro_batches))
