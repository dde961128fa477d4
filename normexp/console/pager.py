"""Long output on a terminal, a screen at a time, as git shows it."""

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from rich.cells import cell_len

PAGERS = ("NORMEXP_PAGER", "PAGER")
"""Variables that name the program, the first that is set; nothing or `cat` is none."""

DEFAULT = "less"

OPTIONS = {"LESS": "FRX", "LV": "-c"}
"""Where they are not set: leave if it is one screen, keep colours, keep the text on the screen."""

NOT_STARTED = (126, 127)
"""What a shell returns for a program that it cannot start."""

STYLES = re.compile(r"\x1b\[[0-9;]*m")


class _Screen(io.StringIO):
    """Takes what is meant for a terminal, with the terminal's encoding."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        """So that colours are kept."""
        return True


@contextmanager
def paged() -> Iterator[None]:
    """What is printed within, in a pager if it is longer than the screen.

    Only on a terminal; what a command had said before it failed is printed as it is.
    """
    pager = _pager()
    if pager is None:
        yield
        return
    screen = _Screen()
    screen.encoding = sys.stdout.encoding
    failed = True
    try:
        with redirect_stdout(screen):
            yield
        failed = False
    finally:
        text = screen.getvalue()
        if failed or not _is_long(text) or not _shown(pager, text):
            sys.stdout.write(text)
            sys.stdout.flush()


def _pager() -> str | None:
    """The command line of the pager; None where nothing is to be paged."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return None
    named = next((os.environ[name] for name in PAGERS if name in os.environ), DEFAULT).strip()
    return None if named in ("", "cat") else named


def _is_long(text: str) -> bool:
    """Whether it is longer than the screen, the prompt that follows counted."""
    size = os.get_terminal_size(sys.stdout.fileno())
    if not size.columns or not size.lines:  # nobody has set it
        return False
    rows = 1
    for line in STYLES.sub("", text).splitlines():
        rows += max(1, -(-cell_len(line) // size.columns))
        if rows > size.lines:
            return True
    return False


def _shown(pager: str, text: str) -> bool:
    """Show it until the reader has had enough; False where there is no such program."""
    with subprocess.Popen(  # noqa: S602  the user's own words, options and all, as git takes them
        pager, shell=True, stdin=subprocess.PIPE, env={**OPTIONS, **os.environ}
    ) as process:
        content = text.encode(sys.stdout.encoding or "utf-8", errors="replace")
        with suppress(OSError, KeyboardInterrupt):  # the reader has quit before the end
            if process.stdin is not None:
                process.stdin.write(content)
        with suppress(OSError):
            if process.stdin is not None:
                process.stdin.close()
        while process.poll() is None:
            with suppress(KeyboardInterrupt):  # the pager's own, which searches or stops reading
                process.wait()
    return process.returncode not in NOT_STARTED
