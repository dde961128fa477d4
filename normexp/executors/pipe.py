"""Short lines that processes send to the one that started them, while they work.

A named pipe, since it needs no connection, no lock and no reading of files now and then: a line is
written whole or not at all. What cannot be sent is lost, and never keeps the work waiting.
"""

import os
import select
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = select.PIPE_BUF
"""Bytes of a line, its end included, that no other process's line can come between."""


@contextmanager
def hearing(hear: Callable[[str], None]) -> Iterator[Path]:
    """A pipe that processes can send lines to; `hear` is called with each, in a thread."""
    with tempfile.TemporaryDirectory(prefix="normexp-") as place:
        path = Path(place) / "pipe"
        os.mkfifo(path)
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writing = os.open(path, os.O_WRONLY)  # else the pipe ends whenever nobody writes
        os.set_blocking(reading, True)
        thread = threading.Thread(target=_hear, args=(reading, hear), daemon=True, name="pipe")
        thread.start()
        try:
            yield path
        finally:
            os.close(writing)
            thread.join()


def send(path: Path, line: str) -> bool:
    """Send a line; whether it could be sent."""
    try:
        end = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(end, f"{line}\n".encode())
        finally:
            os.close(end)
    except OSError:  # nobody reads any more, or not fast enough
        return False
    return True


def _hear(reading: int, hear: Callable[[str], None]) -> None:
    with open(reading, encoding="utf-8") as lines:
        for line in lines:
            hear(line.removesuffix("\n"))
