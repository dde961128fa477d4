"""ResNet for small images (He et al. 2015, section 4.2), with shortcuts of option A.

Three stages of n blocks of two 3×3 convolutions; each further stage halves the image and doubles
the channels. 6n + 2 layers with the first convolution and the linear output.
"""

from normexp.config.model import Resnet
from normexp.models.operations import Operations, T

STAGES = 3


def resnet(config: Resnet, net: Operations[T], x: T, outputs: int) -> T:
    """Predictions for images x; hidden layers are called stem, block1.1, block1.2, block2.1, ..."""
    x = net.unit("stem", net.convolution("stem", x, config.width, kernel=3, padding=1))
    blocks = (config.depth - 2) // (2 * STAGES)
    for block in range(STAGES * blocks):
        stage, place = divmod(block, blocks)
        stride = 2 if stage and not place else 1
        x = _block(f"block{block + 1}", net, x, config.width * 2**stage, stride)
    return net.linear("output", net.average(x), outputs)


def _block(name: str, net: Operations[T], x: T, channels: int, stride: int) -> T:
    first, second = f"{name}.1", f"{name}.2"
    y = net.unit(first, net.convolution(first, x, channels, kernel=3, stride=stride, padding=1))
    y = net.convolution(second, y, channels, kernel=3, padding=1)
    return net.unit(second, y, net.shrink(x, channels, stride))
