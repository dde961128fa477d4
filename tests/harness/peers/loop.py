"""Plain PyTorch: one network after the other, step by step."""

from functools import cache
from pathlib import Path

import torch
from reference import PlainNetwork, batch_norm, evaluate, loss_of

from peers import draws, tables
from peers.work import Clock, Final, Request, Run, Work, answer, work_named


def train_one(work: Work, run: Run, place: Path) -> Final:
    """A run from its draws to its files."""
    data = draws.examples(work, run.seed)
    network = draws.network(work, batch_norm(run.momentum))
    network.put(draws.weights(work, run.seed))
    optimizer = torch.optim.Adam(network.parameters(), lr=work.lr)
    test = (data.test_x, data.test_y)
    logged = set(work.logged) if work.logs else set()
    statistics, points = [_running(network)], [evaluate(network, test)]
    step = 0
    losses: list[torch.Tensor] = []
    for order in data.orders:
        losses = []
        network.train()
        for chosen in torch.split(order, work.batch_size):
            optimizer.zero_grad()
            loss = loss_of(network(data.x[chosen]), data.y[chosen])
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.detach())
            step += 1
            if step in logged:
                statistics.append(_running(network))
        if work.logs:
            points.append(evaluate(network, test))
    if work.logs:
        mean, var = (torch.stack(part).numpy() for part in zip(*statistics, strict=True))
        known = draws.sites(work)
        tables.write(place, work, run, known, torch.stack(points).numpy(), mean, var)
    sizes = torch.tensor(work.sizes)
    last = float((torch.stack(losses) * sizes).sum() / sizes.sum())
    return Final(*run, last, float(points[-1] if work.logs else _by_itself(network, *test)))


def _running(network: PlainNetwork) -> tuple[torch.Tensor, torch.Tensor]:
    """A copy of the running statistics of all norms."""
    return network.channels("running_mean"), network.channels("running_var")


def _by_itself(network: PlainNetwork, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss of the test set, normalised by itself."""
    network.train()
    with torch.no_grad():
        return loss_of(network(x), y)


@cache
def warm_up() -> None:
    """Let PyTorch import what it imports with a first training, some seconds."""
    train_one(work_named("a", quick=True), Run(0.5, 0), Path())


def train_all(request: Request, clock: Clock) -> list[Final]:
    """One after the other."""
    torch.set_num_threads(1)
    warm_up()
    draws.prepare(request.work)
    clock("start")
    finals = [train_one(request.work, run, request.place) for run in request.runs]
    clock("train")
    return finals


if __name__ == "__main__":
    answer(train_all)
