"""Identity: one digest, called three ways; and the fields that describe a run to people.

The digest covers every field of the given roles in the *full* configuration, never the
difference from defaults, so that editing a default re-uses no old result.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from normexp.config.field import Role, Scalar, specs
from normexp.config.schema import KIND_FIELDS, KINDS, SECTIONS, RunConfig
from normexp.config.tree import specs_of
from normexp.errors import UsageError

SCHEMA_VERSION = 1
"""Goes up only when old identities must not be found again."""

WEIGHTS = (Role.STRUCTURAL, Role.STACKABLE)
EVERYTHING = (*WEIGHTS, Role.OBSERVED)

ESSENTIAL = ("norm.momentum", "norm.estimator", "optim.lr", "train.epochs", "train.batch_size",
             "seed")  # fmt: skip
"""Fields that describe a run at their defaults too."""


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
