"""The two streams, and how an error looks on one of them."""

from rich.console import Console
from rich.text import Text

from normexp.errors import NormexpError


def stdout() -> Console:
    """For data."""
    return Console(highlight=False, markup=False, emoji=False)


def stderr() -> Console:
    """For narration, progress and errors."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def print_error(error: NormexpError) -> None:
    """`error:` and `hint:`, a line each, however long."""
    console = stderr()
    console.print(Text("error: ", "bold red") + Text(error.message), soft_wrap=True)
    if error.hint:
        console.print(Text("hint: ", "bold cyan") + Text(error.hint), soft_wrap=True)
