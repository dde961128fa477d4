"""What theory predicts for settings, by momentum, and the best one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from normexp.errors import UsageError
from normexp.frameworks.direction import turned
from normexp.theory.budget import Budget, best_momentum, budget
from normexp.theory.memory import half_life, noise_factor, weight_left
from normexp.theory.setting import Order, Setting

GRID = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9, 1.0)
"""Momenta that every prediction shows; 0.1 is PyTorch's default, 0.01 Keras's."""

DRIFTS = (0.0, 0.003, 0.01, 0.03)
"""Tried where no drift is known, in σ a step.

In trainings at a constant rate (digits and regression, Adam and SGD) the means of hidden layers
moved by 0.001 to 0.03 σ a step at the end; by 0.0001 where the rate had decayed to 0.
"""

LIKELY = 0.01
"""The drift among these to expect of a network that trains."""

LOWEST = 1e-4
"""Where the curve begins, unless a momentum to show is lower."""

POINTS_PER_DECADE = 60


@dataclass(frozen=True)
class Row:
    """What one momentum is expected to do.

    Attributes:
        momentum: weight of the newest batch; Keras's is 1 minus that.
        half_life_steps: None for momentum 0, which never forgets.
        half_life_epochs: the same in epochs; None too where they are not known.
        initial_weight_left: of the initial value, at evaluation.
        noise_factor: √(a/(2 − a)), the long run of independent batches.
        budget: the error at evaluation by cause.
    """

    momentum: float
    half_life_steps: float | None
    half_life_epochs: float | None
    initial_weight_left: float
    noise_factor: float
    budget: Budget


@dataclass(frozen=True)
class Prediction:
    """What theory says of one setting.

    Attributes:
        name: of the setting, such as a layer's; empty where there is one only.
        setting: what was assumed.
        rows: by momentum, those asked for and the best among them.
        best: the row with the least expected error of all momenta.
        debiased: the momentum and error that are best with the initial value taken out; momentum 0
            is the cumulative mean.
        curve: momentum and expected error, close enough for a plot.
    """

    name: str
    setting: Setting
    rows: list[Row]
    best: Row
    debiased: tuple[float, float]
    curve: list[tuple[float, float]]


def predict_all(settings: Mapping[str, Setting], momenta: Sequence[float] = ()) -> list[Prediction]:
    """A prediction for each named setting.

    Args:
        settings: by name.
        momenta: to show beside the grid and the best.

    Raises:
        UsageError: a momentum lies outside [0, 1].
    """
    return [_prediction(name, setting, momenta) for name, setting in settings.items()]


def predict_drifts(setting: Setting, momenta: Sequence[float] = ()) -> list[Prediction]:
    """A prediction for each of `DRIFTS`, where a setting's own is not known.

    Raises:
        UsageError: a momentum lies outside [0, 1].
    """
    settings = {f"drift {each:g}": replace(setting, drift_per_step=each) for each in DRIFTS}
    return predict_all(settings, momenta)


def order_of(train_size: int | None, *, shuffle: bool, drop_last: bool) -> Order:
    """How batches are drawn: each anew where the training set's size is not known.

    Raises:
        UsageError: something is said of epochs all the same.
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


def as_data(prediction: Prediction) -> dict[str, Any]:
    """The same for programs; errors in the setting's units, shares of the squared error."""
    momentum, error = prediction.debiased
    return {
        "name": prediction.name,
        "setting": {
            **asdict(prediction.setting),
            "batches_per_epoch": prediction.setting.batches_per_epoch,
            "last_batch": prediction.setting.last_batch,
        },
        "best": _row_data(prediction.best),
        "best_debiased": {"momentum": momentum, "error": error},
        "rows": [_row_data(row) for row in prediction.rows],
        "curve": [{"momentum": a, "error": error} for a, error in prediction.curve],
    }


def _prediction(name: str, setting: Setting, momenta: Sequence[float]) -> Prediction:
    best = _rounded(best_momentum(setting))
    shown = sorted({*GRID, *momenta, best})
    rows = [_row(setting, momentum) for momentum in shown]
    debiased = _rounded(best_momentum(setting, debiased=True))
    return Prediction(
        name=name,
        setting=setting,
        rows=rows,
        best=rows[shown.index(best)],
        debiased=(debiased, budget(setting, debiased, debiased=True).error),
        curve=_curve(setting, min([LOWEST, *(each for each in shown if each > 0)])),
    )


def _rounded(momentum: float) -> float:
    """To three digits, which one can type; a minimum is flat, so the error stays what it is."""
    return float(f"{momentum:.3g}")


def _row(setting: Setting, momentum: float) -> Row:
    steps, epoch = half_life(momentum), setting.batches_per_epoch
    return Row(
        momentum=momentum,
        half_life_steps=steps,
        half_life_epochs=None if steps is None or epoch is None else steps / epoch,
        initial_weight_left=weight_left(momentum, setting.updates),
        noise_factor=noise_factor(momentum),
        budget=budget(setting, momentum),
    )


def _curve(setting: Setting, lowest: float) -> list[tuple[float, float]]:
    decades = -math.log10(lowest)
    number = math.ceil(decades * POINTS_PER_DECADE)
    momenta = [10 ** (-decades * (1 - i / number)) for i in range(number + 1)]
    return [(momentum, budget(setting, momentum).error) for momentum in momenta]


def _row_data(row: Row) -> dict[str, Any]:
    cost = row.budget
    return {
        "momentum": row.momentum,
        "keras_momentum": turned(row.momentum),
        "half_life_steps": row.half_life_steps,
        "half_life_epochs": row.half_life_epochs,
        "initial_weight_left": row.initial_weight_left,
        "noise_factor": row.noise_factor,
        "initial_error": abs(cost.initial),
        "drift_lag": abs(cost.drift),
        "noise": cost.noise,
        "error": cost.error,
        "shares": cost.shares,
    }
