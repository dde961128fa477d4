"""Measures of a run beyond its last row: from its tables, its weights, its data."""

import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normexp.store.stored import stored

if TYPE_CHECKING:
    import pandas as pd
    import torch

Run = Mapping[str, Any]
"""A row of `normexp.read`."""


def table(run: Run, name: str) -> "pd.DataFrame":
    """One of a run's tables."""
    from normexp.store import parquet

    found = stored(Path(run["directory"]))
    frame: pd.DataFrame = parquet.read(
        found.directory / f"{name}.parquet", found.manifest["files"]
    ).to_pandas()
    return frame


def over_epochs(run: Run) -> float:
    """The geometric mean of the test loss over the epochs."""
    losses = table(run, "metrics")["test_loss"].tolist()[1:]
    return math.exp(sum(map(math.log, losses)) / len(losses))


def final_error(run: Run) -> float:
    """The running means' error in σ at the end, mean over the layers."""
    layers = table(run, "layers")
    return float(layers[layers["step"] == layers["step"].max()]["mean_error"].mean())


def last_weights(run: Run) -> "dict[str, torch.Tensor]":
    """The weights at the last evaluation point of a run's training."""
    from normexp.store.tables import read_trajectory

    weights = read_trajectory(stored(Path(run["directory"])).trajectory).weights
    return {name: values[0, -1] for name, values in weights.items()}


def in_test_batches(size: int, *, by_class: bool) -> Callable[[Run], float]:
    """The test loss where every test batch is normalised by itself.

    Args:
        size: examples of a test batch; what is left over makes some batches larger by one.
        by_class: whether examples are sorted by class, or by the first feature where y is a number;
            else they are in random order.
    """

    def loss_of(run: Run) -> float:
        import torch

        from normexp.data.draw import Examples
        from normexp.engine.step import is_labels, loss
        from normexp.nets.network import Network

        config = stored(Path(run["directory"])).config
        examples, network, one = Examples([config], tests_only=True), Network(config), range(1)
        weights = {name: each[None] for name, each in last_weights(run).items()}
        x, y = examples.test(one, torch.arange(examples.tests), 0)
        if by_class:
            order = torch.argsort(y[0] if is_labels(y) else x[0, 0], stable=True)
        else:
            rng = torch.Generator().manual_seed(config.seed)
            order = torch.randperm(examples.tests, generator=rng)
        total = 0.0
        with torch.no_grad():
            for chosen in torch.tensor_split(order, max(1, examples.tests // size)):
                x, y = examples.test(one, chosen, 0)
                total += float(loss(network.by_itself(weights, x)[0], y)) * len(chosen)
        return total / examples.tests

    return loss_of


def correlation(layer: int, *, is_after: bool) -> Callable[[Run], float]:
    """The mean |correlation| of a convolution's channels, before or after group norm.

    Args:
        layer: 1 or 2.
        is_after: whether after.
    """

    def correlation_of(run: Run) -> float:
        from torch.nn import functional

        from normexp.data.draw import draw

        weights, x = last_weights(run), draw(stored(Path(run["directory"])).config).test_x
        y = z = x
        for name in ("conv1", "conv2")[:layer]:
            y = functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1)
            scale, shift = (weights[f"{name}.norm.{part}"] for part in ("weight", "bias"))
            z = functional.group_norm(y, int(run["norm.groups"]), scale, shift, run["norm.eps"])
            x = functional.max_pool2d(functional.relu(z), 2)
        return mean_correlation(z if is_after else y)

    return correlation_of


def mean_correlation(x: "torch.Tensor") -> float:
    """The mean |correlation| of two different channels of [examples, channels, h, w]."""
    import torch

    channels = x.shape[1]
    matrix = torch.corrcoef(x.transpose(0, 1).reshape(channels, -1).double()).abs()
    return float((matrix.sum() - matrix.trace()) / (channels * (channels - 1)))


@cache
def gradient(seed: int, batch_size: int) -> tuple[float, float]:
    """The mean norm of a batch's gradient, and the root of its variance over an epoch.

    Of S1's network at its initial weights, on S1's training points.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    rng = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = [nn.BatchNorm1d(1)]
    for place in range(8):
        layers += [nn.Linear(10 if place else 1, 10), nn.BatchNorm1d(10), nn.Tanh()]
    network = nn.Sequential(*layers, nn.Linear(10, 1))
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.1, generator=rng)
            nn.init.constant_(layer.bias, -0.2)
    x = torch.linspace(-7, 10, 2000)[:, None]
    y = x**2 - 5 + 2 * torch.randn(2000, 1, generator=rng)
    found = []
    whole = 2000 // batch_size * batch_size
    for chosen in torch.randperm(2000, generator=rng)[:whole].view(-1, batch_size):
        loss = functional.mse_loss(network(x[chosen]), y[chosen])
        parts = torch.autograd.grad(loss, list(network.parameters()))
        found.append(torch.cat([part.flatten() for part in parts]))
    stacked = torch.stack(found)
    return float(stacked.norm(dim=1).mean()), float(stacked.var(0).sum().sqrt())
