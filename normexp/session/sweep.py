"""Sweeps: load a study, plan it, work on its stacks, sum it up."""

import hashlib
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from normexp.errors import NormexpError, UsageError
from normexp.planning.plan import Plan, Stack, build
from normexp.session.environment import environment
from normexp.session.execute import execute
from normexp.session.progress import Progress, Silent
from normexp.session.result import SweepResult, ending, plan_numbers
from normexp.store.files import remove_abandoned
from normexp.store.layout import StudyDirectory
from normexp.store.rows import Row, row
from normexp.store.sweep import begin
from normexp.study import study as studies
from normexp.study.study import Study

Overrides = str | Sequence[str]
"""One override, or a list of them."""


def load(*overrides: Overrides, config_dir: str | Path | None = None) -> Study:
    """The study that these overrides describe, as `normexp sweep` would take them.

    Args:
        overrides: such as `"norm=none,batch"`, `"seed=range(8)"`; lists of such will do.
        config_dir: the user's own configs, searched before the packaged ones.

    Raises:
        UsageError: an override, a config or a combination that makes no sense.
    """
    texts: list[str] = []
    for override in overrides:
        texts += [override] if isinstance(override, str) else _texts(override)
    return studies.load(texts, None if config_dir is None else Path(config_dir))


def plan(*overrides: Overrides, config_dir: str | Path | None = None) -> Plan:
    """What `sweep` would do with the same arguments: runs, trajectories, stacks, what is there."""
    return _plan(load(*overrides, config_dir=config_dir))


def sweep(
    *overrides: Overrides, config_dir: str | Path | None = None, progress: Progress | None = None
) -> SweepResult:
    """Train and observe what is not in the store yet, and sum up the whole study.

    Args:
        overrides: such as `"norm=none,batch"`, `"seed=range(8)"`; lists of such will do.
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
    broken = [
        (stack, error)
        for stack, error in execute(plan, directory, progress or Silent())
        if error is not None
    ]
    seconds = time.perf_counter() - start
    rows, failed = _collect(plan, directory, [stack for stack, _ in broken])
    errors = [f"{stack.runs} runs of stack {stack.key}: {describe(e)}" for stack, e in broken]
    warnings = _warnings() if plan.stacks else []
    result = SweepResult(plan, place.path, rows, failed, errors, warnings, seconds)
    with _writing(place.path):
        place.end(rows, ending(result))
    return result


def study_directory(study: Study) -> StudyDirectory:
    """Where a study is kept."""
    return StudyDirectory(Path(study.runs[0].config.store.dir).expanduser() / study.name)


def describe(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, NormexpError):
        return error.message
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _texts(overrides: object) -> list[str]:
    """A list of overrides.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(overrides, list | tuple) and all(isinstance(text, str) for text in overrides):
        return list(overrides)
    raise UsageError(
        f"overrides are texts, not {type(overrides).__name__}",
        "write for example plan('seed=0', 'norm=batch')",
    )


def _plan(study: Study) -> Plan:
    directory = study_directory(study)
    log = study.runs[0].config.log
    with _writing(directory.path):
        cached = directory.cached((run.id for run in study.runs), log)
        pending = {run.trajectory_id for run in study.runs if run.id not in cached}
        return build(study, cached, directory.stored(pending))


def _warnings() -> list[str]:
    """What makes the numbers less than promised."""
    from normexp.engine.numerics import company_matters

    warning = (
        "the last bits of these runs may depend on what trained beside them: PyTorch's matrix "
        "products do here; import normexp before torch is used"
    )
    return [warning] if company_matters() else []


def _collect(
    plan: Plan, directory: StudyDirectory, broken: Iterable[Stack]
) -> tuple[list[Row], list[str]]:
    """The rows of all complete runs of the study; the ids of the others and of broken stacks."""
    there = directory.intact_runs(run.id for run in plan.study.runs)
    failed = {run.id for stack in broken for each in stack.trajectories for run in each.runs}
    wanted = [run.id for run in plan.study.runs]
    rows = [row(manifest, path) for path, manifest in there.values()]
    return rows, [name for name in wanted if name not in there or name in failed]


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


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the file system says into one clear line."""
    try:
        yield
    except OSError as error:
        raise NormexpError(
            f"cannot work in {path}: {error.strerror or error}",
            "type store.dir=DIR for another place",
        ) from error
