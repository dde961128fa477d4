"""normexp by its command line; of work that logs nothing, its training alone, in this process."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from peers.work import Clock, Final, Request, answer

if TYPE_CHECKING:
    from normexp.sweeps.plan import Stack


def train_all(request: Request, clock: Clock) -> list[Final]:
    """All runs of the request."""
    return (_command if request.work.logs else _training)(request, clock)


def _overrides(request: Request) -> list[str]:
    momenta = list(dict.fromkeys(run.momentum for run in request.runs))
    seeds = sorted({run.seed for run in request.runs})
    own = [f"seed=range({seeds[0]},{seeds[-1] + 1})", f"executor.workers={request.cores}"]
    return [*request.work.overrides(momenta), *own]


def _command(request: Request, clock: Clock) -> list[Final]:
    command = [sys.executable, "-m", "normexp", "sweep", "--json", *_overrides(request)]
    place = [f"store.dir={request.place}"]
    done = subprocess.run([*command, *place], capture_output=True, text=True, check=True)
    clock("command")
    import normexp

    rows = normexp.read(json.loads(done.stdout)["directory"])
    wanted = ["norm.momentum", "seed", "train_loss", "test_loss"]
    finals = [Final(*row) for row in rows[wanted].itertuples(index=False)]
    clock("uncounted")
    return finals


def ignore(_: int) -> None:
    """Report no steps."""


def _training(request: Request, clock: Clock) -> list[Final]:
    import torch

    import normexp
    from normexp.engine.train import TrainingStack, prepare
    from normexp.numerics import one_thread

    work = request.work
    plan = normexp.plan(*_overrides(request), f"store.dir={request.place}")
    clock("start")
    prepare(plan.stacks[0].config, lambda: None)
    clock("compile")
    sizes = torch.tensor(work.sizes)

    def train(stack: "Stack") -> list[Final]:
        configs = [trajectory.config for trajectory in stack.trajectories]
        training, losses = TrainingStack(configs), torch.empty(0)
        for epoch in range(work.epochs):
            losses = training.epoch(epoch, ignore).train_loss
        trained = ((losses * sizes).sum(1) / sizes.sum()).tolist()
        tested = training.evaluate().references["test_loss_test_batch"].tolist()
        ends = zip(configs, trained, tested, strict=True)
        return [Final(work.momenta[0], each.seed, *losses) for each, *losses in ends]

    with one_thread(), ThreadPoolExecutor(request.cores) as pool:
        ended = list(pool.map(train, plan.stacks))
    clock("train")
    return [final for finals in ended for final in finals]


if __name__ == "__main__":
    answer(train_all)
