"""Sweeps: load a study, plan it, work on its stacks, sum it up."""

import errno
import hashlib
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from normexp.config.field import expanded
from normexp.config.schema import Local, Slurm
from normexp.errors import NormexpError, UsageError, describe, pick
from normexp.store.layout import StudyDirectory
from normexp.store.locks import Locks, Stop, StoppedError, locked, unchanging
from normexp.store.sweep import (
    Labels,
    SweepDirectory,
    begin,
    has_ended,
    label,
    over,
    planned,
    tidy,
)
from normexp.study.study import Overrides, Study, load
from normexp.sweeps.environment import device_environment, environment
from normexp.sweeps.events import (
    Event,
    Exports,
    Listener,
    done_elsewhere,
    has_news,
    ignore,
    seconds_elsewhere,
)
from normexp.sweeps.execute import check, execute
from normexp.sweeps.in_slurm import Sent, follow, forget, jobs, send, sent_array
from normexp.sweeps.outcome import Limit, Outcome, interrupted, sum_up
from normexp.sweeps.plan import POLICIES, OnCodeChange, Plan, Standard, build, take_inventory
from normexp.sweeps.worker import Worker

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 8.0
"""Between two looks at what another sweep works on."""


def plan(
    *overrides: Overrides,
    config_dir: str | Path | None = None,
    filed_as: str | None = None,
    on_code_change: OnCodeChange = "warn",
    rerun: bool = False,
    **keywords: object,
) -> Plan:
    """The runs, trajectories and stacks of a `sweep` with the same arguments, and what is there."""
    study = load(*overrides, config_dir=config_dir, filed_as=filed_as, **keywords)
    return _plan(study, _standard(study, on_code_change, rerun=rerun))


def sweep(  # noqa: PLR0913  the options of a command line
    *overrides: Overrides | Study,
    config_dir: str | Path | None = None,
    filed_as: str | None = None,
    on_code_change: OnCodeChange = "warn",
    rerun: bool = False,
    limit: str | None = None,
    detach: bool = False,
    labels: Labels = Labels(),  # noqa: B008  it cannot change
    progress: Listener = ignore,
    stop: Stop | None = None,
    **keywords: object,
) -> Outcome:
    """Train and observe what is not in the store yet, and sum up the whole study.

    Args:
        overrides: such as `"norm=none,batch"`, `"seed=range(8)"`; lists of such will do, or a study
            that has been loaded.
        config_dir: the user's own configs, searched before the packaged ones.
        filed_as: the name that the study is kept under; else its own.
        on_code_change: what becomes of stored runs that other code or another machine has made.
        rerun: make all runs again, also those that are there.
        limit: make so many runs, such as `"100"`, or end after a while, such as `"30min"`.
        detach: submit the work, and leave; the same call without it waits and sums up.
        labels: a note and tags for the sweep.
        progress: called with every event.
        stop: with which somebody else can end the sweep early.
        keywords: more overrides, such as `norm="batch"`, `seed=[0, 1]`.

    Raises:
        UsageError: an override, a config or a combination that makes no sense.
        NormexpError: the store cannot be written.
        SweepInterruptedError: it was to end early.
    """
    study = load(*overrides, config_dir=config_dir, filed_as=filed_as, **keywords)
    standard, most = _standard(study, on_code_change, rerun=rerun), Limit.of(limit or "")
    directory, stop = study_directory(study), stop or Stop()
    executor = study.runs[0].config.executor
    if detach and not isinstance(executor, Slurm):
        raise UsageError(
            f"executor={executor.kind} ends with this command: only Slurm goes on without it",
            "type --detach executor=slurm, or leave --detach out",
        )
    exports = Exports(study.runs[0].config.log.to, directory, progress, stop)
    with _writing(directory, study):
        plan, place, sent = _begun(study, standard, most, labels)
        start = time.perf_counter() - (0.0 if sent is None else seconds_elsewhere(place))
        if rerun:
            standard = replace(standard, rerun_by=place.path.name)
        with place.beating(), _discarding(place), most.ending(stop):
            stop.begin(place.stop.absolute())
            tidy(directory, place.path.name)
            outcome, stopped = Outcome(plan, place.path), False
            if plan.stacks:
                worker = _worker(plan, place, standard, stop)
                if detach:
                    left = sent if sent is not None and sent.array.is_in_queue() else None
                    status = "submitted" if left is None else "detached"
                    left = left or send(plan, worker)
                    return replace(outcome, jobs=[left.job.job], status=status)
                with exports.meanwhile():
                    stopped = _work_off(outcome, worker, exports, sent)
            elif sent is not None:
                sent.array.cancel()
                sent.settle(withdrawing=True)
            if sent is not None:
                outcome.trained, outcome.observed, *_ = done_elsewhere(place)
                outcome.planned = planned(place.path) if has_news(place) else {}
            outcome.seconds = time.perf_counter() - start
            sum_up(outcome, place, standard)
            if outcome.failed and stopped:
                outcome.status = "interrupted"
                stopped = not most.reached(outcome)
            whole = {row["run_id"] for row in outcome.rows}.difference(outcome.failed)
            outcome.warnings += exports.export(() if stopped else whole)
            if not isinstance(plan.executor, Local):
                outcome.jobs = jobs(place)
                forget(place)
            place.end(outcome.rows, outcome.manifest)
    if stopped:
        raise interrupted(outcome, directory)
    return outcome


def study_directory(study: Study) -> StudyDirectory:
    """The directory of a study."""
    return StudyDirectory(expanded(study.runs[0].config.store.dir) / study.name)


def _begun(
    study: Study, standard: Standard, most: Limit, labels: Labels
) -> tuple[Plan, SweepDirectory, Sent | None]:
    """The plan and the place of a sweep; meanwhile nothing is removed that it counts on."""
    directory = study_directory(study)
    with unchanging(directory):
        plan = most.cut(_plan(study, standard))
        if plan.stacks:
            check(plan.executor)
        directory.refuse_links()
        return plan, *_place(plan, directory, labels)


def _plan(study: Study, standard: Standard) -> Plan:
    directory = study_directory(study)
    runs = {run.id: run.trajectory_id for run in study.runs}
    with _writing(directory, study):
        earlier = over(directory)  # before the look: what these have made is seen
        return build(study, replace(take_inventory(directory, runs, standard), earlier=earlier))


def _standard(study: Study, on_code_change: OnCodeChange, *, rerun: bool) -> Standard:
    """The standard of now; in a cluster any of its processors may make a run."""
    policy = pick(on_code_change, {known: known for known in POLICIES}, "--on-code-change")
    first = study.runs[0].config
    return Standard(
        "rerun" if rerun else policy,
        environment() | {"device": first.executor.device},
        first.log,
        any_processor=not isinstance(first.executor, Local),
        rerun_by="" if rerun else None,
    )


def _place(
    plan: Plan, directory: StudyDirectory, labels: Labels
) -> tuple[SweepDirectory, Sent | None]:
    """A new directory, or that of the same sweep which was left to a cluster, and what has it."""
    study = plan.study
    ids = ",".join(sorted(run.id for run in study.runs))
    name = hashlib.sha256(ids.encode()).hexdigest()[:8]
    if isinstance(plan.executor, Slurm):
        with locked(directory):  # two terminals may ask at once
            for path in reversed(directory.sweep_directories()):
                place = SweepDirectory(path)
                is_other = path.is_symlink() or place.name != name or has_ended(path)
                sent = None if is_other or place.sign.is_alive() else sent_array(place)
                if sent is not None:
                    sent.check()
                    place.sign.show()
                    place.stop.unlink(missing_ok=True)
                    return place, sent
    description = {
        "study": study.name,
        "overrides": list(study.overrides),
        "config_dir": None if study.config_dir is None else str(study.config_dir),
        "as": study.name if study.filed else None,
        "plan": plan.figures,
        "notes": list(study.notes),
    }
    place = begin(directory, name, description, environment())
    if labels != Labels():
        label(place.path, labels)
    return place, None


def _worker(plan: Plan, place: SweepDirectory, standard: Standard, stop: Stop) -> Worker:
    is_here = isinstance(plan.executor, Local)
    device = device_environment(plan.executor.device) if is_here else {}  # each node says its own
    directory = StudyDirectory(place.study.path.absolute())  # known in any working directory
    there = plan.there
    return Worker(
        directory,
        Locks(directory, place.path.name),
        replace(plan.study, runs=()),
        plan.differing,
        replace(standard, environment={**standard.environment, **device}),
        stop,
        {run: name for run, name in there.names.items() if run not in there.cached},
        there.earlier,
    )


def _work_off(outcome: Outcome, worker: Worker, listen: Listener, sent: Sent | None) -> bool:
    """Work until every run is there or has failed; return whether work was left, asked to stop.

    What another sweep works on is waited for, and done if it was not.

    Args:
        outcome: gets what was done and what went wrong.
        worker: does it.
        listen: called with every event.
        sent: what was left to a cluster earlier, and is to be waited for first.

    Raises:
        OSError: the store cannot be written; what is left would fail too.
    """
    plan, stopped, pause = outcome.plan, False, FIRST_PAUSE_SECONDS
    if sent is not None:
        stopped = _catch_up(outcome, sent, worker.stop, listen)
        if not stopped:
            plan = _rest(plan, worker, [t.id for stack in plan.stacks for t in stack.trajectories])
    while plan.stacks and not stopped:
        held, stopped = _one_round(outcome, plan, worker, listen)
        if not held or stopped:
            break
        listen(Event("waiting", len(held)))
        # A cluster is asked once for all that is held, a machine for each that is free.
        some = all if isinstance(plan.executor, Local) else any
        while some(map(worker.locks.is_held, held)) and worker.stop.seconds_left() is None:
            time.sleep(FIRST_PAUSE_SECONDS)
        stopped = worker.stop.seconds_left() is not None
        if not stopped:
            time.sleep(pause)  # others may be given back by then too
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            plan = _rest(plan, worker, held)
    return stopped


def _one_round(
    outcome: Outcome, plan: Plan, worker: Worker, listen: Listener
) -> tuple[set[str], bool]:
    """Work on all stacks; the trajectories that another sweep works on, and whether it stopped."""
    held: set[str] = set()
    stopped = False
    for stack, done in execute(plan, worker, listen):
        outcome.trained += done.trained
        outcome.observed += done.observed
        held.update(done.held)
        if done.error is not None:  # whoever was killed has unlocked nothing
            worker.locks.release(trajectory.id for trajectory in stack.trajectories)
        if isinstance(done.error, OSError):
            raise done.error
        if isinstance(done.error, StoppedError):
            stopped = True
        elif done.error is not None:
            outcome.broken.append((stack, done.error))
    return held, stopped


def _catch_up(outcome: Outcome, sent: Sent, stop: Stop, listen: Listener) -> bool:
    """Wait for what was left to a cluster; what it has lost is made again, and mentioned."""
    stopped = False
    listen(Event("began", plan=outcome.plan))
    for _, done in follow(sent, stop, listen):
        listen(Event("ended", done=done))
        if isinstance(done.error, StoppedError):  # or somebody stopped it before
            stopped = stop.seconds_left() is not None
        elif done.error is not None:
            outcome.warnings.append(f"made again, since at first: {describe(done.error)}")
    return stopped


def _rest(plan: Plan, worker: Worker, held: Collection[str]) -> Plan:
    """The plan of what is not there by now of these trajectories."""
    runs = {r.id: r.trajectory_id for r in plan.study.runs if r.trajectory_id in held}
    there = take_inventory(worker.directory, runs, worker.standard)
    others = {run.id for run in plan.study.runs if run.id not in runs}
    return build(plan.study, replace(there, cached=others | set(there.cached)))


@contextmanager
def _discarding(place: SweepDirectory) -> Iterator[None]:
    """Leave no directory of a sweep that could not begin."""
    try:
        yield
    except NormexpError:
        if sent_array(place) is None and not has_news(place):  # nothing sent, and nobody at work
            place.discard()
        raise


@contextmanager
def _writing(directory: StudyDirectory, study: Study) -> Iterator[None]:
    """Turn the file system's errors into one clear line."""
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
