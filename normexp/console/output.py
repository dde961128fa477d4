"""Data and tables on stdout, narration and errors on stderr.

A table has as many columns as fit; words are wrapped rather than cut.
"""

import os
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import Any, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment
from rich.text import Text

from normexp.console.words import NOTHING, field_value, heading, title_of
from normexp.errors import NormexpError, SweepInterruptedError, UsageError

WIDTH_OF_A_FILE = 160
"""Columns if stdout is no terminal and COLUMNS is not set."""

OTHERWISE = "type normexp COMMAND --help: it says what can be typed"
"""The hint of wrong input that has none of its own."""

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters, and those that turn text around: nothing that we print needs them."""

GAP = 2
"""Blanks between two columns."""

NARROW, NARROWEST = 24, 8
"""Characters that wrapped words have before columns are left out, and at the least."""


@dataclass(frozen=True)
class _Cleaned:
    """Something printable without control characters."""

    inner: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for text, style, control in console.render(self.inner, options):
            yield Segment(text if control else UNSAFE.sub("", text), style, control)


class _Harmless(RenderHook):
    """Cleans all that a console prints, Rich's own styles aside.

    Manifests, names of directories and error messages may come from a stranger.
    """

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Cleaned(each) for each in renderables]


class _Console(Console):
    """A console whose reader may leave early, as `head` does: that is no error."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


def stdout() -> Console:
    """For data."""
    console = _Console(highlight=False, markup=False, emoji=False)
    console.push_render_hook(_Harmless())
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_OF_A_FILE
    return console


def legend(text: str) -> None:
    """Print what a table's columns mean."""
    stdout().print(text, style="dim")


def stdout_line(text: str) -> None:
    """Print a line of data as it is, without control characters."""
    sys.stdout.write(UNSAFE.sub("", text) + "\n")


def stderr() -> Console:
    """For narration, progress and errors."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    console.push_render_hook(_Harmless())
    return console


def note(text: str, kind: str = "note", style: str = "") -> None:
    """Print `note: ...` or the like on stderr: on one line, in a terminal broken between words.

    A hint stays on one line everywhere, as what is to be copied.
    """
    console = stderr()
    is_whole = kind == "hint" or not console.is_terminal
    console.print(Text(f"{kind}: ", style) + Text(text), soft_wrap=is_whole)


def warn(text: str) -> None:
    """Print `warning: ...` on stderr."""
    note(text, "warning", "bold yellow")


def print_error(error: NormexpError) -> None:
    """Print `error:` and `hint:`, a line each, however long; an interruption is no error."""
    asked = isinstance(error, SweepInterruptedError)
    note(error.message, *(("interrupted", "bold yellow") if asked else ("error", "bold red")))
    hint = error.hint or (OTHERWISE if isinstance(error, UsageError) else None)
    if hint:
        note(hint, "hint", "bold cyan")


def escaped(text: str) -> str:
    """JSON with the same characters escaped; it has none of them outside its texts."""
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Column(NamedTuple):
    """A column: its title, of several lines perhaps, and the cell of a row.

    Figures stand to the right. Words stand to the left and are wrapped where there is no room,
    those of a whole column, such as paths to be copied, never.
    """

    title: str
    cell: Callable[[Any], str]
    is_figure: bool = True
    is_whole: bool = False


def print_table(
    console: Console,
    rows: Sequence[Any],
    columns: Sequence[Column],
    drop_order: Sequence[str] = (),
    highlighted: object = None,
) -> list[str]:
    """Print a table as wide as the console; return the titles of `drop_order` without room."""
    kept = [_Filled(each, [_clean(each.cell(row)) for row in rows]) for each in columns]
    left_out = []
    for title in drop_order:
        if _total(kept, NARROW) > console.width:
            left_out += [title for each in kept if each.column.title == title]
            kept = [each for each in kept if each.column.title != title]
    widths = _widths(kept, console.width)
    titles = [_wraps(e.column.title, e, w) for e, w in zip(kept, widths, strict=True)]
    most = max(map(len, titles))
    above = zip(*([""] * (most - len(title)) + title for title in titles), strict=True)
    head = [_line(line, kept, widths) for line in above]
    body = [_row(row, kept, widths) for row in zip(*(each.cells for each in kept), strict=True)]
    rule = max(cell_len(line) for each in (head, *body) for line in each)
    for line in ["", *head, " " + "─" * (min(rule, console.width) - 1)]:
        console.print(Text(line, "bold"), soft_wrap=True)
    for row, lines in zip(rows, body, strict=True):
        for line in lines:
            if row is highlighted:
                console.print(Text(line, "bold"), soft_wrap=True)
            else:
                stdout_line(line)
    if left_out:
        names = ", ".join(left_out).replace("\n", " ")
        console.print(f"no room for {names}", style="dim")
    return left_out


def fits(rows: Sequence[Any], columns: Sequence[Column], width: int) -> bool:
    """Return whether all columns have room without wrapping a word."""
    return _total([_Filled(each, [each.cell(row) for row in rows]) for each in columns]) <= width


def words_of(title: str, cell: Callable[[Any], str], *, is_whole: bool = False) -> Column:
    """A column of words."""
    return Column(title, cell, is_figure=False, is_whole=is_whole)


def field_column(path: str, values: Callable[[Any], Mapping[str, Any]], prefix: str = "") -> Column:
    """A column of the values of a field, which `values` has of a row."""
    return words_of(prefix + heading(path), lambda row: field_value(path, values(row)))


def field_columns(
    rows: Sequence[Any],
    fields: Sequence[str],
    figures: Sequence[Column],
    *,
    width: int,
) -> list[Column]:
    """A column a field of `row.values`; one column for all where these figures need the room."""

    def named(row: Any) -> str:  # noqa: ANN401
        words = {title_of(path): field_value(path, row.values) for path in fields}
        return ", ".join(f"{title} {word}" for title, word in words.items() if word != NOTHING)

    columns = [field_column(path, lambda row: row.values) for path in fields]
    return columns if fits(rows, [*columns, *figures], width) else [words_of("arm", named)]


def wrapped(words: Sequence[str], width: int) -> list[str]:
    """Words on as many lines as they need, broken between words only."""
    return textwrap.wrap(
        " ".join(map(one_line, words)), width, break_long_words=False, break_on_hyphens=False
    )


def one_line(text: str) -> str:
    """A text from a stranger's file as a line can hold it."""
    return text if text.isprintable() else re.sub(r"\s+", " ", UNSAFE.sub("", text))


@dataclass
class _Filled:
    """A column and its cells."""

    column: Column
    cells: list[str]

    @cached_property
    def width(self) -> int:
        """Of the widest line."""
        return max(_width(text) for text in (self.column.title, *self.cells))

    @property
    def is_soft(self) -> bool:
        """Its words may be wrapped."""
        return not (self.column.is_figure or self.column.is_whole)


def _total(columns: Sequence[_Filled], least: int | None = None) -> int:
    """The width of a table; with words wrapped at `least` characters, if given."""
    widths = [min(each.width, least) if least and each.is_soft else each.width for each in columns]
    return 1 + sum(widths) + GAP * (len(widths) - 1)


def _widths(columns: Sequence[_Filled], width: int) -> list[int]:
    """The width of each column; the widest columns of words give way."""
    widths = [each.width for each in columns]
    for _ in range(_total(columns) - width):
        soft = [i for i, each in enumerate(columns) if each.is_soft and widths[i] > NARROWEST]
        if soft:
            widths[max(soft, key=widths.__getitem__)] -= 1
    return widths


def _row(cells: Sequence[str], columns: Sequence[_Filled], widths: Sequence[int]) -> list[str]:
    """The lines of a row, long words wrapped."""
    if not any("\n" in text or len(text) > w for text, w in zip(cells, widths, strict=True)):
        return [_line(cells, columns, widths)]
    wraps = [_wraps(*each) for each in zip(cells, columns, widths, strict=True)]
    return [_line(line, columns, widths) for line in zip_longest(*wraps, fillvalue="")]


def _line(cells: Sequence[str], columns: Sequence[_Filled], widths: Sequence[int]) -> str:
    parts = [
        " " * (width - cell_len(text)) + text
        if each.column.is_figure
        else set_cell_size(text, max(width, cell_len(text)))
        for text, each, width in zip(cells, columns, widths, strict=True)
    ]
    return (" " + (" " * GAP).join(parts)).rstrip()


def _wraps(text: str, column: _Filled, width: int) -> list[str]:
    """The lines of a cell or a title."""
    lines = text.split("\n")
    if not column.is_soft:
        return lines
    return [
        part
        for line in lines
        for part in textwrap.wrap(line, width, break_on_hyphens=False) or [""]
    ]


def _width(text: str) -> int:
    if text.isascii() and text.isprintable():
        return len(text)
    return max(map(cell_len, text.split("\n")))


def _clean(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(one_line, text.split("\n")))
