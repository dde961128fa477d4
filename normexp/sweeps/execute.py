"""The stacks of a plan worked on: here by threads or processes, or in a cluster."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from normexp.config.schema import Executor, Local, Ray, Slurm
from normexp.errors import NormexpError, UsageError, describe
from normexp.store.files import machine
from normexp.store.locks import Stop, StoppedError, sign_of
from normexp.sweeps.environment import device_environment, environment
from normexp.sweeps.events import (
    PAUSE_SECONDS,
    Done,
    Event,
    Listener,
    append,
    decode,
    encode,
    listening,
    new_news,
    pause,
    relay,
)
from normexp.sweeps.plan import Plan, Stack
from normexp.sweeps.worker import Worker

HEARTBEAT_SECONDS = 20.0
"""Of a worker: a third of its lease."""

Ended = Iterator[tuple[Stack, Done]]


def execute(plan: Plan, worker: Worker, listen: Listener) -> Ended:
    """Work on every stack of a plan; yield each as it ends, with what came of it."""
    listen(Event("began", plan=plan))
    if isinstance(plan.executor, Slurm):
        from normexp.sweeps.in_slurm import follow, send

        followed = follow(send(plan, worker), worker.stop, listen)
        ended: Ended = ((plan.stacks[number], done) for number, done in followed)
    elif isinstance(plan.executor, Ray):
        ended = _in_ray(plan, plan.executor, worker, listen)
    elif plan.processes:
        ended = _in_processes_here(plan, worker, listen)
    else:
        ended = in_threads(plan.stacks, worker, plan.workers, listen)
    for stack, done in ended:
        if done.error is not None and not isinstance(done.error, StoppedError):
            runs = [run.id for trajectory in stack.trajectories for run in trajectory.runs]
            worker.place.log(stack.trajectories[0].id, runs, done.error)
        listen(Event("ended", done=done))
        yield stack, done


def check(executor: Executor) -> None:
    """Check that this machine or the cluster has what the work needs, before anything is begun.

    Raises:
        UsageError: no GPU, or no programs of the cluster, or options that it does not know.
    """
    if isinstance(executor, Local):
        device_environment(executor.device)
    elif executor.device != "cpu" and not executor.gpus:
        raise UsageError(
            f"executor.device={executor.device} needs a GPU, and executor.gpus is 0",
            "type executor.gpus=1",
        )
    if isinstance(executor, Slurm):
        from normexp.executors import slurm

        slurm.check(executor)
    elif isinstance(executor, Ray):
        from normexp.executors import ray

        ray.check(executor.cluster, executor.gpus)


def in_threads(stacks: Sequence[Stack], worker: Worker, workers: int, listen: Listener) -> Ended:
    """Work in this process, in so many threads.

    Threads suffice where PyTorch, Parquet and the file system release the interpreter's lock. Each
    runs its operations on itself alone, so that the number of workers changes no bit.
    """
    from normexp.numerics import one_thread

    with one_thread(), ThreadPoolExecutor(workers, thread_name_prefix="normexp") as pool:
        going = {pool.submit(worker.work, stack, listen): stack for stack in stacks}
        try:
            for future in as_completed(going):
                yield going[future], future.result()
        except BaseException:
            worker.stop.ask(0)
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def in_processes(
    stacks: Sequence[Stack],
    worker: Worker,
    workers: int,
    send: Callable[[str], bool],
    seconds: float = PAUSE_SECONDS,
) -> Ended:
    """Work in so many processes, which report by lines that `send` takes there.

    Each leaves so many seconds between two lines about steps.
    """
    from normexp.executors import processes

    def work(stack: Stack) -> Done:
        return worker.work(stack, relay(send, seconds))

    yield from map(_with_done, processes.run(stacks, work, workers, lambda: worker.stop.ask(0)))


def _with_done(ended: tuple[Stack, Done | Exception]) -> tuple[Stack, Done]:
    """A stack with what came of it, also where its process or worker was lost."""
    stack, result = ended
    return stack, result if isinstance(result, Done) else Done(error=NormexpError(describe(result)))


def _in_processes_here(plan: Plan, worker: Worker, listen: Listener) -> Ended:
    with tempfile.TemporaryDirectory(prefix="normexp-") as news:
        send = partial(append, Path(news) / "events")
        with listening(Path(news), listen, PAUSE_SECONDS):
            yield from in_processes(plan.stacks, worker, plan.workers, send)


def _in_ray(plan: Plan, options: Ray, worker: Worker, listen: Listener) -> Ended:
    """Send the stacks to a Ray cluster, a task each, and follow them until each has ended."""
    from normexp.executors import ray

    news = new_news(worker.place)
    work = partial(_work_in_ray, worker, news, plan.workers)
    with listening(news, listen, pause(plan.workers) / 4):
        for (_, stack), result in ray.run(
            list(enumerate(plan.stacks)),
            work,
            plan.workers,
            lambda: worker.stop.ask(0),
            address=options.cluster,
            gpus=options.gpus,
        ):
            yield _with_done((stack, result))


def _work_in_ray(worker: Worker, news: Path, workers: int, task: tuple[int, Stack]) -> Done:
    """The work of a task, under the same name wherever it is begun again."""
    number, stack = task
    name = f"ray-{number}"
    path = news / f"{name}.txt"
    with arrived(worker, name, path, workers) as here:
        done = here.work(stack, relay(partial(append, path), pause(workers)))
    event = decode(encode(Event("ended", done=done)))  # errors that another Python can read
    assert event is not None  # noqa: S101  for the type checker
    return event.done


@contextmanager
def arrived(worker: Worker, name: str, news: Path, workers: int) -> Iterator[Worker]:
    """The worker on this machine: alive under its name, with the environment that is here.

    Args:
        worker: as it was sent.
        name: the same for a worker that a cluster starts again in the place of one that has died.
        news: the file in which it reports.
        workers: of the sweep, who use the same file system.

    Raises:
        NormexpError: another normexp is installed here.
    """
    here = environment() | device_environment(worker.standard.environment["device"])
    if here["code"] != worker.standard.environment["code"]:
        raise NormexpError(
            f"{machine()} has another normexp than the sweep was planned with, or it was changed "
            "since: install the same on every node, and type the command again"
        )
    place = worker.place
    sign, own = sign_of(place.path, name), place.path / f".{name}.stop"
    own.unlink(missing_ok=True)  # of whom it was started again for
    sign.show()
    news.touch()  # it has begun
    try:
        with sign.beating(HEARTBEAT_SECONDS):
            yield replace(
                worker,
                locks=replace(worker.locks, worker=name),
                standard=replace(worker.standard, environment=here),
                stop=Stop(place.stop, own, pause=pause(workers)),
            )
    finally:
        own.unlink(missing_ok=True)
