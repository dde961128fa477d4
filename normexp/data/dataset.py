"""What every data set gives: training and test examples, and a shift if they drift."""

from collections.abc import Sequence
from typing import NamedTuple

import torch


class Dataset(NamedTuple):
    """One network's training and test set, or a stack's with `models` leading.

    Vectors have their examples last, images first. Labels are whole numbers, targets are not.
    """

    x: torch.Tensor  # [features, examples], or [examples, channels, height, width]
    y: torch.Tensor  # labels [examples], or targets [outputs, examples]
    test_x: torch.Tensor  # as x
    test_y: torch.Tensor  # as y
    shift: torch.Tensor | None = None  # [features, steps + 1], added to x after so many steps

    @classmethod
    def of_examples(
        cls, x: torch.Tensor, y: torch.Tensor, test_x: torch.Tensor, test_y: torch.Tensor
    ) -> "Dataset":
        """From tensors that all have the examples first."""
        return cls(_turned(x), _turned(y), _turned(test_x), _turned(test_y))

    def to(self, dtype: torch.dtype) -> "Dataset":
        """The same numbers in another dtype; labels stay."""
        parts = (p.to(dtype) if p is not None and p.is_floating_point() else p for p in self)
        return Dataset(*parts)  # type: ignore[arg-type]  # only the last may be None

    def as_vectors(self) -> "Dataset":
        """Images as vectors of their pixels."""
        return self._replace(x=_flat(self.x), test_x=_flat(self.test_x))

    def standardised(self) -> "Dataset":
        """Vectors in units of the training set's mean and standard deviation, per feature.

        A feature that never changes stays at 0.
        """
        std, mean = torch.std_mean(self.x, 1, keepdim=True)
        std = torch.where(std > 0, std, 1)
        moved = None if self.shift is None else self.shift / std
        return self._replace(
            x=(self.x - mean) / std, test_x=(self.test_x - mean) / std, shift=moved
        )

    def at(self, step: int) -> "Dataset":
        """A stack's data as they are after so many steps."""
        if self.shift is None:
            return self
        moved = self.shift[:, :, step, None]
        return self._replace(x=self.x + moved, test_x=self.test_x + moved)

    def tests_only(self) -> "Dataset":
        """With the test set in both places, so that the training set needs no memory."""
        return self._replace(x=self.test_x, y=self.test_y)

    def select(self, models: slice) -> "Dataset":
        """Some of a stack."""
        parts = (None if part is None else part[models] for part in self)
        return Dataset(*parts)  # type: ignore[arg-type]


def stacked(parts: Sequence[Dataset]) -> Dataset:
    """The data of a stack."""
    columns = zip(*parts, strict=True)
    whole = (None if column[0] is None else torch.stack(column) for column in columns)
    return Dataset(*whole)  # type: ignore[arg-type]


def _turned(values: torch.Tensor) -> torch.Tensor:
    """Vectors [examples, features] with their examples last; all else as it is."""
    return values.T.contiguous() if values.dim() == 2 else values  # noqa: PLR2004


def _flat(x: torch.Tensor) -> torch.Tensor:
    """Images [examples, channels, height, width] as vectors [features, examples]."""
    return x.flatten(1).T.contiguous() if x.dim() == 4 else x  # noqa: PLR2004
