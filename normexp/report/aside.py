"""Work that needs PyTorch, in a process that loads it while this one reads runs and draws."""

import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe, Process
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")


class Calling(Protocol):
    """Calls a function, here or elsewhere."""

    def __call__(self, function: Callable[P, Result], *args: P.args, **named: P.kwargs) -> Result:
        """Return what the function returns, or raise what it raises."""


def directly(function: Callable[P, Result], *args: P.args, **named: P.kwargs) -> Result:
    """Call it in this process."""
    return function(*args, **named)


@contextmanager
def aside() -> Iterator[Calling]:
    """Yield what calls functions in a process of their own; in this one if PyTorch is here."""
    if "torch" in sys.modules:
        yield directly
        return
    ours, theirs = Pipe()
    process = Process(target=_serve, args=(theirs, ours), daemon=True)
    process.start()
    theirs.close()  # as it closes ours: so either notices the end of the other

    def call(function: Callable[P, Result], *args: P.args, **named: P.kwargs) -> Result:
        ours.send((function, args, named))
        result, error = ours.recv()
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]

    try:
        yield call
    finally:
        process.kill()


def _serve(pipe: Connection, other_end: Connection) -> None:
    """Call what comes in until the other end is closed."""
    other_end.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the other process, which ends us
    gc.set_threshold(50_000)  # of the million objects that PyTorch makes none is garbage
    import normexp.insight.course  # noqa: F401  and with it PyTorch

    with suppress(EOFError, OSError):
        while True:
            function, args, named = pipe.recv()
            outcome: tuple[Any, Exception | None]
            try:
                outcome = function(*args, **named), None
            except Exception as error:  # noqa: BLE001  passed on, whatever it is
                outcome = None, error
            pipe.send(outcome)
