"""Stacks in the hands of a Slurm array, followed until each of them has ended."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from normexp.errors import NormexpError
from normexp.executors.news import Reader
from normexp.executors.slurm import Array, State, is_in_queue, limits, queued
from normexp.sweeps import elsewhere
from normexp.sweeps.progress import Listener, Progress, Silent
from normexp.sweeps.relay import retell
from normexp.sweeps.stop import Stop, StoppedError

if TYPE_CHECKING:
    from normexp.sweeps.work import Done

SETTLE_SECONDS, LOOK_SECONDS = 15.0, 0.5
"""For tasks that have said their last word to leave, and between two looks whether they have."""

FIRST_ASK_SECONDS, LAST_ASK_SECONDS = 2.0, 30.0
"""Between two questions to Slurm: soon at first, and no burden to a cluster later."""

STOPPING_SECONDS = 20.0
"""For tasks to hear that they are to stop, and to end; then they are cancelled."""

ATTEMPTS = 3
"""At a task whose worker is killed; what it has stored is not begun again."""

KILLED = (State.FAILED, State.NODE_FAIL, State.OUT_OF_MEMORY)

UNHEARD_SECONDS = 60.0
"""After the end of a task without a word: a shared file system may be as late as that."""

SILENT_SECONDS = 600.0
"""Without an answer of Slurm's."""


class SilentError(NormexpError):
    """Slurm does not answer; what it has goes on without us."""


@dataclass(frozen=True)
class Sent:
    """Stacks that are in a cluster's hands.

    Args:
        array: that has them.
        groups: the numbers of the stacks of every task.
        news: the directory in which its tasks say how it goes.
        cluster: name of the cluster.
    """

    array: Array
    groups: tuple[tuple[int, ...], ...]
    news: Path
    cluster: str

    def check(self) -> None:
        """See that it can be followed, or another be sent in its place.

        Raises:
            NormexpError: another cluster has it, or Slurm does not answer.
        """
        here = limits().cluster
        if self.cluster != here:
            raise NormexpError(
                f"job {self.array.job} of this sweep was left to the Slurm cluster {self.cluster}, "
                f"and this is {here or 'none that answers'}",
                f"type the command there, or remove {self.array.folder.parent}",
            )
        if self.is_in_queue() is None:
            raise NormexpError(
                f"Slurm does not say what has become of its job {self.array.job}",
                "type the command again when squeue answers",
            )

    def is_in_queue(self) -> bool | None:
        """Whether any of its tasks waits or runs; None if Slurm does not answer."""
        return is_in_queue(self.array.statuses())

    def withdraw(self) -> None:
        """Take it out of the queue."""
        self.array.cancel()
        self.settle(withdrawing=True)

    def settle(self, *, withdrawing: bool) -> None:
        """Let tasks leave that have said their last word, before their files are removed."""
        end = time.monotonic() + SETTLE_SECONDS
        while self.is_in_queue() is not False and time.monotonic() < end:
            if withdrawing:  # one that was out of time may have gone back meanwhile
                self.array.cancel(waiting_only=True)
            time.sleep(LOOK_SECONDS)


def follow(sent: Sent, stop: Stop, progress: Progress) -> Iterator[tuple[int, "Done | Exception"]]:
    """Listen to the tasks until every stack has ended; yields its number and what came of it.

    A task that is over and has said nothing of a stack has lost it: if its worker was killed it is
    started again, else the stack has failed. If the sweep is to stop, tasks that wait are taken
    back and the others told.

    Raises:
        SilentError: Slurm has not answered for long.
    """
    following, reader, first = _Following(sent), Reader(sent.news), True
    told = following.queued
    try:
        while following.left:
            over = following.over()  # before the news: whoever is over has said everything
            lines = reader.lines(map(following.file, over))
            yield from following.ended(lines, Silent() if first else progress)
            first, seconds = False, stop.seconds_left()  # what was said before anybody listened
            if told != following.queued:
                told = following.queued
                progress.queued(*told)
            if seconds is not None:
                over = following.stopping(over, seconds)
            for number, error in following.lost(over):
                following.left.discard(number)
                yield number, error
            if following.left:
                time.sleep(elsewhere.listening_pause(sent.array.tasks))
        sent.settle(withdrawing=following.stops)
    except SilentError:
        raise
    except BaseException:
        stop.ask(0)
        sent.array.cancel()
        raise


class _Following:
    """What is known of the tasks, and what is still to come."""

    def __init__(self, sent: Sent) -> None:
        self._sent, self._array = sent, sent.array
        self.left = {number for group in sent.groups for number in group}
        self._began = self._asked = self._answered = time.monotonic()
        self._seen: dict[int, float] = {}  # when a task was first seen to be over
        self._attempts = dict.fromkeys(range(sent.array.tasks), 1)
        self.stops = False
        self.queued = 0, ""  # tasks that wait while none runs, and why

    def file(self, task: int) -> str:
        """The name of the file in which a task says how it goes."""
        return self._news_file(task).name

    def ended(
        self, lines: Iterable[str], listener: Listener
    ) -> Iterator[tuple[int, "Done | Exception"]]:
        """The stacks that have ended by what tasks say; `listener` is told the rest."""
        for line in lines:
            said = elsewhere.heard(line)
            if said is None:
                retell(line, listener)
            elif said[0] in self.left:
                self.left.discard(said[0])
                yield said

    def over(self) -> Mapping[int, State]:
        """The tasks that were over a while ago: what they wrote last can be read by now."""
        now = time.monotonic()
        pause = min(LAST_ASK_SECONDS, max(FIRST_ASK_SECONDS, (now - self._began) / 10))
        if now - self._asked < (FIRST_ASK_SECONDS if self.stops else pause):
            return {}
        self._asked, statuses = now, self._array.statuses()
        if statuses is None:
            return self._unanswered(now)
        self._answered, self.queued = now, queued(statuses)
        states = {task: each.state for task, each in statuses.items()}
        self._seen = {
            task: self._seen.get(task, now) for task, each in states.items() if each.is_over
        }
        return {
            task: states[task]
            for task, since in self._seen.items()
            if now - since >= (UNHEARD_SECONDS if self._may_be_late(states[task]) else pause)
        }

    def _may_be_late(self, state: State) -> bool:
        return state is State.ENDED and not self.stops

    def _unanswered(self, now: float) -> Mapping[int, State]:
        if now - self._answered > SILENT_SECONDS:
            raise SilentError(
                f"Slurm has not answered for {SILENT_SECONDS / 60:.0f} minutes; its job "
                f"{self._array.job} goes on by itself",
                "type the same command again to follow it",
            )
        return {}

    def stopping(self, over: Mapping[int, State], seconds: float) -> Mapping[int, State]:
        """Take back what waits, and after a while all; which tasks are over by then."""
        if not self.stops:
            self.stops = True
            self._array.cancel(waiting_only=True)
        if seconds > -STOPPING_SECONDS - elsewhere.pause(self._array.tasks):
            return over
        self._array.cancel()
        return dict.fromkeys(range(self._array.tasks), State.CANCELLED)

    def lost(self, over: Mapping[int, State]) -> Iterator[tuple[int, Exception]]:
        """The stacks of which nothing will come, and why."""
        for task, state in over.items():
            numbers = [number for number in self._sent.groups[task] if number in self.left]
            if not numbers or (state in KILLED and not self.stops and self._again(task)):
                continue
            error = StoppedError() if self.stops else self._error(task, state)
            for number in numbers:
                yield number, error

    def _news_file(self, task: int) -> Path:
        name = elsewhere.name_in_slurm(self._array.name(task))
        return elsewhere.news_file(self._sent.news, name)

    def _again(self, task: int) -> bool:
        """Start a task again whose worker had begun; one that never began would not now."""
        begun = self._news_file(task).exists()
        if not begun or self._attempts[task] >= ATTEMPTS or not self._array.requeue(task):
            return False
        self._attempts[task] += 1
        del self._seen[task]
        return True

    def _error(self, task: int, state: State) -> NormexpError:
        times = self._attempts[task]
        often = f" {times} times" if times > 1 else ""
        name, tail = self._array.name(task), self._array.tail(task)
        return NormexpError(f"Slurm's task {name} {state}{often}; {tail}")
