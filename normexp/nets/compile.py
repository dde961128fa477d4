"""Functions compiled by Numba, once on a machine.

Compiled code is kept in the user's cache, in a directory whose name has all that it depends on. All
is compiled into the few functions that Python calls, so that code from the cache gives the same
bits as code that was just compiled. Loops with sums may be reordered (`reassoc`) to use vectors;
nothing assumes that numbers are finite, so that a training that diverges is seen to.
"""

import atexit
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numba
from llvmlite import binding

Function = TypeVar("Function", bound=Callable[..., object])

EXACT: Any = {"error_model": "numpy", "forceinline": True, "fastmath": {"contract", "nsz"}}
QUICK: Any = {"error_model": "numpy", "fastmath": {"contract", "nsz", "arcp", "reassoc"}}
ALWAYS: Any = {"forceinline": True, "no_cpython_wrapper": True}


def compiled(function: Function) -> Function:
    """Return a function that is compiled into those that call it."""
    return numba.njit(**QUICK, **ALWAYS)(function)  # type: ignore[no-any-return]


def element(function: Function) -> Function:
    """Return a function of one number, in which no operation changes its place."""
    return numba.njit(**EXACT)(function)  # type: ignore[no-any-return]


def entry(function: Function) -> Function:
    """Return a function for Python to call."""
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_directory())
    try:
        return numba.njit(cache=True, nogil=True, **QUICK)(function)  # type: ignore[no-any-return]
    finally:
        settings.CACHE_DIR = before


@cache
def cache_directory() -> Path:
    """Return where compiled code is kept: for this process alone where nothing can be written.

    Its name stands for processor, versions, and source.
    """
    sources = sorted(Path(__file__).parent.glob("*.py"))
    times = [f"{path} {path.stat().st_mtime_ns}" for path in sources]  # as Numba knows them
    names = binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    versions = map(version, ("numba", "llvmlite", "numpy"))
    key = hashlib.sha256("\n".join([*times, *names, *versions]).encode()).hexdigest()[:16]
    with suppress(OSError, RuntimeError):
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        place = Path(home, "normexp", key)
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return place
    place = Path(tempfile.mkdtemp(prefix="normexp-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


@contextmanager
def compiling(dtype: str) -> Iterator[bool]:
    """Give whether functions of a dtype are still to be compiled; one process does so at a time."""
    place = cache_directory()
    done = place / dtype
    if done.exists():
        yield False
        return
    with (place / "lock").open("w") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield not done.exists()
        done.touch()
