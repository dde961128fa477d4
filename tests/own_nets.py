"""Networks of a user's own, hooks that see what their batch norms see, and twins."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import TensorDataset

import normexp
from normexp.own.layers import batch_norms
from normexp.own.recorder import Recorder

Batch = tuple[torch.Tensor, torch.Tensor]


class SmallNet(nn.Module):
    """Two convolutions and a linear layer, each with batch norm."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 6, 3, bias=False), norm(6)
        self.conv2, self.norm2 = nn.Conv2d(6, 8, 3, stride=2), norm(8)
        self.head = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))

    def stem(self, x: torch.Tensor) -> torch.Tensor:
        """The first convolution with its norm."""
        return torch.relu(self.norm1(self.conv1(x)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, [batch, 3]."""
        x = torch.relu(self.norm2(self.conv2(self.stem(x))))
        y: torch.Tensor = self.head(x.mean((2, 3)))
        return y


def batches(number: int, size: int = 16, seed: int = 0) -> Iterator[Batch]:
    """Images of 10×10 pixels in three classes, told by where they are bright."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(number):
        y = torch.randint(3, (size,), generator=generator)
        x = torch.randn(size, 1, 10, 10, generator=generator)
        for place, label in enumerate(y.tolist()):
            x[place, 0, 3 * label : 3 * label + 3] += 1.5
        yield x, y


def loss_of(model: nn.Module, batch: Batch) -> torch.Tensor:
    """The mean loss of a batch."""
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def losses_on(data: list[Batch]) -> Callable[[nn.Module], torch.Tensor]:
    """A score: the losses of all examples of some batches."""

    def losses(model: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            found = [nn.functional.cross_entropy(model(x), y, reduction="none") for x, y in data]
        return torch.cat(found)

    return losses


def train(model: nn.Module, optimizer: torch.optim.Optimizer, data: Iterator[Batch]) -> None:
    """The plainest loop."""
    model.train()
    for batch in data:
        optimizer.zero_grad()
        loss_of(model, batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@cache
def digits(number: int, first: int = 0) -> TensorDataset:
    """Handwritten digits of 32×32 pixels, and their labels."""
    x, y = (torch.tensor(each[first : first + number]) for each in load_digits(return_X_y=True))
    return TensorDataset(nn.functional.interpolate(x.float().view(-1, 1, 8, 8) / 16, size=32), y)


def resnet18() -> nn.Module:
    """ResNet-18 by its configuration, narrow, with its 20 batch norms."""
    transformers = pytest.importorskip("transformers")
    about = transformers.ResNetConfig(
        num_channels=1, embedding_size=8, hidden_sizes=[8, 16, 32, 64], depths=[2, 2, 2, 2],
        layer_type="basic", num_labels=10,
    )  # fmt: skip
    model: nn.Module = transformers.ResNetForImageClassification(about)
    return model


class Oracle:
    """Statistics of every batch, from the inputs of the norm layers in training mode."""

    def __init__(self, model: nn.Module) -> None:
        self.seen: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        for name, norm in batch_norms(model).items():
            self.seen[name] = []
            norm.register_forward_pre_hook(self._hook(name))

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        def see(norm: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            if norm.training:
                x = given[0].detach().double().transpose(0, 1).flatten(1)
                self.seen[name].append((x.mean(1), x.var(1)))

        return see

    def errors(self, recorder: Recorder) -> tuple[float, float]:
        """The largest errors of what was recovered: of means in σ, of variances relative.

        Every layer must have as many updates as it has seen batches.
        """
        recorder.recording.flush()
        rows, worst = recorder.recording.history.rows, (0.0, 0.0)
        for place, (name, span) in enumerate(recorder.recording.layers.spans.items()):
            own = rows.statistics[rows.updates[:, place] > 0].double()
            means, variances = (half[:, span] for half in own.chunk(2, 1))
            mean, var = (torch.stack(part) for part in zip(*self.seen[name], strict=True))
            assert len(means) == len(mean), f"{len(means)} of {len(mean)} updates of {name}"
            off = ((means - mean).abs() / var.sqrt()).max(), ((variances - var).abs() / var).max()
            worst = max(worst[0], float(off[0])), max(worst[1], float(off[1]))
        return worst


CLOSE = (1e-5, 3e-4)
"""Of means in σ, of variances relative, at momentum .1: roundings of what begins at 1."""


def recorded(model: nn.Module, **settings: object) -> tuple[torch.optim.Optimizer, Recorder]:
    """An optimizer and the recorder that listens to it."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return optimizer, normexp.record(model, optimizer, **settings)  # type: ignore[arg-type]


def assert_close(oracle: Oracle, recorder: Recorder, factor: float = 1) -> None:
    """All that hooks have seen was recovered."""
    errors = oracle.errors(recorder)

    assert errors[0] < factor * CLOSE[0], errors
    assert errors[1] < factor * CLOSE[1], errors


Listen = Callable[[nn.Module, torch.optim.Optimizer], None]
"""Is told by a loop what it will train."""

Loop = Callable[[Any, Listen], object]
"""Trains a network."""

MOMENTA = (0.01, 0.1, 0.5)


def trained(
    make: Callable[[], nn.Module], loop: Loop, listen: Listen, momentum: float | None = None
) -> nn.Module:
    """A new network after a loop, with a momentum or with its own."""
    torch.manual_seed(0)
    model = make()
    for norm in batch_norms(model).values():
        norm.momentum = norm.momentum if momentum is None else momentum
    loop(model, listen)
    return model


def assert_twins(  # noqa: PLR0913
    make: Callable[[], nn.Module],
    loop: Loop,
    score: Callable[[Any], torch.Tensor],
    data: torch.Tensor,
    *,
    exact: float = 1e-5,
    per_forward: bool = False,
) -> list[Recorder]:
    """Return recorders of a training, whose tables and verdicts are those of its twins.

    The first keeps every update, the second has no memory for that. A twin is not recorded. It
    begins with the same seed, and trains with the momentum of a row. Its weights are equal to the
    bit, its loss to a relative `exact` and ten times the certificate's `l1`.

    Args:
        make: a network.
        loop: trains it.
        score: losses of examples.
        data: a batch, whose statistics stand for those of the training set.
        exact: a relative difference.
        per_forward: of the recorders.
    """
    recorders: list[Recorder] = []

    def listen(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for memory in (256, 0):
            one = normexp.record(model, optimizer, per_forward=per_forward, memory_mb=memory)
            recorders.append(one)

    model = trained(make, loop, listen)
    twins = [trained(make, loop, lambda *_: None, each) for each in MOMENTA]
    own, *expected = (loss_in_evaluation(score, each) for each in (model, *twins))
    torch.manual_seed(1)  # of dropout
    update_bn([data], twins[0])
    weights = loss_in_evaluation(score, twins[0])
    for recorder in recorders:
        torch.manual_seed(1)
        table = recorder.evaluate(score, [data], momenta=MOMENTA)
        verdict = recorder.verdict(blame=False)
        found = table[table["estimator"] == "ema"]
        apart = (found["value"] / expected - 1).abs()

        assert (apart <= exact + 10 * found["l1"]).all(), apart
        assert verdict.value == pytest.approx(own, rel=1e-7)
        assert verdict.weights == pytest.approx(weights, rel=1e-5)
        assert verdict.statistics == pytest.approx(verdict.value - verdict.weights)
        assert verdict.momentum["momentum"] == MOMENTA[int(np.argmin(expected))]
    for twin in twins:
        pairs = zip(model.parameters(), twin.parameters(), strict=True)
        assert all(torch.equal(*each) for each in pairs)
    return recorders


def loss_in_evaluation(score: Callable[[Any], torch.Tensor], model: nn.Module) -> float:
    """The mean loss in evaluation mode."""
    with torch.no_grad():
        return float(score(model.eval()).double().mean())
