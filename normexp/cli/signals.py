"""Ctrl-C and SIGTERM: the first ends a sweep in good order, the second at once."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from normexp.sweeps.stop import Stop


SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h\r\x1b[K"
ENDED_EARLY = [128 + number for number in SIGNALS]
"""Exit codes, 130 and 143."""


@contextmanager
def listening(stop: "Stop", tell: Callable[[], None]) -> Iterator[list[int]]:
    """Ask a sweep to stop at the first signal, which the list then holds; `tell` says so."""
    from normexp.sweeps.stop import GRACE_SECONDS  # not for --help

    heard: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        if heard or not stop.has_begun:
            say = "left at once; what is stored is whole" if heard else "nothing was begun"
            leave(128 + number, f"interrupted: {say}, the same command goes on")
        heard.append(number)
        stop.ask(GRACE_SECONDS)
        tell()

    before = {each: signal.signal(each, hear) for each in SIGNALS}
    try:
        yield heard
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def leave(code: int, say: str = "") -> NoReturn:
    """End this process and those it has started, at once, with this exit code and these words."""
    if say:
        shown = SHOW_CURSOR if sys.stderr.isatty() else ""  # a bar may have hidden it
        with suppress(OSError):
            os.write(2, f"{shown}{say}\n".encode())
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    for child in multiprocessing.active_children():
        if child.pid is not None:
            os.kill(child.pid, signal.SIGKILL)
    os._exit(code)  # joblib would wait for its processes
