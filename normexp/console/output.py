"""Data on stdout, narration and errors on stderr."""

import os
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook
from rich.segment import Segment
from rich.text import Text

from normexp.errors import NormexpError, SweepInterruptedError, UsageError

WIDTH_OF_A_FILE = 160
"""Columns if stdout is no terminal and COLUMNS is not set."""

OTHERWISE = "type normexp COMMAND --help: it says what can be typed"
"""The hint of wrong input that has none of its own."""

UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters, and those that turn text around: nothing that we print needs them."""


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


def wrapped(words: Sequence[str], width: int) -> list[str]:
    """Words on as many lines as they need, broken between words only."""
    return textwrap.wrap(
        " ".join(map(one_line, words)), width, break_long_words=False, break_on_hyphens=False
    )


def one_line(text: str) -> str:
    """A text from a stranger's file as a line can hold it."""
    return text if text.isprintable() else re.sub(r"\s+", " ", UNSAFE.sub("", text))
