"""Networks as a user has them in a file of their own, for `model.source=FILE.py:FUNCTION`."""

import torch
from torch import nn


class Net(nn.Module):
    """Batch norms of images and vectors, one that begins at 0, one without weight and bias."""

    def __init__(self, width: int = 4, dropout: float = 0.0, outputs: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width))
        self.branch = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.branch_norm: nn.Module = nn.BatchNorm2d(width)
        nn.init.zeros_(self.branch_norm.get_parameter("weight"))
        self.inner = nn.Linear(width * 16, 12, bias=False)
        self.inner_norm: nn.Module = nn.BatchNorm1d(12, affine=False)
        self.dropout, self.head = nn.Dropout(dropout), nn.Linear(12, outputs)
        self.unused = nn.BatchNorm1d(7)
        self.register_buffer("offset", torch.full((1,), 0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [batch, 10] of images [batch, 1, 8, 8]."""
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.branch_norm(self.branch(x)))
        x = nn.functional.max_pool2d(x, 2).flatten(1)
        x = self.head(self.dropout(torch.relu(self.inner_norm(self.inner(x)))))
        return x + self.get_buffer("offset")


def make(width: int = 4, dropout: float = 0.0, outputs: int = 10) -> nn.Module:
    """Return the network, and say so where a script would."""
    print("making a network")
    return Net(width, dropout, outputs)


def on_vectors() -> nn.Module:
    """Return a network of one number, for data=quadratic."""
    return nn.Sequential(nn.Linear(1, 5, bias=False), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1))


def resnet() -> nn.Module:
    """Return a small ResNet of transformers, which returns an object with logits."""
    from transformers import ResNetConfig, ResNetForImageClassification

    config = ResNetConfig(
        num_channels=1, embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic",
        num_labels=10,
    )  # fmt: skip
    made: nn.Module = ResNetForImageClassification(config)
    return made


def twice() -> nn.Module:
    """Return a network that calls one batch norm twice."""
    norm = nn.BatchNorm1d(10)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), norm, nn.ReLU(), norm)


def with_memory() -> nn.Module:
    """Return a network with statistics that are no batch norm's."""
    norm = nn.InstanceNorm2d(1, track_running_stats=True)
    return nn.Sequential(norm, nn.Flatten(), nn.Linear(64, 10))


def nothing() -> None:
    """Return no module."""


def leaves() -> None:
    """End the process, as a script may."""
    raise SystemExit(3)
