"""Stored runs as they stand, whatever a stranger has made of them, and where two of them differ.

They differ in configuration, results, layers, and what made them; errors lead to `verify`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normexp.config.data import data_sets
from normexp.config.field import Role, Scalar
from normexp.config.identity import between
from normexp.config.tree import field_specs, nest
from normexp.errors import NormexpError, VerificationError
from normexp.insight.comparison import pairing_of
from normexp.store.manifest import MANIFEST, read_manifest
from normexp.store.selection import find_run
from normexp.store.stored import Stored
from normexp.sweeps.environment import DECIDING

TYPE_VERIFY = "type normexp verify"


def find(store: Path, wanted: str) -> Stored:
    """The run with this id or beginning of an id, name, or directory.

    Raises:
        NotFoundError: there is none, or more than one.
        VerificationError: its manifest cannot be read.
    """
    return recorded(find_run(store, wanted))


def recorded(directory: Path) -> Stored:
    """The run in a directory; of its files only the manifest is read.

    Raises:
        VerificationError: its manifest cannot be read.
    """
    try:
        manifest = read_manifest(directory)
    except NormexpError as error:
        raise VerificationError(error.message, TYPE_VERIFY) from error
    if manifest["kind"] != "run":
        raise VerificationError(f"{directory / MANIFEST} is no run's manifest", TYPE_VERIFY)
    return Stored(directory, manifest)


def understood(run: Stored) -> Stored:
    """The run, if its configuration is one.

    Raises:
        VerificationError: it is not.
    """
    try:
        _ = run.config
    except (NormexpError, TypeError, AttributeError, ValueError) as error:
        raise not_this_run(run, str(error)) from error
    return run


def not_this_run(run: Stored, why: str) -> VerificationError:
    """The error for a configuration that does not give the recorded run."""
    return VerificationError(
        f"the configuration in {run.directory / MANIFEST} is not that of run {run.id}: {why}",
        "take a copy of the directory that nobody has edited",
    )


SIDES = ("left", "right")

METRICS = (
    "train_loss",
    "test_loss",
    "test_loss_population",
    "excess_loss",
    "test_accuracy",
    "test_accuracy_population",
)
"""Of the last evaluation point, in the order of a comparison."""

Report = dict[str, Any]


def diff(left: str, right: str, *, store: str | Path = "runs") -> Report:
    """Compare two stored runs: fields, results, layers, and what made them.

    Args:
        left: a run, by id, name or directory.
        right: another.
        store: where runs are looked for.

    Raises:
        NotFoundError: there is no such run.
        VerificationError: a manifest cannot be read.
        NormexpError: a table cannot be read.
    """
    one, other = (understood(find(Path(store), each)) for each in (left, right))
    same_data = len(data_sets(run.flat for run in (one, other))) == 1
    pairing = pairing_of([one.row], [other.row])
    return compared(one.flat, other.flat) | {
        "kind": "diff",
        "left": _about(one),
        "right": _about(other),
        "values": {"left": dict(one.flat), "right": dict(other.flat)},
        "same_directory": one.directory.resolve() == other.directory.resolve(),
        "shared": "nothing" if pairing == "unpaired" else pairing,
        "same_data": same_data,
        "results": _results(one.manifest["metrics"], other.manifest["metrics"], same_data),
        "layers": _layers(one, other),
        "provenance": _provenance(one.manifest, other.manifest),
    }


def compared(left: Mapping[str, Scalar], right: Mapping[str, Scalar]) -> Report:
    """Compare two configurations: the fields that differ, and what still is the same.

    A difference has `key`, `role`, and the value of each side that has the field. The norm's
    fields come first, the seed last; runtime fields are left out.
    """
    specs = {**field_specs(nest(right)), **field_specs(nest(left))}
    paths = [path for path in between(left, right) if path in specs]  # not what a stranger added
    paths += ["seed"] if left["seed"] != right["seed"] else []
    roles = [specs[path].rule.role for path in paths]
    return {
        "same_run": not paths,
        "same_trajectory": not {Role.STRUCTURAL, Role.STACKABLE} & {*roles},
        "same_structure": Role.STRUCTURAL not in roles,
        "differences": [
            {"key": path, "role": role.value, **_sides(path, left, right)}
            for path, role in zip(paths, roles, strict=True)
        ],
    }


def _sides(name: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> Report:
    """The entries of this name, of the sides that have one."""
    sides = zip(SIDES, (left, right), strict=True)
    return {side: entries[name] for side, entries in sides if name in entries}


def _about(run: Stored) -> Report:
    return {
        "run_id": run.id,
        "label": run.label,
        "study": run.manifest["study"],
        "status": run.manifest["status"],
        "directory": str(run.directory),
        "trajectory_id": run.trajectory_id,
        "step": run.manifest["metrics"]["step"],
    }


def _results(left: Mapping[str, Any], right: Mapping[str, Any], comparable: bool) -> list[Report]:  # noqa: FBT001
    """The final metrics of both: values, right minus left, right over left.

    A value that is missing or not finite is None, and so is what would be computed from it; of
    runs on different data nothing is computed.
    """
    found = []
    for name in (name for name in METRICS if name in left or name in right):
        first: float | None = left.get(name)
        second: float | None = right.get(name)
        other = second if comparable else None
        found.append(
            {
                "metric": name,
                "left": first,
                "right": second,
                "difference": None if first is None or other is None else other - first,
                "ratio": None if not first or other is None else other / first,
            }
        )
    return found


def _layers(left: Stored, right: Stored) -> list[Report]:
    """Errors of running statistics at the end: layers of the left, then of the right alone."""
    from normexp.store import parquet

    errors, sides = ("mean_error", "log_var_ratio"), []
    for run in (left, right):
        last = run.manifest["metrics"]["step"]
        table = parquet.read(run.directory / "layers.parquet", run.manifest["files"])
        rows = [row for row in table.to_pylist() if row["step"] == last]
        sides.append({row["layer"]: {name: row[name] for name in errors} for row in rows})
    names = dict.fromkeys([*sides[0], *sides[1]])
    return [{"layer": name, **_sides(name, *sides)} for name in names]


def _provenance(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Report]:
    """Entries of the environments that differ, those that numbers depend on first.

    An entry that a side has not recorded is left out there. Entries of the training's environment
    are named apart, and only if they differ in another way.
    """
    found: dict[str, Report] = {}
    for section, prefix in (("environment", ""), ("training_environment", "training: ")):
        first, second = (each.get(section) for each in (left, right))
        first, second = (each if isinstance(each, Mapping) else {} for each in (first, second))
        for name in dict.fromkeys([*first, *second]):
            entry = {**_sides(name, first, second), "deciding": name in DECIDING}
            if first.get(name) != second.get(name) and found.get(name) != entry:
                found[prefix + name] = entry
    told = [{"name": name, **entry} for name, entry in found.items()]
    return sorted(told, key=lambda each: not each["deciding"])
