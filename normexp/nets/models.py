"""Models, as functions of the operations of a pass, and the shapes of their parameters.

A model runs on shapes, which says what parameters and norm sites it has, and on tensors, to train
and to evaluate; it knows neither stacks nor norms. Needs no torch.
"""

from collections.abc import Callable
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple, Protocol, TypeVar

from normexp.config.network import Lenet, Mlp, Model, Own, Resnet
from normexp.config.norm import BatchKind, InstanceNorm, LayerNorm, NoNorm, RmsNorm
from normexp.config.schema import RunConfig, built
from normexp.errors import UsageError

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


Shape = tuple[int, ...]

ENTRANCE = "input"
"""The norm site of the input."""

EVALUATED = 32
"""Networks without convolutions that are evaluated at a time."""

MOST_COMPILED = 200
"""Units of the widest perceptrons that are compiled.

On one core of an AMD EPYC, batches of 128: 0.46 of autograd's time at 100 units, 0.89 at 200, 1.15
at 300.
"""


class Site(NamedTuple):
    """A place that the norm may normalise: channels, and the pixels of each (none of a vector)."""

    channels: int
    pixels: Shape = ()
    affine: bool = True  # whether a norm may have weight and bias there

    @property
    def positions(self) -> int:
        """Values of one channel in one example."""
        return prod(self.pixels)


class Structure:
    """The parts of a model, in the order of the forward pass; see `Operations`.

    It is filled by running the model on the shape of one example: (features,) of vectors,
    (channels, height, width) of images.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, Shape] = {}  # weights and biases, those of norms left out
        self.layers: dict[str, Site] = {}  # outputs of the hidden layers
        self.sites: dict[str, Site] = {}  # hidden layers, and perhaps the entrance
        self.frozen: set[str] = set()  # parameters that keep their initial values
        self.eps: set[float] = set()  # of a user's batch norms
        self.multiplications = 0  # for one example

    @property
    def activations(self) -> int:
        """Numbers that one example leaves at all layers."""
        return sum(prod((site.channels, *site.pixels)) for site in self.layers.values())

    def linear(self, name: str, x: Shape, units: int) -> Shape:
        (features,) = x
        self.parameters |= {f"{name}.weight": (units, features), f"{name}.bias": (units,)}
        self.multiplications += units * features
        return (units,)

    def convolution(  # noqa: PLR0913
        self, name: str, x: Shape, channels: int, *, kernel: int, stride: int = 1, padding: int = 0
    ) -> Shape:
        if len(x) == 1:
            raise UsageError(
                f"layer {name} is a convolution and needs images; this data has {x[0]} numbers",
                "type model=mlp, or data=digits",
            )
        into, *sides = x
        pixels = tuple((side + 2 * padding - kernel) // stride + 1 for side in sides)
        if min(pixels) < 1:
            raise UsageError(
                f"nothing is left of {'×'.join(map(str, sides))} pixels after layer {name} with "
                f"model.kernel={kernel} model.padding={padding}",
                "type model.kernel=3 model.padding=1",
            )
        weight = (channels, into, kernel, kernel)
        self.parameters |= {f"{name}.weight": weight, f"{name}.bias": (channels,)}
        self.multiplications += prod(pixels) * prod(weight)
        return (channels, *pixels)

    def entrance(self, x: Shape, *, norm: bool) -> Shape:
        if norm:
            self.sites[ENTRANCE] = Site(x[0], x[1:])
        return x

    def unit(
        self, name: str, x: Shape, shortcut: Shape | None = None, *, norm: bool = True
    ) -> Shape:
        assert shortcut in (None, x)  # noqa: S101
        self.layers[name] = Site(x[0], x[1:])
        if norm:
            self.sites[name] = self.layers[name]
        return x

    def max_pool(self, x: Shape, size: int) -> Shape:
        channels, *sides = x
        if min(sides) < size:
            raise UsageError(
                f"nothing is left of {'×'.join(map(str, sides))} pixels to pool",
                "type model.kernel=3 model.padding=1 for small images, or larger images",
            )
        return (channels, *(side // size for side in sides))

    def average(self, x: Shape) -> Shape:
        return x[:1]

    def flatten(self, x: Shape) -> Shape:
        return (prod(x),)

    def shrink(self, x: Shape, channels: int, stride: int) -> Shape:
        return (channels, *(-(-side // stride) for side in x[1:]))


def structure(config: RunConfig) -> Structure:
    """Return the structure of a configuration's model.

    Raises:
        UsageError: the model cannot take this data.
    """
    if isinstance(config.model, Own):
        from normexp.nets.module import structure_of

        return structure_of(config.model, config.data.shape, config.data.outputs)
    return _structure(built(config), config.data.shape, config.data.outputs)


@lru_cache(maxsize=1024)
def _structure(model: Model, shape: Shape, outputs: int) -> Structure:
    found = Structure()
    FORWARD[type(model)](model, found, shape, outputs)
    return found


def norm_sites(config: RunConfig) -> dict[str, Site]:
    """Return the sites that the configured norm normalises, in the order of the forward pass."""
    if isinstance(config.norm, NoNorm):
        return {}
    over_batch = isinstance(config.norm, BatchKind)
    sites = structure(config).sites.items()
    return {name: site for name, site in sites if name != ENTRANCE or over_batch}


def tracked(config: RunConfig) -> tuple[int, int]:
    """Return the number of layers with running statistics, and of their channels."""
    if isinstance(config.model, Own) and isinstance(config.norm, BatchKind):
        return config.model.layers, config.model.channels
    sites = norm_sites(config).values() if isinstance(config.norm, BatchKind) else ()
    return len(sites), sum(site.channels for site in sites)


def parameter_shapes(config: RunConfig) -> dict[str, Shape]:
    """Return the shape of every parameter by name, in the order in which they are drawn."""
    shapes, norm = dict(structure(config).parameters), config.norm
    if isinstance(norm, NoNorm) or not norm.affine:
        return shapes
    per_element = isinstance(norm, LayerNorm) and norm.affine_per == "element"
    for name, (channels, pixels, affine) in norm_sites(config).items():
        if not affine:
            continue
        whole = per_element or isinstance(norm, RmsNorm)
        shapes[f"{name}.norm.weight"] = (channels, *pixels) if whole else (channels,)
        if not isinstance(norm, RmsNorm):
            shapes[f"{name}.norm.bias"] = shapes[f"{name}.norm.weight"]
    return shapes


def is_convolutional(config: RunConfig) -> bool:
    """Return whether the model works on images."""
    return not isinstance(config.model, Mlp)


def is_compiled(config: RunConfig) -> bool:
    """Return whether networks are trained one by one on a CPU, by compiled functions."""
    if isinstance(config.model, Lenet):
        return not isinstance(config.norm, InstanceNorm)  # whose groups are as many as channels
    return isinstance(config.model, Mlp) and config.model.width <= MOST_COMPILED


def stands_alone(config: RunConfig) -> bool:
    """Return whether a network is worked on by itself: in a stack its bits would depend on others.

    So are large ones, which gain nothing from company.
    """
    is_wide = not is_compiled(config) and config.executor.device == "cpu"
    return is_convolutional(config) or is_wide


def evaluated_at_once(config: RunConfig) -> int:
    """Return how many networks are evaluated at a time."""
    return 1 if stands_alone(config) else EVALUATED
