"""Functions called in processes of their own, which get ready while this one reads runs."""

import gc
import operator
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from typing import Any

Calling = Callable[..., Any]
"""Calls a function with arguments, here or elsewhere."""


@contextmanager
def aside(prepare: Callable[[], None]) -> Iterator[Calling]:
    """Yield what calls functions in a process that has prepared; in this one if PyTorch is here."""
    if "torch" in sys.modules:
        yield operator.call
        return
    ours, theirs = Pipe()
    process = Process(target=_serve, args=(theirs, ours, prepare), daemon=True)
    process.start()
    theirs.close()  # as it closes ours: so either notices the end of the other

    def call(*wanted: Any, **named: Any) -> Any:  # noqa: ANN401
        ours.send((wanted, named))
        result, error = ours.recv()
        if error is not None:
            raise error
        return result

    try:
        yield call
    finally:
        process.kill()


def load_pytorch() -> None:
    """Import what calculates."""
    gc.set_threshold(50_000)  # of the million objects that PyTorch makes none is garbage
    import normexp.insight.course  # noqa: F401


def _serve(pipe: Connection, other_end: Connection, prepare: Callable[[], None]) -> None:
    """Call what comes in until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other process, which ends us
    other_end.close()
    prepare()
    with suppress(EOFError, OSError):
        while True:
            wanted, named = pipe.recv()
            outcome: tuple[Any, Exception | None]
            try:
                outcome = operator.call(*wanted, **named), None
            except Exception as error:  # noqa: BLE001  passed on, whatever it is
                outcome = None, error
            pipe.send(outcome)
