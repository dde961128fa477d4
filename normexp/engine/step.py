"""Steps of a stack by autograd: losses, gradients, optimizers."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn import functional

from normexp.config.network import Adam, AdamW, Optimizer, Sgd
from normexp.config.norm import looks_back
from normexp.config.schema import RunConfig, batch_sizes, part_sizes, total_steps
from normexp.data.draw import Examples, orders
from normexp.engine.estimators import RunningStatistics
from normexp.nets.layout import Memory, Statistics, batch_axis
from normexp.nets.models import structure
from normexp.nets.network import Network


def is_labels(y: torch.Tensor) -> bool:
    """Return whether y is classes."""
    return not y.is_floating_point()


def loss(prediction: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Losses [models]: cross entropy of labels, mean squared error of targets.

    Args:
        prediction: [models, outputs, batch].
        y: labels [models, batch], whole numbers; or targets [models, outputs, batch].
    """
    if is_labels(y):
        return functional.cross_entropy(prediction, y, reduction="none").mean(-1)
    return (prediction - y).square().mean((-2, -1))


def scores(prediction: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    """Losses [models], and accuracies where y is labels.

    A prediction that is not finite counts as wrong. The bits of PyTorch's sum over some networks at
    once would depend on how many they are; NumPy's sum of a row does not.
    """
    if not is_labels(y):
        rows = (prediction - y).square().flatten(1).contiguous().cpu().numpy()
        return {"loss": torch.from_numpy(rows.mean(1))}
    each = zip(torch.split(prediction, 1), torch.split(y, 1), strict=True)
    right = (prediction.argmax(1) == y) & prediction.isfinite().all(1)
    return {
        "loss": torch.cat([loss(own.clone(), one) for own, one in each]),
        "accuracy": right.to(prediction.dtype).mean(-1),
    }


Report = Callable[[int], None]
"""Called with how many steps were taken, of all networks together."""


class Steps(NamedTuple):
    """Results of some steps."""

    train_loss: torch.Tensor  # [models, steps], of the batch, before its update
    batch_mean: torch.Tensor  # [models, updates, channels]
    batch_var: torch.Tensor  # [models, updates, channels], unbiased


@dataclass
class State:
    """All that steps change, a row a network."""

    parameters: torch.Tensor  # [models, numbers]
    moments: dict[str, torch.Tensor]  # each [models, numbers]: Adam's, or SGD's momentum as `first`
    running: RunningStatistics | None  # where they take part in training
    steps: int = 0


def initial(network: Network, configs: Sequence[RunConfig]) -> State:
    """Return the state of a stack before its first step, one network a configuration."""
    drawn = [network.initial(config) for config in configs]
    rows = [torch.cat([each[name].reshape(-1) for name in network.shapes]) for each in drawn]
    parameters = torch.stack(rows).to(configs[0].executor.device)
    names = ["first"] if isinstance(configs[0].optim, Sgd) else ["first", "second"]
    moments = {name: torch.zeros_like(parameters) for name in names}
    norms = [config.norm for config in configs]
    channels = sum(network.tracked.values())
    running = RunningStatistics(norms, channels) if looks_back(norms[0]) else None
    return State(parameters, moments, running)


def by_name(rows: torch.Tensor, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Return rows of numbers such as parameters by name, each [models, *shape], in their memory."""
    parts = torch.split(rows, [math.prod(shape) for shape in shapes.values()], 1)
    pairs = zip(shapes.items(), parts, strict=True)
    return {name: part.view(len(rows), *shape) for (name, shape), part in pairs}


class Autograd:
    """A stack whose gradients PyTorch finds, all networks side by side.

    Args:
        network: of all.
        configs: one a network.
        examples: of the networks.
        state: that steps change.
    """

    def __init__(
        self, network: Network, configs: Sequence[RunConfig], examples: Examples, state: State
    ) -> None:
        self._network, self._configs, self._examples = network, configs, examples
        self._state, like = state, state.parameters
        rates = like.new_tensor([[config.optim.lr] for config in configs])
        self._rates = rates.expand_as(like).clone()
        for name in structure(configs[0]).frozen & network.shapes.keys():
            by_name(self._rates, network.shapes)[name].zero_()  # no optimizer changes them
        decays = [config.optim.weight_decay for config in configs]
        self._decays = like.new_tensor(decays)[:, None] if any(decays) else None

    def epoch(self, epoch: int, report: Report) -> Steps:
        """Take the steps of an epoch, each network in its own order."""
        sizes, everyone = batch_sizes(self._configs[0]), range(len(self._configs))
        order, done = orders(self._configs, epoch), epoch * len(sizes)
        steps = []
        for x, y in self._examples.batches(everyone, order, sizes, done):
            steps.append(self._step(x, y))
            report(len(everyone))
        losses, means, variances = zip(*steps, strict=True)
        return Steps(torch.stack(losses, 1), torch.cat(means, 1), torch.cat(variances, 1))

    def _step(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Take one step on a batch, and return losses, means and variances."""
        network, config, state = self._network, self._configs[0], self._state
        own = state.parameters.detach().requires_grad_()  # the same memory
        with network.drawing(state.steps):
            weights = by_name(own, network.shapes)
            prediction, statistics = network.in_training(weights, x, self._memory())
            losses = loss(prediction, y)
            # Each loss sends its gradient to its own network only. Asked with ones instead of the
            # sum, PyTorch imports SymPy, which takes half a second.
            (gradient,) = torch.autograd.grad(losses.sum(), own)
        left = network.join(statistics, like=losses)
        examples = x.shape[batch_axis(x)]
        shape = len(losses), len(part_sizes(config, examples)), sum(network.tracked.values())
        mean, var = (each.reshape(shape) for each in left)
        factor = scale(config.train.schedule, state.steps, total_steps(config))
        update(config.optim, state, gradient, self._rates * factor, self._decays)
        if state.running is not None:
            count = network.counts(examples)[0]
            state.running.update(mean[:, 0].cpu(), var[:, 0].cpu(), count)
        return losses.detach(), mean, var

    def _memory(self) -> Mapping[str, Memory]:
        """Running statistics before this step, by site, if the norms look back."""
        running = self._state.running
        if running is None:
            return {}
        by_site = self._network.split(Statistics(running.mean, running.var))
        weight = running.next_weight()
        return {site: Memory(*each, weight, self._state.steps) for site, each in by_site.items()}


def update(
    config: Optimizer,
    state: State,
    gradient: torch.Tensor,
    rates: torch.Tensor,
    decays: torch.Tensor | None,
) -> None:
    """Take a step of an optimizer in place, as `torch.optim`, which has one rate for all networks.

    Args:
        config: which rule, and what it shares between networks.
        state: of the stack.
        gradient: [models, numbers].
        rates: learning rates, [models, numbers].
        decays: of the weights, [models, 1]; None: there are none.
    """
    parameters, first = state.parameters, state.moments["first"]
    state.steps += 1
    if isinstance(config, AdamW):
        if decays is not None:
            parameters.mul_(1 - rates * decays)
    elif decays is not None:
        gradient = gradient + decays * parameters
    if isinstance(config, Sgd):  # PyTorch's momentum: no dampening
        if config.momentum:
            first.mul_(config.momentum).add_(gradient)
            gradient = gradient + config.momentum * first if config.nesterov else first
        parameters.sub_(rates * gradient)
    elif isinstance(config, Adam | AdamW):  # Kingma & Ba (2015), algorithm 1
        second = state.moments["second"]
        first.lerp_(gradient, 1 - config.beta1)
        second.mul_(config.beta2).addcmul_(gradient, gradient, value=1 - config.beta2)
        # The corrections of both moments are taken into the factor and eps.
        root = (1 - config.beta2**state.steps) ** 0.5
        ratio = first / (second.sqrt() + config.eps * root)
        parameters.sub_(rates * (root / (1 - config.beta1**state.steps)) * ratio)


def scale(schedule: str, step: int, steps: int) -> float:
    """Return the factor of the learning rate at the step-th of so many steps, counted from 0.

    Constant, or half a cosine from 1 to 0 as `torch.optim.lr_scheduler.CosineAnnealingLR` stepped
    after every batch (Loshchilov & Hutter 2017, equation 5, without restarts).
    """
    return (1 + math.cos(math.pi * step / steps)) / 2 if schedule == "cosine" else 1.0
