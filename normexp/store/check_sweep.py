"""Whether a sweep's directory says of its runs what they say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from normexp.config.schema import GONE
from normexp.errors import NormexpError
from normexp.store import summary
from normexp.store.check import Checked, check_manifest
from normexp.store.files import MANIFEST, intact
from normexp.store.foreign_yaml import read_yaml
from normexp.store.manifest import MOST_BYTES, parse_json
from normexp.store.regular import Problem, check_files, read_regular, reason
from normexp.store.rows import row
from normexp.store.sweep import JOB, SUMMARY

FILES = (MANIFEST, SUMMARY, "sweep.yaml", "environment.json")
OF_ITS_TIME = ("label", "directory", "log.every", *GONE)
"""Columns that say where a run stood and how densely it was logged: that may have changed."""

NOT_THERE = "not in the study"


def check_sweep(directory: Path, runs: Mapping[str, Path]) -> Checked:
    """All that is wrong with the directory of a sweep that has ended.

    Args:
        directory: of the sweep.
        runs: the directories of its study's runs, by id.
    """
    manifest = check_manifest(directory, "sweep")
    if isinstance(manifest, str):
        whats = [manifest]
    else:
        wrong, _ = check_files(directory, manifest.get("files", {}))
        whats = [problem.what for problem in wrong] or _contents(directory, manifest, runs)
    logs = Path(JOB).parent.name  # which stay after the end
    found = sorted(path.name for path in directory.iterdir() if path.name != logs)
    others = [name for name in found if name not in FILES and not name.startswith(".")]
    stray = [Problem(f"{name}: no sweep has it", damages=False) for name in others]
    hidden = sum(name.startswith(".") for name in found)
    about = None if isinstance(manifest, str) else manifest
    return Checked(about, [*map(Problem, whats), *stray], hidden)


def _contents(directory: Path, manifest: Mapping[str, Any], runs: Mapping[str, Path]) -> list[str]:
    """What is wrong in files whose digests are right, or that have none."""
    table = _summary(directory)
    ended = (directory / MANIFEST).stat().st_mtime
    rows = [table] if isinstance(table, str) else _rows(table, manifest, runs, ended)
    return [*_texts(directory), *rows]


def summary_ids(directory: Path, *, with_trajectories: bool = False) -> list[str]:
    """The ids of a sweep's runs; none where its summary cannot be read."""
    table = _summary(directory)
    if isinstance(table, str):
        return []
    names = ("run_id", "trajectory_id")[: 1 + with_trajectories]
    return [str(each) for name in names if name in table.schema.names for each in table[name]]


def _texts(directory: Path) -> list[str]:
    """What is wrong with the files for people."""
    found = []
    for name, read in (("sweep.yaml", read_yaml), ("environment.json", parse_json)):
        try:
            content = read(read_regular(directory / name, MOST_BYTES))
            if name == "sweep.yaml" and not {"study", "overrides", "plan"} <= content.keys():
                raise ValueError("it does not say what was typed")  # noqa: TRY301
        except (OSError, ValueError) as error:
            found.append(f"{name}: {reason(error)}")
    return found


def _summary(directory: Path) -> pa.Table | str:
    try:
        return summary.read(directory / SUMMARY)
    except NormexpError as error:
        return f"{SUMMARY}: {error.message.rpartition('cannot be read ')[2].strip('()')}"


def _rows(
    table: pa.Table, manifest: Mapping[str, Any], runs: Mapping[str, Path], ended: float
) -> list[str]:
    """What is wrong with a summary that can be read, of a sweep that ended then."""
    rows = table.to_pylist()
    ids = [each["run_id"] for each in rows]
    if len({*ids}) < len(ids):
        return [f"{SUMMARY}: a run is in it twice"]
    found = []
    if len({*ids, *manifest["failed"]}) != manifest["runs"]:
        found.append(
            f"{SUMMARY}: it has {len(ids):,} rows, its sweep had {manifest['runs']:,} runs"
        )
    if missing := [name for name in ids if name not in runs]:
        found.append(f"{SUMMARY}: {_some(missing)} {NOT_THERE}")
    if unlike := [each["run_id"] for each in rows if _differs(each, runs, ended)]:
        found.append(f"{SUMMARY}: {_some(unlike)} not what its row says")
    return found


def _differs(said: Mapping[str, Any], runs: Mapping[str, Path], ended: float) -> bool:
    """Whether a run that is whole, and was so when the sweep ended, says something else."""
    directory = runs.get(said["run_id"])
    manifest = intact(directory) if directory is not None else None
    if directory is None or manifest is None or manifest.get("run_id") != said["run_id"]:
        return False  # reported of the run
    if (directory / MANIFEST).stat().st_mtime > ended:
        return False  # made again since
    there = row(manifest, directory)
    return any(there.get(name) != value for name, value in said.items() if name not in OF_ITS_TIME)


def _some(names: list[str]) -> str:
    first = ", ".join(map(str, names[:2]))
    return f"run {first} is" if len(names) == 1 else f"{len(names)} runs ({first}, ...) are"
