"""What a model may ask of a pass through it.

A model is one function of these operations. It runs on shapes, to say which parameters and norm
sites it has, and on tensors, to train and to evaluate; it knows neither stacks nor norms.
"""

from typing import Protocol, TypeVar

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
