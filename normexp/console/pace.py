"""How far a sweep is, how fast it goes, how long it still takes."""

import time
from collections import deque
from collections.abc import Callable

from normexp.config.schema import total_steps
from normexp.sweeps.cost import observing_seconds, training_seconds
from normexp.sweeps.plan import Plan

WINDOW_SECONDS = 10.0
"""Over which a rate is a mean."""

FEWEST_SECONDS = 2.0
"""Of work before anything is said of the time left."""


class Pace:
    """Counts steps and runs against a plan.

    A step and a run that is observed weigh what the plan estimates for them, so that a sweep whose
    training is done need not be nearly done; how long that takes here is measured.
    """

    def __init__(self, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        work = [stack for stack in plan.stacks if not stack.stored]
        self._all_steps = sum(total_steps(s.config) * len(s.trajectories) for s in work)
        self._training = sum(training_seconds(s.config, len(s.trajectories)) for s in work)
        self._observing = sum(s.runs * observing_seconds(s.config) for s in plan.stacks)
        self._networks, self.all_runs = plan.to_train, plan.to_observe
        self._steps = self._resumed = self.runs = 0
        self._clock = clock
        self._start: float | None = None  # when the first sign of work came
        self._marks: deque[tuple[float, int]] = deque()

    def stepped(self, networks: int) -> None:
        """Count a step."""
        self._begin()
        self._steps += networks

    def resumed(self, steps: int) -> None:
        """Leave out what was done before."""
        self._resumed += steps

    def observed(self) -> None:
        """Count a run."""
        self._begin()
        self.runs += 1

    @property
    def share(self) -> float:
        """How much of the work is done, from 0 to 1."""
        whole = self._training * self._part_to_train + self._observing
        return min(1.0, self._done / whole) if whole else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the mean speed so far; None while nobody can tell."""
        seconds = 0.0 if self._start is None else self._clock() - self._start
        share = self.share
        return seconds * (1 - share) / share if seconds > FEWEST_SECONDS and share else None

    def steps_per_second(self) -> float:
        """Of all networks together, lately; to be asked now and then."""
        now = self._clock()
        self._marks.append((now, self._steps))
        while now - self._marks[0][0] > WINDOW_SECONDS:
            self._marks.popleft()
        then, steps = self._marks[0]
        return (self._steps - steps) / (now - then) if now > then else 0.0

    def networks_per_second(self, steps_per_second: float) -> float:
        """Whole trainings at this speed."""
        return steps_per_second * self._networks / self._all_steps if self._all_steps else 0.0

    @property
    def _part_to_train(self) -> float:
        return 1 - self._resumed / self._all_steps if self._all_steps else 0.0

    @property
    def _done(self) -> float:
        trained = self._steps / self._all_steps if self._all_steps else 0.0
        observed = self.runs / self.all_runs if self.all_runs else 0.0
        return self._training * min(trained, 1.0) + self._observing * min(observed, 1.0)

    def _begin(self) -> None:
        if self._start is None:
            self._start = self._clock()
            self._marks.append((self._start, self._steps))
