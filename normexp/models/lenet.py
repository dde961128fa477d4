"""LeNet-5 with norms (S3; LeCun et al. 1998)."""

from normexp.config.model import Lenet
from normexp.models.operations import Operations, T


def lenet(config: Lenet, net: Operations[T], x: T, outputs: int) -> T:
    """Predictions for images x; hidden layers are called conv1, conv2, linear1 and linear2."""
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
