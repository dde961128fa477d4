"""The models: each is one function of the operations of a pass.

It runs on shapes, which says what parameters and norm sites it has, and on tensors, to train and to
evaluate; it knows neither stacks nor norms.
"""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from normexp.config.network import Lenet, Mlp, Model, Resnet

T = TypeVar("T")


class Operations(Protocol[T]):
    """One pass, over shapes or over tensors. Names of layers are names of norm sites too."""

    def linear(self, name: str, x: T, units: int) -> T:
        """A linear layer with bias."""

    def convolution(  # noqa: PLR0913
        self, name: str, x: T, channels: int, *, kernel: int, stride: int = 1, padding: int = 0
    ) -> T:
        """A convolution with bias, as `torch.nn.Conv2d`."""

    def entrance(self, x: T, *, norm: bool) -> T:
        """The input, normalised by norms over the batch if that is asked for."""

    def unit(self, name: str, x: T, shortcut: T | None = None, *, norm: bool = True) -> T:
        """Norm and activation of a layer's output, in the norm's placement.

        A shortcut is added before the activation, and after a norm that stands before it.
        """

    def max_pool(self, x: T, size: int) -> T:
        """The largest of every size × size pixels."""

    def average(self, x: T) -> T:
        """The mean over all pixels: a vector of channels."""

    def flatten(self, x: T) -> T:
        """An image as a vector; a vector as it is."""

    def shrink(self, x: T, channels: int, stride: int) -> T:
        """A shortcut without parameters: every stride-th pixel, filled up with zero channels."""


def mlp(config: Mlp, net: Operations[T], x: T, outputs: int) -> T:
    """The multi-layer perceptron of S0 and S1, with hidden layers hidden1, hidden2, ..."""
    x = net.flatten(x)
    x = net.entrance(x, norm=bool(config.input_norm))
    for layer in range(1, config.depth + 1):
        name = f"hidden{layer}"
        x = net.unit(name, net.linear(name, x, config.width))
    return net.linear("output", x, outputs)


def lenet(config: Lenet, net: Operations[T], x: T, outputs: int) -> T:
    """LeNet-5 with norms (S3; LeCun et al. 1998), with hidden layers conv1, conv2, linear1, ..."""
    kernel, padding, norm = config.kernel or 0, config.padding or 0, bool(config.linear_norm)
    for number, channels in enumerate((config.channels1, config.channels2), start=1):
        name = f"conv{number}"
        x = net.convolution(name, x, channels, kernel=kernel, padding=padding)
        x = net.max_pool(net.unit(name, x), 2)
    x = net.flatten(x)
    for number, units in enumerate((config.units1, config.units2), start=1):
        name = f"linear{number}"
        x = net.unit(name, net.linear(name, x, units), norm=norm)
    return net.linear("output", x, outputs)


def resnet(config: Resnet, net: Operations[T], x: T, outputs: int) -> T:
    """ResNet for small images (He et al. 2015, section 4.2), with shortcuts of option A.

    Three stages of n blocks of two 3×3 convolutions, called block1.1, block1.2, block2.1, ...; each
    further stage halves the image and doubles the channels. 6n + 2 layers with the stem and the
    linear output.
    """
    x = net.unit("stem", net.convolution("stem", x, config.width, kernel=3, padding=1))
    stages, blocks = 3, (config.depth - 2) // 6
    for block in range(stages * blocks):
        stage, place = divmod(block, blocks)
        stride, channels = 2 if stage and not place else 1, config.width * 2**stage
        first, second = f"block{block + 1}.1", f"block{block + 1}.2"
        y = net.convolution(first, x, channels, kernel=3, stride=stride, padding=1)
        y = net.convolution(second, net.unit(first, y), channels, kernel=3, padding=1)
        x = net.unit(second, y, net.shrink(x, channels, stride))
    return net.linear("output", net.average(x), outputs)


FORWARD: dict[type[Model], Callable[..., Any]] = {Mlp: mlp, Lenet: lenet, Resnet: resnet}
"""The model functions: (config, operations, x, outputs) to predictions."""
