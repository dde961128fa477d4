"""A plan worked off: what another sweep works on is waited for, and done if it was not."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from normexp.config.executor import Local
from normexp.sweeps import inventory
from normexp.sweeps.execute import execute
from normexp.sweeps.follow import Sent, follow
from normexp.sweeps.plan import Plan, Stack, build
from normexp.sweeps.progress import Progress
from normexp.sweeps.result import describe
from normexp.sweeps.stop import StoppedError

if TYPE_CHECKING:
    from normexp.sweeps.work import Worker

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 8.0


@dataclass
class Tally:
    """What this sweep has done itself, and what it has not."""

    trained: int = 0
    observed: int = 0
    broken: list[tuple[Stack, Exception]] = field(default_factory=list)
    stopped: bool = False  # something was left, since somebody asked
    notes: list[str] = field(default_factory=list)


def work_off(plan: Plan, worker: "Worker", progress: Progress, sent: Sent | None = None) -> Tally:
    """Work until every run of the plan is there, or has failed, or the sweep is to stop.

    Args:
        plan: what is missing.
        worker: does it.
        progress: told how it goes.
        sent: what was left to a cluster earlier, and is to be waited for first.

    Raises:
        OSError: the store cannot be written; what is left would fail too.
    """
    tally, pause = Tally(), FIRST_PAUSE_SECONDS
    if sent is not None:
        _catch_up(plan, sent, worker, progress, tally)
        names = [each.id for stack in plan.stacks for each in stack.trajectories]
        plan = _rest(plan, worker, names)
    while plan.stacks and not tally.stopped:
        held = _one_round(plan, worker, progress, tally)
        if not held:
            break
        progress.waiting(len(held))
        # A cluster is asked once for all that is held, a machine for each that is free.
        some = all if isinstance(plan.executor, Local) else any
        while some(map(worker.claims.is_held, held)) and worker.stop.seconds_left() is None:
            time.sleep(FIRST_PAUSE_SECONDS)
        if worker.stop.seconds_left() is not None:
            tally.stopped = True
            break
        time.sleep(pause)  # others may be given back by then too
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        plan = _rest(plan, worker, held)
    return tally


def _catch_up(plan: Plan, sent: Sent, worker: "Worker", progress: Progress, tally: Tally) -> None:
    """Wait for what was left to a cluster; what it has lost is made again, and noted."""
    progress.began(plan)
    for _, outcome in follow(sent, worker.stop, progress):
        progress.ended(outcome)
        error = outcome if isinstance(outcome, Exception) else outcome.error
        if isinstance(error, StoppedError):  # or somebody stopped it before
            tally.stopped = worker.stop.seconds_left() is not None
        elif error is not None:
            tally.notes.append(f"made again, since at first: {describe(error)}")


def _one_round(plan: Plan, worker: "Worker", progress: Progress, tally: Tally) -> set[str]:
    """Work on all stacks; the trajectories that another sweep works on."""
    held: set[str] = set()
    for stack, outcome in execute(plan, worker, progress):
        error = outcome if isinstance(outcome, Exception) else outcome.error
        if isinstance(outcome, Exception):  # its process was killed, and has given nothing back
            worker.claims.release(trajectory.id for trajectory in stack.trajectories)
        else:
            tally.trained += outcome.trained
            tally.observed += outcome.observed
            held.update(outcome.held)
            if isinstance(error, OSError):
                raise error
        if isinstance(error, StoppedError):
            tally.stopped = True
        elif error is not None:
            tally.broken.append((stack, error))
    return held


def _rest(plan: Plan, worker: "Worker", held: Collection[str]) -> Plan:
    """The plan of what is not there by now of these trajectories."""
    log = plan.study.runs[0].config.log
    runs = {r.id: r.trajectory_id for r in plan.study.runs if r.trajectory_id in held}
    there = inventory.take(worker.directory, runs, log, worker.standard)
    others = {run.id for run in plan.study.runs if run.id not in runs}
    return build(plan.study, replace(there, cached=others | set(there.cached)))
