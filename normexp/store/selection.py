"""The one resolver of what a user names: a store, a study, a sweep, a run or a trajectory."""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from normexp.config.identity import completed
from normexp.errors import NormexpError, NotFoundError, did_you_mean
from normexp.store.layout import ID_LENGTH, StudyDirectory, look_around, studies
from normexp.store.manifest import MANIFEST, METRICS, WEIGHTS, intact, read_manifest
from normexp.store.sweep import TYPED, summary_ids
from normexp.study.asked import ANY_RUN, Where


@dataclass(frozen=True)
class Selection:
    """Directories to look at."""

    kind: Literal["store", "study", "sweep", "run", "trajectory"]
    root: Path  # to which paths are shown relative
    studies: tuple[StudyDirectory, ...]  # of the rest; none of a run that was copied away
    runs: tuple[Path, ...] = ()
    trajectories: tuple[Path, ...] = ()
    sweeps: tuple[Path, ...] = ()
    hidden: int = 0  # names in the studies that begin with a dot

    @property
    def at_home(self) -> bool:
        """True if directories stand where a sweep has put them."""
        return bool(self.studies)

    @cached_property
    def places(self) -> dict[Path, dict[str, Path]]:
        """The runs of every study by id, whole or not, by the study's directory."""
        return {study.path: study.places() for study in self.studies}

    def relative(self, path: Path) -> str:
        """A directory's path as a person reads it."""
        return str(path.relative_to(self.root)) if path != self.root else str(path)


def select(store: Path, wanted: str | None, where: Where = ANY_RUN) -> Selection:
    """Return what is meant; of runs that have some fields these alone, with their trajectories.

    Args:
        store: where to look for names.
        wanted: a study's, sweep's, run's or trajectory's name, an id or the beginning of one, or a
            path to any of these or to a store; None is the whole store.
        where: fields that runs must have.

    Raises:
        NotFoundError: there is no such thing, or more than one.
        UsageError: no run has these fields.
    """
    found = _selected(store, wanted)
    if not where:
        return found
    flats = {path: completed(each["config"]) for path in found.runs if (each := intact(path))}
    return replace(found, runs=tuple(where.among(flats)))


def _selected(store: Path, wanted: str | None) -> Selection:
    if wanted is None:
        return _store(store)
    known = {study.path.name: study for study in studies(store)}
    if wanted in known:
        return _of_studies(known[wanted].path, [known[wanted]])
    if wanted and Path(wanted).is_dir():
        return _of_path(Path(wanted).resolve())
    kind, path = _named(store, wanted, ("sweep", "trajectory", "run"))
    return {"sweep": _sweep, "trajectory": _trajectory, "run": _run}[kind](path)


def find_study(store: Path, name: str) -> StudyDirectory:
    """Return a study by its name.

    Raises:
        NotFoundError: there is none.
    """
    known = {study.path.name: study for study in studies(store)}
    name = Path(name).name  # completed by a shell, it ends in a slash
    if name not in known:
        raise NotFoundError(
            f"no study {name!r} in {store}", did_you_mean(name, known, look_around(store))
        )
    return known[name]


def find_run(store: Path, wanted: str) -> Path:
    """Return a run's directory by its path, also in the store, its name, or an id's beginning.

    Raises:
        NotFoundError: there is none, or more than one.
    """
    if not wanted:
        raise NotFoundError("no run without a name", look_around(store))
    for path in (Path(wanted), store / wanted):
        if _says_run(path):
            return path
    return _named(store, wanted, ("run",))[1]


def _named(store: Path, wanted: str, kinds: tuple[str, ...]) -> tuple[str, Path]:
    """Return kind and path of the one directory in any study with this name, or part of it."""
    around = studies(store)
    there = [
        (kind, path)
        for study in around
        for kind, paths in (
            ("sweep", study.sweep_directories),
            ("trajectory", study.trajectory_directories),
            ("run", study.run_directories),
        )
        if kind in kinds
        for path in paths()
    ]
    found = [each for each in there if wanted and _is_called(each[1].name, wanted)]
    found = [each for each in found if each[1].name == wanted] or found
    if len(found) == 1:
        return found[0]
    is_run = kinds == ("run",)
    if found:
        same = len({path.name[-ID_LENGTH:] for _, path in found}) == 1  # in several studies
        few = ", ".join(str(path) if same else path.name for _, path in found[:3])
        more = ", ..." if len(found) > 3 else ""  # noqa: PLR2004  as many as are named
        raise NotFoundError(
            f"{wanted!r} names {len(found)} {'runs' if is_run else 'directories'}: {few}{more}",
            "type the directory of the one you mean" if same else "type a longer id",
        )
    names = [path.name for _, path in there]
    if not is_run:
        names = [*(study.path.name for study in around), *names]
    raise NotFoundError(
        f"no {'run' if is_run else 'study, sweep, run or trajectory'} {wanted!r} in {store}",
        did_you_mean(wanted, names, look_around(store)),
    )


def _is_called(name: str, wanted: str) -> bool:
    """Return whether this is a directory's name without its id, or the beginning of its id."""
    label_or_id = name.startswith(f"{wanted}-") or name.rpartition("-")[2].startswith(wanted)
    return label_or_id or name == wanted


def _store(store: Path) -> Selection:
    found = studies(store)
    if not found:
        raise NotFoundError(f"nothing in {store}", "type normexp sweep, or --dir for another store")
    return _of_studies(store, found)


def _of_studies(root: Path, found: list[StudyDirectory]) -> Selection:
    return Selection(
        "study" if [root] == [study.path for study in found] else "store",
        root,
        tuple(found),
        tuple(path for study in found for path in study.run_directories()),
        tuple(path for study in found for path in study.trajectory_directories()),
        tuple(path for study in found for path in study.sweep_directories()),
        sum(study.hidden() for study in found),
    )


def _of_path(path: Path) -> Selection:
    """Return what stands at a path, whatever it is."""
    if path.name in ("sweeps", "trajectories") and _studies_at(path.parent):
        return _of_studies(path.parent, [StudyDirectory(path.parent)])
    if os.path.lexists(path / TYPED) and path.parent.name == "sweeps":
        return _sweep(path)
    if os.path.lexists(path / WEIGHTS):
        return _trajectory(path)
    if os.path.lexists(path / METRICS) or _says_run(path):
        return _run(path)
    study = StudyDirectory(path)
    if study.sweeps.is_dir() or study.trajectories.is_dir() or study.run_directories():
        return _of_studies(path, [study])
    if os.path.lexists(path / TYPED):
        raise NotFoundError(
            f"the sweep {path} is not in its study: its runs are not beside it",
            "copy the whole study, or verify its runs",
        )
    return _store(path)


def _says_run(path: Path) -> bool:
    try:
        return os.path.lexists(path / MANIFEST) and read_manifest(path)["kind"] == "run"
    except NormexpError:
        return True  # something of normexp's, and damaged: say so


def _run(path: Path) -> Selection:
    """Return a run, and its trajectory if that is in its study."""
    found = _studies_at(path.parent)
    manifest = intact(path) if found else None
    beside = [study.trajectory(manifest.get("trajectory_id", "")) for study in found if manifest]
    return Selection(
        "run",
        found[0].path if found else path,
        found,
        (path,),
        tuple(t for t in beside if t.is_dir()),
    )


def _trajectory(path: Path) -> Selection:
    found = _studies_at(path.parent.parent) if path.parent.name == "trajectories" else ()
    return Selection("trajectory", found[0].path if found else path, found, (), (path,))


def _sweep(path: Path) -> Selection:
    """Return a sweep with its runs, and their trajectories."""
    study = StudyDirectory(path.parents[1])
    there = study.runs()
    runs = [there[name] for name in summary_ids(path) if name in there]
    wanted = {manifest.get("trajectory_id", "") for run in runs if (manifest := intact(run))}
    trajectories = [path for path in study.trajectory_directories() if path.name in wanted]
    return Selection("sweep", study.path, (study,), tuple(runs), tuple(trajectories), (path,))


def _studies_at(path: Path) -> tuple[StudyDirectory, ...]:
    """Return the study at a path, if there is one."""
    study = StudyDirectory(path)
    return (study,) if study.sweeps.is_dir() else ()
