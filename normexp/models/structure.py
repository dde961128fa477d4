"""What a model is made of, found by running it on shapes; needs no torch, so plans are quick."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from normexp.config.model import Lenet, Mlp, Model, Resnet
from normexp.config.schema import RunConfig
from normexp.errors import UsageError
from normexp.models.lenet import lenet
from normexp.models.mlp import mlp
from normexp.models.resnet import resnet

Shape = tuple[int, ...]

FORWARD: dict[type[Model], Callable[..., Any]] = {Mlp: mlp, Lenet: lenet, Resnet: resnet}
"""The model functions: (config, operations, x, outputs) to predictions."""

ENTRANCE = "input"
"""The norm site of the input."""

LANES = 32
"""A stack is padded to a multiple of this; two AVX-512 vectors of float32.

Then no element-wise operation ends in a scalar tail, whose last bit can differ from the vector's,
and a network's bits do not depend on its company.
"""


@dataclass(frozen=True)
class Site:
    """A place that the norm may normalise: channels, and the pixels of each (none of a vector)."""

    channels: int
    pixels: Shape = ()

    @property
    def positions(self) -> int:
        """Values of one channel in one example."""
        return prod(self.pixels)


@dataclass(frozen=True)
class Structure:
    """The parts of a model, in the order of the forward pass.

    Attributes:
        parameters: shapes of weights and biases by name, those of norms left out.
        layers: outputs of the hidden layers by name.
        sites: places that a norm may normalise: hidden layers, and perhaps the entrance.
        multiplications: of one example's way through all layers.
    """

    parameters: dict[str, Shape]
    layers: dict[str, Site]
    sites: dict[str, Site]
    multiplications: int

    @property
    def activations(self) -> int:
        """Numbers that one example leaves at all layers."""
        return sum(site.channels * site.positions for site in self.layers.values())


def structure(config: RunConfig) -> Structure:
    """The structure of a configuration's model.

    Raises:
        UsageError: the model cannot take this data.
    """
    return _structure(config.model, config.data.shape, config.data.outputs)


def widest(config: RunConfig) -> int:
    """Numbers of one example at the input, or at the layer that gives most."""
    layers = structure(config).layers.values()
    return max(prod(config.data.shape), *(layer.channels * layer.positions for layer in layers))


def is_convolutional(config: RunConfig) -> bool:
    """Whether the model works on images."""
    return not isinstance(config.model, Mlp)


@lru_cache(maxsize=1024)
def _structure(model: Model, shape: Shape, outputs: int) -> Structure:
    net = Shapes()
    FORWARD[type(model)](model, net, shape, outputs)
    return net.found()


class Shapes:
    """The operations on shapes: (features,) of vectors, (channels, height, width) of images."""

    def __init__(self) -> None:
        self._weights: dict[str, Shape] = {}
        self._layers: dict[str, Site] = {}
        self._sites: dict[str, Site] = {}
        self._multiplications = 0

    def found(self) -> Structure:
        """What the pass has gone through."""
        return Structure(self._weights, self._layers, self._sites, self._multiplications)

    def linear(self, name: str, x: Shape, units: int) -> Shape:
        """See `Operations`."""
        (features,) = x
        self._parameters(name, (units, features))
        self._multiplications += units * features
        return (units,)

    def convolution(  # noqa: PLR0913
        self, name: str, x: Shape, channels: int, *, kernel: int, stride: int = 1, padding: int = 0
    ) -> Shape:
        """See `Operations`."""
        if len(x) == 1:
            raise UsageError(
                f"layer {name} is a convolution and needs images; this data has {x[0]} numbers",
                "type model=mlp, or data=digits",
            )
        into, *sides = x
        pixels = tuple((side + 2 * padding - kernel) // stride + 1 for side in sides)
        if min(pixels) < 1:
            raise UsageError(
                f"nothing is left of {_spelled(sides)} pixels after layer {name} with "
                f"model.kernel={kernel} model.padding={padding}",
                "type model.kernel=3 model.padding=1",
            )
        self._parameters(name, (channels, into, kernel, kernel))
        self._multiplications += prod(pixels) * channels * into * kernel**2
        return (channels, *pixels)

    def entrance(self, x: Shape, *, norm: bool) -> Shape:
        """See `Operations`."""
        if norm:
            self._sites[ENTRANCE] = Site(x[0], x[1:])
        return x

    def unit(
        self, name: str, x: Shape, shortcut: Shape | None = None, *, norm: bool = True
    ) -> Shape:
        """See `Operations`."""
        assert shortcut in (None, x)  # noqa: S101
        self._layers[name] = Site(x[0], x[1:])
        if norm:
            self._sites[name] = Site(x[0], x[1:])
        return x

    def max_pool(self, x: Shape, size: int) -> Shape:
        """See `Operations`."""
        channels, *sides = x
        if min(sides) < size:
            raise UsageError(
                f"nothing is left of {_spelled(sides)} pixels to pool",
                "type model.kernel=3 model.padding=1 for small images, or larger images",
            )
        return (channels, *(side // size for side in sides))

    def average(self, x: Shape) -> Shape:
        """See `Operations`."""
        return x[:1]

    def flatten(self, x: Shape) -> Shape:
        """See `Operations`."""
        return (prod(x),)

    def shrink(self, x: Shape, channels: int, stride: int) -> Shape:
        """See `Operations`."""
        return (channels, *(-(-side // stride) for side in x[1:]))

    def _parameters(self, name: str, weight: Shape) -> None:
        self._weights |= {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


def _spelled(sides: list[int]) -> str:
    return "×".join(map(str, sides))


def lanes(config: RunConfig) -> int:
    """What the size of a stack of this structure is a multiple of.

    A network with convolutions trains alone: on a CPU it gains little from company, and its bits
    would depend on it.
    """
    return 1 if is_convolutional(config) else LANES


def padded(config: RunConfig, networks: int) -> int:
    """The number of networks of a structure, filled up to whole lanes."""
    few = lanes(config)
    return -(-networks // few) * few
