"""What a plan and a sweep come to, as objects and as data."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from normexp.analysis import Arm, arms
from normexp.analysis.alike import completed
from normexp.config.schema import FRAMEWORK
from normexp.errors import NormexpError
from normexp.store.rows import Row
from normexp.sweeps.label import ALWAYS
from normexp.sweeps.plan import Plan

NOTHING = "–"
"""Of a run without a framework among others."""


@dataclass(frozen=True)
class SweepResult:
    """What a sweep has done.

    Attributes:
        plan: of what this command found to do.
        planned: the figures of the plan with which the work began, in a cluster perhaps.
        directory: of the sweep.
        rows: one a complete run, in the order of the study.
        trained: trajectories, by this very sweep.
        observed: runs, by this very sweep.
        failed: ids of runs that an error kept from completing.
        errors: what the failed stacks raised.
        warnings: what makes the numbers less than promised.
        seconds: wall clock of the work.
        jobs: their numbers, if a cluster had them.
    """

    plan: Plan
    planned: Mapping[str, int]
    directory: Path
    trained: int
    observed: int
    rows: list[Row]
    failed: list[str]
    errors: list[str]
    warnings: list[str]
    seconds: float
    jobs: list[str]

    @property
    def arms(self) -> list[Arm]:
        """The runs by arm."""
        named = self._frameworks
        rows = [
            completed(row) | ({FRAMEWORK: named[row["run_id"]]} if named else {})
            for row in self.rows
        ]
        return arms(rows, self.differing)

    @property
    def differing(self) -> tuple[str, ...]:
        """What tells the arms apart: fields, and frameworks in the place of what these set."""
        names = self._frameworks
        if not names:
            return self.plan.differing
        seen: dict[tuple[str, str], set[str]] = {}
        for row in self.rows:
            for path in self.plan.differing:
                seen.setdefault((path, names[row["run_id"]]), set()).add(repr(row.get(path)))
        apart = {path for (path, _), values in seen.items() if len(values) > 1}
        return (
            FRAMEWORK,
            *(path for path in self.plan.differing if path in apart or path in ALWAYS),
        )

    @property
    def _frameworks(self) -> dict[str, str]:
        """The framework of every run by id, if they were chosen by framework."""
        found = {run.id: run.base.choices.get(FRAMEWORK) for run in self.plan.study.runs}
        if len({name for name in found.values() if name}) < 2:  # noqa: PLR2004  nothing to tell
            return {}
        return {run: name or NOTHING for run, name in found.items()}


@dataclass(frozen=True)
class Detached:
    """A sweep that goes on in a cluster by itself.

    Attributes:
        plan: as it was before the work.
        directory: of the sweep.
        job: its number in the cluster.
        is_new: whether it was submitted just now; else it was there already.
    """

    plan: Plan
    directory: Path
    job: str
    is_new: bool


def describe(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, NormexpError):
        return error.message
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def plan_numbers(plan: Plan) -> dict[str, int]:
    """The plan in figures."""
    return {
        "runs": len(plan.study.runs),
        "cached": len(plan.cached),
        "trajectories": plan.trajectories,
        "to_train": plan.to_train,
        "to_observe": plan.to_observe,
        "stacks": len(plan.stacks),
    }


def plan_report(plan: Plan) -> dict[str, Any]:
    """A plan as data."""
    return {
        "study": plan.study.name,
        **plan_numbers(plan),
        "workers": plan.workers,
        "estimate_seconds": plan.estimate_seconds,
        "axes": {axis.key: list(axis.values) for axis in plan.study.axes},
        "notes": [*plan.study.notes, *outdated(plan)],
    }


def outdated(plan: Plan) -> Iterator[str]:
    """Says of how many runs the numbers may be others today."""
    if plan.there.outdated:
        what = ", ".join(sorted({key for keys in plan.there.outdated.values() for key in keys}))
        yield (
            f"{len(plan.there.outdated)} of these runs, or their trainings, were made with other "
            f"{what}: normexp why RUN says more, --on-code-change rerun makes them again, ignore "
            "keeps silent"
        )


def result_numbers(result: SweepResult) -> dict[str, Any]:
    """A sweep's result as data."""
    return {
        **plan_report(result.plan),
        **result.planned,
        "directory": str(result.directory),
        "jobs": result.jobs,
        "trained": result.trained,
        "observed": result.observed,
        "failed": len(result.failed),
        "failed_runs": result.failed,
        "errors": result.errors,
        "warnings": result.warnings,
        "diverged": sum(arm.diverged for arm in result.arms),
        "seconds": result.seconds,
        "arms": [asdict(arm) for arm in result.arms],
    }


def detached_numbers(detached: Detached) -> dict[str, Any]:
    """A sweep that goes on by itself, as data."""
    return {
        **plan_report(detached.plan),
        "directory": str(detached.directory),
        "job": detached.job,
        "submitted": detached.is_new,
    }


def ending(result: SweepResult, *, interrupted: bool) -> dict[str, Any]:
    """What a sweep's manifest says."""
    failed = "failed" if result.failed else "complete"
    return {
        "kind": "sweep",
        "study": result.plan.study.name,
        "status": "interrupted" if interrupted and result.failed else failed,
        **result.planned,
        "jobs": result.jobs,
        "trained": result.trained,
        "observed": result.observed,
        "failed": result.failed,
        "errors": result.errors,
        "warnings": result.warnings,
        "seconds": result.seconds,
    }
