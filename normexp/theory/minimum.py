"""Where a function of the momentum is least."""

import math
from collections.abc import Callable

POINTS = 400
"""Momenta looked at before the best of them is refined."""

GOLDEN = (math.sqrt(5) - 1) / 2

EQUAL = 1e-9
"""Share by which equal costs may differ: of small momenta, terms cancel."""

STEPS = 60
"""Golden sections: each leaves 0.618 of the interval."""


def least(cost: Callable[[float], float], smallest: float) -> float:
    """The momentum in [0, 1] with the least cost, by a grid of logarithms and golden sections.

    The grid finds the valley where there is more than one; 0 and 1 are candidates, and are named
    first where costs are equal. A minimum is flat, so its place is good to some eight digits, its
    cost to all.

    Args:
        cost: at a momentum.
        smallest: momentum of the grid, positive; between it and 0 nothing happens.
    """
    low = math.log(smallest)
    grid = [low * (1 - i / (POINTS - 1)) for i in range(POINTS)]
    costs = [cost(math.exp(each)) for each in grid]
    best = costs.index(min(costs))
    left, right = grid[max(best - 1, 0)], grid[min(best + 1, POINTS - 1)]
    refined = math.exp(_section(lambda each: cost(math.exp(each)), left, right))
    found = {each: cost(each) for each in (0.0, 1.0, math.exp(grid[best]), refined)}
    lowest = min(found.values())
    return next(each for each, value in found.items() if value <= lowest * (1 + EQUAL))


def _section(cost: Callable[[float], float], left: float, right: float) -> float:
    """The place of the one minimum between two places."""
    for _ in range(STEPS):
        width = GOLDEN * (right - left)
        if cost(right - width) <= cost(left + width):
            right = left + width
        else:
            left = right - width
    return (left + right) / 2
