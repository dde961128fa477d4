"""Predictions for a setting: the error of each momentum, and the best one."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from normexp.errors import UsageError
from normexp.theory.budget import best_momentum, budget
from normexp.theory.memory import half_life, noise_factor, turned, weight_left
from normexp.theory.setting import Order, Setting

GRID = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9, 1.0)
"""Momenta in every prediction; 0.1 is PyTorch's default, 0.01 Keras's."""

DRIFTS = (0.0, 0.003, 0.01, 0.03)
"""Tried where no drift is known, in σ a step.

In trainings at a constant rate (digits and regression, Adam and SGD) the means of hidden layers
moved by 0.001 to 0.03 σ a step at the end; by 0.0001 where the rate had decayed to 0.
"""

LIKELY = 0.01
"""The drift among these to expect of a network that trains."""

LOWEST = 1e-4
"""First momentum of the curve, unless a lower one is asked for."""

POINTS_PER_DECADE = 60


@dataclass(frozen=True)
class Row:
    """The expectation of one momentum; errors in σ.

    Attributes:
        momentum: weight of the newest batch.
        keras_momentum: weight of the old value, 1 minus that.
        half_life_steps: None for momentum 0, which never forgets.
        half_life_epochs: the same in epochs; None too where their length is not known.
        initial_weight_left: of the initial value, at evaluation.
        noise_factor: √(a/(2 − a)), the long run of independent batches.
        initial_error: what is left of the initial value's error.
        drift_lag: behind a truth that moves.
        noise: standard deviation of the sampling noise.
        error: root of the expected squared error.
        shares: of the squared error, by cause.
    """

    momentum: float
    keras_momentum: float
    half_life_steps: float | None
    half_life_epochs: float | None
    initial_weight_left: float
    noise_factor: float
    initial_error: float
    drift_lag: float
    noise: float
    error: float
    shares: dict[str, float]


@dataclass(frozen=True)
class Prediction:
    """The expected errors in one setting.

    Attributes:
        name: of the setting among others; empty if it is the only one.
        setting: what was assumed.
        rows: by momentum, those asked for and the best.
        best: the row with the least expected error of all momenta.
        debiased: the best momentum with the initial value taken out, and its error; momentum 0
            is the cumulative mean.
        curve: momentum and expected error, close enough for a plot.
    """

    name: str
    setting: Setting
    rows: list[Row]
    best: Row
    debiased: tuple[float, float]
    curve: list[tuple[float, float]]

    def as_dict(self) -> dict[str, Any]:
        """The prediction as data; errors in σ, shares of the squared error."""
        momentum, error = self.debiased
        return {
            "name": self.name,
            "setting": {
                **asdict(self.setting),
                "batches_per_epoch": self.setting.batches_per_epoch,
                "last_batch": self.setting.last_batch,
            },
            "best": asdict(self.best),
            "best_debiased": {"momentum": momentum, "error": error},
            "rows": [asdict(row) for row in self.rows],
            "curve": [{"momentum": a, "error": error} for a, error in self.curve],
        }


def predict(
    setting: Setting, momenta: Sequence[float] = (), drift: float | None = None
) -> list[Prediction]:
    """A prediction for a drift in σ a step, or one for each of `DRIFTS`.

    Args:
        setting: its own drift is not read.
        momenta: shown beside the grid and the best.
        drift: None if it is not known.

    Raises:
        UsageError: a momentum lies outside [0, 1].
    """
    drifts = {f"drift {each:g}": each for each in DRIFTS} if drift is None else {"": drift}
    return [
        _prediction(name, replace(setting, drift_per_step=each), momenta)
        for name, each in drifts.items()
    ]


def order_of(train_size: int | None, *, shuffle: bool, drop_last: bool) -> Order:
    """The order of batches; independent if the training set's size is not known.

    Raises:
        UsageError: an option about epochs is given without that size.
    """
    if train_size is not None:
        return "shuffled" if shuffle else "fixed"
    if drop_last or not shuffle:
        option = "--drop-last" if drop_last else "--no-shuffle"
        raise UsageError(
            f"{option} is about epochs, and their size is not known",
            "add --train-size, the number of training examples",
        )
    return "independent"


def _prediction(name: str, setting: Setting, momenta: Sequence[float]) -> Prediction:
    best = _rounded(best_momentum(setting))
    shown = sorted({*GRID, *momenta, best})
    rows = [_row(setting, momentum) for momentum in shown]
    debiased = _rounded(best_momentum(setting, debiased=True))
    decades = -math.log10(min([LOWEST, *(each for each in shown if each > 0)]))
    number = math.ceil(decades * POINTS_PER_DECADE)
    curve = [10 ** (-decades * (1 - i / number)) for i in range(number + 1)]
    return Prediction(
        name=name,
        setting=setting,
        rows=rows,
        best=rows[shown.index(best)],
        debiased=(debiased, budget(setting, debiased, debiased=True).error),
        curve=[(momentum, budget(setting, momentum).error) for momentum in curve],
    )


def _rounded(momentum: float) -> float:
    """To three digits; a minimum is flat, so the error stays the same."""
    return float(f"{momentum:.3g}")


def _row(setting: Setting, momentum: float) -> Row:
    steps, epoch = half_life(momentum), setting.batches_per_epoch
    expected = budget(setting, momentum)
    return Row(
        momentum=momentum,
        keras_momentum=turned(momentum),
        half_life_steps=steps,
        half_life_epochs=None if steps is None or epoch is None else steps / epoch,
        initial_weight_left=weight_left(momentum, setting.updates),
        noise_factor=noise_factor(momentum),
        initial_error=abs(expected.initial),
        drift_lag=abs(expected.drift),
        noise=expected.noise,
        error=expected.error,
        shares=expected.shares,
    )
