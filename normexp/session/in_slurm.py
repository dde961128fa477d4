"""A sweep's stacks as one array of a Slurm cluster: sent, followed, and found again later."""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from normexp.config.executor import Slurm
from normexp.executors import slurm
from normexp.executors.slurm import Array
from normexp.planning.plan import Plan, Stack
from normexp.session import elsewhere
from normexp.session.follow import Sent, follow
from normexp.session.progress import Progress
from normexp.store.files import write_file
from normexp.store.sweep import SweepDirectory
from normexp.store.texts import to_json

if TYPE_CHECKING:
    from normexp.session.work import Done, Worker

FOLDER = ".slurm"
JOB = "job.json"


def in_slurm(
    plan: Plan, worker: "Worker", progress: Progress
) -> Iterator[tuple[Stack, "Done | Exception"]]:
    """Send the stacks and follow them until every one has ended."""
    sent = send(plan, worker)
    place = elsewhere.place_of(worker)
    for number, outcome in follow(sent, place, worker.stop, progress):
        yield plan.stacks[number], outcome


def send(plan: Plan, worker: "Worker") -> Sent:
    """Submit one array for all stacks, and write down which task has which.

    Raises:
        UsageError: Slurm is not there or refuses.
    """
    from normexp.session.array_task import ArrayTask  # imports PyTorch

    options = plan.executor
    assert isinstance(options, Slurm)  # noqa: S101  for the type checker
    there = elsewhere.leaving(worker)
    place = elsewhere.place_of(there)
    forget(place, logs=False)  # of an earlier round
    (place.path / elsewhere.NEWS).mkdir()
    tasks = min(slurm.most_tasks(), -(-len(plan.stacks) // options.cpus_per_task))
    groups = tuple(tuple(range(first, len(plan.stacks), tasks)) for first in range(tasks))
    calls = [
        ArrayTask(there, [(n, plan.stacks[n]) for n in group], options.cpus_per_task, plan.workers)
        for group in groups
    ]
    folder = place.path / FOLDER
    array = slurm.submit(folder, calls, options)
    write_file(folder / JOB, to_json({"job": array.job, "tasks": groups}))
    return Sent(array, groups)


def found(place: SweepDirectory) -> Sent | None:
    """What a sweep has sent, if it has sent something."""
    folder = place.path.absolute() / FOLDER
    try:
        told = json.loads((folder / JOB).read_bytes())
        groups = tuple(tuple(int(number) for number in group) for group in told["tasks"])
        return Sent(Array(folder, str(told["job"]), len(groups)), groups)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def forget(place: SweepDirectory, *, logs: bool) -> None:
    """Remove what only those who work need; with `logs` what they have said stays.

    What was submitted could be loaded by nobody else, and holds the plan again for every task.
    """
    shutil.rmtree(place.path / elsewhere.NEWS, ignore_errors=True)
    folder = place.path / FOLDER
    if not logs:
        shutil.rmtree(folder, ignore_errors=True)
    for path in folder.glob("*"):
        if path.suffix in {".pkl", ".sh"}:
            with suppress(OSError):
                path.unlink()
