"""What a running statistic loses where the truth moves.

Training moves the weights, and the statistics with them: θ_t is the expectation of batch t's own
statistic. Evaluation comes *after* the optimizer step, at θ_{t+1}: even momentum 1 lags by a step.
"""

import math

from normexp.theory.bounds import momentum_of, within
from normexp.theory.memory import weight_gone, weight_left


def linear_lag(momentum: float, drift: float, updates: float = math.inf) -> float:
    """How far the batches' weights lag a truth that moves by d a step: (d/a)·(1 − q^t·(1 + a·t)).

    `a·Σ q^j·(j + 1)·d` over the t newest batches; what the initial value misses is not in it
    (`memory.weight_left` of its distance from the truth at evaluation). In the long run d/a, of
    which d is the step between the last batch and evaluation; 0 for a = 0, d for a = 1.

    Args:
        momentum: in [0, 1].
        drift: d, in the statistic's units a step; the lag has its sign.
        updates: t; by default in the long run.

    Raises:
        UsageError: an argument is out of bounds.
    """
    within("drift", drift, -math.inf)
    if momentum_of(momentum) == 0 or updates == 0:
        return 0.0
    if momentum == 1 or updates == math.inf:
        return drift / momentum
    within("number of updates", updates)
    exponent = updates * math.log1p(-momentum) + math.log1p(updates * momentum)
    return drift * -math.expm1(exponent) / momentum


def cumulative_lag(drift: float, updates: float) -> float:
    """How far the cumulative mean lags after t updates: d·(t + 1)/2, without bound.

    Raises:
        UsageError: an argument is out of bounds.
    """
    return within("drift", drift, -math.inf) * (within("number of updates", updates, 1) + 1) / 2


def walk_variance(momentum: float, step_variance: float, updates: float = math.inf) -> float:
    """Variance of the lag behind a random walk: w/(a·(2 − a)) in the long run.

    The batches' part of it after t updates, as for `linear_lag`:
    `w·[(1 − q^(2t))/(a(2 − a)) − 2·q^t·(1 − q^t)/a + t·q^(2t)]`; 0 for a = 0, w for a = 1.

    Args:
        momentum: in [0, 1].
        step_variance: w of one step, in squared units of the statistic.
        updates: t; by default in the long run.

    Raises:
        UsageError: an argument is out of bounds.
    """
    within("variance of a step", step_variance)
    if momentum_of(momentum) == 0 or updates == 0:
        return 0.0
    if updates == math.inf:
        return step_variance / (momentum * (2 - momentum))
    left, gone = weight_left(momentum, updates), weight_gone(momentum, updates)
    recent = gone * (1 + left) / (momentum * (2 - momentum))
    return max(0.0, step_variance * (recent - 2 * left * gone / momentum + updates * left**2))


def best_for_linear(drift: float, variance: float) -> float:
    """The momentum with the least `v·a/(2 − a) + d²/a²`: noise of independent batches and lag.

    The root of a³/(2 − a)² = d²/v, at most 1, by the hyperbolic form of Cardano's formula; about
    (4·d²/v)^(1/3) where that is small. At the root the squared error is v·a·(3 − a)/(2 − a)²,
    about 0.75·v·a.

    Args:
        drift: d, in the statistic's units a step; its sign does not matter.
        variance: v of one batch's statistic.

    Returns:
        0 without drift, 1 where the drift is at least √v, or without noise.

    Raises:
        UsageError: an argument is out of bounds.
    """
    within("drift", drift, -math.inf)
    within("variance", variance)
    if drift == 0 or variance <= drift**2:
        return float(drift != 0)
    ratio = drift**2 / variance
    p = ratio * (4 - ratio / 3)  # of the depressed cubic t³ + p·t + r, where a = t + ratio/3
    r = ratio * (-4 + ratio * (4 / 3 - ratio * 2 / 27))
    angle = math.asinh(1.5 * r / p * math.sqrt(3 / p)) / 3
    return ratio / 3 - 2 * math.sqrt(p / 3) * math.sinh(angle)
