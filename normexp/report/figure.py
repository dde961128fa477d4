"""A figure of a report: a chart, the sentence that says what to see, and its numbers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from normexp.console.words import NOTHING, interval, number
from normexp.insight.arms import Estimate

Spec = dict[str, Any]
"""A part of a chart, as Vega-Lite has it."""

MOST_ROWS = 400


@dataclass(frozen=True)
class Link:
    """A cell that leads to a directory."""

    text: str
    path: Path

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Table:
    """Figures as a table, for those who cannot or would rather not see a chart.

    Attributes:
        columns: their titles.
        rows: of cells as a person reads them; the first of each is its heading.
        prose: whether cells are texts, to be wrapped, rather than figures.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str | Link, ...], ...]
    prose: bool = False


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table of any values, in the digits that they deserve; of too many rows the first."""
    cells = [tuple(map(_cell, row)) for row in rows]
    if len(cells) > MOST_ROWS:
        more = f"and {len(cells) - MOST_ROWS} more: normexp.read() has all"
        cells = [*cells[:MOST_ROWS], (more, *("" for _ in columns[1:]))]
    return Table(tuple(columns), tuple(cells))


def _cell(value: Any) -> str | Link:  # noqa: ANN401  whatever a table has
    if isinstance(value, Link):
        return value
    if value is None or (isinstance(value, Estimate) and math.isnan(value.mean)):
        return NOTHING
    if isinstance(value, Estimate):
        return interval(value)
    return number(float(value)) if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Control:
    """A slider over some values of a parameter of the chart.

    Attributes:
        parameter: its name in the chart, whose own value is that of the start.
        label: a word for it.
        values: that it can have, in order; numbers or texts.
        words: of each value, such as `0.1 (Keras 0.9)`.
        start: position of the value that pictures show.
    """

    parameter: str
    label: str
    values: tuple[Any, ...]
    words: tuple[str, ...]
    start: int

    @property
    def value(self) -> Any:  # noqa: ANN401
        """The value at the start."""
        return self.values[self.start]


@dataclass(frozen=True)
class Sign:
    """An entry of a key.

    Attributes:
        words: what the mark means.
        drawing: the mark as SVG, in 34 × 14 pixels.
        is_arm: whether it stands for an arm: the page has one legend of those for all figures.
    """

    words: str
    drawing: str
    is_arm: bool = False


def epoch_slider(parameter: str, epochs: Sequence[int]) -> tuple[Control, ...]:
    """A slider over epochs that starts at the last one; none if there is one epoch."""
    words = tuple(f"{epoch} of {epochs[-1]}" for epoch in epochs)
    slider = Control(parameter, "Epoch", tuple(epochs), words, len(epochs) - 1)
    return (slider,) if len(epochs) > 1 else ()


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: of its files and its anchor, such as `momentum-curve`.
        title: a few words.
        sentence: the result, made from the numbers; may be several sentences, never empty.
        chart: with widths in pixels; the page makes it fit. None: the table is all.
        table: its numbers; None where another figure's table has them.
        key: what its marks mean.
        controls: sliders under it.
        note: how it was made, what was thinned.
        open: whether the table shows without a click.
    """

    name: str
    title: str
    sentence: str
    chart: Spec | None = None
    table: Table | None = None
    key: tuple[Sign, ...] = ()
    controls: tuple[Control, ...] = ()
    note: str = ""
    open: bool = False


@dataclass(frozen=True)
class LeftOut:
    """A figure that does not fit, and why, in half a sentence."""

    title: str
    why: str


Drawn = Sequence[Figure | LeftOut]
"""The figures that a drawing function returns."""


def sentences(*parts: str) -> str:
    """The sentences that there are, one after the other."""
    return " ".join(part for part in parts if part)
