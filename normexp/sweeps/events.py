"""Events of a sweep: input of its progress display, from threads and from other processes.

Workers in other processes and on other machines write events as lines of JSON into a file each.
"""

import errno
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from normexp.errors import NormexpError, describe
from normexp.sweeps.stop import StoppedError

if TYPE_CHECKING:
    from normexp.sweeps.plan import Plan

PAUSE_SECONDS = 0.2
"""Between two lines about steps."""

MOST_POINTS = 300
"""Evaluation points whose losses a line holds."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Errors of a store that every worker would meet; others may be one node's."""


class Done(NamedTuple):
    """The result of the work on a stack."""

    trained: int = 0  # trajectories
    observed: int = 0  # runs
    held: tuple[str, ...] = ()  # trajectories that another sweep works on
    error: Exception | None = None  # what ended the work early


NOTHING_DONE = Done()


@dataclass(frozen=True)
class Event:
    """Something that happened in a sweep.

    kind      | means
    --------- | ---------------------------------------------------------------------------
    began     | the work on `plan` begins; again if another sweep has left something
    stepped   | `count` networks took one step
    resumed   | `count` steps, of all networks together, were taken by an earlier sweep
    observed  | run `name` is stored: `losses` at the evaluation points, none if it diverged
    ended     | a stack has ended: `done`; from a cluster, stack number `count`
    waiting   | all that is left are `count` trajectories that another sweep works on
    queued    | `count` tasks wait in a cluster's queue because of `name`; 0 once one runs
    stopping  | somebody has asked to stop
    """

    kind: Literal[
        "began", "stepped", "resumed", "observed", "ended", "waiting", "queued", "stopping"
    ]
    count: int = 0
    name: str = ""
    losses: tuple[float, ...] = ()
    done: Done = NOTHING_DONE
    plan: "Plan | None" = None


OF_WORKERS = ("stepped", "resumed", "observed", "ended")
"""Kinds of events that a worker reports."""

Listener = Callable[[Event], None]
"""Is called with every event, from several threads."""


def ignore(event: Event) -> None:
    """The listener of a sweep that nobody watches."""


class Relay:
    """A listener that sends events as lines, steps summed over `pause` seconds.

    Args:
        send: takes a line; returns whether it could be sent.
        pause: seconds between two lines about steps.
    """

    def __init__(self, send: Callable[[str], bool], pause: float = PAUSE_SECONDS) -> None:
        self._send, self._pause = send, pause
        self._steps, self._sent = 0, 0.0
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Send an event; what cannot be sent is lost."""
        with self._lock:
            if event.kind == "stepped":
                self._steps += event.count
                if time.monotonic() - self._sent <= self._pause:
                    return
            self._sent = time.monotonic()
            if self._steps and self._send(encode(Event("stepped", self._steps))):
                self._steps = 0
            if event.kind != "stepped":
                self._send(encode(event))


def encode(event: Event) -> str:
    """An event as a line, without the plan."""
    every = -(-len(event.losses) // MOST_POINTS) or 1
    losses = [float(f"{loss:.4g}") for loss in (*event.losses[:-1:every], *event.losses[-1:])]
    done = [*event.done[:3], _encoded(event.done.error)]
    return json.dumps([event.kind, event.count, event.name, losses, done])


def decode(line: str) -> Event | None:
    """The event of a line; None for a line that no worker has written."""
    try:
        kind, count, name, losses, (trained, observed, held, error) = json.loads(line)
        done = Done(int(trained), int(observed), tuple(map(str, held)), _decoded(error))
        event = Event(kind, int(count), str(name), tuple(map(float, losses)), done)
    except (ValueError, TypeError, LookupError, OverflowError, RecursionError):
        return None
    return event if kind in OF_WORKERS else None


def _encoded(error: Exception | None) -> list[Any] | None:
    """An error as data: its kind if a sweep distinguishes it, else its text."""
    if error is None:
        return None
    if isinstance(error, StoppedError):
        return ["stopped"]
    if isinstance(error, OSError) and error.errno in FULL:
        return ["system", error.errno, error.strerror or str(error), error.filename]
    return ["other", describe(error)]


def _decoded(error: list[Any] | None) -> Exception | None:
    if error is None:
        return None
    kind, *rest = error
    if kind == "stopped":
        return StoppedError()
    return OSError(*rest) if kind == "system" else NormexpError(str(rest[0]))
