"""`torch.func` ensembling as its tutorial has it: stack modules, `vmap` the call, train at once.

Every momentum is a network of its own. The norm is the ensemble's: `nn.BatchNorm` takes no momentum
for each network, and counts its batches in place.
"""

import copy
from functools import partial

import torch
from reference import Pixels, loss_of
from torch import nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from peers import draws, tables
from peers.loop import warm_up
from peers.work import Clock, Final, Request, Run, Work, answer

Tensors = dict[str, torch.Tensor]
STATISTICS = ("running_mean", "running_var")


class StackedNorm(nn.Module):
    """Batch norm of one network whose momentum is a tensor."""

    running_mean: torch.Tensor
    running_var: torch.Tensor
    momentum: torch.Tensor

    def __init__(self, channels: int, momentum: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("momentum", torch.tensor(momentum))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """X normalised: by itself in training, by the running statistics in evaluation."""
        mean, var = self.running_mean, self.running_var
        if self.training:
            axes = [0, *range(2, x.dim())]
            var, mean = torch.var_mean(x, axes, unbiased=False)
            n = x.numel() // x.shape[1]
            unbiased = var.detach() * (n / (n - 1))
            self.running_mean.add_((mean.detach() - self.running_mean) * self.momentum)
            self.running_var.add_((unbiased - self.running_var) * self.momentum)
        shape = [1, -1, *[1] * (x.dim() - 2)]
        y = (x - mean.view(shape)) / (var.view(shape) + 1e-5).sqrt()
        return y * self.weight.view(shape) + self.bias.view(shape)


def norm(momentum: float, channels: int, _: Pixels) -> nn.Module:
    """Of so many channels."""
    return StackedNorm(channels, momentum)


class Ensemble:
    """Networks that train together."""

    def __init__(self, work: Work, runs: list[Run]) -> None:
        self.networks = [draws.network(work, partial(norm, run.momentum)) for run in runs]
        for network, run in zip(self.networks, runs, strict=True):
            network.put(draws.weights(work, run.seed))
        self.params, self.buffers = stack_module_state(self.networks)
        self.base = copy.deepcopy(self.networks[0])
        self._gradients = vmap(grad_and_value(self._loss))
        self._optimizer = torch.optim.Adam(list(self.params.values()), lr=work.lr)

    def step(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """One step of all on their batches; the losses before it."""
        gradients, losses = self._gradients(self.params, self.buffers, x, y)
        for name, parameter in self.params.items():
            parameter.grad = gradients[name]
        self._optimizer.step()
        detached: torch.Tensor = losses.detach()
        return detached

    def losses(self, x: torch.Tensor, y: torch.Tensor, *, training: bool) -> torch.Tensor:
        """Of all, in either mode."""
        self.base.train(training)
        found: torch.Tensor = vmap(self._loss)(self.params, self.buffers, x, y).detach()
        self.base.train()
        return found

    def running(self, name: str) -> torch.Tensor:
        """A copy of one running statistic of all norms, [networks, channels]."""
        own = [f"{module}.{name}" for module, of in self.base.named_modules()
               if isinstance(of, StackedNorm)]  # fmt: skip
        return torch.cat([self.buffers[each] for each in own], 1)

    def _loss(
        self, params: Tensors, buffers: Tensors, x: torch.Tensor, y: torch.Tensor
    ) -> torch.Tensor:
        return loss_of(functional_call(self.base, (params, buffers), (x,)), y)


def train_all(request: Request, clock: Clock) -> list[Final]:
    """All runs as one stack."""
    torch.set_num_threads(request.cores)
    warm_up()
    draws.prepare(request.work)
    clock("start")
    work, runs = request.work, request.runs
    by_seed = {run.seed: draws.examples(work, run.seed) for run in runs}
    parts = zip(*(by_seed[run.seed] for run in runs), strict=True)
    x, y, test_x, test_y, orders = (torch.stack(part) for part in parts)
    ensemble, everyone = Ensemble(work, runs), torch.arange(len(runs))[:, None]
    logged = set(work.logged) if work.logs else set()
    rows = [[ensemble.running(name)] for name in STATISTICS]
    points, steps = [ensemble.losses(test_x, test_y, training=False)], 0
    losses: list[torch.Tensor] = []
    for epoch in range(work.epochs):
        losses = []
        for chosen in torch.split(orders[:, epoch], work.batch_size, 1):
            losses.append(ensemble.step(x[everyone, chosen], y[everyone, chosen]))
            steps += 1
            if steps in logged:
                for kept, name in zip(rows, STATISTICS, strict=True):
                    kept.append(ensemble.running(name))
        if work.logs:
            points.append(ensemble.losses(test_x, test_y, training=False))
    clock("train")
    if work.logs:
        known, tested = draws.sites(work), torch.stack(points, 1).numpy()
        mean, var = (torch.stack(part, 1).numpy() for part in rows)
        for k, run in enumerate(runs):
            tables.write(request.place, work, run, known, tested[k], mean[k], var[k])
        clock("log")
    else:
        points = [ensemble.losses(test_x, test_y, training=True)]
    sizes = torch.tensor(work.sizes)
    trained = (torch.stack(losses, 1) * sizes).sum(1) / sizes.sum()
    ends = zip(runs, trained.tolist(), points[-1].tolist(), strict=True)
    return [Final(*run, train, test) for run, train, test in ends]


if __name__ == "__main__":
    answer(train_all)
