"""Claims on what PyTorch's batch norm does: really done; S3.4 alone has intervals, over seeds."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from normexp.analysis.arms import Row
from normexp.claims.claim import Cell, below
from normexp.claims.evidence import Evidence, Sample, ratio_cell

if TYPE_CHECKING:
    import torch
    from torch import nn

MOMENTA = (0.01, 0.1, 0.99)
SEEDS = range(5)


def step_response(_: Evidence) -> Sequence[Cell]:
    """The running mean after one batch of mean 10, by momentum."""
    import torch
    from torch import nn

    moved = []
    for momentum in MOMENTA:
        norm = nn.BatchNorm1d(1, momentum=momentum)
        norm(torch.tensor([[9.0], [11.0]]))
        moved.append(float(norm.running_mean) if norm.running_mean is not None else math.nan)
    told = ", ".join(f"{a:g} → {mean:.3g}" for a, mean in zip(MOMENTA, moved, strict=True))
    return [Cell("", moved == sorted(moved, reverse=True), told)]


def training_by_momentum(_: Evidence) -> Sequence[Cell]:
    """S0's network trained once with each momentum: the claim holds if weights differ."""
    import torch

    largest = 0.0
    for seed in SEEDS:
        first, *others = (_trained(seed, momentum) for momentum in MOMENTA)
        for other in others:
            pairs = list(zip(first, other, strict=True))
            if not all(torch.equal(a, b) for a, b in pairs):
                largest = max(largest, *(float((a - b).abs().max()) for a, b in pairs), 1e-300)
    return [Cell("", largest > 0, f"{largest:.1g}, {len(SEEDS)} seeds")]


def s0_classifier(momentum: float) -> "nn.Sequential":
    """S0's network, drawn from PyTorch's own stream."""
    from torch import nn

    return nn.Sequential(
        nn.Linear(10, 20), nn.BatchNorm1d(20, momentum=momentum), nn.ReLU(), nn.Linear(20, 2)
    )


def _trained(seed: int, momentum: float) -> "list[torch.Tensor]":
    """The weights after S0's training, and the loss of every step."""
    import torch
    from torch.nn import functional

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = s0_classifier(momentum)
        x, y = torch.randn(100, 10), torch.randint(0, 2, (100,))
    optimizer, losses = torch.optim.SGD(network.parameters(), lr=0.1), []
    for _ in range(10):
        for start in range(0, 100, 10):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(x[start : start + 10]), y[start : start + 10])
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.detach())
    return [*(p.detach() for p in network.parameters()), torch.stack(losses)]


def unit_features(_: Evidence) -> Sequence[Cell]:
    """Means and variances of S0's normalised hidden features over the ten batches of an epoch."""
    import torch
    from torch import nn

    largest = 0.0
    norm = nn.BatchNorm1d(20, affine=False)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        hidden = s0_classifier(0.1)[0](torch.randn(100, 10))
    for x in hidden.split(10):
        y, var = norm(x), x.var(0, correction=0)
        expected = var / (var + norm.eps)
        deviations = (y.mean(0).abs(), (y.var(0, correction=0) - expected).abs())
        largest = max(largest, *(float(part.max()) for part in deviations))
    return [Cell("", largest < 1e-5, f"{largest:.1e}")]  # noqa: PLR2004


def frozen_in_evaluation(_: Evidence) -> Sequence[Cell]:
    """Buffers and a prediction before and after other batches went through in evaluation mode."""
    import torch
    from torch import nn

    norm = nn.BatchNorm1d(20)
    batches = _batches(10, (10, 20))
    for x in batches[:5]:
        norm(x)
    norm.train(mode=False)
    before, buffers = norm(batches[5]), [each.clone() for each in norm.buffers()]
    for x in batches[6:]:
        norm(x)
    same = torch.equal(before, norm(batches[5])) and all(
        torch.equal(a, b) for a, b in zip(buffers, norm.buffers(), strict=True)
    )
    return [Cell("", same, "none" if same else "some")]


def update_rule(evidence: Evidence) -> Sequence[Cell]:
    """The rule written out over stored batch statistics, beside the stored running ones."""
    of = {"train.batch_size": 64, "train.epochs": 4, "norm.momentum": 0.1}
    rows = evidence.rows("steps", of)
    largest = max((_deviation(evidence, row) for row in rows), default=math.nan)
    ids = tuple(str(row["run_id"]) for row in rows)
    return [Cell("", largest < 1e-5 if rows else None, f"{largest:.1e}", None, ids)]  # noqa: PLR2004


def _deviation(evidence: Evidence, row: Row) -> float:
    """The largest relative deviation of a run's last running statistics from the rule."""
    import numpy as np

    batch, stats = (evidence.table(row, name) for name in ("batch_stats", "stats"))
    sizes = evidence.table(row, "steps")["batch_size"].to_numpy(dtype=float)
    last = stats[stats["step"] == stats["step"].max()]
    shape = (len(sizes), -1)
    means, variances = (
        batch[name].to_numpy(dtype=float).reshape(shape) for name in ("batch_mean", "batch_var")
    )
    mean, var = np.zeros(means.shape[1]), np.ones(means.shape[1])
    keep = 1 - 0.1
    for batch_mean, batch_var, size in zip(means, variances, sizes, strict=True):
        mean = mean * keep + batch_mean * (1 - keep)
        var = var * keep + batch_var * (size - 1) / size * (1 - keep)
    found = (last["running_mean"].to_numpy(float), last["running_var"].to_numpy(float))
    scale = np.sqrt(np.abs(found[1]))
    errors = (np.abs(found[0] - mean) / scale, np.abs(found[1] / var - 1))
    return float(max(each.max() for each in errors))


def same_samples(_: Evidence) -> Sequence[Cell]:
    """The spread of the samples' means after batch norm."""
    from torch import nn

    (x,) = _batches(1, (64, 32))
    y = nn.BatchNorm1d(32)(x).detach()
    spread = float(y.mean(1).std())
    of_features = float(y.mean(0).std())
    return [Cell("", spread < 1e-3, f"{spread:.2f} (features: {of_features:.0e})")]  # noqa: PLR2004


def offset(_: Evidence) -> Sequence[Cell]:
    """The variance of the outputs with an offset of 3 over that with 0."""
    import torch
    from torch import nn

    (x,) = _batches(1, (64, 32))
    norm = nn.BatchNorm1d(32)
    without = norm(x).detach()
    with torch.no_grad():
        norm.bias.fill_(3.0)
    shifted = norm(x).detach()
    ratio = float((shifted.var(0) / without.var(0)).mean())
    moved = float((shifted.mean(0) - without.mean(0)).mean())
    return [Cell("", abs(ratio - 1) > 1e-5, f"{ratio:.5f} (mean +{moved:.2f})")]  # noqa: PLR2004


def gradients(_: Evidence) -> Sequence[Cell]:
    """Gradients over an epoch at S1's initial weights: their norm and their noise, by seed."""
    seen = {batch: [_gradients(seed, batch) for seed in range(8)] for batch in (16, 256)}
    cells = []
    for place, where in ((0, "size of the gradient"), (1, "noise of the gradient")):
        small, large = (
            Sample({seed: found[place] for seed, found in enumerate(seen[batch])})
            for batch in (16, 256)
        )
        cells.append(ratio_cell(where, small, large, below))
    return cells


def _gradients(seed: int, batch_size: int) -> tuple[float, float]:
    """The mean norm of a batch's gradient, and the root of its variance over the batches."""
    import torch
    from torch.nn import functional

    generator = torch.Generator().manual_seed(seed)
    network = _regression(generator)
    x, y = _parabola(generator)
    order = torch.randperm(2000, generator=generator)
    found = []
    for start in range(0, 2000 // batch_size * batch_size, batch_size):
        chosen = order[start : start + batch_size]
        loss = functional.mse_loss(network(x[chosen]), y[chosen])
        parts = torch.autograd.grad(loss, list(network.parameters()))
        found.append(torch.cat([part.flatten() for part in parts]))
    stacked = torch.stack(found)
    return float(stacked.norm(dim=1).mean()), float(stacked.var(0).sum().sqrt())


def hidden_bias(_: Evidence) -> Sequence[Cell]:
    """The loss of one batch of S1's network, by the bias of its hidden layers."""
    import torch
    from torch import nn
    from torch.nn import functional

    largest = 0.0
    for seed in SEEDS:
        generator = torch.Generator().manual_seed(seed)
        network, (x, y) = _regression(generator), _parabola(generator)
        hidden = [layer for layer in network if isinstance(layer, nn.Linear)][:-1]
        losses = []
        for bias in (0.0, -0.2, 1.0):
            for layer in hidden:
                nn.init.constant_(layer.bias, bias)
            losses.append(float(functional.mse_loss(network(x[:64]), y[:64]).detach()))
        largest = max(largest, *(abs(loss / losses[0] - 1) for loss in losses))
    return [Cell("", largest < 1e-4, f"{largest:.1g}, {len(SEEDS)} seeds")]  # noqa: PLR2004


def _regression(generator: "torch.Generator") -> "nn.Sequential":
    """S1's network at its initial weights."""
    from torch import nn

    layers: list[nn.Module] = [nn.BatchNorm1d(1)]
    for place in range(8):
        layers += [nn.Linear(10 if place else 1, 10), nn.BatchNorm1d(10), nn.Tanh()]
    network = nn.Sequential(*layers, nn.Linear(10, 1))
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.1, generator=generator)
            nn.init.constant_(layer.bias, -0.2)
    return network


def _parabola(generator: "torch.Generator") -> "tuple[torch.Tensor, torch.Tensor]":
    """S1's training points."""
    import torch

    x = torch.linspace(-7, 10, 2000)[:, None]
    return x, x**2 - 5 + 2 * torch.randn(2000, 1, generator=generator)


def _batches(number: int, shape: tuple[int, int]) -> "list[torch.Tensor]":
    import torch

    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) * 2 + 1 for _ in range(number)]
