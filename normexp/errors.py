"""Errors that end a command: one line that says what is wrong, one that says what to type."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

Entry = TypeVar("Entry")


class NormexpError(Exception):
    """Root of every error that normexp raises on purpose.

    Args:
        message: what was given and what is allowed, in one line.
        hint: what to type next, if there is such a thing.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(NormexpError):
    """Wrong input: a key, a value, a combination."""

    exit_code = 2


class NotFoundError(NormexpError):
    """Something is not in the store."""

    exit_code = 3


class VerificationError(NormexpError):
    """Stored files have changed, or are not what their configuration gives."""

    exit_code = 4


class SweepInterruptedError(NormexpError):
    """Somebody asked a sweep to stop; stored runs are whole."""

    exit_code = 130


def describe(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, NormexpError):
        return error.message
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the known names most like `name`, best first; dotted names match by their end too.

    First come those of which it is the beginning, or that are its beginning: `BatchNorm2d` is
    `batch`. The group of a dotted name is none of them.
    """
    from difflib import get_close_matches  # takes a while to import, and errors are rare

    names = list(known)
    around = [e for e in names if _overlap(name, e) and not name.startswith(f"{e}.")]
    around.sort(key=lambda each: -_overlap(name, each))
    whole = get_close_matches(name, names, n=most, cutoff=0.6)
    last = {each: each.rpartition(".")[2] for each in names}
    close = get_close_matches(name.rpartition(".")[2], sorted(set(last.values())), n=most)
    by_last = [each for part in close for each in names if last[each] == part]
    return list(dict.fromkeys([*around, *whole, *by_last]))[:most]


def _overlap(one: str, other: str) -> int:
    """Return the length of the shorter name if the longer one begins with it."""
    plain = (name.lower().replace("_", "").replace("-", "") for name in (one, other))
    short, long = sorted(plain, key=len)
    return len(short) if len(short) > 1 and long.startswith(short) else 0


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return a hint that names the nearest names, or `otherwise` if none is near."""
    candidates = nearest(name, known)
    return f"did you mean {' or '.join(candidates)}?" if candidates else otherwise


def pick(name: str, table: Mapping[str, Entry], what: str) -> Entry:
    """Return the entry called `name`.

    Raises:
        UsageError: there is none; the message lists what there is.
    """
    if name in table:
        return table[name]
    choices = ", ".join(sorted(table))
    raise UsageError(
        f"{what} {name!r} is unknown; there is {choices}",
        did_you_mean(name, table, f"type one of {choices}"),
    )
