"""Sweeps: load a study, plan it, work on its stacks, sum it up."""

import errno
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from normexp.errors import NormexpError, SweepInterruptedError, UsageError
from normexp.planning.plan import Plan, Stack, build
from normexp.session import inventory
from normexp.session.environment import environment
from normexp.session.inventory import OnCodeChange, Standard
from normexp.session.progress import Progress, Silent
from normexp.session.result import SweepResult, describe, ending, outdated, plan_numbers
from normexp.session.rounds import Tally, work_off
from normexp.session.stop import Stop
from normexp.store.claims import Claims
from normexp.store.layout import StudyDirectory, holds
from normexp.store.rows import row
from normexp.store.sweep import SweepDirectory, begin, over
from normexp.store.tidy import tidy
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


def plan(
    *overrides: Overrides,
    config_dir: str | Path | None = None,
    on_code_change: OnCodeChange = "warn",
) -> Plan:
    """What `sweep` would do with the same arguments: runs, trajectories, stacks, what is there."""
    standard = Standard(on_code_change, environment())
    return _plan(load(*overrides, config_dir=config_dir), standard)


def sweep(
    *overrides: Overrides,
    config_dir: str | Path | None = None,
    on_code_change: OnCodeChange = "warn",
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> SweepResult:
    """Train and observe what is not in the store yet, and sum up the whole study.

    Args:
        overrides: such as `"norm=none,batch"`, `"seed=range(8)"`; lists of such will do.
        config_dir: the user's own configs, searched before the packaged ones.
        on_code_change: what becomes of stored runs that other code or another machine has made.
        progress: told what happens.
        stop: with which somebody else can end the sweep early.

    Raises:
        UsageError: an override, a config or a combination that makes no sense.
        NormexpError: the store cannot be written.
        SweepInterruptedError: it was to end early.
    """
    standard = Standard(on_code_change, environment())
    plan = _plan(load(*overrides, config_dir=config_dir), standard)
    directory, stop = study_directory(plan.study), stop or Stop()
    start = time.perf_counter()
    with _writing(directory, plan.study):
        place = begin(directory, _name(plan), _description(plan), environment())
        with place.beating():
            stop.begin(place.stop.absolute())
            tidy(directory, place.path.name)
            tally = _work_off(plan, place, standard, progress or Silent(), stop)
            result = _result(plan, place, tally, standard, time.perf_counter() - start)
            place.end(result.rows, ending(result, interrupted=tally.stopped))
    if tally.stopped:
        raise SweepInterruptedError(*_how_to_go_on(result, directory))
    return result


def study_directory(study: Study) -> StudyDirectory:
    """Where a study is kept."""
    return StudyDirectory(Path(study.runs[0].config.store.dir).expanduser() / study.name)


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


def _plan(study: Study, standard: Standard) -> Plan:
    directory = study_directory(study)
    runs = {run.id: run.trajectory_id for run in study.runs}
    with _writing(directory, study):
        earlier = over(directory)
        there = inventory.take(directory, runs, study.runs[0].config.log, standard)
        return build(study, replace(there, earlier=None if there.remade else earlier))


def _work_off(
    plan: Plan, place: SweepDirectory, standard: Standard, progress: Progress, stop: Stop
) -> Tally:
    if not plan.stacks:
        return Tally()
    from hydra import __version__ as hydra_version

    from normexp.session.environment import torch_environment
    from normexp.session.origin import Origin
    from normexp.session.work import Worker

    here = {**environment(), **torch_environment()}
    directory = study_directory(plan.study)
    worker = Worker(
        directory,
        Claims(directory, place.path.name),
        Origin(replace(plan.study, runs=()), here, hydra_version),
        plan.differing,
        standard,
        stop,
        plan.there.earlier,
    )
    return work_off(plan, worker, progress)


def _result(
    plan: Plan, place: SweepDirectory, tally: Tally, standard: Standard, seconds: float
) -> SweepResult:
    """The rows of all complete runs of the study, and which are not as they were asked for."""
    ids, log = [run.id for run in plan.study.runs], plan.study.runs[0].config.log
    rows, done = [], set()
    for name, path, manifest in study_directory(plan.study).intact_runs(ids):
        rows.append(row(manifest, path))
        if holds(manifest, log) and standard.accepts(manifest):
            done.add(name)
    return SweepResult(
        plan=plan,
        directory=place.path,
        trained=tally.trained,
        observed=tally.observed,
        rows=rows,
        failed=[name for name in ids if name not in done],
        errors=list(_errors(tally)),
        warnings=_warnings(plan),
        seconds=seconds,
    )


def _errors(tally: Tally) -> Iterator[str]:
    """What went wrong, a line each: where several stacks raised the same, once."""
    by_text: dict[str, list[Stack]] = {}
    for stack, error in tally.broken:
        by_text.setdefault(describe(error), []).append(stack)
    for text, stacks in by_text.items():
        runs = sum(stack.runs for stack in stacks)
        which = f"stack {stacks[0].key}" if len(stacks) == 1 else f"{len(stacks)} stacks"
        yield f"{which} ({runs} runs): {text}"


def _how_to_go_on(result: SweepResult, directory: StudyDirectory) -> tuple[str, str]:
    """What an interrupted sweep says."""
    runs = result.plan.study.runs
    kept = {run.trajectory_id for run in runs if directory.checkpoint(run.trajectory_id).exists()}
    on = f"; {len(kept)} trainings go on from an evaluation point" if kept else ""
    return (
        f"{len(runs) - len(result.failed)} of {len(runs)} runs are stored{on}",
        "type the same command again: it makes what is missing",
    )


def _warnings(plan: Plan) -> list[str]:
    """What makes the numbers less than promised."""
    found = list(outdated(plan))
    if plan.stacks:
        from normexp.engine.numerics import company_matters

        if company_matters():
            found.append(
                "the last bits of these runs may depend on what trained beside them: PyTorch's "
                "matrix products do here; import normexp before torch is used"
            )
    return found


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
def _writing(directory: StudyDirectory, study: Study) -> Iterator[None]:
    """Turn what the file system says into one clear line."""
    try:
        yield
    except OSError as error:
        there = 0
        with suppress(OSError):
            there = sum(1 for _ in directory.intact_runs(run.id for run in study.runs))
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        room = "make room and type the same command again, or " if full else ""
        raise NormexpError(
            f"cannot work in {directory.path}: {error.strerror or error}; "
            f"{there} of {len(study.runs)} runs are stored",
            f"{room}type store.dir=DIR for another place",
        ) from error
