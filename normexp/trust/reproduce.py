"""Reproduction: one run trained alone from its own directory, and the certificate of comparing it.

Every file and number is compared with what is recorded. Where nothing has changed that numbers
depend on, every file must be equal to the bit. Elsewhere that cannot be: training is chaotic, and a
last bit of another kernel grows. Measured on an AMD EPYC with the kernels that
ATEN_CPU_CAPABILITY=default, =avx2 and MKL_CBWR=COMPATIBLE pick, S1 with five norms, Adam and SGD,
3 x 100 and 20 x 30 units, LeNet and ResNet on digits, largest deviations:

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

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from normexp import __version__
from normexp.config.identity import run_id
from normexp.config.network import Own
from normexp.config.schema import PLACES, Local, Store, is_recorded
from normexp.config.tree import flatten, nest
from normexp.errors import NormexpError, UsageError, VerificationError
from normexp.store import parquet
from normexp.store.columns import RUN_TABLES, TABLES
from normexp.store.files import write_file
from normexp.store.manifest import CERTIFICATE, OPTIONAL_FILES, read_manifest
from normexp.store.places import find_data, source_of
from normexp.store.plain import check_files, from_json, from_yaml, read_regular, to_json
from normexp.store.stored import Stored
from normexp.study.asked import Place, as_asked
from normexp.study.run import Base, Run
from normexp.study.settle import check, settle
from normexp.study.study import Study
from normexp.sweeps.environment import changed_since, environment, torch_environment, unknown
from normexp.sweeps.events import Listener, ignore
from normexp.sweeps.sweep import study_directory, sweep
from normexp.trust.diff import TYPE_VERIFY, find, not_this_run, recorded, understood

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
    """Return the comparison of a run with what is recorded, all but the seconds.

    Args:
        was: the run as it is recorded.
        made: the same, made again here and now.
        dtype: of its training.
    """
    now, before = {**environment(), **torch_environment()}, was.manifest["environment"]
    old, new = ({**each.manifest, "config": each.flat} for each in (was, made))
    files = {
        name: {
            side: each["files"].get(name, {}).get("sha256")
            for side, each in (("recorded", old), ("found", new))
        }
        for name in dict.fromkeys([*old["files"], *new["files"]])
        if name not in OPTIONAL_FILES
    }
    results = {
        name: [old.get(name), new.get(name)] for name in RESULTS if old.get(name) != new.get(name)
    }
    tables = _deviations(was, made, files)
    change, silent = changed_since(was.manifest, now), unknown(before, now)
    is_elsewhere, limits = bool(change or silent), TOLERANCES[dtype]
    beyond = [
        f"{table}.{name}"
        for table, columns in tables.items()
        for name, far in columns.items()
        if is_elsewhere and NOT_JUDGED not in name
        if far["early"] > limits.get(table, limits["tables"])
    ]
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


def _deviations(
    was: Stored, made: Stored, files: Mapping[str, Mapping[str, str | None]]
) -> dict[str, dict[str, Deviation]]:
    """The columns that differ of a run's tables and of its trajectory's losses, by table."""
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
    for table, paths in pairs.items():
        recorded, again = (parquet.read(path, None).to_pandas() for path in paths)  # checked before
        far = _distances(table, recorded, again)
        far = far.loc[:, far.any()]
        early = far[far.index <= JUDGED_UNTIL.get(table, JUDGED_UNTIL["tables"])]
        if len(far.columns):
            found[table] = {
                str(name): {
                    "first_step": int(far.index[far[name] > 0][0]),
                    "largest": float(far[name].max()),
                    "early": float(early[name].max()) if len(early) else 0.0,
                }
                for name in far
            }
    return found


def _distances(table: str, recorded: "pd.DataFrame", found: "pd.DataFrame") -> "pd.DataFrame":
    """Deviations of all columns, by step; 0 where equal, nan beside a number is infinitely far."""
    import pandas as pd

    if len(recorded) != len(found):
        short, long = sorted((recorded["step"].to_numpy(), found["step"].to_numpy()), key=len)
        row = np.argmax([*(short != long[: len(short)]), True])
        return pd.DataFrame({ROWS: [np.inf]}, index=long[[row]])
    kinds = {column.name: column.kind for column in TABLES.get(table, ())}
    keys = [recorded[key].astype(str) for key in ("step", "layer") if key in recorded]
    far: dict[str, Numbers] = {}
    for name in dict.fromkeys([*recorded, *found]):
        if name not in recorded or name not in found:
            far[name] = np.full(len(recorded), np.inf)
        elif kinds.get(name, "text") in ("int", "text"):
            other = recorded[name].astype(str).to_numpy() != found[name].astype(str).to_numpy()
            far[name] = np.where(other, np.inf, 0.0)
        else:
            old, new = (each[name].to_numpy(np.float64) for each in (recorded, found))
            size = np.ones_like(old)
            if not any(part in name for part in ABSOLUTE):
                unit = UNIT_OF.get(name, name)
                largest = pd.concat([recorded[unit], found[unit]], axis=1).astype(np.float64).abs()
                largest = largest.replace(np.inf, 0.0).fillna(0.0)  # of the same step and layer
                size = largest.max(axis=1).groupby(keys).transform("max").to_numpy()
            with np.errstate(all="ignore"):
                apart = np.abs(new - old) / size
            same = (old == new) | (np.isnan(old) & np.isnan(new))
            far[name] = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
    return pd.DataFrame(far, index=recorded["step"])


def reproduce(  # noqa: PLR0913
    wanted: str,
    places: list[str] | None = None,
    *,
    store: str | Path = "runs",
    out: str | Path | None = None,
    trust_source: bool = False,
    progress: Listener = ignore,
) -> tuple[dict[str, Any], Path]:
    """Train a run alone, in a place of its own, and compare it with what is recorded.

    Args:
        wanted: the run's id or the beginning of it, its name, or its directory.
        places: where data in files stand now, such as `data.path=FILE`.
        store: where the run is looked for.
        out: the certificate's file; by default in the run's directory.
        trust_source: run the file of the user's network that the run names.
        progress: called with every event.

    Returns:
        The certificate and its file; its verdict is `identical`, `agrees` or `differs`.

    Raises:
        NotFoundError: there is no such run.
        UsageError: a place is none, or the data are not there; or the run names code that is not
            trusted.
        VerificationError: the recorded files are damaged, or are not of the recorded configuration.
        NormexpError: the training failed, or the certificate cannot be written.
    """
    was = find(Path(store), wanted)
    damaged, _ = check_files(was.directory, was.manifest["files"])
    if damaged:
        files = ", ".join(f"{name} ({state})" for name, state in damaged.items())
        raise VerificationError(f"{was.directory} is damaged: {files}", TYPE_VERIFY)
    path = Path(out) if out else was.directory / CERTIFICATE
    _, where, there = as_asked(places or ())
    if where:
        raise UsageError(
            f"{where.typed[0]}: a stored run is made again as it is recorded; "
            f"{' and '.join(PLACES)} alone say where its data are",
            "type data.path=FILE, or normexp sweep with this override for another run",
        )
    run = _run(was, there, trust_source=trust_source)
    _check_writable(path)
    with tempfile.TemporaryDirectory(prefix="normexp-") as place:
        start = time.perf_counter()
        made = _train(run, was, place, progress)
        seconds = time.perf_counter() - start
        content = certificate(was, made, run.config.train.dtype) | {"seconds": seconds}
    try:
        write_file(path, to_json(content))
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error
    return content, path


def _run(was: Stored, places: Sequence[Place], *, trust_source: bool) -> Run:
    """The run, ready to be trained, by the names of choices of its time.

    Raises:
        UsageError: the data are not there, or are others.
        VerificationError: the configuration is not that of the recorded run.
    """
    config = understood(was).config
    if isinstance(config.model, Own) and not is_recorded(config):
        source = source_of(was.manifest)
        if not trust_source:
            raise UsageError(
                f"run {was.id} is of a network in {source}, and to make it again runs that file",
                "look at it, then add --trust-source",
            )
        config = replace(config, model=replace(config.model, source=source))
    data = find_data([config.data], places)[config.data]
    if isinstance(data, UsageError):
        raise data
    try:
        config = settle(replace(config, data=data), {})
    except UsageError as error:
        raise not_this_run(was, error.message) from error
    if run_id(config) != was.id:
        raise not_this_run(was, f"it gives run {run_id(config)}")
    check(config)
    path = was.directory / ".hydra/hydra.yaml"
    try:
        found = from_yaml(read_regular(path))["hydra"]["runtime"]["choices"]
        choices = {str(group): str(choice) for group, choice in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VerificationError(f"{path} cannot be read", TYPE_VERIFY) from error
    return Run(config, Base(choices, nest(flatten(config))))


def _check_writable(path: Path) -> None:
    """Refuse before training, not after; what is there stays, unless it is a certificate."""
    if path.is_dir():
        raise _unwritable(path, "it is a directory")
    if path.exists() and not _is_certificate(path):
        raise _unwritable(path, "something else than a certificate is there")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from error


def _is_certificate(path: Path) -> bool:
    with suppress(OSError, ValueError):
        return from_json(read_regular(path), dict).get("kind") == "certificate"
    return False


def _unwritable(path: Path, why: str) -> NormexpError:
    return UsageError(f"cannot write {path}: {why}", "type --out FILE for another place")


def _train(run: Run, was: Stored, place: str, progress: Listener) -> Stored:
    """The run, made alone in a store of its own by an ordinary sweep."""
    executor = Local(workers=1, processes=False)
    config = replace(run.config, executor=executor, store=Store(dir=place))
    name, base = str(was.manifest["study"]), run.base.choices.get("study", "")
    study = Study(name, "", (), (replace(run, config=config),), (), (), None, base)
    outcome = sweep(study, progress=progress)
    if outcome.failed:
        raise NormexpError(f"run {was.id} failed: {'; '.join(outcome.errors)}")
    return recorded(study_directory(study).runs()[run.id])
