"""Identity: one digest, called three ways.

The digest covers every field of the given roles in the *full* configuration, never the
difference from defaults, so that editing a default re-uses no old result.
"""

import hashlib
import json
from functools import lru_cache
from typing import Any

from normexp.config.field import Role, specs
from normexp.config.schema import KINDS, SECTIONS, RunConfig

SCHEMA_VERSION = 1
"""Goes up only when old identities must not be found again."""

WEIGHTS = (Role.STRUCTURAL, Role.STACKABLE)
EVERYTHING = (*WEIGHTS, Role.OBSERVED)


def run_id(config: RunConfig) -> str:
    """Names a run: 12 hex digits over all that its numbers depend on."""
    return digest(config, EVERYTHING)


def trajectory_id(config: RunConfig) -> str:
    """Names a training: equal for all runs whose weights are equal at every step."""
    return digest(config, WEIGHTS)


def stack_key(config: RunConfig) -> str:
    """Names a structure: networks of one key can train together."""
    return digest(config, (Role.STRUCTURAL,))


def digest(config: RunConfig, roles: tuple[Role, ...]) -> str:
    """The first 12 hex digits of the SHA-256 of the fields with these roles, as canonical JSON."""
    parts = [_canonical(getattr(config, name), name, roles) for name in (*KINDS, *SECTIONS)]
    own = _fields(config, roles)
    head = {"version": SCHEMA_VERSION, "roles": list(roles), **own}
    text = json.dumps(head, sort_keys=True, separators=(",", ":")) + "".join(parts)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@lru_cache(maxsize=16384)
def _canonical(section: Any, name: str, roles: tuple[Role, ...]) -> str:  # noqa: ANN401
    """One section; empty where none of its fields has such a role. Cached: runs share most."""
    fields = _fields(section, roles)
    return json.dumps({name: fields}, sort_keys=True, separators=(",", ":")) if fields else ""


def _fields(section: Any, roles: tuple[Role, ...]) -> dict[str, Any]:  # noqa: ANN401
    return {
        field: getattr(section, field)
        for field, spec in specs(section.__class__).items()
        if spec.rule.role in roles and getattr(section, field) != spec.rule.neutral
    }
