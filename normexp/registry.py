"""Look-up by name, with the nearest names when there is none."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import TypeVar

from normexp.errors import UsageError

Entry = TypeVar("Entry")


def nearest(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """The known names most like `name`, best first; dotted names also match by their last part.

    First come those that it says with more or less around them: `BatchNorm2d` is `batch`.
    """
    names = list(known)
    wanted = _squashed(name)
    around = [each for each in names if _overlap(wanted, _squashed(each))]
    around.sort(key=lambda each: -_overlap(wanted, _squashed(each)))
    whole = get_close_matches(name, names, n=most, cutoff=0.6)
    last = {candidate: candidate.rpartition(".")[2] for candidate in names}
    close = get_close_matches(name.rpartition(".")[2], sorted(set(last.values())), n=most)
    by_last = [candidate for part in close for candidate in names if last[candidate] == part]
    return list(dict.fromkeys([*around, *whole, *by_last]))[:most]


def _squashed(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _overlap(one: str, other: str) -> int:
    """Characters that the shorter has, if the longer begins with it."""
    short, long = sorted((one, other), key=len)
    return len(short) if len(short) > 1 and long.startswith(short) else 0


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """A hint that names the nearest names, or `otherwise` when nothing is near."""
    candidates = nearest(name, known)
    return f"did you mean {' or '.join(candidates)}?" if candidates else otherwise


def pick(name: str, table: Mapping[str, Entry], what: str) -> Entry:
    """The entry called `name`.

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
