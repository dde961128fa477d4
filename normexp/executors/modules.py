"""Where processes that are started find modules: not in the current directory.

Python looks there first, and a user's own `queue.py` would be run as the standard library's.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SAFE = "PYTHONSAFEPATH"
"""Set, it keeps Python, and those whom that Python starts, from adding the current directory."""


def places() -> list[str]:
    """Return where modules are found here, without the current directory, and normexp's own."""
    first = sys.path[:1] if sys.path[:1] == [os.getcwd()] else []  # noqa: PTH109  a text
    own = str(Path(__file__).parents[2])
    found = [os.path.abspath(place) for place in sys.path[len(first) :] if place]  # noqa: PTH100
    return found if own in found else [*found, own]


@contextmanager
def safe_start() -> Iterator[None]:
    """Keep the current directory from all Pythons that are started meanwhile."""
    before = os.environ.get(SAFE)
    os.environ[SAFE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE]
        else:
            os.environ[SAFE] = before
