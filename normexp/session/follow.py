"""Stacks in the hands of a Slurm array, followed until each of them has ended."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from normexp.errors import NormexpError
from normexp.executors.news import Reader
from normexp.executors.slurm import Array, State
from normexp.session import elsewhere
from normexp.session.progress import Listener
from normexp.session.relay import retell
from normexp.session.stop import Stop, StoppedError
from normexp.store.sweep import SweepDirectory

if TYPE_CHECKING:
    from normexp.session.work import Done

SETTLE_SECONDS, LOOK_SECONDS = 15.0, 0.5
"""For tasks that have said their last word to leave, and between two looks whether they have."""

FIRST_ASK_SECONDS, LAST_ASK_SECONDS = 2.0, 30.0
"""Between two questions to Slurm: soon at first, and no burden to a cluster later."""

STOPPING_SECONDS = 20.0
"""For tasks to hear that they are to stop, and to end; then they are cancelled."""

ATTEMPTS = 3
"""At a task whose worker is killed; what it has stored is not begun again."""

KILLED = (State.FAILED, State.NODE_FAIL, State.OUT_OF_MEMORY)


@dataclass(frozen=True)
class Sent:
    """Stacks that are in a cluster's hands.

    Args:
        array: that has them.
        groups: the numbers of the stacks of every task.
    """

    array: Array
    groups: tuple[tuple[int, ...], ...]


def is_in_queue(sent: Sent) -> bool:
    """Whether any of its tasks waits or runs."""
    states = sent.array.states() or {}
    return not all(state.is_over for state in states.values())


def follow(
    sent: Sent, place: SweepDirectory, stop: Stop, listener: Listener
) -> Iterator[tuple[int, "Done | Exception"]]:
    """Listen to the tasks until every stack has ended; yields its number and what came of it.

    A task that is over and has said nothing of a stack has lost it: if its worker was killed it is
    started again, else the stack has failed. If the sweep is to stop, tasks that wait are taken
    back and the others told.
    """
    following = _Following(sent, place)
    reader, first = Reader(place.path / elsewhere.NEWS), True
    try:
        while following.left:
            over = following.over()  # before the news: whoever is over has said everything
            for line in reader.lines():
                said = elsewhere.heard(line)
                if said is None:
                    if not first:  # else it was said before anybody listened
                        retell(line, listener)
                elif said[0] in following.left:
                    following.left.discard(said[0])
                    yield said
            first, seconds = False, stop.seconds_left()
            if seconds is not None:
                over = following.stopping(over, seconds)
            for number, error in following.lost(over):
                following.left.discard(number)
                yield number, error
            if following.left:
                time.sleep(elsewhere.listening_pause(sent.array.tasks))
        _settle(sent)
    except BaseException:
        stop.ask(0)
        sent.array.cancel()
        raise


def _settle(sent: Sent) -> None:
    """Let the tasks leave, which have said their last word, before their files are removed."""
    end = time.monotonic() + SETTLE_SECONDS
    while is_in_queue(sent) and time.monotonic() < end:
        time.sleep(LOOK_SECONDS)


class _Following:
    """What is known of the tasks, and what is still to come."""

    def __init__(self, sent: Sent, place: SweepDirectory) -> None:
        self._sent, self._array, self._place = sent, sent.array, place
        self.left = {number for group in sent.groups for number in group}
        self._began = self._asked = time.monotonic()
        self._seen: set[int] = set()
        self._attempts = dict.fromkeys(range(sent.array.tasks), 1)
        self._stops = False

    def over(self) -> Mapping[int, State]:
        """The tasks that were over a while ago: what they wrote last can be read by now."""
        now = time.monotonic()
        pause = min(LAST_ASK_SECONDS, max(FIRST_ASK_SECONDS, (now - self._began) / 10))
        if now - self._asked < (FIRST_ASK_SECONDS if self._stops else pause):
            return {}
        self._asked = now
        states = self._array.states() or {}
        before, self._seen = self._seen, {task for task, each in states.items() if each.is_over}
        return {task: states[task] for task in sorted(before & self._seen)}

    def stopping(self, over: Mapping[int, State], seconds: float) -> Mapping[int, State]:
        """Take back what waits, and after a while all; which tasks are over by then."""
        if not self._stops:
            self._stops = True
            self._array.cancel(waiting_only=True)
        if seconds > -STOPPING_SECONDS - elsewhere.pause(self._array.tasks):
            return over
        self._array.cancel()
        return dict.fromkeys(range(self._array.tasks), State.CANCELLED)

    def lost(self, over: Mapping[int, State]) -> Iterator[tuple[int, Exception]]:
        """The stacks of which nothing will come, and why."""
        for task, state in over.items():
            numbers = [number for number in self._sent.groups[task] if number in self.left]
            if not numbers or (state in KILLED and not self._stops and self._again(task)):
                continue
            error = StoppedError() if self._stops else self._error(task, state)
            for number in numbers:
                yield number, error

    def _again(self, task: int) -> bool:
        """Start a task again whose worker had begun; one that never began would not now."""
        name = elsewhere.name_in_slurm(self._array.name(task))
        begun = elsewhere.news_file(self._place, name).exists()
        if not begun or self._attempts[task] >= ATTEMPTS or not self._array.requeue(task):
            return False
        self._attempts[task] += 1
        self._seen.discard(task)
        return True

    def _error(self, task: int, state: State) -> NormexpError:
        times = self._attempts[task]
        often = f", {times} times," if times > 1 else ""
        name, tail = self._array.name(task), self._array.tail(task)
        return NormexpError(f"Slurm's task {name} {state}{often}; {tail}".replace(",;", ";"))
