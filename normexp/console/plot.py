"""A curve in the terminal: logarithmic axes, Braille, one marked place."""

import math
from collections.abc import Sequence
from typing import NamedTuple

Point = tuple[float, float]

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Braille's bits by row and column of a cell."""

BLANK = 0x2800
"""The Braille character without dots."""

FEWEST_COLUMNS = 16

LEAST_SHARE = 1e-6
"""Values below this part of the largest are drawn there: zero has no logarithm."""

NEARLY = 1e-9
"""Relative rounding between a value and its power of ten."""


class _Style(NamedTuple):
    """Characters of a plot, and dots in a cell across and down."""

    side: str
    tick: str
    corner: str
    floor: str
    below: str
    mark: str
    across: int
    down: int


BRAILLE = _Style("│", "┤", "└", "─", "┴", "●", 2, 4)
PLAIN = _Style("|", "+", "+", "-", "+", "O", 1, 1)


class _Scale(NamedTuple):
    """From a value to a dot, the logarithm of either end given."""

    low: float
    high: float
    dots: int

    def dot(self, value: float) -> int:
        """The nearest dot, within the scale."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return round(min(1.0, max(0.0, share)) * (self.dots - 1))


def curve(
    points: Sequence[Point],
    mark: Point,
    *,
    width: int = 72,
    height: int = 12,
    ascii_only: bool = False,
) -> list[str]:
    """Lines of a plot of a curve, both of its axes logarithmic and labelled.

    Args:
        points: abscissas ascending and positive; values not negative.
        mark: the place to mark, on the curve.
        width: of the whole plot, in characters; where it is too little, the plot is wider.
        height: of the field, in lines.
        ascii_only: whether the terminal knows nothing else.
    """
    style = PLAIN if ascii_only else BRAILLE
    largest = max(value for _, value in points)
    if largest == 0:
        return []
    drawn = [(x, max(value, LEAST_SHARE * largest)) for x, value in [*points, mark]]
    ticks = _ticks(min(value for _, value in drawn), largest, height)
    names = [f"{tick:g}" for tick in ticks]
    margin = max(map(len, names)) + 1
    columns = max(FEWEST_COLUMNS, width - margin - 2)
    x = _Scale(math.log10(points[0][0]), math.log10(points[-1][0]), columns * style.across)
    y = _Scale(math.log10(ticks[0]), math.log10(ticks[-1]), height * style.down)
    field = _field(drawn[:-1], x, y, style)
    row, column = _cell(drawn[-1], x, y, style)
    field[row][column] = style.mark
    named = {_cell((points[0][0], t), x, y, style)[0]: n for t, n in zip(ticks, names, strict=True)}
    lines = [
        f"{named.get(i, ''):>{margin}}{style.tick if i in named else style.side}{''.join(cells)}"
        for i, cells in enumerate(field)
    ]
    return [line.rstrip() for line in lines + _floor(x, margin, style)]


def _ticks(low: float, high: float, height: int) -> list[float]:
    """Round numbers from at most `low` to at least `high`, as many as there is room for."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 2)
    for digits in ((1, 2, 5), (1, 3), (1,)):
        every = [float(f"{digit}e{exponent}") for exponent in exponents for digit in digits]
        first = max(i for i, tick in enumerate(every) if tick <= low * (1 + NEARLY))
        last = min(i for i, tick in enumerate(every) if tick >= high * (1 - NEARLY))
        ticks = every[first : max(last, first + 1) + 1]
        if len(ticks) <= height / 2:
            break
    return ticks


def _field(points: Sequence[Point], x: _Scale, y: _Scale, style: _Style) -> list[list[str]]:
    """The cells of the field, top line first, with the curve in it, steep parts without gaps."""
    bits = [[0] * (x.dots // style.across) for _ in range(y.dots // style.down)]
    before = y.dot(points[0][1])
    for place, value in points:
        column, now = x.dot(place), y.dot(value)
        start = before + (now > before) - (now < before)
        for dot in range(min(start, now), max(start, now) + 1):
            line, down = divmod(y.dots - 1 - dot, style.down)
            cell, across = divmod(column, style.across)
            bits[line][cell] |= DOTS[down][across]
        before = now
    if style is PLAIN:
        return [[" *"[bool(each)] for each in line] for line in bits]
    return [[chr(BLANK + each) if each else " " for each in line] for line in bits]


def _cell(point: Point, x: _Scale, y: _Scale, style: _Style) -> tuple[int, int]:
    """Line from the top and column of a point."""
    line = (y.dots - 1 - y.dot(point[1])) // style.down
    return line, x.dot(point[0]) // style.across


def _floor(x: _Scale, margin: int, style: _Style) -> list[str]:
    """The lower axis: powers of ten at their places, as many labels as there is room for."""
    columns = x.dots // style.across
    axis, labels = [style.floor] * columns, [" "] * (columns + margin + 8)
    free = 0
    for decade in range(math.ceil(x.low - NEARLY), math.floor(x.high + NEARLY) + 1):
        column = x.dot(10.0**decade) // style.across
        axis[column] = style.below
        name = f"{10.0**decade:g}"
        start = max(0, margin + 1 + column - len(name) // 2)
        if start >= free:
            labels[start : start + len(name)] = name
            free = start + len(name) + 1
    return [f"{'':>{margin}}{style.corner}{''.join(axis)}", "".join(labels)]
