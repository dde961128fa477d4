"""What to see in a momentum curve, in a few sentences."""

from collections.abc import Sequence

from normexp.console.words import interval, number
from normexp.report.cells import Cell, Point

DEFAULT = 0.1
"""PyTorch's momentum if nobody says another."""

ALIKE = 0.01
"""Relative difference that is not worth a word."""

FACTOR = 10
"""From which on a ratio is a factor rather than a percentage."""


PERCENT = "\u00a0%"
"""After a number, from which no line break parts it."""

SMALL = 0.1
"""A number of which fewer than three digits would be left after the point."""


def keras(momentum: float) -> str:
    """A momentum in Keras's convention: the weight of the old value."""
    return f"{1 - momentum:.10g}"


def sentence(found: Sequence[Cell], metric: str) -> str:
    """Which momentum is best, what the default costs, and what the levels are.

    Args:
        found: at least one cell, one of which has a finite value of the metric.
        metric: `test_loss` or `test_accuracy`.
    """
    known = [each for each in found if each.best(metric)]
    if not known:
        return f"No momentum has a finite {metric.replace('_', ' ')}."
    parts = _single(known[0], metric) if len(known) == 1 else _several(known, metric)
    return " ".join(parts)


def cost_sentence(found: Sequence[Cell]) -> str:
    """What the running statistics cost at the best momentum and at the worst."""
    points = [(cell, each) for cell in found for each in cell.measured("excess_loss")]
    if not points:
        return "No excess loss is finite."
    order = sorted(points, key=lambda pair: pair[1].value("excess_loss").mean)
    (best, low), (worst, high) = order[0], order[-1]
    text = (
        f"Running statistics cost least at {_at(best, low)}, {interval(low.value('excess_loss'))}, "
        f"and most at {_at(worst, high)}, {interval(high.value('excess_loss'))}."
    )
    made = [each for each in found if each.forecast]
    if len(made) == 1 and made[0].forecast:
        least = made[0].forecast.best
        text += f" Predicted least is {brief(least.cost)}, at {_both(least.momentum)}."
    return text


def brief(cost: float) -> str:
    """A cost, which may be small."""
    return number(cost) if abs(cost) >= SMALL else f"{cost:.2g}"


def _at(cell: Cell, point: Point) -> str:
    what = "the cumulative mean" if point.momentum is None else f"momentum {point.words}"
    return f"{what} ({cell.name})" if cell.name else what


def _both(momentum: float) -> str:
    return f"{momentum:g} (Keras {keras(momentum)})"


def _single(cell: Cell, metric: str) -> list[str]:
    best = cell.best(metric)
    assert best is not None  # noqa: S101  known to be measured
    what = metric.replace("_", " ")
    value = interval(best.value(metric))
    name = "The cumulative mean" if best.momentum is None else f"Momentum {_both(best.momentum)}"
    made = cell.forecast
    if made and made.best.momentum == best.momentum:
        head = f"{name} is best, measured ({what} {value}) and predicted"
    elif made:
        head = f"{name} is best measured ({what} {value}), {made.best.momentum:g} is predicted"
    else:
        head = f"{name} is best measured ({what} {value})"
    rest = [word for word in (_of_default(cell, best, metric), _of_levels(cell, best, metric))
            if word]  # fmt: skip
    return ["; ".join([head, *rest]) + "."]


def _of_default(cell: Cell, best: Point, metric: str) -> str:
    there = [each for each in cell.measured(metric) if each.momentum == DEFAULT]
    if not there:
        return ""
    if best.momentum == DEFAULT:
        return f"{DEFAULT:g} is PyTorch's default"
    return f"PyTorch's default {DEFAULT:g} {_worse(there[0], best, metric)}"


def _worse(point: Point, best: Point, metric: str) -> str:
    """`costs 71 % more`, as a verb."""
    one, other = point.value(metric).mean, best.value(metric).mean
    if "accuracy" in metric:
        return f"is {100 * (other - one):.2g} points below the best"
    if other <= 0:
        return f"is at {number(one)}"
    ratio = one / other
    if ratio - 1 < ALIKE:
        return f"is as good within 1{PERCENT}"
    return (
        f"costs {ratio:.3g} times as much"
        if ratio >= FACTOR
        else f"costs {100 * (ratio - 1):.0f}{PERCENT} more"
    )


def _of_levels(cell: Cell, best: Point, metric: str) -> str:
    """Against the population's statistics, and against no norm."""
    sign = -1 if "accuracy" in metric else 1
    level = cell.population(metric)
    parts = []
    if level and level.mean == level.mean:
        parts.append(f"{_reached(best, level.mean, metric)} the population's {number(level.mean)}")
    plain = cell.plain and cell.plain.estimates.get(metric)
    if plain and plain.mean == plain.mean:
        known = cell.measured(metric)
        below = sum(sign * each.value(metric).mean < sign * plain.mean for each in known)
        parts.append(f"no norm ({number(plain.mean)}) is beaten by {_of(below, len(known))}")
    return "; ".join(parts)


def _reached(best: Point, level: float, metric: str) -> str:
    value = best.value(metric)
    above = value.mean - level if "accuracy" not in metric else level - value.mean
    if above <= 0:
        return "it is no worse than"
    return "its interval holds" if above <= value.half_width else "nothing reaches"


def _of(count: int, whole: int) -> str:
    if count == whole:
        return "all of them"
    return f"{count} of {whole}" if count else "none"


def _several(found: Sequence[Cell], metric: str) -> list[str]:
    bests = [(cell, point) for cell in found if (point := cell.best(metric))]
    numbers = sorted(
        ((point.momentum, cell.name) for cell, point in bests if point.momentum is not None)
    )
    parts = []
    if numbers and len({each for each, _ in numbers}) == 1:
        every = "everywhere" if len(numbers) == len(bests) else f"in {_share(numbers, bests)}"
        parts.append(f"Momentum {_both(numbers[0][0])} is best measured {every}.")
    elif numbers:
        (low, where), (high, there) = numbers[0], numbers[-1]
        parts.append(
            f"The best measured momentum goes from {low:g} ({where}) to {high:g} ({there})."
        )
    if cumulative := len(bests) - len(numbers):
        parts.append(f"The cumulative mean is best in {cumulative} of {len(bests)}.")
    return [*parts, *_of_forecasts(found, metric), *_of_defaults(bests, metric)]


def _share(some: Sequence[object], whole: Sequence[object]) -> str:
    return f"{len(some)} of {len(whole)}"


def _of_forecasts(found: Sequence[Cell], metric: str) -> list[str]:
    pairs = [
        (cell.forecast.best.momentum, point.momentum)
        for cell in found
        if cell.forecast and (point := cell.best(metric)) and point.momentum
    ]
    if not pairs:
        return []
    near = sum(max(one / other, other / one) <= 2 for one, other in pairs if one)  # noqa: PLR2004
    share = f"{near} of {len(pairs)}" if near else "none"
    return [f"The predicted one is within a factor of 2 of it in {share}."]


def _of_defaults(bests: Sequence[tuple[Cell, Point]], metric: str) -> list[str]:
    """What the default costs where it costs most."""
    there = [
        (_loss_against(each, best, metric), cell, each, best)
        for cell, best in bests
        for each in cell.measured(metric)
        if each.momentum == DEFAULT
    ]
    if not there:
        return []
    _, cell, point, best = max(there, key=lambda each: each[0])
    if point is best:
        return [f"{DEFAULT:g} is PyTorch's default."]
    where = f" ({cell.name}, where it is worst)"
    if _loss_against(point, best, metric) - 1 < ALIKE:
        where = " everywhere"
    return [f"PyTorch's default {DEFAULT:g} {_worse(point, best, metric)}{where}."]


def _loss_against(point: Point, best: Point, metric: str) -> float:
    """How far it is from the best: a ratio of losses, or one more than a difference."""
    one, other = point.value(metric).mean, best.value(metric).mean
    if "accuracy" in metric or other <= 0:
        return 1 + abs(one - other)
    return one / other
