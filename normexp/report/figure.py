"""A figure of a report: a chart, the sentence that says what to see, and its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

    Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart | alt.VConcatChart


@dataclass(frozen=True)
class Link:
    """A cell that leads to a directory."""

    text: str
    path: Path

    def __str__(self) -> str:
        return self.text


Cell = str | Link


@dataclass(frozen=True)
class Table:
    """Figures as a table, for those who cannot or would rather not see a chart.

    Attributes:
        columns: their titles.
        rows: of cells as a person reads them; the first of each is its heading.
        prose: whether cells are texts, to be wrapped, rather than figures.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    prose: bool = False


@dataclass(frozen=True)
class Control:
    """A slider over some values of a parameter of the chart.

    Attributes:
        parameter: its name in the chart, whose own value is that of the start.
        label: what it is.
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
        """That at the start."""
        return self.values[self.start]


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: of its files and its anchor, such as `momentum-curve`.
        title: a few words.
        sentence: what to see, made from the numbers; may be several, never empty.
        description: what is drawn, for those who do not see it: axes, marks, number of series.
        chart: in Vega-Lite, with widths in pixels; the page makes it fit. None: the table is all.
        table: its numbers; None where they are too many (the note then says which table has them).
        controls: sliders under it.
        note: how it was made, what was thinned, what marks mean.
        open: whether the table shows without a click.
    """

    name: str
    title: str
    sentence: str
    description: str
    chart: "Chart | None" = None
    table: Table | None = None
    controls: tuple[Control, ...] = ()
    note: str = ""
    open: bool = False

    @cached_property
    def vega_lite(self) -> dict[str, Any]:
        """The chart as Vega-Lite has it; made once, since that takes a fifth of a second."""
        import altair as alt

        assert self.chart is not None  # noqa: S101
        with alt.data_transformers.enable("default", max_rows=None):  # figures thin by themselves
            return dict(self.chart.to_dict())


@dataclass(frozen=True)
class LeftOut:
    """A figure that does not fit what is reported on, and why, in half a sentence."""

    title: str
    why: str


Drawn = Sequence[Figure | LeftOut]
"""What a drawing function comes to."""
