"""The oracle: plain, slow, single-network PyTorch, from `torch.nn` and `torch.optim` alone.

It shares no code with normexp but the draws: initial weights, data and batch order are handed in.
"""

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import nn

Batch = tuple[torch.Tensor, torch.Tensor]  # x [batch, features], y [batch, outputs]


class PlainNetwork(nn.Module):
    """S1's network as its tutorial writes it.

    Args:
        depth: hidden layers.
        width: units of each.
        inputs: features of x.
        batch_norm: before every activation.
        input_norm: on the input.
        momentum: of every norm.
    """

    def __init__(  # noqa: PLR0913
        self,
        depth: int,
        width: int,
        inputs: int = 1,
        *,
        batch_norm: bool,
        input_norm: bool,
        momentum: float | None = 0.1,
    ) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm1d(inputs, momentum=momentum) if input_norm else None
        widths = [inputs, *[width] * depth]
        pairs = itertools.pairwise(widths)
        self.hidden = nn.ModuleList(nn.Linear(into, out) for into, out in pairs)
        norms = [nn.BatchNorm1d(width, momentum=momentum) for _ in range(depth)]
        self.norms = nn.ModuleList(norms if batch_norm else [])
        self.output = nn.Linear(width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predictions [batch, 1]."""
        if self.input_norm is not None:
            x = self.input_norm(x)
        for place, layer in enumerate(self.hidden):
            x = layer(x)
            if self.norms:
                x = self.norms[place](x)
            x = torch.tanh(x)
        y: torch.Tensor = self.output(x)
        return y

    def named(self) -> dict[str, nn.Parameter]:
        """The parameters by normexp's names."""
        found: dict[str, nn.Parameter] = {}
        for number, layer in enumerate(self.hidden, start=1):
            found |= {f"hidden{number}.{key}": value for key, value in layer.named_parameters()}
        found |= {f"output.{key}": value for key, value in self.output.named_parameters()}
        for site, norm in self.sites().items():
            found |= {f"{site}.norm.{key}": value for key, value in norm.named_parameters()}
        return found

    def sites(self) -> dict[str, nn.BatchNorm1d]:
        """The norms by normexp's names, in the order of the forward pass."""
        sites = {} if self.input_norm is None else {"input": self.input_norm}
        for number, norm in enumerate(self.norms, start=1):
            assert isinstance(norm, nn.BatchNorm1d)
            sites[f"hidden{number}"] = norm
        return sites

    def put(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take these weights."""
        with torch.no_grad():
            for name, parameter in self.named().items():
                parameter.copy_(weights[name])

    def channels(self, buffer: str) -> torch.Tensor:
        """A buffer of all norms side by side."""
        return torch.cat([getattr(norm, buffer) for norm in self.sites().values()])


def loss_and_gradient(
    network: PlainNetwork, batch: Batch
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a batch in training mode, and its gradient by name."""
    network.train()
    network.zero_grad()
    x, y = batch
    loss = (network(x) - y).square().mean()
    loss.backward()
    gradient = {name: p.grad.clone() for name, p in network.named().items() if p.grad is not None}
    return loss.detach(), gradient


def evaluate(network: PlainNetwork, batch: Batch) -> torch.Tensor:
    """The loss in evaluation mode."""
    network.eval()
    x, y = batch
    with torch.no_grad():
        loss: torch.Tensor = (network(x) - y).square().mean()
    return loss


def train_plainly(network: PlainNetwork, batches: Sequence[Batch], lr: float) -> list[torch.Tensor]:
    """Adam over the batches; the loss of each."""
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    losses = []
    for batch in batches:
        losses.append(loss_and_gradient(network, batch)[0])
        optimizer.step()
    return losses
