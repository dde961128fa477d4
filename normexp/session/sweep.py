"""Sweeps: load a study, plan it, work on its stacks, sum it up."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from normexp.analysis import Arm, arms
from normexp.errors import NormexpError
from normexp.planning.plan import Plan, Stack, build
from normexp.session.environment import environment
from normexp.store.files import remove_abandoned
from normexp.store.layout import StudyDirectory
from normexp.store.rows import Row, rows_of
from normexp.store.sweep import begin
from normexp.study import study as studies
from normexp.study.study import Study


class Progress(Protocol):
    """Told what happens while a sweep runs; called from several threads."""

    def began(self, plan: Plan) -> None:
        """The plan is made and the work begins."""

    def stepped(self, networks: int) -> None:
        """So many networks took one step."""

    def ended(self, stack: Stack, error: Exception | None) -> None:
        """A stack has ended, by an error if there is one."""


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
    rows: list[dict[str, Any]]
    failed: list[str]
    errors: list[str]
    warnings: list[str]
    seconds: float

    @property
    def arms(self) -> list[Arm]:
        """The runs by arm."""
        return arms(self.rows, self.plan.differing)


class _Silent:
    """Progress that nobody watches."""

    def began(self, plan: Plan) -> None:
        """Nothing to tell."""

    def stepped(self, networks: int) -> None:
        """Nothing to tell."""

    def ended(self, stack: Stack, error: Exception | None) -> None:
        """Nothing to tell."""


def load(*overrides: str, config_dir: str | Path | None = None) -> Study:
    """The study that these overrides describe, as `normexp sweep` would take them.

    Args:
        overrides: such as `"norm=none,batch"`, `"seed=range(8)"`.
        config_dir: the user's own configs, searched before the packaged ones.

    Raises:
        UsageError: an override, a config or a combination that makes no sense.
    """
    return studies.load(overrides, None if config_dir is None else Path(config_dir))


def plan(*overrides: str, config_dir: str | Path | None = None) -> Plan:
    """What `sweep` would do with the same arguments: runs, trajectories, stacks, what is there."""
    return _plan(load(*overrides, config_dir=config_dir))


def sweep(
    *overrides: str, config_dir: str | Path | None = None, progress: Progress | None = None
) -> SweepResult:
    """Train and observe what is not in the store yet, and sum up the whole study.

    Args:
        overrides: such as `"norm=none,batch"`, `"seed=range(8)"`.
        config_dir: the user's own configs, searched before the packaged ones.
        progress: told what happens.

    Raises:
        UsageError: an override, a config or a combination that makes no sense.
        NormexpError: the store cannot be written.
    """
    plan = _plan(load(*overrides, config_dir=config_dir))
    directory = study_directory(plan.study)
    with _writing(directory.path):
        remove_abandoned(directory.path)
        remove_abandoned(directory.trajectories)
        place = begin(directory, _name(plan), _description(plan), environment())
    start = time.perf_counter()
    errors: list[str] = []
    for stack, error in _work(plan, directory, progress or _Silent()):
        if error is not None:
            errors.append(f"{stack.runs} runs of stack {stack.key}: {describe(error)}")
    seconds = time.perf_counter() - start
    rows, failed = _collect(plan, directory)
    warnings = _warnings() if plan.stacks else []
    result = SweepResult(plan, place.path, rows, failed, errors, warnings, seconds)
    with _writing(place.path):
        place.end(rows, _ending(result))
    return result


def study_directory(study: Study) -> StudyDirectory:
    """Where a study is kept."""
    return StudyDirectory(Path(study.runs[0].config.store.dir) / study.name)


def describe(error: Exception) -> str:
    """An error in one line."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _plan(study: Study) -> Plan:
    directory = study_directory(study)
    every = study.runs[0].config.log.every
    cached = directory.cached((run.id for run in study.runs), every)
    return build(study, cached, directory.stored())


def _work(
    plan: Plan, directory: StudyDirectory, progress: Progress
) -> Iterator[tuple[Stack, Exception | None]]:
    """Work on every stack; yields each as it ends."""
    if not plan.stacks:
        return
    from hydra import __version__ as hydra_version

    from normexp.engine.numerics import one_thread
    from normexp.executors import local
    from normexp.session.work import Outcome, Worker

    worker = Worker(plan, directory, environment(), hydra_version)

    def work(stack: Stack, breathe: Callable[[], None]) -> Outcome:
        def report(networks: int) -> None:
            breathe()
            progress.stepped(networks)

        return worker.work(stack, report)

    progress.began(plan)
    with one_thread():
        for stack, outcome in local.run(plan.stacks, work, plan.workers):
            error = outcome if isinstance(outcome, Exception) else None
            progress.ended(stack, error)
            yield stack, error


def _warnings() -> list[str]:
    """What makes the numbers less than promised."""
    from normexp.engine.numerics import company_matters

    warning = (
        "the last bits of these runs may depend on what trained beside them: PyTorch's matrix "
        "products do here; import normexp before torch is used"
    )
    return [warning] if company_matters() else []


def _collect(plan: Plan, directory: StudyDirectory) -> tuple[list[Row], list[str]]:
    """The rows of all complete runs of the study, and the ids of the others."""
    there = directory.runs()
    wanted = [run.id for run in plan.study.runs]
    rows = rows_of(there[name] for name in wanted if name in there)
    return rows, [name for name in wanted if name not in there]


def _name(plan: Plan) -> str:
    """Names a sweep by the runs it asks for."""
    ids = ",".join(sorted(run.id for run in plan.study.runs))
    return hashlib.sha256(ids.encode()).hexdigest()[:8]


def _description(plan: Plan) -> dict[str, Any]:
    """What `sweep.yaml` says: the study, the overrides as typed, and the plan."""
    study = plan.study
    return {
        "study": study.name,
        "overrides": list(study.overrides),
        "config_dir": None if study.config_dir is None else str(study.config_dir),
        "plan": plan_numbers(plan),
        "notes": list(study.notes),
    }


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


def _ending(result: SweepResult) -> dict[str, Any]:
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


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the file system says into one clear line."""
    try:
        yield
    except OSError as error:
        raise NormexpError(
            f"cannot write in {path}: {error.strerror or error}",
            "type store.dir=DIR for another place",
        ) from error
