"""What sampling noise is left, by how batches are drawn.

All of it follows from one identity. A batch's mean and unbiased variance are unbiased for the
training set's own, whichever examples are in it; so for weights `w_j` of an epoch's batches of
`n_j` examples, averaged over training sets of N examples,

    Var = Σ w_j²·V(n_j) − (Σ w_j)²·V(N),

where V(n) is the variance of the statistic of n independent examples (`theory.sampling`). Noise is
distance from the training set's own statistic. V(n) = σ²/n gives the running mean's, and
V(n) = σ⁴(2/(n − 1) + κ/n) the running variance's.
"""

import math
from dataclasses import dataclass

from normexp.theory.bounds import momentum_of, whole, within
from normexp.theory.memory import weight_gone, weight_left

TINY = 0.03
"""Half an epoch's forgetting, −K·ln(q)/2, below which differences of tanh are taken by series."""


@dataclass(frozen=True)
class Epoch:
    """The batches of an epoch, drawn without replacement, the last one perhaps smaller.

    Attributes:
        batches: K, their number.
        variance: of a batch's statistic, V(B).
        last_variance: of the last batch's.
        whole_variance: of the whole training set's statistic, V(N), always of the unbiased one.
        expectation: of a batch's statistic over the true value: below 1 for biased variances.
        last_expectation: of the last batch's.
    """

    batches: int
    variance: float
    last_variance: float
    whole_variance: float
    expectation: float = 1.0
    last_expectation: float = 1.0

    def __post_init__(self) -> None:
        whole("number of batches", self.batches)
        for each in (self.variance, self.last_variance, self.whole_variance):
            within("variance", each)


def independent(momentum: float, updates: float = math.inf, variance: float = 1.0) -> float:
    """Noise of independent batches: v·a/(2 − a)·(1 − q^(2t)).

    Args:
        momentum: in [0, 1].
        updates: t; by default in the long run.
        variance: v of one batch's statistic; the result has its units.

    Raises:
        UsageError: an argument is out of bounds.
    """
    return within("variance", variance) * _tanh(momentum, 1) * weight_gone(momentum, 2 * updates)


def debiased(momentum: float, updates: float, variance: float = 1.0) -> float:
    """Noise of the debiased average of independent batches: v·a/(2 − a)·(1 + q^t)/(1 − q^t).

    The average is (r_t − q^t·r_0)/(1 − q^t): Adam's, Haiku's and Caffe's; its weights sum to 1.
    v at t = 1, v/t as a → 0 (the cumulative mean), `independent`'s as t → ∞.

    Raises:
        UsageError: an argument is out of bounds, or there was no update.
    """
    within("number of updates", min(updates, 1.0), 1.0)
    if momentum_of(momentum) == 0:
        return within("variance", variance) / updates
    return within("variance", variance) * _tanh(momentum, 1) / _tanh(momentum, updates)


def shuffled(momentum: float, epoch: Epoch, epochs: float = math.inf, position: int = 0) -> float:
    """Noise where every epoch has a new order: little at its end, more within.

    With equal batches, V(N) = V(B)/K and x = −ln(q)/2, at an epoch's end in the long run
    `V(B)·(tanh x − tanh(Kx)/K)`, about V(B)·a³(K² − 1)/24 where aK is small; k batches later
    `V(B)·(1 − q^(2k))·(tanh x − tanh(kx)/K)` beside q^(2k) of that. Where V(N) is less (the running
    variance; examples left out), `(V(B)/K − V(N))·tanh(kx)` is added to each bracket; for the
    running variance that is 2σ⁴(K − 1)/(K(B − 1)(KB − 1)). A last batch of another size counts with
    weight a: a²·(V(b) − V(B)) more an epoch.

    Args:
        momentum: in [0, 1]; without noise at 0.
        epoch: what it consists of.
        epochs: full ones so far.
        position: batches since, fewer than an epoch's.

    Raises:
        UsageError: the momentum lies outside [0, 1], or the position outside the epoch.
    """
    _inside(epoch, position)
    if momentum_of(momentum) == 0:
        return 0.0
    batches = epoch.batches
    one = _part(momentum, epoch, batches) + _ragged(momentum, epoch)
    several = weight_gone(momentum, 2 * batches * epochs) / weight_gone(momentum, 2 * batches)
    before = weight_left(momentum, 2 * position) * one * several
    return max(0.0, _part(momentum, epoch, position) + before)


def fixed(momentum: float, epoch: Epoch, epochs: float = math.inf, position: int = 0) -> float:
    """Noise where every epoch has the same order, itself a random one.

    The j-th newest batch weighs a·q^j·(1 − q^(Kn))/(1 − q^K) after its n appearances, so with
    equal batches, at an epoch's end, `V(B)·tanh(x)·coth(Kx) − V(N)` in the long run: the same error
    at every epoch's end, never averaged out. Arguments and errors as `shuffled`.
    """
    _inside(epoch, position)
    if momentum_of(momentum) == 0:
        return 0.0
    batches = epoch.batches
    older = _repeated(momentum, batches, epochs)
    newer = _repeated(momentum, batches, epochs + 1)
    squares = _tanh(momentum, 1) * (
        weight_gone(momentum, 2 * position) * newer**2
        + weight_left(momentum, 2 * position)
        * weight_gone(momentum, 2 * (batches - position))
        * older**2
    )
    last = last_weight(momentum, epoch, epochs, position)
    own = squares * epoch.variance + last**2 * (epoch.last_variance - epoch.variance)
    mean = epoch.expectation * weight_gone(momentum, batches * epochs + position)
    mean += (epoch.last_expectation - epoch.expectation) * last
    return max(0.0, own - mean**2 * epoch.whole_variance)


def shuffled_cumulative(epoch: Epoch, epochs: int, position: int = 0) -> float:
    """Noise of the cumulative mean, every update's weight 1/t, in a new order every epoch.

    `(t·V(B) − (E·K² + k²)·V(N))/t²` with equal batches, t = E·K + k:
    0 for a mean at an epoch's end.

    Raises:
        UsageError: the position lies outside the epoch, or there was no update.
    """
    updates = _updates(epoch, epochs, position)
    differing = epoch.last_expectation - epoch.expectation
    full = epoch.expectation * epoch.batches + differing
    own = updates * epoch.variance + epochs * (epoch.last_variance - epoch.variance)
    shared = epochs * full**2 + (epoch.expectation * position) ** 2
    return max(0.0, own - shared * epoch.whole_variance) / updates**2


def fixed_cumulative(epoch: Epoch, epochs: int, position: int = 0) -> float:
    """Noise of the cumulative mean where every epoch has the same order.

    `((k·(E + 1)² + (K − k)·E²)·V(B) − t²·V(N))/t²` with equal batches. Errors as
    `shuffled_cumulative`.
    """
    updates = _updates(epoch, epochs, position)
    differing = epoch.last_expectation - epoch.expectation
    squares = position * (epochs + 1) ** 2 + (epoch.batches - position) * epochs**2
    own = squares * epoch.variance + epochs**2 * (epoch.last_variance - epoch.variance)
    shared = (epoch.expectation * updates + differing * epochs) ** 2
    return max(0.0, own - shared * epoch.whole_variance) / updates**2


def last_weight(
    momentum: float, epoch: Epoch, epochs: float = math.inf, position: int = 0
) -> float:
    """What the last batches of all full epochs weigh together: a·q^k·(1 − q^(KE))/(1 − q^K).

    Raises:
        UsageError: the momentum lies outside [0, 1], or the position outside the epoch.
    """
    _inside(epoch, position)
    if momentum_of(momentum) == 0:
        return 0.0
    repeated = _repeated(momentum, epoch.batches, epochs)
    return momentum * weight_left(momentum, position) * repeated


def _part(momentum: float, epoch: Epoch, number: int) -> float:
    """Noise of an epoch's first batches from an empty memory, as if all were of one size."""
    uneven = epoch.variance / epoch.batches - epoch.expectation**2 * epoch.whole_variance
    bracket = epoch.variance * _difference(momentum, number, epoch.batches)
    bracket += uneven * _tanh(momentum, number)
    return weight_gone(momentum, 2 * number) * bracket


def _ragged(momentum: float, epoch: Epoch) -> float:
    """What an epoch's last batch adds by being another than the others."""
    differing = momentum * (epoch.last_expectation - epoch.expectation)
    others = epoch.expectation * weight_gone(momentum, epoch.batches)
    own = momentum**2 * (epoch.last_variance - epoch.variance)
    return own - epoch.whole_variance * differing * (2 * others + differing)


def _difference(momentum: float, number: int, batches: int) -> float:
    """Tanh x − tanh(n·x)/K for x = −ln(1 − a)/2, also where both are nearly the same."""
    if number == batches and momentum < 1:
        x = -math.log1p(-momentum) / 2
        if batches * x < TINY:
            k = float(batches)
            series = (k**2 - 1) / 3 - 2 / 15 * (k**4 - 1) * x**2 + 17 / 315 * (k**6 - 1) * x**4
            return x**3 * series
    return _tanh(momentum, 1) - _tanh(momentum, number) / batches


def _tanh(momentum: float, number: float) -> float:
    """tanh(n·x) for x = −ln(1 − a)/2, which is (1 − q^n)/(1 + q^n)."""
    gone = weight_gone(momentum, number)
    return gone / (2 - gone)


def _repeated(momentum: float, batches: int, epochs: float) -> float:
    return weight_gone(momentum, batches * epochs) / weight_gone(momentum, batches)


def _inside(epoch: Epoch, position: int) -> None:
    within("position in the epoch", position, 0, epoch.batches - 1)


def _updates(epoch: Epoch, epochs: int, position: int) -> int:
    _inside(epoch, position)
    return whole(
        "number of updates", whole("number of epochs", epochs, 0) * epoch.batches + position
    )
