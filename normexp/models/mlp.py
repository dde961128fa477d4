"""The multi-layer perceptron of S0 and S1."""

from normexp.config.model import Mlp
from normexp.models.operations import Operations, T


def mlp(config: Mlp, net: Operations[T], x: T, outputs: int) -> T:
    """Predictions for x; hidden layers are called hidden1, hidden2, ..."""
    x = net.flatten(x)
    x = net.entrance(x, norm=bool(config.input_norm))
    for layer in range(1, config.depth + 1):
        name = f"hidden{layer}"
        x = net.unit(name, net.linear(name, x, config.width))
    return net.linear("output", x, outputs)
