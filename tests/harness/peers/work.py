"""What normexp and its peers are asked to do, and the form of their answers."""

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple


class Run(NamedTuple):
    """One network to train."""

    momentum: float
    seed: int


class Final(NamedTuple):
    """What a run has come to."""

    momentum: float
    seed: int
    train_loss: float
    """Training mode, mean over the examples of the last epoch."""
    test_loss: float
    """By running statistics; where nothing is logged, of the test set normalised by itself."""


@dataclass(frozen=True)
class Work:
    """Batch norm's S1 network on a parabola, or a LeNet on digits.

    Attributes:
        name: of the work.
        momenta: each with every seed.
        seeds: from 0.
        logs: whether every evaluation point's test loss and the running statistics go to Parquet.
    """

    name: str
    network: Literal["mlp", "lenet"]
    momenta: tuple[float, ...]
    seeds: int
    logs: bool
    lr: float
    train_size: int
    test_size: int
    epochs: int
    batch_size: int = 64
    depth: int = 8
    width: int = 10
    every: int = 8  # steps between two rows of running statistics

    @property
    def sizes(self) -> list[int]:
        """Of an epoch's batches."""
        full, rest = divmod(self.train_size, self.batch_size)
        return [self.batch_size] * full + [rest] * bool(rest)

    @property
    def steps(self) -> int:
        """Of a training."""
        return self.epochs * len(self.sizes)

    @property
    def logged(self) -> list[int]:
        """Steps whose running statistics are logged: every so many, and evaluation points."""
        points = range(0, self.steps + 1, len(self.sizes))
        return sorted({*range(0, self.steps + 1, self.every), *points})

    def overrides(self, momenta: Sequence[float]) -> list[str]:
        """The same for normexp's command line, but for the seeds."""
        own = {
            "mlp": [f"model.depth={self.depth}", f"model.width={self.width}"],
            "lenet": ["data=digits", "model=lenet"],
        }[self.network]
        return [
            *own, "norm=batch", f"norm.momentum={','.join(f'{m:g}' for m in momenta)}",
            f"optim.lr={self.lr:g}", f"train.epochs={self.epochs}",
            f"train.batch_size={self.batch_size}", f"data.train_size={self.train_size}",
            f"data.test_size={self.test_size}", f"log.every={self.every}",
        ]  # fmt: skip


def _momenta(number: int) -> tuple[float, ...]:
    return tuple(round((k + 1) / number, 4) for k in range(number))


WORKS = {
    "a": Work("a", "mlp", (0.5,), 512, logs=False, lr=0.03, train_size=2000, test_size=200,
              epochs=12),
    "b": Work("b", "mlp", _momenta(20), 160, logs=True, lr=0.03, train_size=2000, test_size=200,
              epochs=12),
    "c": Work("c", "lenet", _momenta(10), 8, logs=True, lr=0.003, train_size=1440, test_size=357,
              epochs=12),
}  # fmt: skip

# So few and small steps that a last bit cannot grow: all must come to equal losses, run by run.
_TINY = {"mlp": {"depth": 2, "width": 4, "train_size": 72}, "lenet": {"train_size": 136}}


def work_named(name: str, *, quick: bool) -> Work:
    """A work in full, or as small as a test wants it."""
    work = WORKS[name]
    if not quick:
        return work
    tiny = replace(work, seeds=4, momenta=work.momenta[::5], epochs=2, test_size=40, lr=0.001)
    return replace(tiny, **_TINY[work.network])  # type: ignore[arg-type]


class Request(NamedTuple):
    """What a peer is to do."""

    work: Work
    runs: list[Run]
    cores: int
    place: Path  # for what it logs
    options: list[str]  # the peer's own


class Clock:
    """Seconds by phase: each call ends one that began with the last call."""

    def __init__(self, since: float) -> None:
        self.seconds: dict[str, float] = {}
        self._last = since

    def __call__(self, phase: str) -> None:
        """The end of a phase."""
        now = time.time()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now


Peer = Callable[[Request, Clock], list[Final]]
"""Does what is asked. Phases: `start` and `compile` once, `uncounted` aside, others by the run."""


def answer(peer: Peer) -> None:
    """A peer's main: take the request from the command line, print the answer as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--momenta", type=int, help="of the work's, evenly")
    parser.add_argument("--seeds", type=int, nargs=2, help="first, and one after the last")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--pin", type=int, nargs="*", help="cores to stay on")
    parser.add_argument("--since", type=float, default=time.time(), help="time of the start")
    parser.add_argument("--place", type=Path, default=Path())
    parser.add_argument("--option", action="append", default=[])
    asked = parser.parse_args()
    if asked.pin and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, asked.pin)
    work = work_named(asked.work, quick=asked.quick)
    step = len(work.momenta) // (asked.momenta or len(work.momenta))
    seeds = range(*(asked.seeds or (0, work.seeds)))
    # The middle of each part, so that a few stand for all.
    momenta = work.momenta[step // 2 :: step][: asked.momenta]
    runs = [Run(momentum, seed) for momentum in momenta for seed in seeds]
    clock = Clock(asked.since)
    finals = peer(Request(work, runs, asked.cores, asked.place, asked.option), clock)
    print(json.dumps({"seconds": clock.seconds, "finals": finals}))
