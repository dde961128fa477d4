"""The expected error of a running statistic by cause, and the least of it."""

import math
from dataclasses import dataclass

from normexp.theory import noise
from normexp.theory.bounds import momentum_of
from normexp.theory.drift import cumulative_lag, linear_lag, walk_variance
from normexp.theory.memory import weight_gone, weight_left
from normexp.theory.minimum import least
from normexp.theory.setting import Setting


@dataclass(frozen=True)
class Budget:
    """What the error of a running statistic at evaluation consists of, in the setting's units.

    Attributes:
        initial: what is left of the initial value's error.
        drift: the lag behind a truth that moves steadily; against the direction of the drift.
        bias: of biased batch variances.
        spread: standard deviation of that bias over training sets, whose own variances differ.
        walk: standard deviation of the lag behind random steps.
        noise: standard deviation of the sampling noise.
        alignment: how the first three add up, as `Setting.alignment`.
    """

    initial: float
    drift: float
    bias: float
    spread: float
    walk: float
    noise: float
    alignment: float

    @property
    def squares(self) -> dict[str, float]:
        """The expected squared error by cause: `initial`, `drift`, `bias` and `noise`.

        Where errors add as numbers, half of each product belongs to either; random steps are drift.
        A biased variance misses a share of the training set's own variance S², whose mean square
        is 1 + V(N): `bias² + spread²`.
        """
        systematic = {"initial": self.initial, "drift": self.drift, "bias": self.bias}
        total = sum(systematic.values())
        parts = {
            name: each**2 + self.alignment * each * (total - each)
            for name, each in systematic.items()
        }
        parts["drift"] += self.walk**2
        parts["bias"] += self.spread**2
        return {**parts, "noise": self.noise**2}

    @property
    def squared(self) -> float:
        """The expected squared error."""
        return max(0.0, sum(self.squares.values()))

    @property
    def error(self) -> float:
        """The root of the expected squared error."""
        return math.sqrt(self.squared)

    @property
    def shares(self) -> dict[str, float]:
        """Each cause's part of the expected squared error; all 0 where there is none."""
        whole = self.squared
        return {name: each / whole if whole else 0.0 for name, each in self.squares.items()}


def budget(setting: Setting, momentum: float, *, debiased: bool = False) -> Budget:
    """The expected error of the running statistic after the setting's updates.

    Args:
        setting: the training.
        momentum: in [0, 1].
        debiased: whether the initial value is taken out of it and the weights of the batches are
            made to sum to 1; with momentum 0 that is the cumulative mean.

    Raises:
        UsageError: the momentum lies outside [0, 1].
    """
    if debiased and momentum_of(momentum) == 0:
        return _cumulative(setting)
    updates = setting.updates
    weight = weight_gone(momentum, updates) if debiased else 1.0
    left = 0.0 if debiased else weight_left(momentum, updates)
    gone, last = weight_gone(momentum, updates), _last_weight(setting, momentum)
    bias = _bias(setting, gone, last) / weight
    return Budget(
        initial=left * setting.initial_error,
        drift=-linear_lag(momentum, setting.drift_per_step, updates) / weight,
        bias=bias,
        spread=_spread(setting, bias),
        walk=math.sqrt(walk_variance(momentum, setting.walk_per_step**2, updates)) / weight,
        noise=math.sqrt(_noise(setting, momentum)) / weight,
        alignment=setting.alignment,
    )


def best_momentum(setting: Setting, *, debiased: bool = False) -> float:
    """The momentum in [0, 1] with the least expected squared error, found numerically.

    0 where the initial value is exact and nothing moves; debiased, 0 is the cumulative mean.
    """
    return least(
        lambda momentum: budget(setting, momentum, debiased=debiased).squared,
        min(1e-6, 1e-3 / setting.updates),
    )


def _cumulative(setting: Setting) -> Budget:
    """Of the mean over all batches so far."""
    updates = setting.updates
    epochs, position = _place(setting)
    kinds = {"shuffled": noise.shuffled_cumulative, "fixed": noise.fixed_cumulative}
    if setting.order == "independent":
        variance = setting.variance_of(setting.batch_size) / updates
    else:
        variance = kinds[setting.order](setting.epoch, epochs, position)
    walk = setting.walk_per_step**2 * (updates + 1) * (2 * updates + 1) / (6 * updates)
    bias = _bias(setting, 1.0, epochs / updates)
    return Budget(
        initial=0.0,
        drift=-cumulative_lag(setting.drift_per_step, updates),
        bias=bias,
        spread=_spread(setting, bias),
        walk=math.sqrt(walk),
        noise=math.sqrt(variance),
        alignment=setting.alignment,
    )


def _noise(setting: Setting, momentum: float) -> float:
    """Variance of what sampling leaves in the running statistic."""
    if setting.order == "independent":
        variance = setting.variance_of(setting.batch_size)
        return noise.independent(momentum, setting.updates, variance)
    kinds = {"shuffled": noise.shuffled, "fixed": noise.fixed}
    return kinds[setting.order](momentum, setting.epoch, *_place(setting))


def _bias(setting: Setting, weight: float, last: float) -> float:
    """What biased batch variances lack, by the weight of all batches and of the last ones."""
    epoch = setting.epoch
    return (epoch.expectation - 1) * weight + (epoch.last_expectation - epoch.expectation) * last


def _spread(setting: Setting, bias: float) -> float:
    """Over training sets of N: |bias|·√V(N); none of it where the truth is the distribution's."""
    return abs(bias) * math.sqrt(setting.epoch.whole_variance)


def _last_weight(setting: Setting, momentum: float) -> float:
    return noise.last_weight(momentum, setting.epoch, *_place(setting))


def _place(setting: Setting) -> tuple[int, int]:
    """Full epochs before evaluation, and batches since."""
    return divmod(setting.updates, setting.epoch.batches)
