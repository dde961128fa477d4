"""Whether the directory of a sweep says of its runs what they say."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from normexp.config.schema import GONE
from normexp.errors import NormexpError
from normexp.store import summary
from normexp.store.check import Checked, Problem, manifest_of
from normexp.store.files import MANIFEST, intact
from normexp.store.regular import MOST_BYTES, check_files, read_json, read_regular, reason
from normexp.store.stored import row
from normexp.store.sweep import JOB, SUMMARY, TEXTS, TYPED
from normexp.store.texts import from_yaml

OF_ITS_TIME = ("label", "directory", "log.every", *GONE)
"""Columns of a summary that may have changed since."""

NOT_THERE = "not in the study"


def check_sweep(directory: Path, runs: Mapping[str, Path]) -> Checked:
    """Return all that is wrong with the directory of a sweep that has ended.

    Args:
        directory: of the sweep.
        runs: the directories of its study's runs, by id.
    """
    manifest = manifest_of(directory, "sweep")
    if isinstance(manifest, str):
        whats = [manifest]
    else:
        wrong, _ = check_files(directory, manifest.get("files", {}))
        whats = [f"{name}: {what}" for name, what in wrong.items()]
        whats = whats or [*_texts(directory), *_summary(directory, manifest, runs)]
    logs = Path(JOB).parent.name  # which stay after the end
    names = sorted(path.name for path in directory.iterdir() if path.name != logs)
    others = [name for name in names if name not in (MANIFEST, SUMMARY, *TEXTS)]
    visible = [name for name in others if not name.startswith(".")]
    strays = [Problem(f"{name}: no sweep has it", damages=False) for name in visible]
    about = None if isinstance(manifest, str) else manifest
    return Checked(about, [*map(Problem, whats), *strays], len(others) - len(visible))


def summary_ids(directory: Path, *, with_trajectories: bool = False) -> list[str]:
    """Return the ids of a sweep's runs; none where its summary cannot be read."""
    names = ("run_id", "trajectory_id")[: 1 + with_trajectories]
    with suppress(NormexpError):
        table = summary.read(directory / SUMMARY)
        return [str(each) for name in names if name in table.schema.names for each in table[name]]
    return []


def _texts(directory: Path) -> Iterator[str]:
    """Yield what is wrong with a sweep's files for people."""
    try:
        content = from_yaml(read_regular(directory / TYPED, MOST_BYTES))
        if not {"study", "overrides", "plan"} <= content.keys():
            yield f"{TYPED}: it does not say what was typed"
    except (OSError, ValueError) as error:
        yield f"{TYPED}: {reason(error)}"
    try:
        read_json(directory / "environment.json", dict)
    except (OSError, ValueError) as error:
        yield f"environment.json: {reason(error)}"


def _summary(
    directory: Path, manifest: Mapping[str, Any], runs: Mapping[str, Path]
) -> Iterator[str]:
    """Yield how the summary of a sweep differs from its manifest and its runs."""
    try:
        rows = summary.read(directory / SUMMARY).to_pylist()
    except NormexpError as error:
        yield f"{SUMMARY}: {error.message.rpartition('cannot be read ')[2].strip('()')}"
        return
    ids = [each["run_id"] for each in rows]
    if len({*ids}) < len(ids):
        yield f"{SUMMARY}: a run is in it twice"
        return
    if len({*ids, *manifest["failed"]}) != manifest["runs"]:
        yield f"{SUMMARY}: it has {len(ids):,} rows, its sweep had {manifest['runs']:,} runs"
    if missing := [name for name in ids if name not in runs]:
        yield f"{SUMMARY}: {_some(missing)} {NOT_THERE}"
    ended = (directory / MANIFEST).stat().st_mtime
    there = [each for each in rows if each["run_id"] in runs]
    if unlike := [each["run_id"] for each in there if _differs(each, runs[each["run_id"]], ended)]:
        yield f"{SUMMARY}: {_some(unlike)} not what its row says"


def _differs(said: Mapping[str, Any], directory: Path, ended: float) -> bool:
    """Return whether a run that is whole, and was so when the sweep ended, says something else."""
    manifest = intact(directory)
    if manifest is None or manifest.get("run_id") != said["run_id"]:
        return False  # reported of the run
    if (directory / MANIFEST).stat().st_mtime > ended:
        return False  # made again since
    there = row(manifest, directory)
    return any(there.get(name) != value for name, value in said.items() if name not in OF_ITS_TIME)


def _some(names: list[str]) -> str:
    first = ", ".join(map(str, names[:2]))
    return f"run {first} is" if len(names) == 1 else f"{len(names)} runs ({first}, ...) are"
