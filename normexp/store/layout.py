"""The directories of a store, and those of them that are complete."""

import errno
import os
import re
import shlex
import time
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from normexp.store.manifest import MANIFEST, intact

ID_LENGTH = 12
MOST_LOOKS = 256
"""Names that are asked for one by one, rather than by reading their directory."""

RUN_NAME = re.compile(rf".+-[0-9a-f]{{{ID_LENGTH}}}", re.DOTALL)

FEW, MANY, THREADS = 64, 2048, 32
"""Directories that show whether reading is mostly waiting; those of a batch; threads for them."""

Item = TypeVar("Item")
Seen = TypeVar("Seen")


@dataclass(frozen=True)
class StudyDirectory:
    """One study's directory, `<store>/<study>`."""

    path: Path

    @property
    def sweeps(self) -> Path:
        """One directory a sweep."""
        return self.path / "sweeps"

    @property
    def trajectories(self) -> Path:
        """One directory a trajectory, named by its id."""
        return self.path / "trajectories"

    @property
    def lock(self) -> Path:
        """The file on which an `flock` is held while locks of trajectories change."""
        return self.path / "study.lock"

    def refuse_links(self) -> None:
        """Make sure that what is written here comes to lie here.

        Raises:
            OSError: a part of the study is a link.
        """
        for path in (self.path, self.sweeps, self.trajectories, self.lock):
            if path.is_symlink():
                raise OSError(
                    errno.ELOOP, f"{path} is a link, and links in a store are not followed"
                )

    def trajectory(self, name: str) -> Path:
        """The directory of a trajectory."""
        return self.trajectories / name

    def checkpoint(self, name: str) -> Path:
        """The file from which a trajectory's training goes on, while it lasts."""
        return self.trajectories / f".{name}.checkpoint"

    def run(self, label: str, name: str) -> Path:
        """The directory that a run gets."""
        return self.path / f"{label}-{name}"

    def names(self, wanted: Container[str] | None = None) -> dict[str, str]:
        """Names of the directories of runs, whole or not, by id: of all, or of the wanted."""
        found = _names(self.path)
        if wanted is not None:
            found = [name for name in found if name[-ID_LENGTH:] in wanted]
        return {name[-ID_LENGTH:]: name for name in sorted(found)}

    def places(self) -> dict[str, Path]:
        """Directories of runs, whole or not, by id."""
        return {name: self.path / found for name, found in self.names().items()}

    def runs(self, wanted: Container[str] | None = None) -> dict[str, Path]:
        """Complete runs by id: all, or the wanted."""
        return {path.name[-ID_LENGTH:]: path for path in complete(self.path, wanted)}

    def intact_runs(
        self, wanted: Iterable[str], names: Mapping[str, str] | None = None
    ) -> Iterator[tuple[str, Path, dict[str, Any]]]:
        """Yield id, directory and manifest of those of the wanted runs that are whole.

        Args:
            wanted: ids.
            names: of their directories, where these are known.
        """
        names = self.names() if names is None else names
        paths = (self.path / names[run] for run in wanted if run in names)
        for path, manifest in looked(paths, lambda path: (path, intact(path))):
            if manifest is not None and manifest.get("run_id") == path.name[-ID_LENGTH:]:
                yield manifest["run_id"], path, manifest

    def begun(self, trajectories: Collection[str]) -> set[str]:
        """Those of the trajectories that have a directory, whole or not."""
        if len(trajectories) > MOST_LOOKS:
            return {*_names(self.trajectories)}.intersection(trajectories)
        return {name for name in trajectories if self.trajectory(name).exists()}

    def intact_trajectories(self, wanted: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield id and manifest of those of the wanted trajectories that are whole."""
        for name, manifest in looked(wanted, lambda name: (name, intact(self.trajectory(name)))):
            if manifest is None or manifest["kind"] != "trajectory":
                continue
            if manifest["trajectory_id"] == name:
                yield name, manifest

    def run_directories(self) -> list[Path]:
        """Directories that are a run or should be one: with a manifest, or the name of a run."""
        return [
            path
            for path in _directories(self.path)
            if path not in (self.sweeps, self.trajectories)
            and (RUN_NAME.fullmatch(path.name) or os.path.lexists(path / MANIFEST))
        ]

    def trajectory_directories(self) -> list[Path]:
        """Directories that are a trajectory or should be one."""
        return _directories(self.trajectories)

    def sweep_directories(self) -> list[Path]:
        """All sweeps, oldest first, complete or not."""
        return _directories(self.sweeps)

    def hidden(self) -> int:
        """The number of names that begin with a dot: of locks, of half-written directories."""
        places = (self.path, self.sweeps, self.trajectories)
        found = (path for place in places if place.is_dir() for path in place.iterdir())
        return sum(path.name.startswith(".") for path in found)


def looked(directories: Iterable[Item], look: Callable[[Item], Seen]) -> Iterator[Seen]:
    """Yield what a function returns for each of the directories, in their order.

    On a shared file system every request takes a way there and back. Where the first directories
    show that, many are looked at side by side; elsewhere threads would only be in each other's way.
    """
    todo, waited = iter(directories), 0
    for directory in islice(todo, FEW):
        wall, busy = time.perf_counter(), time.thread_time()
        seen = look(directory)
        waited += time.perf_counter() - wall > 2 * (time.thread_time() - busy)
        yield seen
    if waited < FEW / 2:
        yield from map(look, todo)
        return
    with ThreadPoolExecutor(THREADS, "look") as pool:
        while some := list(islice(todo, MANY)):
            yield from pool.map(look, some)


def complete(directory: Path, wanted: Container[str] | None = None) -> list[Path]:
    """The subdirectories that have a manifest, by name: all, or those of ids; a link is none."""
    return [
        path
        for path in _directories(directory)
        if (wanted is None or path.name[-ID_LENGTH:] in wanted)
        and (path / MANIFEST).is_file()
        and not path.is_symlink()
    ]


def studies(store: Path) -> list[StudyDirectory]:
    """The studies of a store, by name; a study is taken for a store of that one."""
    if (store / "sweeps").is_dir() and (store / "trajectories").is_dir():
        return [StudyDirectory(store)]
    found = [StudyDirectory(path) for path in _directories(store)]
    return [study for study in found if study.sweeps.is_dir() or study.runs()]


def look_around(store: Path) -> str:
    """A hint: the command that shows what a store has."""
    place = "" if store == Path("runs") else f" --dir {shlex.quote(str(store))}"
    return f"type normexp ls{place} to see what there is"


def _directories(directory: Path) -> list[Path]:
    """Visible subdirectories by name; none where there is no such directory."""
    return [directory / name for name in sorted(_names(directory))]


def _names(directory: Path) -> list[str]:
    """Names of visible subdirectories in no order; none where there is no such directory."""
    try:
        with os.scandir(directory) as entries:
            visible = (entry for entry in entries if not entry.name.startswith("."))
            return [entry.name for entry in visible if _is_directory(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_directory(entry: "os.DirEntry[str]") -> bool:
    """True if it is one, or a link to one; a link to itself is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False
