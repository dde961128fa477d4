"""Some lines at the bottom of a terminal, drawn again and again in their place."""

import os
from collections.abc import Sequence
from contextlib import suppress

from rich.console import Console
from rich.text import Text

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
AT_ONCE, THAT_WAS_ALL = "\x1b[?2026h", "\x1b[?2026l"
"""Around what a terminal that knows them shows as one picture; others ignore them."""

TO_END_OF_LINE, TO_END_OF_SCREEN = "\x1b[K", "\x1b[J"


def is_drawable(console: Console) -> bool:
    """Whether this is a terminal that can move its cursor and knows blocks.

    `FORCE_COLOR` makes no terminal of a file, `NO_COLOR` takes nothing but colours.
    """
    able = console.file.isatty() and not console.is_dumb_terminal
    return able and not console.options.ascii_only


class Screen:
    """Draws lines over those it has drawn before, none of them erased in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._frame: str | None = None
        self._lengths: list[int] = []

    def draw(self, lines: Sequence[Text]) -> None:
        """Show these lines, each cut to the width, instead of those before."""
        width = self._console.width
        for line in lines:
            line.truncate(width - 1, overflow="ellipsis")
        with self._console.capture() as drawn:
            for line in lines:
                self._console.print(line, no_wrap=True, crop=False)
        frame = drawn.get().rstrip("\n").replace("\n", f"{TO_END_OF_LINE}\n") + TO_END_OF_LINE
        if frame != self._frame:
            hide = HIDE_CURSOR if self._frame is None else ""
            back = self._back(width)
            self._write(f"{AT_ONCE}{hide}{back}{frame}{TO_END_OF_SCREEN}{THAT_WAS_ALL}")
        self._frame, self._lengths = frame, [line.cell_len for line in lines]

    def clear(self) -> None:
        """Take the lines away."""
        if self._frame is not None:
            self._write(f"{self._back(self._console.width)}{TO_END_OF_SCREEN}{SHOW_CURSOR}")
        self._frame, self._lengths = None, []

    def _back(self, width: int) -> str:
        """To where the first line begins; a terminal made narrower has wrapped what was drawn."""
        rows = sum(max(1, -(-length // width)) for length in self._lengths)
        return f"\r\x1b[{rows - 1}A" if rows > 1 else "\r"

    def _write(self, text: str) -> None:
        """Whole, and past the buffers, which a signal's last words may be using."""
        content = text.encode()
        with suppress(OSError):  # a terminal that has gone away is no reason to stop
            while content:
                content = content[os.write(self._console.file.fileno(), content) :]
