"""Small networks of a user's own, and hooks that see what their batch norms see."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

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
        rows, worst = recorder.recording.history.rows, (0.0, 0.0)  # type: ignore[union-attr]
        for place, (name, span) in enumerate(recorder.recording.layers.spans.items()):
            own = rows.statistics[rows.active[:, place]].double()
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
