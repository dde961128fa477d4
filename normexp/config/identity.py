"""Identity: one digest, called three ways; and the fields that tell configurations apart.

The digest covers every field of the given roles in the *full* configuration, never the
difference from defaults, so that editing a default re-uses no old result.

Elsewhere configurations are mappings by dotted name, such as `flatten` gives; other keys are
ignored, so that rows of tables will do.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from normexp.config.field import Role, Rule, Scalar, as_override, specs
from normexp.config.schema import KIND_FIELDS, KINDS, SECTIONS, RunConfig
from normexp.config.tree import declared, specs_of, without_gone
from normexp.errors import UsageError

SCHEMA_VERSION = 1
"""Goes up only when old identities must not be found again."""

WEIGHTS = (Role.STRUCTURAL, Role.STACKABLE)
EVERYTHING = (*WEIGHTS, Role.OBSERVED)

ESSENTIAL = ("norm.momentum", "norm.estimator", "optim.lr", "train.epochs", "train.batch_size",
             "seed")  # fmt: skip
"""Fields that describe a run at their defaults too."""


FOLLOWING = ("model.layers", "model.channels")
"""Fields of a user's network that follow from its source and arguments."""


def run_id(config: RunConfig) -> str:
    """Return a run's name: 12 hex digits over all that its numbers depend on."""
    return digest(config, EVERYTHING)


def trajectory_id(config: RunConfig) -> str:
    """Return a training's name: equal for all runs whose weights are equal at every step."""
    return digest(config, WEIGHTS)


def stack_key(config: RunConfig) -> str:
    """Return a structure's name: networks of one key can train together."""
    return digest(config, (Role.STRUCTURAL,))


def digest(config: RunConfig, roles: tuple[Role, ...]) -> str:
    """Return 12 hex digits of the SHA-256 of the fields with these roles, as canonical JSON."""
    parts = [_canonical(getattr(config, name), name, roles) for name in (*KINDS, *SECTIONS)]
    head = {"version": SCHEMA_VERSION, "roles": list(roles), **_fields(config, roles)}
    text = json.dumps(head, sort_keys=True, separators=(",", ":")) + "".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@lru_cache(maxsize=16384)
def _canonical(section: Any, name: str, roles: tuple[Role, ...]) -> str:  # noqa: ANN401
    """Return one section, empty if no field has such a role; cached, since runs share most."""
    fields = _fields(section, roles)
    return json.dumps({name: fields}, sort_keys=True, separators=(",", ":")) if fields else ""


def _fields(section: Any, roles: tuple[Role, ...]) -> dict[str, Any]:  # noqa: ANN401
    return {
        field: getattr(section, field)
        for field, spec in specs(section.__class__).items()
        if spec.rule.role in roles and getattr(section, field) != spec.rule.neutral
    }


def describing(flat: Mapping[str, Scalar]) -> list[str]:
    """Return the fields that describe a run: its kinds, the essential ones, the non-defaults.

    If its kinds are unknown to the schema, all fields.
    """
    try:
        known = specs_of(flat)
    except UsageError:  # another version's, or damaged
        known = {}
    different = [
        path
        for path, value in flat.items()
        if path not in known
        or (known[path].rule.role is not Role.RUNTIME and known[path].default != value)
    ]
    first = [path for path in (*KIND_FIELDS, *ESSENTIAL) if path in flat]
    return list(dict.fromkeys([*first, *different]))


def varying(flats: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the fields that tell configurations apart: the norm's first, the seed last.

    These are the kinds of the groups, and what differs between configurations of the same kinds: a
    field that merely follows from the choice of a kind tells nothing new. Runtime fields never do.

    Args:
        flats: by dotted name; see `completed` for those of older runs.
    """
    firsts: dict[tuple[Any, ...], tuple[Mapping[str, Any], set[str]]] = {}
    seeds = set()
    for flat in flats:
        kinds = tuple([flat.get(path) for path in KIND_FIELDS])
        first, found = firsts.setdefault(kinds, (flat, set()))
        if flat is not first:
            found.update([path for path, _ in flat.items() ^ first.items()])
            if flat.get("model.digest"):
                found.difference_update(FOLLOWING)
        seeds.add(flat.get("seed"))
    differing = {path for _, found in firsts.values() for path in found}
    for place, path in enumerate(KIND_FIELDS):
        differing |= {path} if len({kinds[place] for kinds in firsts}) > 1 else set()
    differing |= {"seed"} if len(seeds) > 1 else set()
    return [path for path in fields_of_identity() if path in differing]


def common(configs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the overrides that all of these runs share; defaults are left out."""
    if not configs:
        return ()
    first = {path: value for path, value in configs[0].items() if "." in path or path == "seed"}
    return tuple(
        as_override(path, first[path])
        for path in describing(first)
        if all(each.get(path) == first[path] for each in configs)
    )


def between(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the fields in which two configurations differ, those that only one has included.

    Neither the seed nor runtime fields are among them.
    """
    return [
        path
        for path in fields_of_identity()
        if path != "seed" and (path in first or path in second)
        if path not in first or path not in second or first[path] != second[path]
    ]


def completed(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored configuration with today's fields: newer ones at their neutral values.

    Raises:
        UsageError: it names a kind that there is not.
    """
    newer = _neutral(tuple([flat.get(path) for path in KIND_FIELDS]))
    return {
        **without_gone(flat),
        **{path: value for path, value in newer.items() if path not in flat},
    }


def in_order(path: str, values: Iterable[Any]) -> list[Any]:
    """Return a field's values, each once: kinds as in the schema, numbers by size."""
    found = list({repr(value): value for value in values}.values())
    if path.endswith(".kind"):
        return [kind for kind in KINDS[path.removesuffix(".kind")] if kind in found]
    if all(value is None or isinstance(value, int | float) for value in found):
        return sorted(found, key=lambda value: (value is None, value or 0))
    return found


@cache
def fields_of_identity() -> tuple[str, ...]:
    """Return all fields that say what a run is: those of the norm, the others, the seed."""
    found = {path: None for path, _, spec in declared() if spec.rule.role is not Role.RUNTIME}
    return tuple(sorted(found, key=lambda path: (path == "seed", not path.startswith("norm."))))


@cache
def _neutral(kinds: tuple[Any, ...]) -> dict[str, Scalar]:
    """Return the neutral values of the fields that have one, of configurations of these kinds."""
    return {
        path: spec.rule.neutral
        for path, spec in specs_of(dict(zip(KIND_FIELDS, kinds, strict=True))).items()
        if spec.rule.neutral != Rule.neutral
    }
