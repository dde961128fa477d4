"""How the stacks of a plan are worked on: by threads, or by processes where these pay."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from normexp.config.batches import total_steps
from normexp.planning.plan import Plan, Stack
from normexp.session.environment import environment
from normexp.session.progress import Progress
from normexp.store.layout import StudyDirectory

if TYPE_CHECKING:
    from normexp.session.work import Worker


def execute(
    plan: Plan, directory: StudyDirectory, progress: Progress
) -> Iterator[tuple[Stack, Exception | None]]:
    """Work on every stack of a plan; yields each as it ends, with its error if it had one."""
    if not plan.stacks:
        return
    from hydra import __version__ as hydra_version

    from normexp.engine.numerics import one_thread
    from normexp.session.work import Worker

    alone = replace(plan.study, runs=())
    worker = Worker(alone, plan.differing, directory, environment(), hydra_version)
    progress.began(plan)
    with one_thread():
        way = _in_processes if plan.processes else _in_threads
        for stack, error in way(plan, worker, progress):
            progress.ended(stack, error)
            yield stack, error


def _in_threads(
    plan: Plan, worker: "Worker", progress: Progress
) -> Iterator[tuple[Stack, Exception | None]]:
    from normexp.executors import local

    def work(stack: Stack, breathe: Callable[[], None]) -> None:
        def report(networks: int) -> None:
            breathe()
            progress.stepped(networks)

        worker.work(stack, report)

    yield from local.run(plan.stacks, work, plan.workers)


def _in_processes(
    plan: Plan, worker: "Worker", progress: Progress
) -> Iterator[tuple[Stack, Exception | None]]:
    """Steps are told when their stack has ended."""
    from normexp.executors import processes

    # The processes may be older than the caller's working directory.
    place = StudyDirectory(worker.directory.path.absolute())
    work = replace(worker, directory=place).work
    for stack, error in processes.run(plan.stacks, work, plan.workers):
        if not stack.stored:
            progress.stepped(len(stack.trajectories) * total_steps(stack.config))
        yield stack, error
