"""What a run made again says of the run as recorded: a certificate.

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

so what is promised elsewhere, and judged, is the evaluation of the initial weights, and, where the
run's trajectory stands beside it, the losses of the first two batches, hence the first update.
What comes later is reported. Accuracies jump by whole examples and are not judged.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normexp import __version__
from normexp.config.differences import completed
from normexp.config.field import Scalar
from normexp.errors import NormexpError
from normexp.store.columns import RUN_TABLES
from normexp.store.files import read_manifest
from normexp.store.manifest import OPTIONAL_FILES
from normexp.sweeps.environment import changed_since, environment, torch_environment, unknown
from normexp.trust.recorded import Recorded, damage

if TYPE_CHECKING:
    from normexp.trust.compare import Deviation

STEPS = "steps"
"""The table of the losses of all batches, a trajectory's."""

JUDGED_UNTIL = {STEPS: 2}
"""The last step of a table that is judged elsewhere; 0 for others."""

TOLERANCES = {"float32": {"tables": 1e-3, STEPS: 1e-2}, "float64": {"tables": 1e-9, STEPS: 1e-9}}
"""By dtype: ten times what was measured or more."""

NOT_JUDGED = "accuracy"
"""In the name of a column that jumps."""

RESULTS = (
    "status", "diverged_step", "half_life_steps", "trajectory_id", "log_every", "config", "metrics",
)  # fmt: skip
"""What a manifest says of a run's numbers, and a table may not."""

Digests = dict[str, dict[str, str | None]]
Deviations = dict[str, dict[str, "Deviation"]]


@dataclass(frozen=True)
class Certificate:
    """What came of making a run again.

    Attributes:
        content: as written to the file.
        path: of the file.
    """

    content: dict[str, Any]
    path: Path

    @property
    def holds(self) -> bool:
        """Whether the run is what its configuration gives."""
        return str(self.content["verdict"]) != "differs"


def compare(recorded: Recorded, made: Recorded, dtype: str) -> dict[str, Any]:
    """A certificate's content, all but the seconds.

    Args:
        recorded: the run as it is.
        made: the same, made again here and now.
        dtype: of its training.
    """
    now = {**environment(), **torch_environment()}
    was = recorded.manifest["environment"]
    files = _digests(recorded, made)
    old, new = (
        {**each.manifest, "config": completed(each.manifest["config"])} for each in (recorded, made)
    )
    results = {
        name: [old.get(name), new.get(name)] for name in RESULTS if old.get(name) != new.get(name)
    }
    tables = _deviations(recorded, made, files)
    identical = not results and all(file["recorded"] == file["found"] for file in files.values())
    change, silent = changed_since(recorded.manifest, now), unknown(was, now)
    elsewhere = bool(change or silent)
    limits = TOLERANCES[dtype]
    beyond = _beyond(tables, limits) if elsewhere else []
    lost = [name for name, file in files.items() if file["found"] is None]
    agrees = elsewhere and not beyond and not lost
    return {
        "kind": "certificate",
        "run_id": recorded.id,
        "label": recorded.name,
        "study": recorded.manifest["study"],
        "verdict": "identical" if identical else "agrees" if agrees else "differs",
        "demanded": "tolerances" if elsewhere else "equal bits",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "normexp": __version__,
        "environment": {
            "recorded": was,
            "now": now,
            "changed": {name: list(pair) for name, pair in change.items()},
            "unknown": list(silent),
        },
        "files": files,
        "results": results,
        "deviations": {
            table: {name: asdict(far) for name, far in columns.items()}
            for table, columns in tables.items()
        },
        "tolerances": limits if elsewhere else None,
        "judged_until": {"tables": 0, **JUDGED_UNTIL} if elsewhere else None,
        "beyond": beyond,
    }


def _digests(recorded: Recorded, made: Recorded) -> Digests:
    """The digests of every file that either has, those apart that are no longer made."""
    old, new = recorded.manifest["files"], made.manifest["files"]
    return {
        name: {
            side: files[name]["sha256"] if name in files else None
            for side, files in (("recorded", old), ("found", new))
        }
        for name in dict.fromkeys([*old, *new])
        if name not in OPTIONAL_FILES
    }


def _deviations(recorded: Recorded, made: Recorded, files: Digests) -> Deviations:
    """How far tables are off that are not equal to the bit; the trajectory's losses if there."""
    tables = {
        table: (recorded.directory / f"{table}.parquet", made.directory / f"{table}.parquet")
        for table in RUN_TABLES
        if _differs(files.get(f"{table}.parquet"))
    }
    losses = _losses(recorded)
    if losses is not None:
        tables[STEPS] = (losses, made.trajectory / f"{STEPS}.parquet")
    from normexp.store import parquet
    from normexp.trust.compare import deviations

    found = {
        table: deviations(
            table,
            parquet.read(old, None),  # `damage` has compared the digests
            parquet.read(new, None),
            JUDGED_UNTIL.get(table, 0),
        )
        for table, (old, new) in tables.items()
    }
    return {table: columns for table, columns in found.items() if columns}


def _differs(file: Mapping[str, Scalar] | None) -> bool:
    """Whether both have a file, with other contents."""
    return file is not None and None not in file.values() and file["recorded"] != file["found"]


def _losses(recorded: Recorded) -> Path | None:
    """The recorded losses of all batches; None where the trajectory is not there, or not whole."""
    try:
        whole = not damage(recorded.trajectory, read_manifest(recorded.trajectory))
    except (NormexpError, KeyError, AttributeError):
        return None
    return recorded.trajectory / f"{STEPS}.parquet" if whole else None


def _beyond(tables: Deviations, limits: Mapping[str, float]) -> list[str]:
    """The columns that are further off than promised, as `table.column`."""
    return [
        f"{table}.{name}"
        for table, columns in tables.items()
        for name, far in columns.items()
        if far.early > limits.get(table, limits["tables"]) and NOT_JUDGED not in name
    ]
