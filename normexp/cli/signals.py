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
    from normexp.session.stop import Stop


SIGNALS = (signal.SIGINT, signal.SIGTERM)
ENDED_EARLY = [128 + number for number in SIGNALS]
"""Exit codes, 130 and 143."""


@contextmanager
def listening(stop: "Stop", tell: Callable[[], None]) -> Iterator[list[int]]:
    """Ask a sweep to stop at the first signal, which the list then holds; `tell` says so."""
    from normexp.session.stop import GRACE_SECONDS  # not for --help

    heard: list[int] = []

    def hear(number: int, _: FrameType | None) -> None:
        if heard or not stop.has_begun:
            leave(128 + number)
        heard.append(number)
        stop.ask(GRACE_SECONDS)
        tell()

    before = {each: signal.signal(each, hear) for each in SIGNALS}
    try:
        yield heard
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def leave(code: int) -> NoReturn:
    """End this process and those it has started, at once and with this exit code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    for child in multiprocessing.active_children():
        if child.pid is not None:
            os.kill(child.pid, signal.SIGKILL)
    os._exit(code)  # joblib would wait for its processes
