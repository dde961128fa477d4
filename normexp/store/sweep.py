"""Sweep directories: what was typed, where it ran, one row a run, and whether it still runs."""

import os
import shutil
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from normexp.errors import NormexpError
from normexp.store.files import remove_abandoned, staging, write_file
from normexp.store.layout import StudyDirectory
from normexp.store.locks import ALIVE, Locks, Sign, myself, sign_of
from normexp.store.manifest import MANIFEST, intact, read_manifest, sealed
from normexp.store.plain import (
    MOST_IN_MEMORY,
    from_json,
    from_yaml,
    read_regular,
    to_json,
    to_yaml,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from normexp.store.stored import Row

SUMMARY = "summary.parquet"
JOB = ".slurm/job.json"
"""What a sweep has left to a cluster, and under which number."""

REMOVED = "removed.json"
"""Runs that a sweep had and that were removed since."""

TYPED = "sweep.yaml"
LOGS = "logs"
"""Of stacks that have failed, named by their first trajectories."""

LABELS = "labels.json"
"""What the user calls a sweep."""

TEXTS = (TYPED, "environment.json")

NAMES = {MANIFEST, SUMMARY, REMOVED, LABELS, LOGS, *TEXTS, Path(JOB).parent.name}
"""What a sweep's directory has in the end, logs of Slurm among it."""


@dataclass(frozen=True)
class SweepDirectory:
    """One sweep's directory; it has a manifest once the sweep has ended."""

    path: Path

    @property
    def name(self) -> str:
        """The name given to `begin`: it names the runs that were asked for."""
        return self.path.name.rpartition("-")[2].partition(".")[0]

    @property
    def study(self) -> StudyDirectory:
        """The directory of its study."""
        return StudyDirectory(self.path.parents[1])

    @property
    def stop(self) -> Path:
        """A file that asks those who work on the sweep to stop, within the seconds that it says."""
        return self.path / "stop"

    @property
    def sign(self) -> Sign:
        """The sign of life of the process that began it."""
        return sign_of(self.path)

    @property
    def began(self) -> float:
        """The time at which it was begun, by the clock of its file system."""
        return (self.path / TYPED).stat().st_mtime

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Show a sign of life until the sweep has ended; then nobody need stop any more."""
        try:
            with self.sign.beating():
                yield
        finally:
            self._forget_stop()

    def is_alive(self, now: float | None = None) -> bool:
        """True if somebody still works on it; `now` by the clock of the file system, if known."""
        return any(sign.is_alive(now) for sign in self._signs())

    def remove_stale(self, now: float) -> None:
        """Remove the signs of life of processes that were killed."""
        dead = [sign for sign in self._signs() if not sign.is_alive(now)]
        for sign in dead:
            sign.remove()
        if dead and not self._signs():
            self._forget_stop()

    def _signs(self) -> list[Sign]:
        workers = (Sign(path) for path in self.path.glob(f".*.{ALIVE}"))
        return [*([self.sign] if self.sign.path.exists() else []), *workers]

    def _forget_stop(self) -> None:
        with suppress(OSError):
            self.stop.unlink(missing_ok=True)

    def log(self, name: str, runs: Iterable[str], error: Exception) -> None:
        """Keep what there is to say of an error that has cost some runs, first their ids."""
        told = getattr(error, "__notes__", traceback.format_exception(error))
        with suppress(OSError):  # no room, perhaps
            (self.path / LOGS).mkdir(exist_ok=True)
            text = "\n".join([" ".join(runs), *told])
            write_file(self.path / LOGS / f"{name}.txt", text.encode(errors="replace"))

    def log_of(self, run: str) -> str:
        """The log of a run's stack; empty if there is none."""
        for path in (self.path / LOGS).glob("*.txt"):
            with suppress(OSError):
                runs, _, told = read_regular(path).decode(errors="replace").partition("\n")
                if run in runs:
                    return told
        return ""

    def discard(self) -> None:
        """Remove it: nothing was begun."""
        shutil.rmtree(self.path, ignore_errors=True)

    def end(self, rows: Sequence["Row"], manifest: Mapping[str, Any]) -> None:
        """Write the summary and, last, the manifest."""
        from normexp.store import parquet  # pyarrow, which planning need not wait for

        encoded = parquet.encode_summary(rows)
        write_file(self.path / SUMMARY, encoded)
        written = {name: read_regular(self.path / name, MOST_IN_MEMORY) for name in TEXTS}
        written[SUMMARY] = encoded
        write_file(self.path / MANIFEST, sealed(manifest, written))


def begin(
    study: StudyDirectory, name: str, description: Mapping[str, Any], environment: Mapping[str, Any]
) -> SweepDirectory:
    """Make a directory `sweeps/<UTC time>-<name>`, with a suffix if the second has one already."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    wanted = study.sweeps / f"{stamp}-{name}"
    partial = staging(wanted, "new")
    partial.mkdir(parents=True)
    try:
        (partial / TYPED).write_bytes(to_yaml(dict(description)))
        (partial / "environment.json").write_bytes(to_json(environment))
        (partial / ALIVE).write_bytes(myself())
        for suffix in ("", *(f".{number}" for number in range(2, 1000))):
            path = wanted.with_name(wanted.name + suffix)
            try:
                return SweepDirectory(partial.rename(path))
            except OSError:  # a rename onto a directory that is not empty fails
                if not path.exists():
                    raise
        raise FileExistsError(wanted)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def tidy(study: StudyDirectory, sweep: str) -> None:
    """Delete what killed processes have left of no use, for the sweep of this name.

    That is half-written directories, signs of life, locks, and checkpoints of stored trainings.
    """
    for directory in (study.path, study.trajectories, study.sweeps):
        remove_abandoned(directory)
    now = sign_of(study.sweeps / sweep).last_beat()
    for path in study.sweep_directories():
        if not path.is_symlink():
            SweepDirectory(path).remove_stale(now)
    Locks(study, sweep).remove_stale()
    for checkpoint in study.trajectories.glob(".*.checkpoint"):
        trajectory = study.trajectory(checkpoint.name.split(".")[1])
        with suppress(OSError):  # no trajectory, or no checkpoint any more
            later = (trajectory / MANIFEST).stat().st_mtime > checkpoint.stat().st_mtime
            if later and intact(trajectory) is not None:
                checkpoint.unlink()


def has_ended(directory: Path) -> bool:
    """True if a sweep has come to its end; one that was killed, or is running, has not."""
    return os.path.lexists(directory / MANIFEST)


def over(study: StudyDirectory) -> frozenset[str]:
    """Names of the sweeps of a study on which nobody works, now or later."""
    return frozenset(
        path.name
        for path in study.sweep_directories()
        if has_ended(path) or not ((path / JOB).exists() or SweepDirectory(path).is_alive())
    )


def read_end(path: Path) -> dict[str, Any] | None:
    """The manifest of a sweep, None if it was killed, is still running, or cannot be read."""
    try:
        manifest = read_manifest(path)
    except NormexpError:
        return None
    return manifest if manifest["kind"] == "sweep" else None


def typed(directory: Path) -> tuple[str, ...] | None:
    """The options and overrides of a sweep as they were typed; None where they cannot be read.

    Where its study has another name since, they say that one.
    """
    content, study = described(directory), directory.absolute().parents[1].name
    words, own, name = (content.get(key) for key in ("overrides", "config_dir", "as"))
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    place = ("--config-dir", own) if isinstance(own, str) else ()
    filed = ("--as", study) if isinstance(name, str) or study != content.get("study") else ()
    return (*place, *filed, *words)


def planned(directory: Path) -> dict[str, int]:
    """The figures of the plan with which a sweep began; none where they cannot be read."""
    figures = described(directory).get("plan")
    if not isinstance(figures, dict) or not all(type(n) is int for n in figures.values()):
        return {}
    return figures


def described(directory: Path) -> dict[str, Any]:
    """The content of `sweep.yaml`; empty where it cannot be read."""
    try:
        return from_yaml(read_regular(directory / TYPED))
    except (OSError, ValueError):
        return {}


class Labels(msgspec.Struct, frozen=True):
    """A note and tags that the user has given a sweep."""

    note: str = ""
    tags: tuple[str, ...] = ()


def labels_of(sweep: Path) -> Labels:
    """The note and the tags of a sweep; none where they cannot be read."""
    with suppress(OSError, ValueError):
        return from_json(read_regular(sweep / LABELS), Labels)
    return Labels()


def label(sweep: Path, labels: Labels) -> None:
    """Give a sweep its note and tags, in the place of those it has."""
    write_file(sweep / LABELS, to_json(msgspec.to_builtins(labels)))


def removed_from(sweep: Path) -> frozenset[str]:
    """The ids of runs that a sweep had and that were removed since."""
    with suppress(OSError, ValueError):
        return frozenset(map(str, from_json(read_regular(sweep / REMOVED), list)))
    return frozenset()


def note_removed(sweep: Path, runs: frozenset[str]) -> None:
    """Note that a sweep loses runs, before they go."""
    write_file(sweep / REMOVED, to_json(sorted(runs | removed_from(sweep))))


def read_summary(sweep: Path, files: Mapping[str, Any] | None = None) -> "pa.Table":
    """Return a sweep's summary, without the runs that were removed since; see `parquet.read`.

    Raises:
        NormexpError: it cannot be read, or its columns are not those of a summary.
    """
    from normexp.store import parquet

    found = parquet.read(sweep / SUMMARY, files)
    types, names = parquet.column_types(), found.column_names
    fits = all(types.get(field.name) == field.type for field in found.schema)
    if not fits or "run_id" not in names or len({*names}) < len(names):
        raise NormexpError(
            f"{sweep / SUMMARY} cannot be read (its columns are not those of a summary)",
            f"remove {sweep}: its runs are untouched",
        )
    if removed := removed_from(sweep):
        keeps = [str(run) not in removed for run in found["run_id"]]
        return found.filter(keeps)
    return found


def summary_ids(sweep: Path, *, with_trajectories: bool = False) -> list[str]:
    """Return the ids of a sweep's runs; none where its summary cannot be read."""
    names = ("run_id", "trajectory_id")[: 1 + with_trajectories]
    with suppress(NormexpError):
        found = read_summary(sweep)
        return [str(each) for name in names if name in found.schema.names for each in found[name]]
    return []
