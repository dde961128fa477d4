"""Looking at many directories: several at a time where the file system lets one wait.

On a disk of one's own a manifest comes at once, and threads would only be in each other's way. On
a shared file system every request takes a way there and back: a million manifests, ten requests
each, are an hour and a half one by one, and minutes side by side.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

Seen = TypeVar("Seen")

FEW = 64
"""Directories by which it is seen whether looking is mostly waiting."""

MANY = 2048
"""Directories handed out at a time."""

THREADS = 32
"""Requests that wait side by side."""


def looked(directories: Iterable[Path], look: Callable[[Path], Seen]) -> Iterator[Seen]:
    """What a function sees in each of the directories, in their order."""
    todo, waited = iter(directories), 0
    for directory in islice(todo, FEW):
        wall, busy = time.perf_counter(), time.thread_time()
        seen = look(directory)
        waited += time.perf_counter() - wall > 2 * (time.thread_time() - busy)
        yield seen
    if waited < FEW / 2:
        yield from map(look, todo)
        return
    with ThreadPoolExecutor(THREADS, "look") as pool:
        while some := list(islice(todo, MANY)):
            yield from pool.map(look, some)
