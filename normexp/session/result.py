"""What a plan and a sweep come to, as objects and as data."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from normexp.analysis import Arm, arms
from normexp.planning.plan import Plan
from normexp.store.rows import Row


@dataclass(frozen=True)
class SweepResult:
    """What a sweep has done.

    Attributes:
        plan: as it was before the work.
        directory: of the sweep.
        rows: one a complete run, in the order of the study.
        failed: ids of runs that an error kept from completing.
        errors: what the failed stacks raised.
        warnings: what makes the numbers less than promised.
        seconds: wall clock of the work.
    """

    plan: Plan
    directory: Path
    rows: list[Row]
    failed: list[str]
    errors: list[str]
    warnings: list[str]
    seconds: float

    @property
    def arms(self) -> list[Arm]:
        """The runs by arm."""
        return arms(self.rows, self.plan.differing)


def plan_numbers(plan: Plan) -> dict[str, Any]:
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
        "notes": list(plan.study.notes),
    }


def result_numbers(result: SweepResult) -> dict[str, Any]:
    """A sweep's result as data."""
    return {
        **plan_report(result.plan),
        "directory": str(result.directory),
        "failed": len(result.failed),
        "failed_runs": result.failed,
        "errors": result.errors,
        "warnings": result.warnings,
        "diverged": sum(arm.diverged for arm in result.arms),
        "seconds": result.seconds,
        "arms": [asdict(arm) for arm in result.arms],
    }


def ending(result: SweepResult) -> dict[str, Any]:
    """What a sweep's manifest says."""
    return {
        "kind": "sweep",
        "study": result.plan.study.name,
        "status": "failed" if result.failed else "complete",
        **plan_numbers(result.plan),
        "failed": result.failed,
        "errors": result.errors,
        "warnings": result.warnings,
        "seconds": result.seconds,
    }
