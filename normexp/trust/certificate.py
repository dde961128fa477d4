"""The certificate of a run made again: every file and number compared with what is recorded.

Where nothing has changed that numbers depend on, every file must be equal to the bit. Elsewhere
that cannot be: training is chaotic, and a last bit of another kernel grows. Measured on an AMD EPYC
with the kernels that ATEN_CPU_CAPABILITY=default, =avx2 and MKL_CBWR=COMPATIBLE pick, S1 with five
norms, Adam and SGD, 3 x 100 and 20 x 30 units, LeNet and ResNet on digits, largest deviations:

                                      float32   float64
    tables before the first update    1e-4      2e-13
    loss of the first batch           1e-6      4e-16
    of the second                     1e-3      1e-12
    of the eighth                     4e-2      1e-4
    running means at step 2           2e-1      6e-3
    losses after the first epoch      5e-1      1e-1

So elsewhere the evaluation of the initial weights is judged and, where the run's trajectory stands
beside it, the losses of the first two batches, hence the first update. What comes later is
reported. Accuracies jump by whole examples and are not judged.

A deviation is relative to the largest number of its column at its step and layer, so that a mean
near zero beside means of one counts as what it is. Shares and logarithms are compared as they are,
and an excess loss, a difference of two losses, in units of the test loss.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from normexp import __version__
from normexp.errors import NormexpError
from normexp.store import parquet
from normexp.store.columns import RUN_TABLES, TABLES
from normexp.store.manifest import OPTIONAL_FILES, read_manifest
from normexp.store.stored import Stored
from normexp.sweeps.environment import changed_since, environment, torch_environment, unknown

if TYPE_CHECKING:
    import pandas as pd

    Numbers = np.ndarray[Any, np.dtype[np.float64]]

STEPS = "steps"
"""The table of the losses of all batches, a trajectory's."""

JUDGED_UNTIL = {"tables": 0, STEPS: 2}
"""The last step of a table that is judged elsewhere."""

TOLERANCES = {"float32": {"tables": 1e-3, STEPS: 1e-2}, "float64": {"tables": 1e-9, STEPS: 1e-9}}
"""By dtype: ten times what was measured or more."""

NOT_JUDGED = "accuracy"
"""In the name of a column that jumps."""

RESULTS = (
    "status", "diverged_step", "half_life_steps", "trajectory_id", "log_every", "config", "metrics",
)  # fmt: skip
"""Entries of a manifest about a run's numbers that no table has."""

ABSOLUTE = ("accuracy", "log_var_ratio")
"""Parts of the names of columns that are compared as they are."""

UNIT_OF = {"excess_loss": "test_loss"}
"""A column, and the one whose size it is compared with."""

ROWS = "rows"
"""In place of a column's name if the tables have other rows."""


Deviation = dict[str, float]
"""The first step where a column differs, its largest deviation, and its largest early one."""


def certificate(was: Stored, made: Stored, dtype: str) -> dict[str, Any]:
    """The comparison of a run with what is recorded, all but the seconds.

    Args:
        was: the run as it is recorded.
        made: the same, made again here and now.
        dtype: of its training.
    """
    now = {**environment(), **torch_environment()}
    before = was.manifest["environment"]
    files = _digests(was.manifest["files"], made.manifest["files"])
    old, new = ({**each.manifest, "config": each.flat} for each in (was, made))
    results = {
        name: [old.get(name), new.get(name)] for name in RESULTS if old.get(name) != new.get(name)
    }
    tables = _deviations(was, made, files)
    change, silent = changed_since(was.manifest, now), unknown(before, now)
    is_elsewhere = bool(change or silent)
    limits = TOLERANCES[dtype]
    beyond = _beyond(tables, limits) if is_elsewhere else []
    verdict = "differs"
    if not results and all(file["recorded"] == file["found"] for file in files.values()):
        verdict = "identical"
    elif is_elsewhere and not beyond and None not in [file["found"] for file in files.values()]:
        verdict = "agrees"
    return {
        "kind": "certificate",
        "run_id": was.id,
        "label": was.label,
        "study": was.manifest["study"],
        "verdict": verdict,
        "demanded": "tolerances" if is_elsewhere else "equal bits",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "normexp": __version__,
        "environment": {
            "recorded": before,
            "now": now,
            "changed": {name: list(pair) for name, pair in change.items()},
            "unknown": list(silent),
        },
        "files": files,
        "results": results,
        "deviations": tables,
        "tolerances": limits if is_elsewhere else None,
        "judged_until": JUDGED_UNTIL if is_elsewhere else None,
        "beyond": beyond,
    }


def _digests(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, dict[str, str | None]]:
    """The digests of every file that either has, those apart that are no longer made."""
    return {
        name: {
            side: files[name]["sha256"] if name in files else None
            for side, files in (("recorded", old), ("found", new))
        }
        for name in dict.fromkeys([*old, *new])
        if name not in OPTIONAL_FILES
    }


def _deviations(
    was: Stored, made: Stored, files: Mapping[str, Mapping[str, str | None]]
) -> dict[str, dict[str, Deviation]]:
    """The deviations of tables that are not equal to the bit, and of the trajectory's losses."""
    pairs = {
        table: (was.directory / name, made.directory / name)
        for table in RUN_TABLES
        for name in [f"{table}.parquet"]
        if name in files and None not in files[name].values()
        if files[name]["recorded"] != files[name]["found"]
    }
    with suppress(NormexpError):  # a training that is gone or damaged is not compared
        name = f"{STEPS}.parquet"
        parquet.read(was.trajectory / name, read_manifest(was.trajectory)["files"])
        pairs[STEPS] = (was.trajectory / name, made.trajectory / name)
    found = {}
    for table, (old, new) in pairs.items():
        until = JUDGED_UNTIL.get(table, JUDGED_UNTIL["tables"])
        recorded, again = (
            parquet.read(path, None).to_pandas() for path in (old, new)
        )  # checked before
        found[table] = _columns(table, recorded, again, until)
    return {table: columns for table, columns in found.items() if columns}


def _beyond(
    tables: Mapping[str, Mapping[str, Deviation]], limits: Mapping[str, float]
) -> list[str]:
    """The columns that are further off than allowed, as `table.column`."""
    return [
        f"{table}.{name}"
        for table, columns in tables.items()
        for name, far in columns.items()
        if far["early"] > limits.get(table, limits["tables"]) and NOT_JUDGED not in name
    ]


def _columns(
    table: str, recorded: "pd.DataFrame", found: "pd.DataFrame", until: int
) -> dict[str, Deviation]:
    """The columns that differ, and how far; nan beside a number is infinitely far.

    `until` is the last step that counts as early.
    """
    steps = recorded["step"].to_numpy()
    if len(recorded) != len(found):
        short, long = sorted((steps, found["step"].to_numpy()), key=len)
        other = np.flatnonzero(short != long[: len(short)])
        row = int(other[0]) if len(other) else len(short)
        return {ROWS: _deviation(long[[row]], np.array([np.inf]), until)}
    result = {}
    for name in dict.fromkeys([*recorded, *found]):
        far = np.full(len(steps), np.inf)
        if name in recorded and name in found:
            far = _distance(table, name, recorded, found)
        if far.any():
            result[name] = _deviation(steps, far, until)
    return result


def _deviation(steps: "Numbers", far: "Numbers", until: int) -> Deviation:
    return {
        "first_step": int(steps[np.flatnonzero(far)[0]]),
        "largest": float(far.max()),
        "early": float(far[steps <= until].max(initial=0.0)),
    }


def _distance(table: str, name: str, recorded: "pd.DataFrame", found: "pd.DataFrame") -> "Numbers":
    """Deviations of a column, [rows]; 0 where it is equal."""
    kinds = {column.name: column.kind for column in TABLES.get(table, ())}
    if kinds.get(name, "text") in ("int", "text"):
        other = recorded[name].astype(str).to_numpy() != found[name].astype(str).to_numpy()
        return np.where(other, np.inf, 0.0)
    old, new = (each[name].to_numpy(np.float64) for each in (recorded, found))
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    size = np.ones_like(old)
    if not any(part in name for part in ABSOLUTE):
        size = _sizes(UNIT_OF.get(name, name), recorded, found)
    with np.errstate(all="ignore"):
        far = np.abs(new - old) / size
    return np.where(same, 0.0, np.where(np.isnan(far), np.inf, far))


def _sizes(unit: str, recorded: "pd.DataFrame", found: "pd.DataFrame") -> "Numbers":
    """The largest finite number of the same step and layer in either table, for every row."""
    keys = [recorded[key].astype(str) for key in ("step", "layer") if key in recorded]
    largest = np.zeros(len(recorded))
    for table in (recorded, found):
        finite = table[unit].astype(np.float64).abs().replace(np.inf, 0.0).fillna(0.0)
        largest = np.maximum(largest, finite.groupby(keys).transform("max").to_numpy())
    return largest
