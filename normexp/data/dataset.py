"""What every data set gives: training and test examples, and a shift if they drift."""

from typing import NamedTuple

import torch

VECTORS = 2
"""Dimensions of one network's x where an example is a vector; images have four."""


class Units(NamedTuple):
    """What standardised inputs are in units of, both [features, 1]."""

    mean: torch.Tensor
    std: torch.Tensor


class Dataset(NamedTuple):
    """One network's training and test set.

    Vectors have their examples last, images first. Labels are whole numbers, targets are not.
    """

    x: torch.Tensor  # [features, examples], or [examples, channels, height, width]
    y: torch.Tensor  # labels [examples], or targets [outputs, examples]
    test_x: torch.Tensor  # as x
    test_y: torch.Tensor  # as y
    shift: torch.Tensor | None = None  # [features, steps + 1], added to x after so many steps
    units: Units | None = None  # of standardised vectors

    @classmethod
    def of_examples(
        cls, x: torch.Tensor, y: torch.Tensor, test_x: torch.Tensor, test_y: torch.Tensor
    ) -> "Dataset":
        """From tensors that all have the examples first."""
        return cls(_turned(x), _turned(y), _turned(test_x), _turned(test_y))

    def to(self, dtype: torch.dtype | None = None, device: torch.device | None = None) -> "Dataset":
        """The same numbers in another dtype, of which labels have none, or elsewhere."""

        def cast(part: torch.Tensor) -> torch.Tensor:
            return part.to(device, dtype if part.is_floating_point() else None)

        shift = None if self.shift is None else cast(self.shift)
        units = None if self.units is None else Units(*map(cast, self.units))
        x, y, test_x, test_y = map(cast, self[:4])
        return Dataset(x, y, test_x, test_y, shift, units)

    def as_vectors(self) -> "Dataset":
        """Images as vectors of their pixels."""
        return self._replace(x=_flat(self.x), test_x=_flat(self.test_x))

    def standardised(self) -> "Dataset":
        """Vectors in units of the training set's mean and standard deviation, per feature.

        A feature that never changes stays at 0.
        """
        std, mean = torch.std_mean(self.x, 1, keepdim=True)
        std = torch.where(std > 0, std, 1)
        return self._replace(
            x=(self.x - mean) / std,
            test_x=(self.test_x - mean) / std,
            shift=None if self.shift is None else self.shift / std,
            units=Units(mean, std),
        )

    def tests_only(self) -> "Dataset":
        """Without the training set, so that it needs no memory."""
        return self._replace(x=self.x.new_empty(0), y=self.y.new_empty(0))


def _turned(values: torch.Tensor) -> torch.Tensor:
    """Vectors [examples, features] with their examples last; all else as it is."""
    return values.T.contiguous() if values.dim() == VECTORS else values


def _flat(x: torch.Tensor) -> torch.Tensor:
    """Images [examples, channels, height, width] as vectors [features, examples]."""
    return x if x.dim() == VECTORS else x.flatten(1).T.contiguous()
