"""Verification: whether all that is stored is what was stored, and what to do where it is not."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from normexp.store.check import Checked, Kind, Problem, check, mark, unmark
from normexp.store.check_sweep import NOT_THERE, check_sweep
from normexp.store.layout import StudyDirectory
from normexp.store.selection import Selection
from normexp.store.sweep import has_ended
from normexp.trust.remedy import Remedies

THREADS = 4
"""Reading, hashing and Parquet's footers release the lock; the rest does not."""

UNSEEN = "it cannot be looked at"
ATTEMPTS = 3
"""At a directory that another process puts in place meanwhile."""

Report = Callable[[int, int], None]
"""Told how many directories are done, of how many."""


def _nobody(done: int, of: int) -> None:
    """Hears no report."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with one directory.

    Attributes:
        path: of the directory, relative to what was verified.
        kind: what it is.
        problems: all of them.
        remedy: what to do.
        marked: whether the next sweep knows that it has to be made anew; None if it has not.
    """

    path: str
    kind: Kind
    problems: tuple[str, ...]
    remedy: str
    marked: bool | None


@dataclass
class Verification:
    """What has been verified, and what was found."""

    runs: int = 0
    trajectories: int = 0
    sweeps: int = 0
    unfinished: list[str] = field(default_factory=list)
    hidden: int = 0
    alone: list[str] = field(default_factory=list)  # runs whose trajectory is not there
    findings: list[Finding] = field(default_factory=list)

    @property
    def problems(self) -> int:
        """How many directories are not as they should be."""
        return len(self.findings)


def verify(selection: Selection, report: Report = _nobody) -> Verification:
    """Check every digest, schema and row count of what is selected, and mark what is damaged.

    Args:
        selection: what to look at.
        report: told how far it is.
    """
    result = Verification(hidden=selection.hidden)
    remedies = Remedies(selection)
    everything: list[tuple[Kind, Path]] = [
        *(("run", path) for path in selection.runs),
        *(("trajectory", path) for path in selection.trajectories),
    ]
    of = len(everything) + len(selection.sweeps)
    result.runs, result.trajectories = len(selection.runs), len(selection.trajectories)
    damaged = []
    checks = _in_threads(_check, [(*each, selection.at_home) for each in everything])
    for done, ((kind, path), (found, inode)) in enumerate(
        zip(everything, checks, strict=True), start=1
    ):
        result.hidden += found.hidden
        if kind == "run":
            remedies.learn(path, found)
            if found.manifest and not selection.has_trajectory(path, found.manifest):
                result.alone.append(selection.relative(path))
        if found.problems:
            damaged.append(_Seen(kind, path, found, inode))
        else:
            unmark(path)
        report(done, of)
    result.findings += [_finding(selection, remedies, each) for each in damaged]
    for done, path in enumerate(selection.sweeps, start=len(everything) + 1):
        _verify_sweep(path, selection, remedies, result)
        report(done, of)
    return result


def report_of(result: Verification) -> dict[str, Any]:
    """A verification as data."""
    return {
        "runs": result.runs,
        "trajectories": result.trajectories,
        "sweeps": result.sweeps,
        "unfinished": result.unfinished,
        "hidden": result.hidden,
        "without_trajectory": result.alone,
        "problems": [
            {"directory": each.path, "kind": each.kind, "what": list(each.problems),
             "to_do": each.remedy, "marked": each.marked}
            for each in result.findings
        ],
    }  # fmt: skip


def _in_threads(
    call: Callable[[tuple[Kind, Path, bool]], tuple[Checked, int]],
    items: list[tuple[Kind, Path, bool]],
) -> Iterator[tuple[Checked, int]]:
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        try:
            yield from pool.map(call, items)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check(item: tuple[Kind, Path, bool]) -> tuple[Checked, int]:
    """What is wrong with a directory, and the number that tells it from one made anew.

    Looked at again where it was replaced meanwhile.
    """
    kind, path, at_home = item
    if path.is_symlink():
        return Checked(None, [Problem("it is a link, not a directory", damages=False)]), 0
    before = 0
    for _ in range(ATTEMPTS):
        try:
            before = path.stat().st_ino
            found = check(path, kind, at_home=at_home)
            if not found.problems or path.stat().st_ino == before:
                break
        except OSError as error:
            what = f"{UNSEEN}: {error.strerror}"
            found = Checked(None, [Problem(what, damages=False)])
    return found, before


class _Seen(NamedTuple):
    """A directory with problems; `inode` tells it from one made anew since."""

    kind: Kind
    path: Path
    found: Checked
    inode: int


def _finding(selection: Selection, remedies: Remedies, seen: _Seen) -> Finding:
    kind, path, found, inode = seen
    whats = tuple(problem.what for problem in found.problems)
    damages = [problem.what for problem in found.problems if problem.damages]
    if damages:
        remedy = remedies.of_run(path) if kind == "run" else remedies.of_trajectory(path)
        with suppress(OSError):  # made anew meanwhile, or gone
            if path.stat().st_ino == inode:
                return Finding(selection.relative(path), kind, whats, remedy, mark(path, damages))
        return Finding(selection.relative(path), kind, whats, "verify again: it has changed", None)
    if found.manifest is not None:
        unmark(path)
    return Finding(selection.relative(path), kind, whats, _advice(whats), None)


def _advice(whats: Iterable[str]) -> str:
    """What to do about a directory that a sweep cannot mend, and need not."""
    if any(what.startswith(UNSEEN) for what in whats):
        return "look at its disk and its rights, and verify again"
    if any(what.startswith("its name ") for what in whats):
        return "give it back the name that ends in its id, or move it away"
    return "move it away: it is no part of what normexp stores"


def _verify_sweep(
    path: Path, selection: Selection, remedies: Remedies, result: Verification
) -> None:
    name = selection.relative(path)
    if path.is_symlink():
        whats = ["it is a link, not a directory"]
    elif not has_ended(path):
        result.unfinished.append(name)
        return
    else:
        try:
            found = check_sweep(path, selection.runs_of(StudyDirectory(path.parents[1])))
        except OSError as error:
            found = Checked(None, [Problem(f"{UNSEEN}: {error.strerror}", damages=False)])
        result.hidden += found.hidden
        whats = [problem.what for problem in found.problems]
    result.sweeps += 1
    if whats:
        remedy = "remove it; its runs are untouched"
        if all(what.endswith(NOT_THERE) for what in whats):
            remedy = remedies.of_sweep(path)
        result.findings.append(Finding(name, "sweep", tuple(whats), remedy, None))
