"""The two streams, and how an error looks on one of them."""

import os

from rich.console import Console
from rich.text import Text

from normexp.errors import NormexpError, SweepInterruptedError

WIDTH_OF_A_FILE = 160
"""Columns where nobody's terminal sets a bound and COLUMNS does not."""


def stdout() -> Console:
    """For data."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_OF_A_FILE
    return console


def stderr() -> Console:
    """For narration, progress and errors."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_error(error: NormexpError) -> None:
    """`error:` and `hint:`, a line each, however long; an interruption is no error."""
    console = stderr()
    asked = isinstance(error, SweepInterruptedError)
    head = Text("interrupted: ", "bold yellow") if asked else Text("error: ", "bold red")
    console.print(head + Text(error.message), soft_wrap=True)
    if error.hint:
        console.print(Text("hint: ", "bold cyan") + Text(error.hint), soft_wrap=True)
