"""Networks of all kinds as users have them, for `model.source=FILE.py:FUNCTION`.

Those of `TRAINED` train as in a plain loop. The others cannot be trained, for the reason in their
name.
"""

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import batch_norm, dropout
from torch.utils.checkpoint import checkpoint


class Net(nn.Module):
    """A convolution, its batch norm, and a linear layer."""

    def __init__(self, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 4, 3), norm or nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        )
        self.head = nn.Linear(144, 10)

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401
        """Return logits [batch, 10] of images [batch, 1, 8, 8]."""
        return self.head(self.stem(x).flatten(1))


def frozen() -> nn.Module:
    """Return a network with a layer, a weight of a norm and a bias of a norm that stay."""
    stem = Net().stem
    nn.init.constant_(stem[1].get_parameter("weight"), 2)
    neck = nn.BatchNorm1d(144)
    for each in (*stem.parameters(), neck.bias):
        each.requires_grad = False
    return nn.Sequential(stem, nn.Flatten(), neck, nn.Linear(144, 10))


def weight_alone() -> nn.Module:
    """Return a network whose batch norm has no bias."""
    return Net(nn.BatchNorm2d(4, bias=False))


class Recomputed(Net):
    """Gives memory back in the forward pass."""

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401, D102
        return self.head(checkpoint(self.stem, x, use_reentrant=False).flatten(1))


class Tied(nn.Module):
    """Two layers with one weight, and a layer norm called `norm` below another module."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.bn = nn.Linear(64, 64), nn.Linear(64, 64), nn.BatchNorm1d(64)
        self.second.weight = self.first.weight
        self.last = nn.ModuleDict({"norm": nn.LayerNorm(64), "head": nn.Linear(64, 10)})

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401, D102
        x = self.bn(self.second(torch.relu(self.first(x.flatten(1)))))
        return self.last["head"](self.last["norm"](x))


class Volumes(nn.Module):
    """Batch norms of volumes and of sequences, with an average that starts as PyTorch's."""

    def __init__(self) -> None:
        super().__init__()
        self.volume, self.of_volume = nn.Conv3d(1, 3, (1, 3, 3)), nn.BatchNorm3d(3)
        self.sequence, self.of_sequence = nn.Conv1d(6, 5, 3), nn.BatchNorm1d(5)
        self.head = nn.Linear(50, 10)

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401, D102
        x = torch.tanh(self.of_volume(self.volume(x.view(-1, 1, 2, 4, 8))))
        x = self.of_sequence(self.sequence(x.reshape(-1, 6, 12)))
        return self.head(x.flatten(1))


class Listed(Net):
    """Calls its batch norm by a list, looks at it, and has a hook on it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm: Any = self.stem[1]
        self.listed = [self.norm]
        self.stem[1].register_forward_hook(lambda _module, _x, y: 3 * y)

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401, D102
        x = self.listed[0](self.stem[0](x))
        return self.head(torch.relu(x).flatten(1) / len(self.listed[0].get_buffer("running_mean")))


def compiled() -> Any:  # noqa: ANN401
    """Return a compiled network, by a compiler whose numbers are others."""
    return torch.compile(Net(), backend=lambda graph, _: lambda *x: (2 * graph(*x)[0],))


def settings() -> nn.Module:
    """Return a network, and leave PyTorch with other settings."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(torch.get_num_threads() + 1)
    return Net()


TRAINED = ["Net", "frozen", "weight_alone", "Recomputed", "Tied", "Volumes", "Listed", "compiled",
           "settings"]  # fmt: skip


class Draws(Net):
    """Draws in evaluation mode too: `dropout` is in training mode unless it is told."""

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401, D102
        return dropout(super().forward(x))


class DrawsByNumpy(Net):
    """Draws what no seed of a run reaches."""

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401, D102
        return super().forward(x) * np.random.default_rng().normal()


def made_by_numpy() -> nn.Module:
    """Return a network that starts from other weights each time."""
    made = Net()
    nn.init.constant_(made.head.weight, np.random.default_rng().normal())
    return made


class Counts(Net):
    """Counts its calls in a buffer that it replaces."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401, D102
        self.calls: Any = self.get_buffer("calls") + 1
        return super().forward(x)


class Written(Net):
    """A batch norm by hand, whose averages PyTorch changes without a trace in their version."""

    def __init__(self) -> None:
        super().__init__(nn.Identity())
        self.register_buffer("mean", torch.zeros(64))
        self.register_buffer("var", torch.ones(64))

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401, D102
        mean, var = self.get_buffer("mean"), self.get_buffer("var")
        y = batch_norm(x.flatten(1), mean, var, training=self.training)
        return super().forward(y.view_as(x))


class AndActivation(nn.BatchNorm2d):
    """Does more than batch norm, as those of timm do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:  # noqa: D102
        return torch.relu(super().forward(x))


def subclass() -> nn.Module:
    """Return a network with one of them."""
    return Net(AndActivation(4))


class Stays(Net):
    """Keeps its batch norm in evaluation mode, as that of a trained part."""

    def train(self, mode: bool = True) -> Any:  # noqa: ANN401, D102, FBT001, FBT002
        super().train(mode)
        self.stem.eval()
        return self


class Hidden(Net):
    """Has a batch norm that is in a list alone."""

    def __init__(self) -> None:
        super().__init__(nn.Identity())
        self.listed = [nn.BatchNorm2d(1)]

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401, D102
        return super().forward(self.listed[0](x))


class Sometimes(Net):
    """Calls its batch norm in training mode only."""

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401, D102
        return super().forward(x) if self.training else self.head(self.stem[0](x).flatten(1))


class Complex(Net):
    """Holds complex numbers, of which a cast would keep the real part."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("rotation", torch.full((10,), 1j))


def lazy() -> nn.Module:
    """Return a network that knows no sizes yet."""
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))


def script() -> Any:  # noqa: ANN401
    """Return a network whose batch norms cannot be reached."""
    return torch.jit.script(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)))


class Pair(Net):
    """Returns two things."""

    def forward(self, x: torch.Tensor) -> Any:  # noqa: ANN401, D102
        return super().forward(x), x


def no_norm() -> nn.Module:
    """Return a network without batch norm, which says what it is doing."""

    class Speaks(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            print("called")
            return super().forward(x.flatten(1))

    return Speaks(64, 10)
