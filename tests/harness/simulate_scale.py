"""A study of a million runs on a thousand workers and one file server, simulated.

    python tests/harness/simulate_scale.py            as it is
    python tests/harness/simulate_scale.py --before   as it was before its figures were looked at

Workers take stacks, train, and write runs one after the other. Their requests wait in one queue of
the server; each also takes a way there and back. Claims change under one lock. What things cost is
measured by `tests/harness/scale.py`.
"""

import argparse
import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from normexp.sweeps import remote

RUNS, WORKERS, RUNS_OF_A_TRAJECTORY = 1_000_000, 1000, 20


@dataclass(frozen=True)
class Costs:
    """Of the default network; requests, and seconds of a core."""

    train: float = 44e-3  # seconds a trajectory, in a stack of 64
    observe: float = 6.1e-3  # seconds a run, to observe and write it
    see: float = 150e-6  # seconds a run, to understand its manifest
    written: float = 19.2  # requests a run, 3 of them news of it
    trained: float = 36.0  # requests a trajectory
    claimed: float = 6.0  # of them under the lock
    looked: float = 10.0  # requests to see that a run is whole
    read: float = 3.0  # requests to read it into a frame
    side_by_side: int = 32  # requests when runs are looked at
    readings: int = 0  # of the study's directory at every stack
    looks: float = remote.pause(1000)  # seconds between a worker's looks at two flags
    listens: float = remote.pause(1000) / 4  # seconds between looks at what a worker tells
    beats: float = remote.HEARTBEAT_SECONDS  # seconds between its signs of life

    @property
    def signs(self) -> float:
        """Requests a second that a worker causes whatever it does."""
        return 2 / self.looks + 1 / self.listens + 1 / self.beats

    def looking(self, place: "Place", requests: float) -> float:
        """Seconds to see all runs, so many requests each."""
        one_by_one = RUNS * requests * (place.way + 1 / place.rate) / self.side_by_side
        return max(RUNS * self.see, RUNS * requests / place.rate, one_by_one)


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
    Place("large parallel", 100_000, 0.3e-3, 500_000),
)


@dataclass
class Server:
    """One queue: a request waits for those before it, and for its way."""

    rate: float
    way: float
    free: float = 0.0
    busy: float = 0.0
    waited: float = 0.0

    def done(self, now: float, requests: float, seconds: float = 0.0) -> float:
        """When requests made one after the other, from now on, are answered; called in order."""
        work = requests / self.rate + seconds
        self.free = max(self.free, now) + work
        self.busy += work
        end = max(self.free, now + requests * self.way + work)
        self.waited += end - now
        return end


@dataclass
class Study:
    """Workers at work."""

    place: Place
    costs: Costs
    runs_of_a_stack: int
    server: Server = field(init=False)
    computed: float = 0.0

    def __post_init__(self) -> None:
        """The server is left what the signs of life do not take."""
        rate = self.place.rate - WORKERS * self.costs.signs
        self.server = Server(max(rate, self.place.rate / 20), self.place.way)

    def ends(self) -> Iterator[float]:
        """When every piece of work ended."""
        rng, costs = random.Random(0), self.costs  # noqa: S311  no secret
        stacks, trainings = RUNS // self.runs_of_a_stack, self.runs_of_a_stack / 20
        # Slurm starts them within a minute. What is to come: when, of whom, what, runs left.
        coming = [(rng.uniform(0, 60), who, "claim", 0) for who in range(WORKERS)]
        heapq.heapify(coming)
        unlocked, written = 0.0, 0
        while coming:
            now, who, what, left = heapq.heappop(coming)
            seconds = 0.0
            if what == "claim" and now < unlocked:
                following = (unlocked, what, left)
            elif what == "claim" and not stacks:
                continue
            elif what == "claim":
                stacks -= 1
                unlocked = self.server.done(now, costs.claimed * trainings)
                following = (unlocked, "read", 0)
            elif what == "read":
                pages = costs.readings * written / self.place.names
                following = (self.server.done(now, costs.readings, pages), "train", 0)
            elif what == "train":
                seconds = trainings * costs.train * rng.lognormvariate(0, 0.1)
                following = (now + seconds, "trained", self.runs_of_a_stack)
            elif what == "trained":
                requests = (costs.trained - costs.claimed) * trainings
                following = (self.server.done(now, requests), "observe", left)
            elif what == "observe":
                seconds = costs.observe * rng.lognormvariate(0, 0.1)
                following = (now + seconds, "observed", left - 1)
            else:
                written += 1
                end = self.server.done(now, costs.written)
                following = (end, "observe" if left else "claim", left)
            self.computed += seconds if what in ("train", "observe") else 0.0
            heapq.heappush(coming, (following[0], who, *following[1:]))
            yield following[0]


def row(place: Place, costs: Costs, runs_of_a_stack: int) -> str:
    """A line of the table."""
    study = Study(place, costs, runs_of_a_stack)
    work = max(study.ends())
    share = study.server.waited / (study.server.waited + study.computed)
    signs = WORKERS * costs.signs / place.rate
    # A worker makes so many requests in so many seconds of its own.
    each = costs.written + costs.trained / RUNS_OF_A_TRAJECTORY
    needs = costs.observe + costs.train / RUNS_OF_A_TRAJECTORY
    useful = place.rate / each * needs
    looks = [_words(costs.looking(place, number)) for number in (costs.looked, costs.read)]
    words = [_words(study.computed / WORKERS), _words(work), f"{share:.0%}", f"{signs:.0%}"]
    words += [f"{useful:.0f}", *looks]
    return f"{place.name:15}" + "".join(f"{word:>11}" for word in words)


def main() -> None:
    """A table for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", action="store_true")
    parser.add_argument("--runs-of-a-stack", type=int, default=640)
    arguments = parser.parse_args()
    costs = Costs()
    if arguments.before:
        costs = replace(costs, written=24.1, trained=43.5, readings=3, side_by_side=1,
                        looks=2.0, listens=0.5, beats=5.0)  # fmt: skip
    head = ("computing", "work", "on files", "signs", "useful", "look", "read")
    for name, each in {
        "the default network": costs,
        "a network that trains for a minute": replace(costs, train=60.0, observe=0.1),
    }.items():
        print(f"{name}\n{'':15}" + "".join(f"{word:>11}" for word in head), flush=True)
        for place in PLACES:
            print(row(place, each, arguments.runs_of_a_stack), flush=True)


def _words(seconds: float) -> str:
    if seconds < 120:  # two minutes
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
