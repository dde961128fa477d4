"""How the stacks of a plan are worked on: here, by threads or by processes, or in a cluster."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from normexp.config.executor import Executor, Local, Ray, Slurm
from normexp.errors import UsageError
from normexp.sweeps.elsewhere import leaving
from normexp.sweeps.environment import device_environment
from normexp.sweeps.plan import Plan, Stack
from normexp.sweeps.progress import Listener, Progress
from normexp.sweeps.relay import Relay, retell

if TYPE_CHECKING:
    from normexp.sweeps.work import Done, Worker

Ended = Iterator[tuple[Stack, "Done | Exception"]]
Way = Callable[[Plan, "Worker", Progress], Ended]


def execute(plan: Plan, worker: "Worker", progress: Progress) -> Ended:
    """Work on every stack of a plan; yields each as it ends, with what came of it."""
    progress.began(plan)
    for stack, outcome in _way(plan.executor)(plan, worker, progress):
        progress.ended(outcome)
        yield stack, outcome


def check(executor: Executor) -> None:
    """Say what this machine or a cluster lacks, before anything is begun.

    Raises:
        UsageError: no GPU, or no programs of the cluster, or options that it does not know.
    """
    _check_device(executor)
    if isinstance(executor, Slurm):
        from normexp.executors import slurm

        slurm.check(executor)
    elif isinstance(executor, Ray):
        from normexp.executors import ray

        ray.check(executor.cluster, executor.gpus)


def _check_device(executor: Executor) -> None:
    """What trains must be here, or asked for where the work goes."""
    if isinstance(executor, Local):
        device_environment(executor.device)
    elif executor.device != "cpu" and not executor.gpus:
        raise UsageError(
            f"executor.device={executor.device} needs a GPU, and executor.gpus is 0",
            "type executor.gpus=1",
        )


def _way(executor: Executor) -> Way:
    if isinstance(executor, Slurm):
        from normexp.sweeps.in_slurm import in_slurm

        return in_slurm
    if isinstance(executor, Ray):
        from normexp.sweeps.in_ray import in_ray

        return in_ray
    return _here


def _here(plan: Plan, worker: "Worker", progress: Progress) -> Ended:
    if not plan.processes:
        yield from in_threads(plan.stacks, worker, plan.workers, lambda: progress)
        return
    from normexp.executors import pipe

    with pipe.hearing(lambda line: retell(line, progress)) as path:
        send = partial(pipe.send, path)
        yield from in_processes(plan.stacks, worker, plan.workers, send)


def in_threads(
    stacks: Sequence[Stack], worker: "Worker", workers: int, listener: Callable[[], Listener]
) -> Ended:
    """Work in this process; `listener` makes or finds who is told how the work on a stack goes."""
    from normexp.engine.numerics import one_thread
    from normexp.executors import local

    def work(stack: Stack) -> "Done":
        return worker.work(stack, listener())

    with one_thread():
        yield from local.run(stacks, work, workers, lambda: worker.stop.ask(0))


def in_processes(
    stacks: Sequence[Stack], worker: "Worker", workers: int, send: Callable[[str], bool]
) -> Ended:
    """Work in processes, which may be older than the caller's working directory.

    Args:
        stacks: the work, in the order in which it starts.
        worker: does it.
        workers: processes.
        send: takes a line that tells how the work goes; called in the processes.
    """
    from normexp.engine.numerics import one_thread
    from normexp.executors import processes

    work = partial(_work_and_send, leaving(worker), send)
    with one_thread():
        yield from processes.run(stacks, work, workers, lambda: worker.stop.ask(0))


def _work_and_send(worker: "Worker", send: Callable[[str], bool], stack: Stack) -> "Done":
    """What a process does."""
    return worker.work(stack, Relay(send))
