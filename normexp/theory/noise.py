"""Sampling noise left in a running mean, by how batches are drawn; variances in units of σ².

A batch's mean is unbiased for the training set's own, whichever examples are in it. So for weights
`w_j` of an epoch's batches of `n_j` out of N examples, averaged over training sets,

    Var = Σ w_j²·V(n_j) − (Σ w_j)²·V(N),   V(n) = σ²/n.

Independent batches are epochs of one batch from an infinite training set, V(N) = 0.
"""

import math
from typing import NamedTuple

from normexp.theory.memory import weight_gone, weight_left
from normexp.theory.setting import Setting

TINY = 0.03
"""Half an epoch's forgetting, −K·ln(q)/2, below which differences of tanh are taken by series."""


def moving_variance(setting: Setting, momentum: float) -> float:
    """Variance of the noise in the exponential moving average after the setting's updates.

    Independent: V(B)·a/(2 − a)·(1 − q^(2T)).
    """
    if momentum == 0:
        return 0.0
    variance = _fixed if setting.order == "fixed" else _shuffled
    return max(0.0, variance(momentum, _epoch(setting)))


def cumulative_variance(setting: Setting) -> float:
    """Variance of the noise in the mean over all batches so far, every weight 1/t.

    With K equal batches, t = E·K + k: shuffled `(t·V(B) − (E·K² + k²)·V(N))/t²`, which is 0 at an
    epoch's end; fixed `((k·(E + 1)² + (K − k)·E²)·V(B) − t²·V(N))/t²`.
    """
    epoch, updates = _epoch(setting), setting.updates
    batches, epochs, position = epoch.batches, epoch.epochs, epoch.position
    if setting.order == "fixed":
        squares = position * (epochs + 1) ** 2 + (batches - position) * epochs**2
        last, shared = epochs**2, updates**2
    else:
        squares, last = updates, epochs
        shared = epochs * batches**2 + position**2
    own = squares * epoch.variance + last * (epoch.last_variance - epoch.variance)
    return max(0.0, own - shared * epoch.whole_variance) / updates**2


class _Epoch(NamedTuple):
    """An epoch's batches as sources of noise, and the place of the evaluation.

    `whole_variance` is V(N), `epochs` the full ones before evaluation, `position` the number of
    batches since.
    """

    batches: int
    variance: float
    last_variance: float
    whole_variance: float
    epochs: int
    position: int


def _epoch(setting: Setting) -> _Epoch:
    scale, size, batches = setting.noise_scale, setting.train_size, setting.batches_per_epoch
    variance = scale / setting.batch_size
    if setting.order == "independent" or size is None or batches is None:
        return _Epoch(1, variance, variance, 0.0, setting.updates, 0)
    epochs, position = divmod(setting.updates, batches)
    last = scale / setting.last_batch
    return _Epoch(batches, variance, last, scale / size, epochs, position)


def _shuffled(momentum: float, epoch: _Epoch) -> float:
    """A new order every epoch: little noise at an epoch's end, more within.

    With equal batches and x = −ln(q)/2, at an epoch's end in the long run
    `V(B)·(tanh x − tanh(Kx)/K)`, about V(B)·a³(K² − 1)/24 where aK is small; k batches later
    `V(B)·(1 − q^(2k))·(tanh x − tanh(kx)/K)` beside q^(2k) of that.
    """
    batches, last = epoch.batches, momentum**2 * (epoch.last_variance - epoch.variance)
    one = _first_batches(momentum, epoch, batches) + last
    repeated = weight_gone(momentum, 2 * batches * epoch.epochs) / weight_gone(
        momentum, 2 * batches
    )
    before = weight_left(momentum, 2 * epoch.position) * one * repeated
    return before + _first_batches(momentum, epoch, epoch.position)


def _first_batches(momentum: float, epoch: _Epoch, number: int) -> float:
    """Noise of an epoch's first batches from an empty memory, as if all were of one size."""
    uneven = epoch.variance / epoch.batches - epoch.whole_variance
    bracket = epoch.variance * _difference(momentum, number, epoch.batches)
    bracket += uneven * _tanh(momentum, number)
    return weight_gone(momentum, 2 * number) * bracket


def _fixed(momentum: float, epoch: _Epoch) -> float:
    """One order for all epochs, itself random.

    The j-th newest batch weighs a·q^j·(1 − q^(Kn))/(1 − q^K) after its n appearances. With equal
    batches, at an epoch's end, `V(B)·tanh(x)·coth(Kx) − V(N)` in the long run: it never averages
    out.
    """
    batches, epochs, position = epoch.batches, epoch.epochs, epoch.position
    older, newer = (
        weight_gone(momentum, batches * times) / weight_gone(momentum, batches)
        for times in (epochs, epochs + 1)
    )
    squares = _tanh(momentum, 1) * (
        weight_gone(momentum, 2 * position) * newer**2
        + weight_left(momentum, 2 * position)
        * weight_gone(momentum, 2 * (batches - position))
        * older**2
    )
    last = momentum * weight_left(momentum, position) * older
    own = squares * epoch.variance + last**2 * (epoch.last_variance - epoch.variance)
    return own - weight_gone(momentum, batches * epochs + position) ** 2 * epoch.whole_variance


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
