"""A small network to be spoilt, and the rules that say something of it."""

from typing import Any

import torch
from torch import nn

from normexp.own.lint import Report


def network(**settings: Any) -> nn.Sequential:  # noqa: ANN401
    """Two convolutions with a batch norm each, and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, **settings), nn.ReLU(),
        nn.Conv2d(8, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Flatten(), nn.LazyLinear(3),
    )  # fmt: skip


def train(model: nn.Module, steps: int = 5) -> None:
    """Some steps on noise."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(steps):
        x = torch.randn(16, 3, 8, 8, generator=generator)
        y = torch.randint(3, (16,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def trained(**settings: Any) -> nn.Sequential:  # noqa: ANN401
    """A network after five steps, in training mode."""
    torch.manual_seed(0)
    model = network(**settings)
    train(model)
    return model


def norm(model: nn.Sequential) -> nn.BatchNorm2d:
    """The batch norm to spoil."""
    found = model[1]
    assert isinstance(found, nn.BatchNorm2d)
    return found


def faults(report: Report) -> set[str]:
    """Rules that have found a fault."""
    return {each.rule for each in report.faults}


def notes(report: Report) -> set[str]:
    """Rules that have something to mention."""
    return {each.rule for each in report.findings if each.severity == "note"}
