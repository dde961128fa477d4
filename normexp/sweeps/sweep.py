"""Sweeps: load a study, plan it, work on its stacks, sum it up."""

import errno
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normexp.config.executor import Local, Slurm
from normexp.config.field import expanded
from normexp.errors import NormexpError, SweepInterruptedError, UsageError
from normexp.store.claims import Claims, locked
from normexp.store.layout import StudyDirectory
from normexp.store.sweep import SweepDirectory, begin, has_ended, over
from normexp.store.tidy import tidy
from normexp.study import study as studies
from normexp.study.study import Study
from normexp.sweeps import inventory
from normexp.sweeps.elsewhere import done_elsewhere, has_news, seconds_elsewhere
from normexp.sweeps.environment import environment
from normexp.sweeps.execute import check
from normexp.sweeps.follow import Sent
from normexp.sweeps.in_slurm import forget, found, send
from normexp.sweeps.inventory import OnCodeChange, Standard
from normexp.sweeps.outcome import how_to_go_on, sum_up
from normexp.sweeps.plan import Plan, build
from normexp.sweeps.progress import Progress, Silent
from normexp.sweeps.result import Detached, SweepResult, ending, plan_numbers
from normexp.sweeps.rounds import Tally, work_off
from normexp.sweeps.stop import Stop

if TYPE_CHECKING:
    from normexp.sweeps.work import Worker

Overrides = str | Sequence[str]
"""One override, or a list of them."""


def load(
    *overrides: Overrides, config_dir: str | Path | None = None, filed_as: str | None = None
) -> Study:
    """The study that these overrides describe, as `normexp sweep` would take them.

    Args:
        overrides: such as `"norm=none,batch"`, `"seed=range(8)"`; lists of such will do.
        config_dir: the user's own configs, searched before the packaged ones.
        filed_as: the name that the study is kept under; else its own.

    Raises:
        UsageError: an override, a config or a combination that makes no sense.
    """
    texts: list[str] = []
    for override in overrides:
        texts += [override] if isinstance(override, str) else _texts(override)
    return studies.load(texts, None if config_dir is None else Path(config_dir), filed_as)


def plan(
    *overrides: Overrides,
    config_dir: str | Path | None = None,
    filed_as: str | None = None,
    on_code_change: OnCodeChange = "warn",
) -> Plan:
    """What `sweep` would do with the same arguments: runs, trajectories, stacks, what is there."""
    study = load(*overrides, config_dir=config_dir, filed_as=filed_as)
    return _plan(study, _standard(study, on_code_change))


def sweep(
    *overrides: Overrides,
    config_dir: str | Path | None = None,
    filed_as: str | None = None,
    on_code_change: OnCodeChange = "warn",
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> SweepResult:
    """Train and observe what is not in the store yet, and sum up the whole study.

    Args:
        overrides: such as `"norm=none,batch"`, `"seed=range(8)"`; lists of such will do.
        config_dir: the user's own configs, searched before the packaged ones.
        filed_as: the name that the study is kept under; else its own.
        on_code_change: what becomes of stored runs that other code or another machine has made.
        progress: told what happens.
        stop: with which somebody else can end the sweep early.

    Raises:
        UsageError: an override, a config or a combination that makes no sense.
        NormexpError: the store cannot be written.
        SweepInterruptedError: it was to end early.
    """
    study = load(*overrides, config_dir=config_dir, filed_as=filed_as)
    standard = _standard(study, on_code_change)
    plan, directory, stop = _plan(study, standard), study_directory(study), stop or Stop()
    start = time.perf_counter()
    if plan.stacks:
        check(plan.executor)
    with _writing(directory, study):
        directory.refuse_links()
        place, sent = _place(plan, directory)
        start -= 0.0 if sent is None else seconds_elsewhere(place)
        with place.beating(), _discarding(place):
            stop.begin(place.stop.absolute())
            tidy(directory, place.path.name)
            tally = Tally()
            if plan.stacks:
                worker = _worker(plan, place, standard, stop)
                tally = work_off(plan, worker, progress or Silent(), sent)
            elif sent is not None:
                sent.withdraw()
            if sent is not None:
                tally.trained, tally.observed = done_elsewhere(place)
            result = sum_up(plan, place, tally, standard, time.perf_counter() - start)
            forget(place)
            place.end(result.rows, ending(result, interrupted=tally.stopped))
    if tally.stopped:
        raise SweepInterruptedError(*how_to_go_on(result, directory))
    return result


def detach(
    *overrides: Overrides,
    config_dir: str | Path | None = None,
    filed_as: str | None = None,
    on_code_change: OnCodeChange = "warn",
) -> Detached | None:
    """Submit what `sweep` would work on, and leave; `sweep` with the same arguments sums it up.

    Returns:
        The sweep; None if there is nothing to do.

    Raises:
        UsageError: as `sweep`, and of an executor that needs this process.
        NormexpError: the store cannot be written.
    """
    study = load(*overrides, config_dir=config_dir, filed_as=filed_as)
    standard = _standard(study, on_code_change)
    plan, directory = _plan(study, standard), study_directory(study)
    if not isinstance(plan.executor, Slurm):
        raise UsageError(
            f"executor={plan.executor.kind} ends with this command: only Slurm goes on without it",
            "type --detach executor=slurm, or leave --detach out",
        )
    check(plan.executor)
    with _writing(directory, study):
        directory.refuse_links()
        place, sent = _place(plan, directory)
        try:
            if sent is not None and sent.is_in_queue():
                return Detached(plan, place.path, sent.array.job, is_new=False)
            with _discarding(place):
                tidy(directory, place.path.name)
                if not plan.stacks:
                    if sent is None:
                        place.discard()
                    return None
                worker = _worker(plan, place, standard, Stop())
                job = send(plan, worker).array.job
                return Detached(plan, place.path, job, is_new=True)
        finally:
            place.sign.remove()


def study_directory(study: Study) -> StudyDirectory:
    """Where a study is kept."""
    return StudyDirectory(expanded(study.runs[0].config.store.dir) / study.name)


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


def _standard(study: Study, on_code_change: OnCodeChange) -> Standard:
    """Which of a cluster's processors makes a run is the cluster's business."""
    executor = study.runs[0].config.executor
    now = environment() | {"device": executor.device}
    return Standard(on_code_change, now, any_processor=not isinstance(executor, Local))


def _place(plan: Plan, directory: StudyDirectory) -> tuple[SweepDirectory, Sent | None]:
    """A new directory, or that of the same sweep which was left to a cluster, and what has it."""
    name = _name(plan)
    if isinstance(plan.executor, Slurm):
        with locked(directory):  # two terminals may ask at once
            for path in reversed(directory.sweep_directories()):
                place = SweepDirectory(path)
                if (
                    path.is_symlink()
                    or place.name != name
                    or has_ended(path)
                    or place.sign.is_alive()
                ):
                    continue
                sent = found(place)
                if sent is not None:
                    sent.check()
                    place.sign.show()
                    place.stop.unlink(missing_ok=True)
                    return place, sent
    return begin(directory, name, _description(plan), environment()), None


@contextmanager
def _discarding(place: SweepDirectory) -> Iterator[None]:
    """Leave no directory of a sweep that could not begin."""
    try:
        yield
    except NormexpError:
        if found(place) is None and not has_news(place):  # nothing sent, and nobody at work
            place.discard()
        raise


def _worker(plan: Plan, place: SweepDirectory, standard: Standard, stop: Stop) -> "Worker":
    from hydra import __version__ as hydra_version

    from normexp.sweeps.environment import device_environment, torch_environment
    from normexp.sweeps.origin import Origin
    from normexp.sweeps.work import Worker

    is_here = isinstance(plan.executor, Local)
    device = device_environment(plan.executor.device) if is_here else {}  # each node says its own
    here = {**environment(), **torch_environment(), **device}
    directory = study_directory(plan.study)
    return Worker(
        directory,
        Claims(directory, place.path.name),
        Origin(replace(plan.study, runs=()), here, hydra_version),
        plan.differing,
        standard,
        stop,
        plan.there.earlier,
    )


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
        "as": study.name if study.filed else None,
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
