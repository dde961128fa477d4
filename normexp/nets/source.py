"""Code of the user's: a function of a file, `FILE.py:FUNCTION`, run only where it was typed."""

import hashlib
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from types import ModuleType

import torch

from normexp.errors import NormexpError, UsageError, describe, pick
from normexp.numerics import stream

DIGEST = 12
"""Hex digits, as of a run."""

TYPE_SOURCE = "type FILE.py:FUNCTION"

PACKAGE = Path(__file__).parents[1]

_turn = threading.RLock()
"""Held while the user's code runs: threads share PyTorch's random numbers, stdout and modules."""

_beside = set[str]()
"""Files that the user's files import from beside them."""


def function_in(source: str, digest: str | None = None) -> Callable[..., object]:
    """Run the user's file, and return the function of it that `FILE.py:FUNCTION` names.

    Raises:
        UsageError: there is no such file or function, or its content has another digest.
    """
    path, name = parts(source)
    content, _ = content_of(path, digest)
    module = sys.modules["of_user"] = ModuleType("of_user")
    module.__file__ = str(path)
    sys.path[:] = dict.fromkeys([str(path.resolve().parent), *sys.path])  # as `python FILE.py`
    for helper, each in [*sys.modules.items()]:
        if getattr(each, "__file__", None) in _beside:
            del sys.modules[helper]  # it may have changed, or be of another folder
    exec(compile(content, str(path), "exec"), vars(module))  # noqa: S102  it was named
    function: Callable[..., object] = pick(name, vars(module), f"{path}: function")
    return function


@contextmanager
def of_user(source: str) -> Iterator[None]:
    """Run the user's code as `python FILE.py` would, without arguments.

    Its errors become one line, what it prints goes to stderr, and PyTorch's settings stay.
    """
    typed, sys.argv = sys.argv, [source.rpartition(":")[0]]
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    try:
        with as_written():
            yield
    except NormexpError:
        raise
    except SystemExit as end:
        raise UsageError(
            f"{source}: it ended itself: SystemExit: {end.code}",
            "normexp gives it no arguments; what is for scripts belongs under __main__",
        ) from end
    except Exception as error:
        raise UsageError(f"{source}: {describe(error)}", "--debug shows where") from error
    finally:
        sys.argv = typed
        torch.set_default_dtype(dtype)
        torch.set_num_threads(threads)


@contextmanager
def as_written() -> Iterator[None]:
    """Run the user's code uncompiled, in one thread at a time; what it prints goes to stderr."""
    compiles = "torch._dynamo" in sys.modules  # which takes seconds to import
    stance = torch.compiler.set_stance("force_eager") if compiles else nullcontext()
    with _turn, redirect_stdout(sys.stderr), stance:
        yield


@contextmanager
def drawing(seed: int, *name: str | int) -> Iterator[None]:
    """Let modules draw, as for dropout, from a stream of their own; see `normexp.numerics`."""
    with _turn, torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream(seed, "module", *name).initial_seed())
        yield


def parts(source: str) -> tuple[Path, str]:
    """Return the file and the function of `FILE.py:FUNCTION`.

    Raises:
        UsageError: there is no such file.
    """
    name, _, function = source.rpartition(":")
    path = Path(name).expanduser()
    if not path.is_file():
        raise UsageError(f"{source!r} is no function in a file", TYPE_SOURCE)
    return path, function


def content_of(path: Path, digest: str | None) -> tuple[bytes, str]:
    """Return a file's content, and the digest of it and of what it imports from beside it.

    Raises:
        UsageError: the digest is not the given one.
    """
    contents = [each.read_bytes() for each in _files(path)]
    found = hashlib.sha256(b"".join(contents)).hexdigest()[:DIGEST]
    if digest not in (None, found):
        raise UsageError(
            f"{path} has digest {found}, not the {digest} that was named",
            "put the files of that time there, or leave out model.digest",
        )
    return contents[0], found


def _files(path: Path) -> list[Path]:
    """A file, the modules beside it that it imports, packages whole, and what these import."""
    found = [path.resolve()]
    for file in found:
        lines = re.findall(r"(?m)^\s*(?:from|import)\s.*", file.read_text("utf-8", "ignore"))
        for name in re.findall(r"\w+", " ".join(lines)):
            top = found[0].parent / name
            there = [top.with_suffix(".py"), *top.rglob("*.py")]
            new = set(filter(Path.is_file, there)) - {*found}
            found += sorted(each for each in new if PACKAGE not in each.parents)
    _beside.update(map(str, found[1:]))
    return found
