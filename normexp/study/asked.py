"""Words behind a reader: which runs are meant, by name or field, and where their data are now."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from normexp.config.field import Scalar, as_override, unquoted
from normexp.config.schema import KINDS, PLACES
from normexp.config.tree import known_keys
from normexp.errors import UsageError, did_you_mean

Item = TypeVar("Item")

Place = Mapping[str, Scalar]
"""Values of fields that say where data stand, by dotted name."""


@dataclass(frozen=True)
class Where:
    """Runs chosen by their fields: all of these, each with one of its values.

    Attributes:
        allowed: values by dotted name.
        typed: the words.
    """

    allowed: Mapping[str, tuple[Scalar, ...]]
    typed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.allowed)

    def among(self, flats: Mapping[Item, Mapping[str, Any]]) -> list[Item]:
        """Return the runs that are meant, of configurations by run.

        Raises:
            UsageError: none is, with what there is.
        """
        meant = [
            run
            for run, flat in flats.items()
            if all(path in flat and flat[path] in v for path, v in self.allowed.items())
        ]
        if meant:
            return meant
        shown = []
        for path in self.allowed:
            there = (as_override(path, each[path]) for each in flats.values() if path in each)
            shown.append(", ".join([*dict.fromkeys(there)][:MOST_SHOWN]) or f"no {path}")
        raise UsageError(f"no run has {' '.join(self.typed)}", f"there is {'; '.join(shown)}")


MOST_SHOWN = 8
"""Values of a field that are named where none was meant."""

ANY_RUN = Where({})


class Asked(NamedTuple):
    """What a person typed behind a reader."""

    names: list[str]
    where: Where
    places: Sequence[Place]


NOTHING = Asked([], ANY_RUN, [])


def as_asked(words: Iterable[str], *, named: bool = False) -> Asked:
    """Return what is meant: `FIELD=VALUES` as in an override, `data.path=FILE`, and names.

    Args:
        words: as typed.
        named: whether names may be among them.

    Raises:
        UsageError: there is no such field, or a value that cannot be one.
    """
    names: list[str] = []
    paths: list[Place] = []
    verify: dict[str, Scalar] = {}
    filters: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if named and not (equals and re.fullmatch(r"[a-z_.]+", key)):
            names.append(word)
        elif not equals:
            raise UsageError(f"{word!r} is not FIELD=VALUES", "type for example norm.momentum=0.1")
        elif key == "data.path" and value:
            paths.append({key: unquoted(value)})
        elif key in PLACES:
            if value not in ("true", "false"):
                raise UsageError(f"{word}: true or false is needed", f"type {key}=false")
            verify = {key: value == "true"}
        else:
            filters.append(word)
    places = [{**place, **verify} for place in paths] or ([verify] if verify else [])
    return Asked(names, where_of(filters) if filters else ANY_RUN, places)


def where_of(words: Iterable[str]) -> Where:
    """Return the runs that these overrides describe.

    Raises:
        UsageError: one is no override, or names a field or a kind that there is not.
    """
    from normexp.study.compose import composer, values  # Hydra

    found: dict[str, tuple[Scalar, ...]] = {}
    typed = tuple(words)
    with composer() as hydra:
        for word in typed:
            override = hydra.parse(word)
            key = override.key_or_group
            path = f"{key}.kind" if key in KINDS else key
            if path not in known_keys():
                known = [*known_keys(), *KINDS]
                raise UsageError(
                    f"unknown field {key!r}", did_you_mean(key, known, "type normexp options")
                )
            found[path] = (*found.get(path, ()), *values(override))
    return Where(found, typed)
