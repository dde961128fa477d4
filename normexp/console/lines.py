"""Rows as lines: columns as wide as their cells, words that wrap between words only."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

from normexp.console.streams import UNSAFE

GAP = "  "
MARK = "…"
"""Stands for what has been cut off."""


class Cells(NamedTuple):
    """A column: its title, of several lines perhaps, and its cells, which are one line each."""

    title: str
    cells: Sequence[str]
    is_figure: bool = False

    @property
    def width(self) -> int:
        """Of the widest cell or line of the title."""
        return max(map(cell_len, (*self.title.split("\n"), *self.cells)))


def width_of(columns: Sequence[Cells]) -> int:
    """What the lines of these columns take."""
    return 1 + sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def heads(columns: Sequence[Cells], width: int | None = None) -> list[str]:
    """The lines of the titles, and the rule below them.

    Args:
        columns: of the table.
        width: of the rule; that of the columns where none is given.
    """
    titles = [column.title.split("\n") for column in columns]
    most = max(map(len, titles))
    padded = [[""] * (most - len(title)) + title for title in titles]
    widths = [column.width for column in columns]
    rule = "─" * ((width or width_of(columns)) - 1)
    return [*(_line(row, widths, columns) for row in zip(*padded, strict=True)), " " + rule]


def lines(columns: Sequence[Cells]) -> Iterator[str]:
    """A line a row."""
    widths = [column.width for column in columns]
    for row in zip(*(column.cells for column in columns), strict=True):
        yield _line(row, widths, columns)


def _line(row: Sequence[str], widths: Sequence[int], columns: Sequence[Cells]) -> str:
    return (
        " "
        + GAP.join(
            (" " * (width - cell_len(text)) + text)
            if column.is_figure
            else set_cell_size(text, width)
            for text, width, column in zip(row, widths, columns, strict=True)
        )
    ).rstrip()


def one_line(text: str) -> str:
    """A text from a stranger's file as a cell can hold it."""
    return text if text.isprintable() else re.sub(r"\s+", " ", UNSAFE.sub("", text))


def cropped(text: str, width: int) -> str:
    """A text that fits, cut before a part of a name or a value rather than within a figure."""
    if cell_len(text) <= width:
        return text
    kept = chop_cells(text, max(1, width - 1))[0]
    cut = max(kept.rfind(","), kept.rfind("-"), kept.rfind("="), kept.rfind(" ")) + 1
    return (kept[:cut] if cut > 0 else kept) + MARK


def wrapped(words: Sequence[str], width: int, most: int | None = None) -> list[str]:
    """Words on as many lines as they need, no word on two.

    Args:
        words: a longer one than a line is cropped.
        width: of a line.
        most: lines, the last of which ends in a mark where words are left out.
    """
    found = [""]
    for number, word in enumerate(words):
        fitting = cropped(one_line(word), width)
        line = f"{found[-1]} {fitting}".lstrip()
        if cell_len(line) <= width:
            found[-1] = line
        elif most is not None and len(found) == most:
            left = f" {MARK}{len(words) - number} more"
            return [*found[:-1], _ending(found[-1], left, width)]
        else:
            found.append(fitting)
    return found


def _ending(line: str, end: str, width: int) -> str:
    """A line with this end; the end alone becomes the mark where there is no room for it."""
    return line + end if cell_len(line + end) <= width else cropped(f"{line} {MARK}", width)
