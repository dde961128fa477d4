"""Where two configurations differ, and what that means for training them together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from normexp.config.field import Role, Scalar
from normexp.config.schema import OUTSIDE, PLACES
from normexp.config.tree import field_specs, nest
from normexp.study.run import Run
from normexp.trust.recorded import Recorded

MEANINGS = {
    Role.STRUCTURAL: "cannot train side by side",
    Role.STACKABLE: "another training, can be side by side",
    Role.OBSERVED: "the same training, observed otherwise",
    Role.RUNTIME: "no part of what a run is",
}
"""What it means that two runs differ in a field of a role."""


@dataclass(frozen=True)
class Described:
    """A run, stored or only described: its name, its identities and its fields."""

    name: str
    id: str
    trajectory_id: str
    stack_key: str
    flat: Mapping[str, Scalar]


def of_recorded(recorded: Recorded) -> Described:
    """A stored run.

    Raises:
        VerificationError: its configuration is none.
    """
    trajectory = str(recorded.manifest["trajectory_id"])
    return Described(
        recorded.name, recorded.id, trajectory, recorded.stack_key, telling(recorded.flat)
    )


def of_run(run: Run, name: str) -> Described:
    """A run that overrides describe."""
    return Described(name, run.id, run.trajectory_id, run.stack_key, telling(run.flat))


def telling(flat: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The fields that a run's directory keeps: neither how nor where it was made."""
    return {
        path: value
        for path, value in flat.items()
        if path.split(".")[0] not in OUTSIDE and path not in PLACES
    }


def naming(flat: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The fields that say what the run is."""
    specs = field_specs(nest(flat))
    return {
        path: value
        for path, value in flat.items()
        if path in specs and specs[path].rule.role is not Role.RUNTIME
    }


def differences(left: Mapping[str, Scalar], right: Mapping[str, Scalar]) -> list[dict[str, Any]]:
    """Every field that differs: `key`, `role`, and the value of each side that has it.

    The fields of the left in their order, then those of the right alone.
    """
    specs = {**field_specs(nest(right)), **field_specs(nest(left))}
    return [
        {"key": path, "role": specs[path].rule.role.value}
        | {side: flat[path] for side, flat in (("left", left), ("right", right)) if path in flat}
        for path in dict.fromkeys([*left, *right])
        if path not in left or path not in right or left[path] != right[path]
    ]


def compared(left: Described, right: Described) -> dict[str, Any]:
    """Whether two runs are one, and if not, how far they go together."""
    return {
        "kind": "comparison",
        "left": {"run_id": left.id, "label": left.name},
        "right": {"run_id": right.id, "label": right.name},
        "same_run": left.id == right.id,
        "same_trajectory": left.trajectory_id == right.trajectory_id,
        "same_structure": left.stack_key == right.stack_key,
        "differences": differences(left.flat, right.flat),
    }


def distance(left: Mapping[str, Scalar], right: Mapping[str, Scalar]) -> int:
    """In how many of the fields that both have two runs differ."""
    return sum(value != right[path] for path, value in left.items() if path in right)
