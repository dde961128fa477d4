"""Data and tables on stdout, narration and errors on stderr.

A table is as wide as the terminal: as many columns as fit, words wrapped and never cut. A row has
its cells by the titles of their columns, which may have several lines. Figures stand to the right,
words to the left. A column in which all cells are None is left out.
"""

import os
import re
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import zip_longest
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from normexp.console.words import NOTHING, cell, field_value, heading, title_of
from normexp.errors import NormexpError, SweepInterruptedError, UsageError

WIDTH_OF_A_FILE = 160
"""Columns if stdout is no terminal and COLUMNS is not set."""

OTHERWISE = "type normexp COMMAND --help: it says what can be typed"
"""The hint of wrong input that has none of its own."""

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters, and those that turn text around: nothing that we print needs them."""


Row = Mapping[str, object]

FIGURE = re.compile(rf"[-+×<]?\d[^A-Za-df-z]*(?:bytes?|[kMGT]B)?|-?inf|{NOTHING} ?|")
"""A number, perhaps with an interval, a mark or bytes."""

GAP = 2
"""Blanks between two columns."""

NARROW = 24
"""Characters that wrapped words have before columns are left out."""


class _Console(Console):
    """A console that breaks lines between words alone, and those of a file not at all.

    It prints no control characters but Rich's own: manifests, names of directories and messages may
    come from a stranger. Its reader may leave early, as `head` does: that is no error.
    """

    def print(self, *objects: Any, whole: bool = False, **settings: Any) -> None:  # noqa: ANN401
        """Print as Rich does; a `whole` line is broken nowhere, nor one with too long a word."""
        whole |= not self.is_terminal and (self.stderr or "COLUMNS" not in os.environ)
        words = [
            word for each in objects if isinstance(each, str | Text) for word in str(each).split()
        ]
        whole |= any(len(word) > self.width for word in words)
        super().print(*objects, soft_wrap=whole, **settings)

    def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:  # noqa: ANN401
        """Render as Rich does, cleaned."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else UNSAFE.sub("", text), style, control)

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


def stdout() -> _Console:
    """For data."""
    console = _Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_OF_A_FILE
    return console


def say(*words: object, style: str = "", whole: bool = False) -> None:
    """Print a line on stdout; one that is `whole` is broken nowhere."""
    stdout().print(*words, style=style, whole=whole)


def legend(text: str) -> None:
    """Print what a table's columns mean."""
    say(text, style="dim")


def stdout_line(text: str) -> None:
    """Print a line of data as it is, without control characters."""
    sys.stdout.write(UNSAFE.sub("", text) + "\n")


def stderr() -> _Console:
    """For narration, progress and errors."""
    return _Console(stderr=True, highlight=False, markup=False, emoji=False)


def note(text: str, kind: str = "note", style: str = "") -> None:
    """Print `note: ...` or the like on stderr; a hint is to be copied, and stays on one line."""
    stderr().print(Text(f"{kind}: ", style) + Text(text), whole=kind == "hint")


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


def print_command(command: str) -> None:
    """Print a command to be copied: on one line, on a terminal on several that a shell joins."""
    console = stdout()
    if console.is_terminal:
        words = re.findall(r"""(?:'[^']*'|"[^"]*"|\S)+""", command)
        unbroken = (word.replace(" ", "\0") for word in words)
        lines = textwrap.wrap(
            " ".join(unbroken), console.width - 4, break_long_words=False, break_on_hyphens=False
        )
        command = " \\\n  ".join(lines).replace("\0", " ")
    say(command, whole=True)


def one_line(text: str) -> str:
    """A text from a stranger's file as a line can hold it."""
    return text if text.isprintable() else re.sub(r"\s+", " ", UNSAFE.sub("", text))


def print_table(
    rows: Sequence[Row],
    drop_order: Sequence[str] = (),
    highlighted: int | None = None,
) -> list[str]:
    """Print a table; return the titles that it has, those without room left out in `drop_order`."""
    if not rows:
        return []
    console, columns = stdout(), _columns(rows)
    shown = _chosen(columns, drop_order, console.width)
    kept = [columns[title] for title in shown]
    widths = _widths(kept, console.width)
    cells = [
        [each.lines(text, width) for text in (each.title, *each.cells)]
        for each, width in zip(kept, widths, strict=True)
    ]
    titles, *texts = zip(*cells, strict=True)
    head = _lines([each[::-1] for each in titles], kept, widths)[::-1]
    body = [_lines(each, kept, widths) for each in texts]
    rule = max(_width(line) for lines in (head, *body) for line in lines)
    for line in ["", *head, " " + "─" * (min(rule, console.width) - 1)]:
        say(line, style="bold", whole=True)
    for place, lines in enumerate(body):
        for line in lines:
            if place == highlighted:
                say(line, style="bold", whole=True)
            else:
                stdout_line(line)
    if left_out := [title for title in drop_order if title in {*columns}.difference(shown)]:
        legend(f"no room for {', '.join(left_out)}".replace("\n", " "))
    return shown


def fits(rows: Sequence[Row]) -> bool:
    """Return whether all columns have room without wrapping a word."""
    return _total(_columns(rows).values()) <= stdout().width


def field_cells(fields: Sequence[str], values: Mapping[str, object]) -> dict[str, str]:
    """Return a cell a field; fields of the same name by their whole paths."""
    names = [heading(path) for path in fields]
    return {
        name if names.count(name) == 1 else path: field_value(path, values)
        for path, name in zip(fields, names, strict=True)
    }


def with_fields(
    rows: Sequence[tuple[Mapping[str, object], Row]], fields: Sequence[str]
) -> list[Row]:
    """Return rows of figures after a cell a field, or after one for all if there is no room."""
    apart = [{**field_cells(fields, values), **figures} for values, figures in rows]
    if fits(apart):
        return [*apart]
    known = [{title_of(path): field_value(path, values) for path in fields} for values, _ in rows]
    arms = [", ".join(f"{k} {v}" for k, v in each.items() if v != NOTHING) for each in known]
    return [{"arm": arm, **figures} for arm, (_, figures) in zip(arms, rows, strict=True)]


class _Column:
    """A column as texts."""

    def __init__(self, title: str, cells: Sequence[object]) -> None:
        self.title, self.cells = title, [_clean(cell(each)) for each in cells]
        self.width = max(_width(text) for text in (title, *self.cells))

    @cached_property
    def is_figure(self) -> bool:
        """Return whether all cells are figures."""
        return all(map(FIGURE.fullmatch, self.cells))

    @cached_property
    def longest(self) -> int:
        """The width of the longest word, or part of one up to a comma; a figure is one word."""
        return self._longest(",")

    @cached_property
    def least(self) -> int:
        """The same, words broken after hyphens too."""
        return self._longest(",-")

    def _longest(self, marks: str) -> int:
        parts = rf"[^\s{marks}]+[{marks}]?|$"
        texts = () if self.is_figure else (self.title, *self.cells)
        found = (_width(part) for text in texts for part in re.findall(parts, text))
        return max(found, default=self.width)

    def lines(self, text: str, width: int) -> list[str]:
        """Return a cell's lines, broken at blanks, and in long words after commas or hyphens."""
        lines = text.split("\n")
        if self.is_figure or _width(text) <= width:
            return lines
        parts = (
            rf"\S.{{0,{width - 1}}}(?!\S)|\S{{1,{width}}}(?<=,)|\S{{1,{width}}}(?<=-)|[^\s,-]+[,-]?"
        )
        return [part for line in lines for part in re.findall(parts, line) or [""]]


def _columns(rows: Sequence[Row]) -> dict[str, _Column]:
    titles = dict.fromkeys(title for row in rows for title in row)
    return {
        title: _Column(title, [row.get(title, "") for row in rows])
        for title in titles
        if any(row.get(title) is not None for row in rows)
    }


def _chosen(columns: Mapping[str, _Column], drop_order: Sequence[str], width: int) -> list[str]:
    """Return the titles that have room, their words wrapped; all that are not in `drop_order`."""
    shown = [*columns]
    if _total(columns.values()) <= width:
        return shown
    for title in drop_order:
        if title in shown and _total([columns[each] for each in shown], NARROW) > width:
            shown.remove(title)
    for title in reversed(drop_order):  # some have room once others have gone
        more = [each for each in columns if each == title or each in shown]
        if _total([columns[each] for each in more], NARROW) <= width:
            shown = more
    return shown


def _total(columns: Collection[_Column], narrow: int = 0) -> int:
    """Return the width of a table, its words wrapped at so many characters if possible."""
    widths = [max(min(e.width, narrow), e.least) if narrow else e.width for e in columns]
    return 1 + sum(widths) + GAP * (len(widths) - 1)


def _widths(columns: Sequence[_Column], width: int) -> list[int]:
    """Return the width of each column; the widest columns of words give way."""
    widths = [each.width for each in columns]
    for limit in ("longest", "least"):
        for _ in range(sum(widths) + GAP * (len(widths) - 1) + 1 - width):
            if soft := [i for i, each in enumerate(columns) if widths[i] > getattr(each, limit)]:
                widths[max(soft, key=widths.__getitem__)] -= 1
    return widths


def _lines(
    cells: Sequence[Sequence[str]], columns: Sequence[_Column], widths: Sequence[int]
) -> list[str]:
    """The lines of a row, of which cells have some each."""
    return [
        (" " + (" " * GAP).join(map(_padded, texts, columns, widths))).rstrip()
        for texts in zip_longest(*cells, fillvalue="")
    ]


def _padded(text: str, column: _Column, width: int) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if column.is_figure else text + blanks


def _width(text: str) -> int:
    if text.isascii() and text.isprintable():
        return len(text)
    return max(map(cell_len, text.split("\n")))


def _clean(text: str) -> str:
    return text if text.isprintable() else "\n".join(map(one_line, text.split("\n")))
