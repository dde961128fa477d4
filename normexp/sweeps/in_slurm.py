"""The stacks of a sweep as one array of a Slurm cluster: sent, found again later, and followed."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from normexp.config.schema import Slurm
from normexp.errors import NormexpError
from normexp.executors import slurm
from normexp.executors.slurm import OVER, Array
from normexp.store.files import write_file
from normexp.store.locks import Stop, StoppedError
from normexp.store.plain import from_json, read_regular
from normexp.store.sweep import JOB, SweepDirectory
from normexp.sweeps.events import (
    Done,
    Event,
    Listener,
    Reader,
    forget_news,
    ignore,
    new_news,
    pause,
)
from normexp.sweeps.plan import Plan
from normexp.sweeps.worker import Worker

FOLDER = Path(JOB).parent

SETTLE_SECONDS, LOOK_SECONDS = 15.0, 0.5
"""For tasks that have reported all to leave, and between two looks whether they have."""

FIRST_ASK_SECONDS, LAST_ASK_SECONDS = 2.0, 30.0
"""Between two questions to Slurm: soon at first, and no burden to a cluster later."""

STOPPING_SECONDS = 20.0
"""For tasks to notice that they are to stop, and to end; then they are cancelled."""

ATTEMPTS = 3
"""At a task whose worker is killed; what it has stored is not begun again."""

KILLED = ("FAILED", "NODE_FAIL", "BOOT_FAIL", "OUT_OF_MEMORY")

UNHEARD_SECONDS = 60.0
"""After the end of a task without a report: a shared file system may be as late as that."""

SILENT_SECONDS = 600.0
"""Without an answer of Slurm's."""


class SilentError(NormexpError):
    """Slurm does not answer; what it has goes on without us."""


class Job(msgspec.Struct):
    """The file that says under which number, and where, a cluster has a sweep's stacks."""

    job: Annotated[str, msgspec.Meta(pattern=r"^[0-9]+\Z")]
    cluster: str
    tasks: tuple[tuple[int, ...], ...]
    news: str


@dataclass(frozen=True)
class Sent:
    """Stacks that are in a cluster's hands.

    Args:
        sweep: the directory of their sweep.
        job: the file that says so.
    """

    sweep: Path
    job: Job

    @property
    def array(self) -> Array:
        """The array that has them."""
        return Array(self.sweep / FOLDER, self.job.job, len(self.job.tasks))

    @property
    def news(self) -> Path:
        """The directory in which its tasks report."""
        return self.sweep / Path(self.job.news).name

    def check(self) -> None:
        """Make sure that it can be followed, or another be sent in its place.

        Raises:
            NormexpError: another cluster has it, or Slurm does not answer.
        """
        here = slurm.limits().cluster
        if self.job.cluster != here:
            raise NormexpError(
                f"job {self.job.job} of this sweep was left to the Slurm cluster "
                f"{self.job.cluster}, and this is {here or 'none that answers'}",
                f"type the command there, or remove {self.sweep}",
            )
        if self.array.is_in_queue() is None:
            raise NormexpError(
                f"Slurm does not say what has become of its job {self.job.job}",
                "type the command again when squeue answers",
            )

    def settle(self, *, withdrawing: bool) -> None:
        """Let tasks leave that have reported all, before their files are removed."""
        end = time.monotonic() + SETTLE_SECONDS
        while self.array.is_in_queue() is not False and time.monotonic() < end:
            if withdrawing:  # one that was out of time may have gone back meanwhile
                self.array.cancel(waiting_only=True)
            time.sleep(LOOK_SECONDS)


def send(plan: Plan, worker: Worker) -> Sent:
    """Submit one array for all stacks, and write down which task has which.

    Raises:
        UsageError: Slurm is not there or refuses.
    """
    from normexp.sweeps.array_task import ArrayTask  # which imports this

    options, place = plan.executor, worker.place
    assert isinstance(options, Slurm)  # noqa: S101  for the type checker
    news, limits = new_news(place), slurm.limits()
    tasks = min(limits.tasks, -(-len(plan.stacks) // options.cpus_per_task))
    groups = tuple(tuple(range(first, len(plan.stacks), tasks)) for first in range(tasks))
    calls = [
        ArrayTask(
            worker, {n: plan.stacks[n] for n in group}, news, options.cpus_per_task, plan.workers
        )
        for group in groups
    ]
    array = slurm.submit(place.path / FOLDER, calls, options)
    job = Job(array.job, limits.cluster, groups, news.name)
    write_file(place.path / JOB, msgspec.json.encode(job))
    return Sent(place.path, job)


def sent_array(place: SweepDirectory) -> Sent | None:
    """The array that a sweep has sent, if it has sent one."""
    path = place.path.absolute()
    if (path / FOLDER).is_symlink():
        return None
    try:
        return Sent(path, from_json(read_regular(path / JOB), Job))
    except (OSError, ValueError):
        return None


def jobs(place: SweepDirectory) -> list[str]:
    """The numbers of all jobs of a sweep, in the order in which they were submitted."""
    found = {path.name.partition("_")[0] for path in (place.path / FOLDER).glob("*_*")}
    return sorted((name for name in found if name.isdecimal()), key=int)


def forget(place: SweepDirectory) -> None:
    """Remove what only workers need; their logs stay.

    What was submitted could be loaded by nobody else, and holds the plan again for every task.
    """
    forget_news(place)
    folder = place.path / FOLDER
    if folder.is_symlink():
        folder.unlink()
    for path in folder.glob("*"):
        if path.suffix in {".pkl", ".sh"}:
            with suppress(OSError):
                path.unlink()


def follow(sent: Sent, stop: Stop, listen: Listener) -> Iterator[tuple[int, Done]]:
    """Follow the tasks until every stack has ended; yield its number and what came of it.

    A task that is over and has not reported a stack has lost it: if its worker was killed it is
    started again, else the stack has failed. If the sweep is to stop, tasks that wait are taken
    back and the others stop at the next evaluation point.

    Raises:
        SilentError: Slurm has not answered for long.
    """
    following = _Following(sent)
    try:
        yield from following.stacks(stop, listen)
        sent.settle(withdrawing=following.stops)
    except SilentError:
        raise
    except BaseException:
        stop.ask(0)
        sent.array.cancel()
        raise


class _Following:
    """The state of the tasks, and the stacks that are still to come."""

    def __init__(self, sent: Sent) -> None:
        self._sent, self._array, self._reader = sent, sent.array, Reader(sent.news)
        self._left = {number for group in sent.job.tasks for number in group}
        self._began = self._asked = self._answered = time.monotonic()
        self._over_since: dict[int, float] = {}
        self._attempts = dict.fromkeys(range(sent.array.tasks), 1)
        self._queued = Event("queued")
        self.stops = False

    def stacks(self, stop: Stop, listen: Listener) -> Iterator[tuple[int, Done]]:
        """The stacks as they end."""
        seconds_between = pause(self._array.tasks) / 4
        pass_on: Callable[[Event], None] = ignore  # what was reported before anybody listened
        while self._left:
            queued, over = self._queued, self._over()
            # After that: a task that is over has reported everything.
            for event in self._reader.events(self._news_file(task).name for task in over):
                if event.kind != "ended":
                    pass_on(event)
                elif event.count in self._left:
                    self._left.discard(event.count)
                    yield event.count, event.done
            pass_on, seconds = listen, stop.seconds_left()
            if self._queued != queued:
                listen(self._queued)
            if seconds is not None:
                over = self._stopping(over, seconds)
            for number, error in self._lost(over):
                self._left.discard(number)
                yield number, Done(error=error)
            if self._left:
                time.sleep(seconds_between)

    def _over(self) -> Mapping[int, str]:
        """The tasks that were over a while ago: what they wrote last can be read by now.

        Raises:
            SilentError: Slurm has not answered for long.
        """
        now = time.monotonic()
        wait = min(LAST_ASK_SECONDS, max(FIRST_ASK_SECONDS, (now - self._began) / 10))
        if now - self._asked < (FIRST_ASK_SECONDS if self.stops else wait):
            return {}
        self._asked, statuses = now, self._array.statuses()
        if statuses is None:
            if now - self._answered > SILENT_SECONDS:
                raise SilentError(
                    f"Slurm has not answered for {SILENT_SECONDS / 60:.0f} minutes; its job "
                    f"{self._array.job} goes on by itself",
                    "type the same command again to follow it",
                )
            return {}
        self._answered, self._queued = now, Event("queued", *slurm.queued(statuses))
        over = {task: each.state for task, each in statuses.items() if each.state in OVER}
        self._over_since = {task: self._over_since.get(task, now) for task in over}
        return {
            task: state
            for task, state in over.items()
            for late in [state == "COMPLETED" and not self.stops]
            if now - self._over_since[task] >= (UNHEARD_SECONDS if late else wait)
        }

    def _stopping(self, over: Mapping[int, str], seconds: float) -> Mapping[int, str]:
        """Take back what waits, and after a while all; the tasks that are over by then."""
        if not self.stops:
            self.stops = True
            self._array.cancel(waiting_only=True)
        if seconds > -STOPPING_SECONDS - pause(self._array.tasks):
            return over
        self._array.cancel()
        return dict.fromkeys(range(self._array.tasks), "CANCELLED")

    def _lost(self, over: Mapping[int, str]) -> Iterator[tuple[int, Exception]]:
        """The stacks of which nothing will come, and why."""
        for task, state in over.items():
            numbers = [number for number in self._sent.job.tasks[task] if number in self._left]
            if not numbers or (state in KILLED and not self.stops and self._again(task)):
                continue
            error: Exception = StoppedError()
            if not self.stops:
                times = self._attempts[task]
                often = f" {times} times" if times > 1 else ""
                name, tail = self._array.name(task), self._array.tail(task)
                error = NormexpError(f"Slurm's task {name} {OVER[state]}{often}; {tail}")
            yield from ((number, error) for number in numbers)

    def _again(self, task: int) -> bool:
        """Start a task again whose worker had begun; one that never began would not now."""
        begun = self._news_file(task).exists()
        if not begun or self._attempts[task] >= ATTEMPTS or not self._array.requeue(task):
            return False
        self._attempts[task] += 1
        del self._over_since[task]
        return True

    def _news_file(self, task: int) -> Path:
        return self._sent.news / f"slurm-{self._array.name(task)}.txt"
