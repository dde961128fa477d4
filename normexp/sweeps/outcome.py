"""The outcome of a sweep: the work that was done, and the runs that are stored; its limit."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from html import escape
from pathlib import Path
from threading import Timer
from typing import Any, NamedTuple

from normexp.config.identity import completed, varying
from normexp.config.schema import FRAMEWORK
from normexp.errors import SweepInterruptedError, UsageError, describe
from normexp.insight.arms import Arm, arms
from normexp.store.layout import StudyDirectory
from normexp.store.locks import GRACE_SECONDS, Stop
from normexp.store.stored import Row, row
from normexp.store.sweep import SweepDirectory
from normexp.study.study import SUBJECT, label
from normexp.sweeps.plan import Plan, Stack, Standard, build

NOTHING = "–"
"""Of a run without a framework among others."""

SECONDS = {"s": 1, "min": 60, "h": 3600}


@dataclass(repr=False)
class Outcome:
    """The outcome of a sweep.

    Attributes:
        plan: of what this command found to do.
        directory: of the sweep.
        planned: the figures of the plan with which the work began, in a cluster perhaps.
        trained: trajectories, by this very sweep.
        observed: runs, by this very sweep.
        rows: one a complete run, in the order of the study.
        failed: ids of runs that are not as they were asked for.
        broken: stacks that have failed, and why.
        warnings: what makes the numbers less than promised.
        seconds: wall clock of the work.
        jobs: their numbers, if a cluster had them.
        status: how it ended, if it did.
    """

    plan: Plan
    directory: Path
    planned: dict[str, int] = field(default_factory=dict)
    trained: int = 0
    observed: int = 0
    rows: list[Row] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    broken: list[tuple[Stack, Exception]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: float = 0.0
    jobs: list[str] = field(default_factory=list)
    status: str = "running"

    def __repr__(self) -> str:
        runs = f"{len(self.rows)} of {len(self.plan.study.runs)} runs"
        return f"<{self.plan.study.name}: {runs}, {self.trained} trained, {self.directory}>"

    def _repr_html_(self) -> str:
        """Return the arms as a table, for notebooks."""
        import pandas as pd

        rows = [
            {path: value for path, value in arm.values.items() if path in self.differing}  # noqa: PD011
            | {"n": arm.n}
            | {name: f"{e.mean:.4g} ± {e.half_width:.2g}" for name, e in arm.estimates.items()}
            for arm in self.arms
        ]
        return f"{escape(repr(self))}{pd.DataFrame(rows).to_html(index=False)}"

    @property
    def errors(self) -> list[str]:
        """A line for each error of stacks; where several raised the same, one."""
        by_text: dict[str, list[Stack]] = {}
        for stack, error in self.broken:
            by_text.setdefault(describe(error), []).append(stack)
        return [
            f"{f'stack {stacks[0].key}' if len(stacks) == 1 else f'{len(stacks)} stacks'} "
            f"({sum(stack.runs for stack in stacks)} runs): {text}"
            for text, stacks in by_text.items()
        ]

    @cached_property
    def arms(self) -> list[Arm]:
        """The runs by arm, once the rows are there."""
        named = self._frameworks
        rows = [
            completed(each) | ({FRAMEWORK: named[each["run_id"]]} if named else {})
            for each in self.rows
        ]
        return arms(rows, self.differing)

    @property
    def differing(self) -> tuple[str, ...]:
        """Fields in which the arms differ; frameworks stand for the fields that they set."""
        names = self._frameworks
        if not names:
            return self.plan.differing
        by_framework: dict[str, list[Row]] = {}
        for each in self.rows:
            by_framework.setdefault(names[each["run_id"]], []).append(each)
        apart = {*SUBJECT}.union(*map(varying, by_framework.values()))
        return FRAMEWORK, *(path for path in self.plan.differing if path in apart)

    def as_dict(self) -> dict[str, Any]:
        """The plan and what came of it, as data."""
        plan = {**self.plan.as_dict(), "directory": str(self.directory)}
        if self.status in {"submitted", "detached"}:
            return plan | {"job": self.jobs[-1], "submitted": self.status == "submitted"}
        return (
            plan
            | self._ending
            | {
                "failed": len(self.failed),
                "failed_runs": self.failed,
                "diverged": sum(arm.diverged for arm in self.arms),
                "arms": [asdict(arm) for arm in self.arms],
            }
        )

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of a sweep that has ended."""
        head = {"kind": "sweep", "study": self.plan.study.name, "status": self.status}
        return head | self._ending

    @property
    def _ending(self) -> dict[str, Any]:
        names = ("jobs", "trained", "observed", "failed", "errors", "warnings", "seconds")
        return {**self.planned, **{name: getattr(self, name) for name in names}}

    @cached_property
    def _frameworks(self) -> dict[str, str]:
        """The framework of every run by id, if they were chosen by framework."""
        found = {run.id: run.base.choices.get(FRAMEWORK) for run in self.plan.study.runs}
        if len({name for name in found.values() if name}) < 2:  # noqa: PLR2004  nothing to tell
            return {}
        return {run: name or NOTHING for run, name in found.items()}


class Limit(NamedTuple):
    """The most that a sweep is to make: runs, or all that it can in so many seconds."""

    typed: str = ""
    runs: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, typed: str) -> "Limit":
        """Return what is meant by `100`, `90s`, `30min` or `2h`; nothing by nothing.

        Raises:
            UsageError: it is something else.
        """
        if not typed:
            return cls()
        found = re.fullmatch(r"0*([1-9][0-9]{0,8})(s|min|h)?", typed, re.ASCII)
        if found is None:
            raise UsageError(
                f"--limit {typed}: neither a number of runs nor a time",
                "type --limit 100 for so many runs, or --limit 30min (s, min or h)",
            )
        number, unit = int(found[1]), found[2]
        return cls(typed, seconds=number * SECONDS[unit]) if unit else cls(typed, number)

    def cut(self, plan: Plan) -> Plan:
        """Return the plan of the first runs alone: what is there, and so many that are not."""
        runs = plan.study.runs
        left = {run.id for run in [r for r in runs if r.id not in plan.cached][self.runs :]}
        if self.runs is None or not left:
            return plan
        of_all = f"{len(left)} of {len(runs)} runs"
        note = f"--limit {self.typed} leaves {of_all}: the same command goes on"
        some = tuple(run for run in runs if run.id not in left)
        return build(replace(plan.study, runs=some, notes=(*plan.study.notes, note)), plan.there)

    @contextmanager
    def ending(self, stop: Stop) -> Iterator[None]:
        """Ask a sweep to stop once its time is over, as Ctrl-C would."""
        timer = Timer(self.seconds or 0, stop.ask, [GRACE_SECONDS])
        timer.daemon = True
        if self.seconds is not None:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def reached(self, outcome: Outcome) -> bool:
        """Return whether a sweep was stopped by its limit: then no run has failed."""
        if self.seconds is None or outcome.seconds < self.seconds:
            return False
        left = f"{len(outcome.failed)} of {len(outcome.plan.study.runs)} runs"
        outcome.warnings.append(f"--limit {self.typed} left {left}: the same command goes on")
        outcome.failed = []
        return True


def sum_up(outcome: Outcome, place: SweepDirectory, standard: Standard) -> None:
    """Read all complete runs of the study, and list those that are not as they were asked for."""
    plan, study = outcome.plan, place.study
    names = {
        run.id: plan.there.names.get(run.id) or study.run(label(run, plan.differing), run.id).name
        for run in plan.study.runs
    }
    rows, done = dict[str, Row](), set()
    for known in (names, None):  # where this sweep puts them, then where another may have
        left = [name for name in names if name not in rows]
        for name, path, manifest in study.intact_runs(left, known) if left else ():
            rows[name] = row(manifest, path)
            if standard.accepts(manifest):
                done.add(name)
    outcome.rows = [rows[name] for name in names if name in rows]
    outcome.failed = [name for name in names if name not in done]
    outcome.status = "failed" if outcome.failed else "complete"
    outcome.planned = plan.figures | outcome.planned
    outcome.warnings[:0] = plan.warnings


def interrupted(outcome: Outcome, directory: StudyDirectory) -> SweepInterruptedError:
    """The error that ends a sweep which was to stop."""
    runs = outcome.plan.study.runs
    kept = {run.trajectory_id for run in runs if directory.checkpoint(run.trajectory_id).exists()}
    go_on = "training goes on" if len(kept) == 1 else "trainings go on"
    on = f"; {len(kept)} {go_on} from an evaluation point" if kept else ""
    return SweepInterruptedError(
        f"{len(runs) - len(outcome.failed)} of {len(runs)} runs are stored{on}",
        "type the same command again: it makes what is missing",
    )
