"""A sweep's stacks as one array of a Slurm cluster: sent, followed, and found again later."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from normexp.config.executor import Slurm
from normexp.executors import slurm
from normexp.executors.slurm import Array
from normexp.store.files import write_file
from normexp.store.regular import read_json
from normexp.store.sweep import JOB, SweepDirectory
from normexp.store.texts import to_json
from normexp.sweeps import elsewhere
from normexp.sweeps.follow import Sent, follow
from normexp.sweeps.plan import Plan, Stack
from normexp.sweeps.progress import Progress

if TYPE_CHECKING:
    from normexp.sweeps.work import Done, Worker

FOLDER = Path(JOB).parent


def in_slurm(
    plan: Plan, worker: "Worker", progress: Progress
) -> Iterator[tuple[Stack, "Done | Exception"]]:
    """Send the stacks and follow them until every one has ended."""
    sent = send(plan, worker)
    for number, outcome in follow(sent, worker.stop, progress):
        yield plan.stacks[number], outcome


def send(plan: Plan, worker: "Worker") -> Sent:
    """Submit one array for all stacks, and write down which task has which.

    Raises:
        UsageError: Slurm is not there or refuses.
    """
    from normexp.sweeps.array_task import ArrayTask  # imports PyTorch

    options = plan.executor
    assert isinstance(options, Slurm)  # noqa: S101  for the type checker
    there = elsewhere.leaving(worker)
    place = elsewhere.place_of(there)
    news = elsewhere.new_news(place)
    cpus, limits = options.cpus_per_task, slurm.limits()
    tasks = min(limits.tasks, -(-len(plan.stacks) // cpus))
    groups = tuple(tuple(range(first, len(plan.stacks), tasks)) for first in range(tasks))
    calls = [
        ArrayTask(there, [(n, plan.stacks[n]) for n in group], news, cpus, plan.workers)
        for group in groups
    ]
    array = slurm.submit(place.path / FOLDER, calls, options)
    told = {"job": array.job, "cluster": limits.cluster, "tasks": groups, "news": news.name}
    write_file(place.path / JOB, to_json(told))
    return Sent(array, groups, news, limits.cluster)


def found(place: SweepDirectory) -> Sent | None:
    """What a sweep has sent, if it has sent something."""
    path = place.path.absolute()
    if (path / FOLDER).is_symlink():
        return None
    try:
        told = read_json(path / JOB)
        groups = tuple(tuple(int(number) for number in group) for group in told["tasks"])
        array = Array(path / FOLDER, str(told["job"]), len(groups))
        news = path / Path(str(told["news"])).name
        return Sent(array, groups, news, str(told["cluster"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def jobs(place: SweepDirectory) -> list[str]:
    """The numbers of all jobs of a sweep, in the order in which they were submitted."""
    found = {path.name.partition("_")[0] for path in (place.path / FOLDER).glob("*_*")}
    return sorted((name for name in found if name.isdecimal()), key=int)


def forget(place: SweepDirectory) -> None:
    """Remove what only those who work need; their logs stay.

    What was submitted could be loaded by nobody else, and holds the plan again for every task.
    """
    elsewhere.forget_news(place)
    folder = place.path / FOLDER
    if folder.is_symlink():
        folder.unlink()
    for path in folder.glob("*"):
        if path.suffix in {".pkl", ".sh"}:
            with suppress(OSError):
                path.unlink()
