"""How the stacks of a plan are worked on: by threads, or by processes where these pay."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from normexp.planning.plan import Plan, Stack
from normexp.session.progress import Progress
from normexp.session.relay import Relay, retell
from normexp.store.layout import StudyDirectory

if TYPE_CHECKING:
    from normexp.session.work import Done, Worker

Ended = Iterator[tuple[Stack, "Done | Exception"]]


def execute(plan: Plan, worker: "Worker", progress: Progress) -> Ended:
    """Work on every stack of a plan; yields each as it ends, with what came of it."""
    from normexp.engine.numerics import one_thread

    progress.began(plan)
    with one_thread():
        way = _in_processes if plan.processes else _in_threads
        for stack, outcome in way(plan, worker, progress):
            progress.ended(outcome)
            yield stack, outcome


def _in_threads(plan: Plan, worker: "Worker", progress: Progress) -> Ended:
    from normexp.executors import local

    def work(stack: Stack) -> "Done":
        return worker.work(stack, progress)

    yield from local.run(plan.stacks, work, plan.workers, lambda: worker.stop.ask(0))


def _in_processes(plan: Plan, worker: "Worker", progress: Progress) -> Ended:
    from normexp.executors import pipe, processes

    # The processes may be older than the caller's working directory.
    place = StudyDirectory(worker.directory.path.absolute())
    there = replace(worker, directory=place, claims=replace(worker.claims, study=place))
    with pipe.hearing(lambda line: retell(line, progress)) as path:
        work = partial(_work_and_send, there, path)
        yield from processes.run(plan.stacks, work, plan.workers, lambda: worker.stop.ask(0))


def _work_and_send(worker: "Worker", pipe: Path, stack: Stack) -> "Done":
    """What a process does."""
    return worker.work(stack, Relay(pipe))
