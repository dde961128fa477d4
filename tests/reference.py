"""The oracle: plain, slow, single-network PyTorch, from `torch.nn` and `torch.optim` alone.

It shares no code with normexp but the draws: initial weights, data and batch order are handed in.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

Batch = tuple[torch.Tensor, torch.Tensor]  # x and y, examples first
Pixels = tuple[int, ...]
Norm = Callable[[int, Pixels], nn.Module | None]
"""The norm of so many channels of so many pixels (none of a vector)."""

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
}


def batch_norm(momentum: float | None = 0.1) -> Norm:
    """`torch.nn.BatchNorm1d` of vectors, `2d` of images."""

    def make(channels: int, pixels: Pixels) -> nn.Module:
        return (nn.BatchNorm2d if pixels else nn.BatchNorm1d)(channels, momentum=momentum)

    return make


NORMS: dict[str, Norm] = {
    "none": lambda _channels, _pixels: None,
    "batch": batch_norm(),
    "layer": lambda channels, pixels: nn.LayerNorm([channels, *pixels]),
    "instance": lambda channels, _: nn.InstanceNorm2d(channels, affine=True),
    "group": lambda channels, _: nn.GroupNorm(2, channels),
    "rms": lambda channels, pixels: nn.RMSNorm([channels, *pixels], eps=1e-5),
    "ghost": lambda channels, pixels: GhostNorm(channels, pixels, size=4),
    "batch_renorm": lambda channels, _: BatchRenorm(channels),
    "ema_train": lambda channels, _: EmaNorm(channels),
}
"""By normexp's names, at the settings that the tests type."""


class PlainNetwork(nn.Module):
    """Layers and norms by normexp's names; the forward pass is written out below."""

    def __init__(self, norm: Norm, activation: str = "relu", *, after: bool = False) -> None:
        super().__init__()
        self.norm, self.after = norm, after
        self.activation = ACTIVATIONS[activation]
        self.layers: dict[str, nn.Module] = {}
        self.norms: dict[str, nn.Module] = {}

    def layer(self, name: str, layer: nn.Module) -> nn.Module:
        """Keep a layer."""
        self.layers[name] = layer
        self.add_module(name.replace(".", "_"), layer)
        return layer

    def at(self, name: str, channels: int, *pixels: int) -> None:
        """Keep the norm of a layer."""
        norm = self.norm(channels, pixels)
        if norm is not None:
            self.norms[name] = norm
            self.add_module(f"{name.replace('.', '_')}_norm", norm)

    def normalize(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """The norm of a layer, if there is one."""
        return self.norms[name](x) if name in self.norms else x

    def unit(self, name: str, x: torch.Tensor) -> torch.Tensor:
        """Norm and activation in the order that is asked for."""
        if self.after:
            return self.normalize(name, self.activation(x))
        y: torch.Tensor = self.activation(self.normalize(name, x))
        return y

    def named(self) -> dict[str, nn.Parameter]:
        """The parameters by normexp's names."""
        found: dict[str, nn.Parameter] = {}
        for name, layer in self.layers.items():
            found |= {f"{name}.{key}": value for key, value in layer.named_parameters()}
        for name, norm in self.norms.items():
            found |= {f"{name}.norm.{key}": value for key, value in norm.named_parameters()}
        return found

    def put(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take these weights."""
        with torch.no_grad():
            for name, parameter in self.named().items():
                parameter.copy_(weights[name])

    def channels(self, buffer: str) -> torch.Tensor:
        """A buffer of all norms side by side."""
        return torch.cat([getattr(norm, buffer) for norm in self.norms.values()])


class PlainMlp(PlainNetwork):
    """S1's network as its tutorial writes it.

    Args:
        depth: hidden layers.
        width: units of each.
        inputs: features of x.
        outputs: of the last layer.
        norm: of every hidden layer.
        input_norm: whether the input has it too.
        activation: its name.
        after: whether the norm stands after it.
    """

    def __init__(  # noqa: PLR0913
        self,
        depth: int,
        width: int,
        inputs: int = 1,
        outputs: int = 1,
        *,
        norm: Norm,
        input_norm: bool,
        activation: str = "tanh",
        after: bool = False,
    ) -> None:
        super().__init__(norm, activation, after=after)
        self.depth = depth
        if input_norm:
            self.at("input", inputs)
        for number in range(1, depth + 1):
            self.layer(f"hidden{number}", nn.Linear(inputs if number == 1 else width, width))
            self.at(f"hidden{number}", width)
        self.layer("output", nn.Linear(width, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predictions [batch, outputs]."""
        x = self.normalize("input", x.flatten(1))
        for number in range(1, self.depth + 1):
            x = self.unit(f"hidden{number}", self.layers[f"hidden{number}"](x))
        y: torch.Tensor = self.layers["output"](x)
        return y


class PlainLenet(PlainNetwork):
    """S3's network, its kernel and padding adapted to small images."""

    def __init__(
        self, channels: int, side: int, norm: Norm, *, after: bool, linear_norm: bool = True
    ) -> None:
        super().__init__(norm, after=after)
        kernel, padding = (3, 1) if side < 16 else (5, 0)
        for name, into, out in (("conv1", channels, 6), ("conv2", 6, 16)):
            self.layer(name, nn.Conv2d(into, out, kernel, padding=padding))
            side = side + 2 * padding - kernel + 1
            self.at(name, out, side, side)
            side //= 2
        for name, into, out in (("linear1", 16 * side**2, 120), ("linear2", 120, 84)):
            self.layer(name, nn.Linear(into, out))
            if linear_norm:
                self.at(name, out)
        self.layer("output", nn.Linear(84, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predictions [batch, 10]."""
        for name in ("conv1", "conv2"):
            x = functional.max_pool2d(self.unit(name, self.layers[name](x)), 2)
        x = x.flatten(1)
        for name in ("linear1", "linear2"):
            x = self.unit(name, self.layers[name](x))
        y: torch.Tensor = self.layers["output"](x)
        return y


class PlainResnet(PlainNetwork):
    """The ResNet for CIFAR of He et al. (2015), shortcuts of option A."""

    def __init__(self, channels: int, side: int, norm: Norm, *, after: bool) -> None:
        super().__init__(norm, after=after)
        blocks, into, width = 3, 4, 4
        self.layer("stem", nn.Conv2d(channels, width, 3, padding=1))
        self.at("stem", width, side, side)
        self.blocks = 3 * blocks
        for number in range(1, self.blocks + 1):
            out = width * 2 ** ((number - 1) // blocks)
            stride = 1 if out == into else 2
            side //= stride
            for part, (a, b, step) in enumerate(((into, out, stride), (out, out, 1)), start=1):
                name = f"block{number}.{part}"
                self.layer(name, nn.Conv2d(a, b, 3, stride=step, padding=1))
                self.at(name, b, side, side)
            into = out
        self.layer("output", nn.Linear(into, 10))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predictions [batch, 10]."""
        x = self.unit("stem", self.layers["stem"](x))
        for number in range(1, self.blocks + 1):
            first, second = f"block{number}.1", f"block{number}.2"
            y = self.layers[second](self.unit(first, self.layers[first](x)))
            if y.shape != x.shape:
                x = x[:, :, ::2, ::2]
                missing = y.shape[1] - x.shape[1]
                x = torch.cat([x, x.new_zeros(len(x), missing, *x.shape[2:])], 1)
            if self.after:
                x = self.normalize(second, self.activation(y + x))
            else:
                x = self.activation(self.normalize(second, y) + x)
        prediction: torch.Tensor = self.layers["output"](x.mean((2, 3)))
        return prediction


class HandWritten(nn.Module):
    """A norm over the batch with weight, bias and running statistics."""

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.ones(channels)),
            nn.Parameter(torch.zeros(channels)),
        )
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.steps = 0

    def apply_to(self, x: torch.Tensor, mean: torch.Tensor, var: torch.Tensor) -> torch.Tensor:
        """(x − mean) / √(var + 1e-5) · weight + bias, of channels."""
        a, b, c, d = (self.wide(v, x) for v in (mean, var, self.weight, self.bias))
        return (x - a) / (b + 1e-5).sqrt() * c + d

    @staticmethod
    def wide(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Numbers of channels, to be broadcast over x."""
        return values.view(1, -1, *[1] * (x.dim() - 2))

    @staticmethod
    def of(x: torch.Tensor, *, unbiased: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance of the channels."""
        axes = [0, *range(2, x.dim())]
        return x.mean(axes), x.var(axes, unbiased=unbiased)

    def move(self, mean: torch.Tensor, var: torch.Tensor, momentum: float) -> None:
        """Take a batch into the running statistics."""
        self.running_mean = (1 - momentum) * self.running_mean + momentum * mean.detach()
        self.running_var = (1 - momentum) * self.running_var + momentum * var.detach()


class GhostNorm(nn.Module):
    """`torch.nn.BatchNorm` called on one virtual batch after the other."""

    def __init__(self, channels: int, pixels: Pixels, size: int) -> None:
        super().__init__()
        kind = nn.BatchNorm2d if pixels else nn.BatchNorm1d
        self.norm, self.size = kind(channels), size

    def named_parameters(self, *_: object, **__: object) -> object:  # type: ignore[override]
        """Those of the norm."""
        return self.norm.named_parameters()

    def __getattr__(self, name: str) -> object:  # type: ignore[override]
        return (
            getattr(self.norm, name) if name.startswith("running_") else super().__getattr__(name)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Parts of the batch, or all of it in evaluation."""
        parts = torch.split(x, self.size) if self.training else [x]
        return torch.cat([self.norm(part) for part in parts])


class BatchRenorm(HandWritten):
    """Algorithm 1 of Ioffe (2017), momentum 0.1, r_max 1.5, d_max 0.5, after 2 steps of warm-up."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """X renormalised."""
        if not self.training:
            return self.apply_to(x, self.running_mean, self.running_var)
        mean, biased = self.of(x, unbiased=False)
        sigma = (biased + 1e-5).sqrt()
        with torch.no_grad():
            known = (self.running_var + 1e-5).sqrt()
            warm = self.steps < 2
            r = torch.ones_like(sigma) if warm else (sigma / known).clamp(1 / 1.5, 1.5)
            d = (mean - self.running_mean) / known
            d = torch.zeros_like(d) if warm else d.clamp(-0.5, 0.5)
        self.steps += 1
        self.move(mean, biased, 0.1)
        y = (x - self.wide(mean, x)) / self.wide(sigma, x) * self.wide(r, x) + self.wide(d, x)
        return y * self.wide(self.weight, x) + self.wide(self.bias, x)


class EmaNorm(HandWritten):
    """`equinox.nn.BatchNorm(mode="ema", momentum=0.9)`, so 0.1 for the newest batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """X in units of the running statistics that it is already in."""
        if not self.training:
            return self.apply_to(x, self.running_mean, self.running_var)
        mean, var = self.of(x, unbiased=False)
        momentum = 0.1 if self.steps else 1.0
        self.steps += 1
        y = self.apply_to(
            x,
            (1 - momentum) * self.running_mean + momentum * mean,
            (1 - momentum) * self.running_var + momentum * var,
        )
        self.move(mean, var, momentum)
        return y


def loss_of(prediction: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Cross entropy of labels, mean squared error of targets."""
    if y.is_floating_point():
        return functional.mse_loss(prediction, y)
    return functional.cross_entropy(prediction, y)


def loss_and_gradient(
    network: PlainNetwork, batch: Batch
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of a batch in training mode, and its gradient by name."""
    network.train()
    network.zero_grad()
    x, y = batch
    loss = loss_of(network(x), y)
    torch.autograd.backward(loss)
    gradient = {name: p.grad.clone() for name, p in network.named().items() if p.grad is not None}
    return loss.detach(), gradient


def evaluate(network: PlainNetwork, batch: Batch) -> torch.Tensor:
    """The loss in evaluation mode."""
    network.eval()
    with torch.no_grad():
        return loss_of(network(batch[0]), batch[1])


def train_plainly(network: PlainNetwork, batches: Sequence[Batch], lr: float) -> list[torch.Tensor]:
    """Adam over the batches; the loss of each."""
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    losses = []
    for batch in batches:
        losses.append(loss_and_gradient(network, batch)[0])
        optimizer.step()
    return losses
