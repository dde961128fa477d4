"""Numbers, fields and durations as text, and the ticks and points that are shown of many."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from normexp.config.field import spell
from normexp.config.norm import WITHOUT_MOMENTUM
from normexp.config.schema import FRAMEWORK, IDENTITY_GROUPS
from normexp.insight.arms import Estimate
from normexp.theory.memory import turned

NOTHING = "–"

MOST_PLACES = 4
"""Decimal places beyond which an interval gets an exponent."""

MOST_PLAIN = 1e6
"""The half-width from which on it gets one too."""

METRICS = {
    "train_loss": "train",
    "test_loss": "test loss",
    "test_loss_population": "population",
    "test_loss_test_batch": "test batch",
    "excess_loss": "excess",
    "test_accuracy": "accuracy",
    "test_accuracy_population": "population\naccuracy",
}
"""Titles of metrics."""

TICKS = ((0.3, (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)),
         (0.8, (1, 1.5, 2, 3, 4, 5, 7)), (2, (1, 2, 5)), (3, (1, 3)), (math.inf, (1,)))  # fmt: skip
"""First digits of ticks on a logarithmic axis of less than so many decades."""

MOST_DECADES = 7
"""With a tick each."""

SKEWED = "~"
SKEWED_NOTE = "~: seeds are skewed, so the interval is too short, mostly at its upper end."


def number(value: float | None, digits: int = 4) -> str:
    """A measured number: significant digits, at most three decimal places, a dash for none."""
    if value is None or math.isnan(value):
        return NOTHING
    if isinstance(value, int) or value == 0:
        return str(int(value))
    if not 10**-digits <= abs(value) < 10 ** (digits + 2):
        return f"{value:.{digits - 1}g}"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:z.{max(0, min(places, 3))}f}"


def interval(estimate: Estimate) -> str:
    """The mean to the digits that its interval leaves it, two of the interval's; ~ if skewed."""
    mean, half, sign = estimate.mean, estimate.half_width, SKEWED * estimate.is_skewed
    if not math.isfinite(half):
        return number(mean)
    places = 1 - math.floor(math.log10(half)) if half else MOST_PLACES
    if mean:  # one place more where else a single digit of the mean would be left
        wanted = 1 - math.floor(math.log10(abs(mean)))
        places = max(places, min(wanted, places + 1, MOST_PLACES))
    if places > MOST_PLACES or half >= MOST_PLAIN:
        return f"{mean:.3g} ± {half:.2g}{sign}"
    return f"{mean:z.{max(0, places)}f} ± {half:.{max(0, places)}f}{sign}"


def short(value: float | None, digits: int = 3) -> str:
    """A computed number by its leading digits, such as a half-life; a dash for none."""
    if value is None or math.isnan(value):
        return NOTHING
    return "<1e-06" if 0 < value < 1e-6 else f"{value:.{digits}g}"  # noqa: PLR2004


def keras(momentum: float | None) -> str:
    """A momentum in Keras's convention: the weight of the old value; a dash for none."""
    return NOTHING if momentum is None else f"{turned(momentum):.10g}"


def duration(seconds: float) -> str:
    """`2.3 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{round(seconds, 1):.2g} s"
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`, `2 trajectories`."""
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def listed(values: Sequence[Any], most: int = 8) -> str:
    """All values, or the first ones, the last, and how many there are."""
    spelled = [spell(value) for value in values]
    if len(spelled) > most:
        return f"{', '.join(spelled[:3])}, ..., {spelled[-1]} ({len(spelled)})"
    return ", ".join(spelled)


def heading(path: str) -> str:
    """A column's title for a field: the group for its kind, the field's own name otherwise."""
    group, _, field = path.rpartition(".")
    if path == "optim.momentum":
        return "optim\nmomentum"
    if path == FRAMEWORK:
        return "framework"
    name = group if field == "kind" and group in IDENTITY_GROUPS else field
    return name.replace("_", "\n")


def title_of(path: str) -> str:
    """The same on one line, such as `momentum` or `batch size`."""
    return heading(path).replace("\n", " ")


def field_value(path: str, values: Mapping[str, Any]) -> str:
    """A field's value, a dash if there is no such field."""
    if path not in values:
        return NOTHING
    value = values[path]
    if path == "norm.estimator" and value == "ema" and values.get("norm.momentum", 0) is None:
        return "cumulative"
    if path != "norm.momentum":
        return spell(value)
    if value is None:
        return NOTHING if values.get("norm.estimator") in WITHOUT_MOMENTUM else "cumulative"
    return f"{value:g}"


def cell(value: Any) -> str:  # noqa: ANN401
    """Any value in a table."""
    return number(value) if value is None or isinstance(value, float) else str(value)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis: some of every decade, fewer the more decades."""
    decades = math.log10(high / low)
    digits = next(each for most, each in TICKS if decades < most)
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    step = max(1, round(decades / MOST_DECADES))
    every = [float(f"{digit}e{each}") for each in exponents if not each % step for digit in digits]
    return [value for value in every if low <= value <= high]


def evenly(number: int, most: int) -> list[int]:
    """Positions of so many points, or at most `most` of them at equal distances, both ends kept."""
    if number <= most:
        return list(range(number))
    return sorted({round(i * (number - 1) / max(1, most - 1)) for i in range(most)})
