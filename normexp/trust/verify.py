"""Verification: is everything stored as it was written, and what to type where it is not."""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from normexp.config.schema import RECORDED
from normexp.store.check import (
    NOT_THERE,
    Checked,
    Kind,
    Problem,
    check,
    check_sweep,
    is_own_command,
    mark,
    unmark,
)
from normexp.store.layout import ID_LENGTH, StudyDirectory
from normexp.store.selection import Selection
from normexp.store.stored import Stored
from normexp.store.sweep import has_ended, summary_ids, typed

THREADS = 4
"""Reading, hashing and Parquet's footers release the lock; the rest does not."""

UNSEEN = "it cannot be looked at"
ATTEMPTS = 3
"""At a directory that another process puts in place meanwhile."""

DEFAULT_STORE = "runs"
NEWEST = "newest"
"""In the place of an id: the newest sweep of a study."""


@dataclass(frozen=True)
class Finding:
    """One directory that is not as it should be.

    Attributes:
        directory: relative to what was verified.
        kind: of the directory.
        what: all its problems.
        to_do: a command, or advice.
        marked: whether the next sweep, or the recorder that saves it again, will make it anew; None
            if that is not needed.
    """

    directory: str
    kind: Kind
    what: tuple[str, ...]
    to_do: str
    marked: bool | None = None


@dataclass
class Verification:
    """The counts of a verification and the directories that it found."""

    runs: int
    trajectories: int
    sweeps: int = 0
    unfinished: list[str] = field(default_factory=list)
    hidden: int = 0
    without_trajectory: list[str] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)


class _Seen(NamedTuple):
    """A directory that was checked; `inode` tells it from one made anew since."""

    kind: Kind
    path: Path
    found: Checked
    inode: int = 0


def verify(
    selection: Selection, report: Callable[[int, int], None] = lambda _done, _of: None
) -> Verification:
    """Check every digest, schema and row count of what is selected, and mark what is damaged.

    Args:
        selection: what to look at.
        report: told how many directories are done, of how many.
    """
    result = Verification(len(selection.runs), len(selection.trajectories), hidden=selection.hidden)
    whole: list[tuple[Kind, Path]] = [("run", path) for path in selection.runs]
    whole += [("trajectory", path) for path in selection.trajectories]
    ended: list[tuple[Kind, Path]] = []
    for path in selection.sweeps:
        if path.is_symlink() or has_ended(path):
            ended.append(("sweep", path))
        else:
            result.unfinished.append(selection.relative(path))
    result.sweeps = len(ended)
    remedies, done = _Remedies(selection), 0
    for items in (whole, ended):  # a sweep is compared with runs that are not marked
        wrong = []
        for seen in _checked(items, selection):
            result.hidden += seen.found.hidden
            manifest, problems = seen.found.manifest, seen.found.problems
            if seen.kind == "run":
                remedies.learn(seen.path, seen.found)
                if manifest and not Stored(seen.path, manifest).trajectory.is_dir():
                    result.without_trajectory.append(selection.relative(seen.path))
            if manifest is not None and not any(each.damages for each in problems):
                unmark(seen.path)
            wrong += [seen] if problems else []
            done += 1
            report(done, len(whole) + len(ended))
        result.problems += [_finding(selection, remedies, each) for each in wrong]
    return result


def _checked(items: list[tuple[Kind, Path]], selection: Selection) -> Iterator[_Seen]:
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        try:
            yield from pool.map(lambda item: _check(item[0], item[1], selection), items)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check(kind: Kind, path: Path, selection: Selection) -> _Seen:
    """Check a directory, again if it was replaced meanwhile."""
    if path.is_symlink():
        what = Problem("it is a link, not a directory", damages=False)
        return _Seen(kind, path, Checked(None, [what]))
    inode = 0
    for _ in range(ATTEMPTS):
        try:
            inode = path.stat().st_ino
            if kind == "sweep":
                found = check_sweep(path, selection.places[path.parents[1]])
            else:
                found = check(path, kind, at_home=selection.at_home)
            if not found.problems or path.stat().st_ino == inode:
                break
        except OSError as error:
            what = Problem(f"{UNSEEN}: {error.strerror}", damages=False)
            found = Checked(None, [what])
    return _Seen(kind, path, found, inode)


def _finding(selection: Selection, remedies: "_Remedies", seen: _Seen) -> Finding:
    kind, path, found, inode = seen
    name, whats = selection.relative(path), tuple(problem.what for problem in found.problems)
    damages = [problem.what for problem in found.problems if problem.damages]
    if kind == "sweep":
        is_mended = all(what.endswith(NOT_THERE) for what in whats)
        remedy = remedies.of(kind, path) if is_mended else "remove it; its runs are untouched"
        return Finding(name, kind, whats, remedy)
    if damages:
        with suppress(OSError):  # made anew meanwhile, or gone
            if path.stat().st_ino == inode:
                return Finding(name, kind, whats, remedies.of(kind, path), mark(path, damages))
        advice = "verify again: it has changed"
    elif any(what.startswith(UNSEEN) for what in whats):
        advice = "look at its disk and its rights, and verify again"
    elif any(what.startswith("its name ") for what in whats):
        advice = "give it back the name that ends in its id, or move it away"
    else:
        advice = "move it away: it is no part of what normexp stores"
    return Finding(name, kind, whats, advice)


class _Remedies:
    """The command that gives each run, trajectory or sweep again, from what they say themselves."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._own: dict[tuple[Path, str], str] = {}
        self._of_sweeps: dict[Path, dict[str, str]] = {}

    def learn(self, run: Path, found: Checked) -> None:
        """Remember the command of a run, if its manifest can be believed."""
        wrong = [each for each in found.problems if each.what.startswith("manifest.json")]
        if found.manifest is None or wrong or not is_own_command(found.manifest["command"]):
            return
        command = self._complete(found.manifest["command"], run.parent)
        if found.problems:
            self._own[run.parent, run.name[-ID_LENGTH:]] = command
        self._own.setdefault((run.parent, found.manifest["trajectory_id"]), command)

    def of(self, kind: Kind, path: Path) -> str:
        """Return the command of a sweep that had it, else of the run itself, else of its study."""
        study = path.parent if kind == "run" else path.parents[1]
        if kind == "sweep":
            return self._complete(_command(study, typed(path)), study)
        identity = path.name[-ID_LENGTH:]
        own = self._own.get((study, identity))
        if not self._selection.at_home:
            return own or "copy it again from where it came"
        if study not in self._of_sweeps:
            self._of_sweeps[study] = _by_sweeps(StudyDirectory(study))
        known = self._of_sweeps[study]
        if own is not None and identity not in known:
            return own
        return self._complete(known.get(identity, known[NEWEST]), study)

    def _complete(self, command: str, study: Path) -> str:
        """The command with the store that the study is in, or advice where none would help."""
        if f"data={RECORDED['data']}" in command.split():
            return "run the loop that it was recorded in again, and save it there"
        place = study.parent
        if not self._selection.at_home or place.resolve() == Path(DEFAULT_STORE).resolve():
            return command
        return f"{command} {shlex.quote(f'store.dir={place}')}"


def _by_sweeps(study: StudyDirectory) -> dict[str, str]:
    """The command of the newest sweep that had a run or trajectory, by its id; of no search's."""
    found = {NEWEST: _command(study.path, None)}
    for sweep in study.sweep_directories():
        if (words := typed(sweep)) is not None and "search" not in words:
            ids = summary_ids(sweep, with_trajectories=True)
            found |= dict.fromkeys([NEWEST, *ids], _command(study.path, words))
    return found


def _command(study: Path, words: Iterable[str] | None) -> str:
    """The command of these words, without their store; that of the study if they are not known."""
    given = (f"study={study.name}",) if words is None else words
    return shlex.join(
        ["normexp", "sweep", *(word for word in given if not word.startswith("store.dir="))]
    )
