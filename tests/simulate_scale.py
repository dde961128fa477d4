"""A study of a million runs on a thousand workers and one file server, simulated.

    python tests/simulate_scale.py
    python tests/simulate_scale.py --runs-of-a-stack 160 --readings 3

Workers take stacks, train, and write runs one after the other. Their requests wait in one queue of
the server; each also takes a way there and back. Claims change under one lock. What things cost is
measured by `tests/scale.py`.
"""

import argparse
import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass

RUNS_OF_A_TRAJECTORY = 20


@dataclass(frozen=True)
class Costs:
    """Measured, of the default network and without pictures: requests, and seconds of a core."""

    plan: float = 110e-6  # seconds a run, to compose it and put it into a stack
    train: float = 0.1  # seconds a trajectory, in a stack of 64
    observe: float = 8e-3  # seconds a run, to observe and write it
    look: float = 0.15e-3  # seconds a run, to read its manifest and look at its files
    written: float = 18.0  # requests a run
    trained: float = 40.0  # requests a trajectory: claim, look, write, read back, release
    claimed: float = 4.0  # of them requests under the lock
    looked: float = 10.0  # requests to see that a run is whole
    read: float = 3.0  # requests to read it into a frame
    beats: float = 1 / 5 + 2 / 2  # requests a second of a worker at work: sign of life, two flags


@dataclass(frozen=True)
class Place:
    """A file system: requests a second, seconds there and back, names a second of a directory."""

    name: str
    rate: float
    way: float
    names: float


PLACES = (
    Place("NFS", 1_500, 0.5e-3, 200_000),
    Place("parallel", 30_000, 0.5e-3, 200_000),
    Place("parallel, large", 100_000, 0.3e-3, 500_000),
)


class Server:
    """One queue: a request waits for those before it, and for its way."""

    def __init__(self, place: Place, rate: float) -> None:
        self._place, self._rate = place, rate
        self._free = self.busy = self.waited = 0.0

    def done(self, now: float, requests: float, seconds: float = 0.0) -> float:
        """When requests made one after the other, from now on, are answered; called in order.

        Args:
            now: when the first is made.
            requests: how many.
            seconds: that the server has to do besides.
        """
        work = requests / self._rate + seconds
        self._free = max(self._free, now) + work
        self.busy += work
        end = max(self._free, now + requests * self._place.way + work)
        self.waited += end - now
        return end


@dataclass
class Study:
    """What there is to do, and where: `readings` of the study's directory at every stack."""

    runs: int
    runs_of_a_stack: int
    workers: int
    readings: int
    seed: int

    def simulated(self, place: Place, costs: Costs) -> dict[str, str]:
        """A row of the table."""
        plan = self.runs * costs.plan
        server = Server(place, max(1.0, place.rate - self.workers * costs.beats))
        ends = list(self._work(server, place, costs))
        work, computing = max(end for end, _ in ends), sum(seconds for _, seconds in ends)
        alone = costs.look + costs.looked * (place.way + 1 / place.rate)
        share = server.waited / (server.waited + computing)
        return {
            "place": place.name,
            "plan": _words(plan),
            "work": _words(work),
            "without files": _words(computing / self.workers),
            "of workers' time on files": f"{share:.0%}",
            "server busy": f"{server.busy / work:.0%}",
            "signs": f"{self.workers * costs.beats / place.rate:.0%}",
            "to sum up": _words(self.runs * alone),
            "next plan": _words(plan + self.runs * alone),
            "read": _words(self.runs * (costs.look + costs.read * (place.way + 1 / place.rate))),
        }

    def _work(self, server: Server, place: Place, costs: Costs) -> Iterator[tuple[float, float]]:
        """When every piece of work ended, and for how long it kept a core busy."""
        rng = random.Random(self.seed)  # noqa: S311  no secret
        stacks = self.runs // self.runs_of_a_stack
        trainings = self.runs_of_a_stack / RUNS_OF_A_TRAJECTORY
        # Slurm starts them within a minute. What is to come: when, of whom, what, runs left.
        coming = [(rng.uniform(0, 60), who, "claim", 0) for who in range(self.workers)]
        heapq.heapify(coming)
        unlocked, written, seconds = 0.0, 0, 0.0
        while coming:
            now, who, what, left = heapq.heappop(coming)
            if what == "claim" and now < unlocked:
                following = (unlocked, who, what, left)
            elif what == "claim":
                if not stacks:
                    continue
                stacks -= 1
                unlocked = server.done(now, costs.claimed * trainings)
                following = (unlocked, who, "read", 0)
            elif what == "read":
                end = now
                for _ in range(self.readings):
                    end = server.done(end, 1, written / place.names)
                seconds = trainings * costs.train * rng.lognormvariate(0, 0.1)
                following = (end + seconds, who, "trained", self.runs_of_a_stack)
            elif what == "trained":
                end = server.done(now, (costs.trained - costs.claimed) * trainings)
                following = (end, who, "observe", left)
            elif what == "observe":
                seconds = costs.observe * rng.lognormvariate(0, 0.1)
                following = (now + seconds, who, "observed", left - 1)
            else:
                written += 1
                end = server.done(now, costs.written)
                following = (end, who, "observe" if left else "claim", left)
            heapq.heappush(coming, following)
            yield following[0], seconds if what in ("read", "observe") else 0.0


def main() -> None:
    """One line a file system."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--runs-of-a-stack", type=int, default=1280)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--readings", type=int, default=0)
    parser.add_argument("--looks", type=float, default=2.0, help="seconds between looks at flags")
    arguments = parser.parse_args()
    print(arguments)
    costs = Costs(beats=1 / 5 + 2 / arguments.looks)
    for place in PLACES:
        study = Study(arguments.runs, arguments.runs_of_a_stack, arguments.workers,
                      arguments.readings, seed=0)  # fmt: skip
        row = study.simulated(place, costs)
        print(" · ".join(f"{name} {value}" for name, value in row.items()))


def _words(seconds: float) -> str:
    if seconds < 120:  # two minutes
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
