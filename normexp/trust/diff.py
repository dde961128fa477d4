"""Where two stored runs differ: in what they are, in what they came to, and in what made them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from normexp.config.data import data_sets
from normexp.insight.pairing import pairing_of
from normexp.store.stored import row
from normexp.sweeps.environment import DECIDING
from normexp.trust.differences import compared, of_recorded
from normexp.trust.recorded import Recorded, find

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

MADE = {"environment": "", "training_environment": "training: "}
"""Sections of a manifest that say what made a run, and how their entries are told apart."""

Report = dict[str, Any]


def diff(left: str, right: str, *, store: str | Path = "runs") -> Report:
    """What differs between two stored runs, and what they share.

    Args:
        left: a run, by id, name or directory.
        right: another.
        store: where runs are looked for.

    Raises:
        NotFoundError: there is no such run.
        VerificationError: a manifest cannot be read.
        NormexpError: a table cannot be read.
    """
    runs = [find(Path(store), wanted) for wanted in (left, right)]
    report = compared(*map(of_recorded, runs))
    same_data = len(data_sets(run.flat for run in runs)) == 1
    return {
        **report,
        "kind": "diff",
        **{side: report[side] | _told(run) for side, run in zip(SIDES, runs, strict=True)},
        "values": {side: dict(run.flat) for side, run in zip(SIDES, runs, strict=True)},
        "same_directory": runs[0].directory.resolve() == runs[1].directory.resolve(),
        "shared": _shared(*runs),
        "same_data": same_data,
        "results": results(*(run.manifest["metrics"] for run in runs), comparable=same_data),
        "layers": _side_by_side(*map(_layers, runs)),
        "provenance": provenance(*(run.manifest for run in runs)),
    }


def results(
    left: Mapping[str, Any], right: Mapping[str, Any], *, comparable: bool = True
) -> list[Report]:
    """The metrics that either has: both values, what the right has more, and how many times it is.

    A value that is missing or not finite is None, and so is what would be computed from it; of
    runs on different data nothing is.
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


def provenance(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Report]:
    """What made the runs and differs: entries that numbers depend on first.

    An entry that a side has not recorded is left out there. What the training was made by is told
    only where it says more than what the run was made by.
    """
    told: list[Report] = []
    found: list[tuple[str, Report]] = []
    for section, prefix in MADE.items():
        first, second = (_entries(manifest.get(section)) for manifest in (left, right))
        for name in dict.fromkeys([*first, *second]):
            sides = zip(SIDES, (first, second), strict=True)
            pair = {side: made[name] for side, made in sides if name in made}
            if first.get(name) != second.get(name) and (name, pair) not in found:
                found += [(name, pair)] if not prefix else []
                told.append({"name": prefix + name, **pair, "deciding": name in DECIDING})
    return sorted(told, key=lambda each: not each["deciding"])


def _entries(section: object) -> Mapping[str, Any]:
    return section if isinstance(section, Mapping) else {}


def _told(run: Recorded) -> Report:
    manifest = run.manifest
    return {
        "study": manifest["study"],
        "status": manifest["status"],
        "directory": str(run.directory),
        "trajectory_id": manifest["trajectory_id"],
        "step": manifest["metrics"]["step"],
    }


def _shared(left: Recorded, right: Recorded) -> str:
    """`weights`, at every step; `seed`, so data and initial weights; or `nothing`."""
    first, second = (
        row({**run.manifest, "config": dict(run.flat)}, run.directory) for run in (left, right)
    )
    pairing = pairing_of([first], [second])
    return "nothing" if pairing == "unpaired" else pairing


def _layers(run: Recorded) -> dict[str, dict[str, float]]:
    """How far the running statistics of each layer are off at the last evaluation point."""
    from normexp.store import parquet

    table = parquet.read(run.directory / "layers.parquet", run.manifest["files"])
    last = run.manifest["metrics"]["step"]
    return {
        str(each["layer"]): {name: each[name] for name in ("mean_error", "log_var_ratio")}
        for each in table.to_pylist()
        if each["step"] == last
    }


def _side_by_side(
    left: Mapping[str, dict[str, float]], right: Mapping[str, dict[str, float]]
) -> list[Report]:
    """The layers of both, in the order of the left, then those of the right alone."""
    names: Sequence[str] = list(dict.fromkeys([*left, *right]))
    return [
        {"layer": name}
        | {side: has[name] for side, has in zip(SIDES, (left, right), strict=True) if name in has}
        for name in names
    ]
