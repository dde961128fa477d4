"""The one resolver of what a user names: a store, a study, a sweep, a run or a trajectory."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from normexp.errors import NormexpError, NotFoundError, did_you_mean
from normexp.store.files import MANIFEST, intact, read_manifest
from normexp.store.layout import ID_LENGTH, StudyDirectory, look_around, studies
from normexp.store.manifest import WEIGHTS

SWEEP_FILE = "sweep.yaml"


@dataclass(frozen=True)
class Selection:
    """Directories to look at.

    Attributes:
        root: what paths are told relative to.
        studies: that the rest is of; none of a run that was copied away.
        runs: of these.
        trajectories: of these.
        sweeps: of these.
        hidden: things in the studies whose names begin with a dot.
    """

    root: Path
    studies: tuple[StudyDirectory, ...]
    runs: tuple[Path, ...] = ()
    trajectories: tuple[Path, ...] = ()
    sweeps: tuple[Path, ...] = ()
    hidden: int = 0

    @property
    def at_home(self) -> bool:
        """Whether directories stand where a sweep has put them."""
        return bool(self.studies)

    @cached_property
    def _runs(self) -> dict[Path, dict[str, Path]]:
        return {study.path: _by_id(study) for study in self.studies}

    def runs_of(self, study: StudyDirectory) -> dict[str, Path]:
        """The runs of a study by id, whole or not, looked up once."""
        return self._runs.get(study.path) or _by_id(study)

    def relative(self, path: Path) -> str:
        """A directory's path as a person reads it."""
        return str(path.relative_to(self.root)) if path != self.root else str(path)

    def has_trajectory(self, run: Path, manifest: Mapping[str, Any]) -> bool:
        """Whether a run's trajectory is in its study."""
        return StudyDirectory(run.parent).trajectory(manifest["trajectory_id"]).is_dir()


def select(store: Path, wanted: str | None) -> Selection:
    """What is meant.

    Args:
        store: where to look for names.
        wanted: a study's, sweep's, run's or trajectory's name, an id or the beginning of one, or a
            path to any of these or to a store; None is the whole store.

    Raises:
        NotFoundError: there is no such thing.
    """
    if wanted is None:
        return _store(store)
    known = {study.path.name: study for study in studies(store)}
    if wanted in known:
        return _of_studies(known[wanted].path, [known[wanted]])
    if wanted and Path(wanted).is_dir():
        return _of_path(Path(wanted).resolve())
    return _by_name(known, wanted, store)


def _store(store: Path) -> Selection:
    found = studies(store)
    if not found:
        raise NotFoundError(f"nothing in {store}", "type normexp sweep, or --dir for another store")
    return _of_studies(store, found)


def _of_studies(root: Path, found: list[StudyDirectory]) -> Selection:
    return Selection(
        root,
        tuple(found),
        tuple(path for study in found for path in study.run_directories()),
        tuple(path for study in found for path in study.trajectory_directories()),
        tuple(path for study in found for path in study.sweep_directories()),
        sum(study.hidden() for study in found),
    )


def _of_path(path: Path) -> Selection:
    """What stands at a path, whatever it is."""
    if path.name in ("sweeps", "trajectories") and _study_of(path.parent):
        return _of_studies(path.parent, [StudyDirectory(path.parent)])
    if os.path.lexists(path / SWEEP_FILE) and path.parent.name == "sweeps":
        return _sweep(path)
    if os.path.lexists(path / WEIGHTS):
        return _trajectory(path)
    if os.path.lexists(path / "metrics.parquet") or _says_run(path):
        return _run(path)
    study = StudyDirectory(path)
    if study.sweeps.is_dir() or study.trajectories.is_dir() or study.run_directories():
        return _of_studies(path, [study])
    if os.path.lexists(path / SWEEP_FILE):
        raise NotFoundError(
            f"the sweep {path} is not in its study: its runs are not beside it",
            "copy the whole study, or verify its runs",
        )
    return _store(path)


def _says_run(path: Path) -> bool:
    try:
        return bool(os.path.lexists(path / MANIFEST) and read_manifest(path)["kind"] == "run")
    except NormexpError:
        return True  # something of normexp's, and damaged: say so


def find_run(store: Path, wanted: str) -> Path:
    """Return a run's directory by its path, also in the store, its name, or an id's beginning.

    Raises:
        NotFoundError: there is none, or more than one.
        NormexpError: the path is a directory whose manifest cannot be read.
    """
    if not wanted:
        raise NotFoundError("no run without a name", look_around(store))
    for path in (Path(wanted), store / wanted):
        if os.path.lexists(path / MANIFEST) and read_manifest(path)["kind"] == "run":
            return path
    everything = [path for study in studies(store) for path in study.run_directories()]
    matches = [path for path in everything if _is_run(path.name, wanted)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise _ambiguous(wanted, matches, "runs")
    raise NotFoundError(
        f"no run {wanted!r} in {store}",
        did_you_mean(wanted, [path.name for path in everything], look_around(store)),
    )


def _is_run(name: str, wanted: str) -> bool:
    """Whether a run's name, its id or the beginning of either is this."""
    return name == wanted or name[-ID_LENGTH:].startswith(wanted) or name.startswith(f"{wanted}-")


def _ambiguous(wanted: str, matches: Sequence[Path], noun: str) -> NotFoundError:
    """The error for a name that is several; one run may stand in several studies."""
    same = len({path.name[-ID_LENGTH:] for path in matches}) == 1
    names = ", ".join(str(path) if same else path.name for path in matches[:3])
    more = ", ..." if len(matches) > 3 else ""  # noqa: PLR2004  as many as are named
    hint = "type the directory of the one you mean" if same else "type a longer id"
    return NotFoundError(f"{wanted!r} is {len(matches)} {noun}: {names}{more}", hint)


def _by_name(known: Mapping[str, StudyDirectory], wanted: str, store: Path) -> Selection:
    """By the name of a directory in any study, or the beginning of an id."""
    places = [
        (path, select_one)
        for study in known.values()
        for select_one, paths in (
            (_sweep, study.sweep_directories()),
            (_trajectory, study.trajectory_directories()),
            (_run, study.run_directories()),
        )
        for path in paths
    ]
    matches = [
        (path, select_one)
        for path, select_one in places
        if wanted
        and (
            path.name.rpartition("-")[2][:ID_LENGTH].startswith(wanted)
            or wanted in (path.name, path.name[: -ID_LENGTH - 1])
            or (select_one is _run and _is_run(path.name, wanted))
        )
    ]
    exact = [each for each in matches if each[0].name == wanted]
    matches = exact or matches
    if len(matches) == 1:
        ((path, select_one),) = matches
        return select_one(path)
    if matches:
        raise _ambiguous(wanted, [path for path, _ in matches], "things")
    there = [*known, *(path.name for path, _ in places)]
    hint = did_you_mean(wanted, there, look_around(store))
    raise NotFoundError(f"no study, sweep, run or trajectory {wanted!r} in {store}", hint)


def _run(path: Path) -> Selection:
    """A run, and its trajectory if that is in its study."""
    study = _study_of(path.parent)
    manifest = intact(path)
    if study is None:
        return Selection(path, (), (path,))
    trajectory = manifest and study.trajectory(manifest.get("trajectory_id", ""))
    beside = (trajectory,) if trajectory and trajectory.is_dir() else ()
    return Selection(study.path, (study,), (path,), beside)


def _trajectory(path: Path) -> Selection:
    study = _study_of(path.parent.parent) if path.parent.name == "trajectories" else None
    return Selection(study.path if study else path, (study,) if study else (), (), (path,))


def _sweep(path: Path) -> Selection:
    """A sweep with its runs, and their trajectories."""
    from normexp.store import summary  # pyarrow, which listings do not need

    study = StudyDirectory(path.parents[1])
    there = study.runs()
    ids = summary.ids(path)
    runs = [there[name] for name in ids if name in there]
    manifests = [intact(run) for run in runs]
    wanted = {manifest.get("trajectory_id", "") for manifest in manifests if manifest}
    trajectories = [path for path in study.trajectory_directories() if path.name in wanted]
    return Selection(study.path, (study,), tuple(runs), tuple(trajectories), (path,))


def _by_id(study: StudyDirectory) -> dict[str, Path]:
    return {path.name[-ID_LENGTH:]: path for path in study.run_directories()}


def _study_of(path: Path) -> StudyDirectory | None:
    """The study at a path, if there is one."""
    study = StudyDirectory(path)
    return study if study.sweeps.is_dir() else None
