"""Removal: what goes with a run, a sweep or a study, and nothing that others need; new names.

First every sweep notes the runs that it loses, then each directory is renamed, and goes
from there. So nothing is ever half gone: who is killed leaves hidden names, which the next sweep or
`normexp gc` removes, and a repeated command finds what is left.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from normexp.config.schema import packaged_configs
from normexp.errors import NormexpError, UsageError
from normexp.store.files import abandoned, remove, staging
from normexp.store.layout import ID_LENGTH, StudyDirectory, studies
from normexp.store.locks import SUFFIX, unchanging
from normexp.store.manifest import intact
from normexp.store.selection import Selection, find_study
from normexp.store.sweep import (
    Labels,
    described,
    has_ended,
    labels_of,
    note_removed,
    over,
    read_end,
    removed_from,
    summary_ids,
)
from normexp.study.study import NAME, TAKEN

KINDS = ("runs", "trajectories", "sweeps", "studies", "hidden")
"""Of what goes, in the order in which it goes; hidden is what killed processes have left."""


@dataclass(frozen=True)
class Removal:
    """What is to go.

    Attributes:
        places: studies in which something goes, or would.
        of_kind: directories and checkpoints, by `KINDS`.
        losing: sweeps, and the runs that they lose.
    """

    places: Sequence[StudyDirectory]
    of_kind: Mapping[str, Sequence[Path]]
    losing: Mapping[Path, frozenset[str]] = field(default_factory=dict)

    @property
    def going(self) -> list[Path]:
        """All paths, in the order in which they go."""
        return [path for kind in KINDS for path in self.of_kind.get(kind, ())]

    @cached_property
    def bytes(self) -> int:
        """The bytes of all files that go, as they were when this was first asked."""
        return sum(map(size, self.going))

    def as_dict(self) -> dict[str, Any]:
        """Return it as data, before it is carried out."""
        paths = {kind: list(map(str, self.of_kind.get(kind, ()))) for kind in KINDS}
        losing = {str(sweep): sorted(ids) for sweep, ids in self.losing.items()}
        return {**paths, "losing": losing, "bytes": self.bytes}

    def carry_out(self, again: "Callable[[], Removal]") -> None:
        """Remove it all, if it is still the same once no sweep can begin.

        Args:
            again: looks again at what is to go.

        Raises:
            NormexpError: it is no longer the same.
            OSError: a directory cannot be renamed; those before it are gone.
        """
        with ExitStack() as held:
            for study in self.places:
                held.enter_context(unchanging(study, alone=True))
            if again() != self:
                raise NormexpError(
                    "what is to go has changed in this moment", "type the same command again"
                )
            for sweep, ids in self.losing.items():
                note_removed(sweep, ids)
            for path in self.going:
                is_hidden = path.name.startswith(".")
                remove(path if is_hidden else path.rename(staging(path, "gone")))


def removal(selection: Selection, *, narrowed: bool) -> Removal:
    """Return what goes with all that is selected.

    A sweep goes with the runs that no other sweep had. A run goes from all sweeps, which go with
    their last one. A trajectory goes with its last run.

    Args:
        selection: a study, a sweep, or runs.
        narrowed: whether its runs were chosen by their fields.

    Raises:
        UsageError: a sweep works there, or nothing of normexp's is meant.
    """
    for each in selection.studies:
        _refuse_at_work(each)
    if not selection.studies or selection.kind in ("store", "trajectory"):
        raise UsageError(
            f"{selection.root} is no study, nor a sweep or a run of one",
            f"type the name of a study, sweep or run; or rm -r {selection.root}",
        )
    (study,) = selection.studies
    if selection.kind == "study" and not narrowed:
        return Removal([study], {"studies": [study.path]})
    is_sweep = selection.kind == "sweep" and not narrowed
    ids = {path: {*summary_ids(path)} for path in study.sweep_directories()}
    going = {path.name[-ID_LENGTH:]: path for path in selection.runs}
    if is_sweep:  # of which a killed command may have noted all already
        (sweep,) = selection.sweeps
        had = (ids[sweep] | removed_from(sweep)).difference(
            *(own for path, own in ids.items() if path != sweep)
        )
        going = {run: path for run, path in study.places().items() if run in had}
    emptied = [path for path, own in ids.items() if own and own <= going.keys()]
    runs = [*going.values()]
    return Removal(
        [study],
        {
            "runs": runs,
            "trajectories": [*_needless(study, runs)],
            "sweeps": [*dict.fromkeys([*(selection.sweeps if is_sweep else ()), *emptied])],
        },
        {path: lost for path, own in ids.items() if (lost := frozenset(own & going.keys()))},
    )


def rubbish(store: Path) -> tuple[Removal, list[str]]:
    """Return what nobody needs, and the studies where a sweep works, which are left alone.

    That is trajectories without a run, checkpoints, sweeps that were interrupted and have no run
    that no other sweep has, and what killed processes have left. A note or a tag keeps a sweep.
    """
    busy = {study: _at_work(study) for study in studies(store)}
    free = [study for study in busy if not busy[study]]
    going = {
        "trajectories": [path for study in free for path in _needless(study, ())],
        "sweeps": [path for study in free for path in _superseded(study)],
        "hidden": sorted(
            path
            for study in free
            for path in (
                *abandoned(study.path),
                *abandoned(study.trajectories),
                *abandoned(study.sweeps),
                *study.trajectories.glob(".*.checkpoint"),
                *study.trajectories.glob(f".*.{SUFFIX}"),
            )
        ),
    }
    return Removal(free, going), [study.path.name for study in busy if busy[study]]


def rename(store: Path, old: str, new: str) -> Path:
    """Give a study another name, and return its directory; its runs stay as they were made.

    The name of a packaged study is for what was made under it, and has another name since.

    Raises:
        NotFoundError: there is no such study.
        UsageError: a sweep works on it, or it cannot have this name.
    """
    study, target = find_study(store, old), store / new
    if not NAME.fullmatch(new) or new in TAKEN or os.path.lexists(target):
        raise UsageError(
            f"{new!r} cannot be a study's new name, or something in {store} has it",
            "type another name of letters, digits, '_', '-' and '.'",
        )
    with unchanging(study, alone=True):
        _refuse_at_work(study)
        made_as = {described(path).get("study") for path in study.sweep_directories()}
        if (packaged_configs() / "study" / f"{new}.yaml").is_file() and made_as != {new}:
            raise UsageError(
                f"the configs have a study {new}, whose runs would join these",
                f"type another name, such as my_{new}",
            )
        return study.path.rename(target)


def sizes(store: Path) -> list[dict[str, Any]]:
    """Return the bytes that each study of a store takes, by what they are of, and of the rest."""
    rows = []
    for study in studies(store):
        parts = {
            "runs": sum(map(size, study.run_directories())),
            "trainings": size(study.trajectories),
            "sweeps": size(study.sweeps),
        }
        whole = size(study.path)
        rows.append({"study": study.path.name, **parts, "else": whole - sum(parts.values()),
                     "all": whole})  # fmt: skip
    for name in ("reports", "exports"):
        if (whole := size(store / name)) and rows:
            rows.append({**dict.fromkeys(rows[0], 0), "study": name, "else": whole, "all": whole})
    return rows


def size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a directory; links count as themselves."""
    if path.is_symlink() or not path.is_dir():
        with suppress(FileNotFoundError):
            return path.lstat().st_size
        return 0
    files = (Path(folder) / name for folder, _, names in os.walk(path) for name in names)
    return sum(size(file) for file in files)


def _needless(study: StudyDirectory, going: Iterable[Path]) -> Iterator[Path]:
    """Yield trajectories, and their checkpoints, that are of no run but those that go."""
    gone = {*going}
    left = (intact(path) for path in study.run_directories() if path not in gone)
    needed = {manifest.get("trajectory_id") for manifest in left if manifest is not None}
    for path in study.trajectory_directories():
        if path.name not in needed and not path.is_symlink():
            yield path


def _superseded(study: StudyDirectory) -> Iterator[Path]:
    """Yield interrupted sweeps that nobody has named, and whose runs others have."""
    ids = {path: {*summary_ids(path)} for path in study.sweep_directories()}
    for path in [*ids]:
        end = read_end(path) if has_ended(path) else {"status": "interrupted"}
        is_left = end is not None and end["status"] == "interrupted"
        others = (own for other, own in ids.items() if other != path)
        if is_left and labels_of(path) == Labels() and ids[path] <= set().union(*others):
            del ids[path]
            yield path


def _at_work(study: StudyDirectory) -> list[Path]:
    """Sweeps of a study on which somebody works, or a cluster will."""
    ended = over(study)
    return [path for path in study.sweep_directories() if path.name not in ended]


def _refuse_at_work(study: StudyDirectory) -> None:
    if busy := _at_work(study):
        raise UsageError(
            f"a sweep works on {study.path.name} ({busy[0].name})",
            "wait for its end, or press Ctrl-C there; normexp ls shows it",
        )
