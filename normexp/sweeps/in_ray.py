"""A sweep's stacks in a Ray cluster: a task each."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from normexp.config.executor import Ray
from normexp.executors import news, ray
from normexp.sweeps import elsewhere
from normexp.sweeps.plan import Plan, Stack
from normexp.sweeps.progress import Listener, Progress
from normexp.sweeps.relay import Relay, retell

if TYPE_CHECKING:
    from normexp.sweeps.work import Done, Worker

Numbered = tuple[int, Stack]


def in_ray(
    plan: Plan, worker: "Worker", progress: Progress
) -> Iterator[tuple[Stack, "Done | Exception"]]:
    """Send the stacks and follow them until every one has ended."""
    options = plan.executor
    assert isinstance(options, Ray)  # noqa: S101  for the type checker
    there, tasks = elsewhere.leaving(worker), list(enumerate(plan.stacks))
    news_there = elsewhere.new_news(elsewhere.place_of(there))
    with _listening(news_there, progress, plan.workers):
        for (_, stack), outcome in ray.run(
            tasks,
            partial(_work, there, news_there, plan.workers),
            plan.workers,
            lambda: worker.stop.ask(0),
            address=options.cluster,
            gpus=options.gpus,
        ):
            yield stack, outcome


def _work(worker: "Worker", directory: Path, workers: int, task: Numbered) -> "Done":
    """What a task does, under the same name wherever it is begun again."""
    from normexp.engine.numerics import one_thread

    number, stack = task
    name = f"ray-{number}"
    # Ray asks for one thread only where the node's own environment does not ask for more.
    with one_thread(), elsewhere.arrived(worker, name, directory, workers) as here:
        send = partial(news.leave, elsewhere.news_file(directory, name))
        return elsewhere.retold(here.work(stack, Relay(send, elsewhere.pause(workers))))


@contextmanager
def _listening(directory: Path, listener: Listener, workers: int) -> Iterator[None]:
    """Retell meanwhile what the workers say."""
    reader, over = news.Reader(directory), threading.Event()

    def listen() -> None:
        while not over.wait(elsewhere.listening_pause(workers)):
            for line in reader.lines():
                retell(line, listener)

    thread = threading.Thread(target=listen, daemon=True, name="news")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for line in reader.lines():  # the last
            retell(line, listener)
