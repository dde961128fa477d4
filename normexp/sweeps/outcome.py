"""The outcome of a sweep: the work that was done, and the runs that are stored."""

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from normexp.config.identity import completed, varying
from normexp.config.schema import FRAMEWORK
from normexp.errors import SweepInterruptedError, describe
from normexp.insight.arms import Arm, arms
from normexp.store.layout import StudyDirectory
from normexp.store.stored import Row, row
from normexp.store.sweep import SweepDirectory
from normexp.sweeps.plan import SUBJECT, Plan, Stack, Standard, label

NOTHING = "–"
"""Of a run without a framework among others."""


@dataclass
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


def sum_up(outcome: Outcome, place: SweepDirectory, standard: Standard) -> None:
    """Read all complete runs of the study, and list those that are not as they were asked for."""
    plan, study = outcome.plan, place.study
    names = {
        run.id: plan.there.names.get(run.id) or study.run(label(run, plan.differing), run.id).name
        for run in plan.study.runs
    }
    rows, done, in_company = dict[str, Row](), set(), False
    for known in (names, None):  # where this sweep puts them, then where another may have
        left = [name for name in names if name not in rows]
        for name, path, manifest in study.intact_runs(left, known) if left else ():
            rows[name] = row(manifest, path)
            in_company |= manifest["environment"].get("torch_company", False)
            if standard.accepts(manifest):
                done.add(name)
    outcome.rows = [rows[name] for name in names if name in rows]
    outcome.failed = [name for name in names if name not in done]
    outcome.status = "failed" if outcome.failed else "complete"
    outcome.planned = plan.figures | outcome.planned
    outcome.warnings[:0] = plan.warnings
    if in_company:
        outcome.warnings.append(
            "the last bits of these runs may depend on what trained beside them: PyTorch's "
            "matrix products do here; import normexp before torch is used"
        )


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
