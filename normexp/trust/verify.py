"""Verification: whether all that is stored is what was stored, and what to do where it is not."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from normexp.store.check import Checked
from normexp.store.check_run import check_run
from normexp.store.check_sweep import check_sweep, has_ended
from normexp.store.check_trajectory import check_trajectory
from normexp.store.digests import Problem
from normexp.store.layout import StudyDirectory
from normexp.store.mark import mark, unmark
from normexp.trust.remedy import Remedies
from normexp.trust.selection import Selection

THREADS = 4
"""Reading, hashing and Parquet's footers release the lock; the rest does not."""

ATTEMPTS = 3
"""At a directory that another process puts in place meanwhile."""

Kind = Literal["run", "trajectory", "sweep"]
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
    for done, ((kind, path), found) in enumerate(zip(everything, checks, strict=True), start=1):
        result.hidden += found.hidden
        if kind == "run":
            remedies.learn(path, found)
            if found.manifest and not selection.has_trajectory(path, found.manifest):
                result.alone.append(selection.relative(path))
        if found.problems:
            damaged.append((kind, path, found.problems))
        else:
            unmark(path)
        report(done, of)
    result.findings += [_finding(selection, remedies, *each) for each in damaged]
    for done, path in enumerate(selection.sweeps, start=len(everything) + 1):
        _verify_sweep(path, selection, result)
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
    call: Callable[[tuple[Kind, Path, bool]], Checked], items: list[tuple[Kind, Path, bool]]
) -> Iterator[Checked]:
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        try:
            yield from pool.map(call, items)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _check(item: tuple[Kind, Path, bool]) -> Checked:
    """What is wrong with a directory; looked at again where it was replaced meanwhile."""
    kind, path, at_home = item
    if path.is_symlink():
        return Checked(None, [Problem("it is a link, not a directory", damages=False)])
    check = check_run if kind == "run" else check_trajectory
    for _ in range(ATTEMPTS):
        try:
            before = path.stat().st_ino
            found = check(path, at_home=at_home)
            if not found.problems or path.stat().st_ino == before:
                break
        except OSError as error:
            found = Checked(None, [Problem(f"it cannot be read: {error.strerror}", damages=False)])
    return found


def _finding(
    selection: Selection, remedies: Remedies, kind: Kind, path: Path, problems: Iterable[Problem]
) -> Finding:
    whats = tuple(problem.what for problem in problems)
    damages = [problem.what for problem in problems if problem.damages]
    marked = mark(path, damages) if damages else None
    if not damages:
        unmark(path)
        remedy = "move it away: it is no part of what normexp stores"
    else:
        remedy = remedies.of_run(path) if kind == "run" else remedies.of_trajectory(path)
    return Finding(selection.relative(path), kind, whats, remedy, marked)


def _verify_sweep(path: Path, selection: Selection, result: Verification) -> None:
    name = selection.relative(path)
    if path.is_symlink():
        whats = ["it is a link, not a directory"]
    elif not has_ended(path):
        result.unfinished.append(name)
        return
    else:
        found = check_sweep(path, selection.runs_of(StudyDirectory(path.parents[1])))
        result.hidden += found.hidden
        whats = [problem.what for problem in found.problems]
    result.sweeps += 1
    if whats:
        remedy = "remove it; its runs are untouched"
        result.findings.append(Finding(name, "sweep", tuple(whats), remedy, None))
