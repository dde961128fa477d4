"""A plan worked off: what another sweep works on is waited for, and done if it was not."""

import time
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from normexp.planning.plan import Plan, Stack, build
from normexp.session import inventory
from normexp.session.execute import execute
from normexp.session.progress import Progress
from normexp.session.stop import StoppedError

if TYPE_CHECKING:
    from normexp.session.work import Worker

POLL_SECONDS = 0.5


@dataclass
class Tally:
    """What this sweep has done itself, and what went wrong."""

    trained: int = 0
    observed: int = 0
    broken: list[tuple[Stack, Exception]] = field(default_factory=list)


def work_off(plan: Plan, worker: "Worker", progress: Progress) -> Tally:
    """Work until every run of the plan is there, or has failed, or the sweep is to stop.

    Raises:
        OSError: the store cannot be written; what is left would fail too.
    """
    tally = Tally()
    while plan.stacks:
        held = _one_round(plan, worker, progress, tally)
        if not held or worker.stop.seconds_left() is not None:
            break
        progress.waiting(len(held))
        while all(map(worker.claims.is_held, held)) and worker.stop.seconds_left() is None:
            time.sleep(POLL_SECONDS)
        plan = _rest(plan, worker, held)
    return tally


def _one_round(plan: Plan, worker: "Worker", progress: Progress, tally: Tally) -> set[str]:
    """Work on all stacks; the trajectories that another sweep works on."""
    held: set[str] = set()
    for stack, outcome in execute(plan, worker, progress):
        if isinstance(outcome, OSError):
            raise outcome
        if isinstance(outcome, StoppedError):
            continue
        if isinstance(outcome, Exception):
            tally.broken.append((stack, outcome))
        else:
            tally.trained += outcome.trained
            tally.observed += outcome.observed
            held.update(outcome.held)
    return held


def _rest(plan: Plan, worker: "Worker", held: Collection[str]) -> Plan:
    """The plan of what is not there by now of these trajectories."""
    runs = plan.study.runs
    ids = [run.id for run in runs if run.trajectory_id in held]
    there = inventory.take(worker.directory, ids, held, runs[0].config.log, worker.standard)
    others = {run.id for run in runs if run.trajectory_id not in held}
    return build(plan.study, replace(there, cached=others | set(there.cached)))
