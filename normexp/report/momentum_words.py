"""The verdict on momenta in a few sentences: the best, the predicted one, the default."""

import math
from collections.abc import Iterator, Sequence

from normexp.console.words import interval, keras, number
from normexp.report.cells import Cell
from normexp.report.style import PERCENT

DEFAULT = 0.1
"""PyTorch's momentum if nobody says another."""

ALIKE = 0.01
"""Relative difference that is not worth a word."""


def best_sentence(found: Sequence[Cell], metric: str) -> str:
    """The best momentum, the predicted one, and what the default costs."""
    known = [cell for cell in found if cell.best(metric)]
    if not known:
        return f"No momentum has a finite {metric.replace('_', ' ')}."
    return _of_one(known[0], metric) if len(known) == 1 else _of_several(known, metric)


def cost_sentence(found: Sequence[Cell]) -> str:
    """The momenta at which running statistics cost least and most."""
    known = [(cell, arm) for cell in found for arm in cell.known("excess_loss")]
    ordered = sorted(known, key=lambda pair: pair[0].mean(pair[1], "excess_loss"))

    def at(cell: Cell, arm: str) -> str:
        value = cell.momenta[arm]
        what = "the cumulative mean" if value is None else f"momentum {value:g}"
        where = f" ({cell.name})" if cell.name else ""
        return f"{what}{where}, {interval(cell.source.estimate(arm, 'excess_loss'))}"

    text = f"Running statistics cost least at {at(*ordered[0])}, and most at {at(*ordered[-1])}."
    made = [cell.forecast for cell in found if cell.forecast]
    if len(made) == 1:
        best = made[0].best
        text += f" Predicted least is {number(best.cost, 3)}, at {_both(best.momentum)}."
    return text


def _of_one(cell: Cell, metric: str) -> str:
    best = cell.best(metric)
    value = cell.momenta[best]
    name = "The cumulative mean" if value is None else f"Momentum {_both(value)}"
    measured = f"{metric.replace('_', ' ')} {interval(cell.source.estimate(best, metric))}"
    if cell.forecast and cell.forecast.best.momentum == value:
        first = f"{name} is best, measured ({measured}) and predicted"
    else:
        first = f"{name} is best measured ({measured})"
        first += f", {cell.forecast.best.momentum:g} is predicted" if cell.forecast else ""
    return "; ".join([first, *_default(cell, metric), *_levels(cell, metric)]) + "."


def _levels(cell: Cell, metric: str) -> Iterator[str]:
    """The best momentum against the population's statistics, and all against no norm."""
    rank, best = cell.source.rank, cell.best(metric)
    level, plain = (cell.level(of, metric).mean for of in ("population", "no norm"))
    if math.isfinite(level):
        above = rank(best, metric) - (-level if "accuracy" in metric else level)
        inside = above <= cell.source.estimate(best, metric).half_width
        reached = "its interval holds" if inside else "nothing reaches"
        yield f"{'it is no worse than' if above <= 0 else reached} the population's {number(level)}"
    if math.isfinite(plain):
        known = cell.known(metric)
        better = sum(rank(arm, metric) < rank(cell.plain, metric) for arm in known)
        yield f"no norm ({number(plain)}) is beaten by {better or 'none'} of {len(known)}"


def _of_several(found: Sequence[Cell], metric: str) -> str:
    bests = {cell.name: cell.momenta[cell.best(metric)] for cell in found}
    pairs = sorted((value, name) for name, value in bests.items() if value is not None)
    parts = []
    if pairs and pairs[0][0] == pairs[-1][0]:
        where = "everywhere" if len(pairs) == len(bests) else f"in {len(pairs)} of {len(bests)}"
        parts.append(f"Momentum {_both(pairs[0][0])} is best measured {where}.")
    elif pairs:
        (low, where), (high, there) = pairs[0], pairs[-1]
        parts.append(
            f"The best measured momentum goes from {low:g} ({where}) to {high:g} ({there})."
        )
    if len(pairs) < len(bests):
        parts.append(f"The cumulative mean is best in {len(bests) - len(pairs)} of {len(bests)}.")
    ratios = [
        cell.forecast.best.momentum / best
        for cell in found
        if cell.forecast and (best := bests[cell.name])
    ]
    if ratios:
        near = sum(0.5 <= ratio <= 2 for ratio in ratios)  # noqa: PLR2004
        parts.append(
            f"The predicted one is within a factor of 2 of it in {near or 'none'} of {len(ratios)}."
        )
    typed = [cell for cell in found if _arm_of_default(cell, metric)]
    if typed:
        worst = max(typed, key=lambda cell: _times(cell, metric))
        parts.append(f"In {worst.name}, where it is worst, {next(_default(worst, metric))}.")
    return " ".join(parts)


def _both(value: float) -> str:
    return f"{value:g} (Keras {keras(value)})"


def _arm_of_default(cell: Cell, metric: str) -> str:
    """The arm with PyTorch's momentum; empty if there is none."""
    return next((arm for arm in cell.known(metric) if cell.momenta[arm] == DEFAULT), "")


def _times(cell: Cell, metric: str) -> float:
    """The default against the best: a ratio of losses, or one more than a difference."""
    one, best = (cell.mean(a, metric) for a in (_arm_of_default(cell, metric), cell.best(metric)))
    return 1 + abs(one - best) if "accuracy" in metric or best <= 0 else one / best


def _default(cell: Cell, metric: str) -> Iterator[str]:
    """`PyTorch's default 0.1 costs 71 % more`; nothing if it was not tried."""
    if not _arm_of_default(cell, metric):
        return
    times = _times(cell, metric)
    if "accuracy" in metric:
        far = f"is {100 * (times - 1):.2g} points below the best"
    elif times < 10:  # noqa: PLR2004  from there on no percentage
        far = f"costs {100 * (times - 1):.0f}{PERCENT} more"
    else:
        far = f"costs {times:.3g} times as much"
    if times - 1 < ALIKE:
        far = f"is as good within 1{PERCENT}"
    yield f"PyTorch's default {DEFAULT:g} {far}"
