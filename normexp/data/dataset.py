"""What every data set gives, and which configuration draws which."""

from typing import NamedTuple

import torch

from normexp.config.schema import RunConfig
from normexp.data.quadratic import draw_quadratic


class Dataset(NamedTuple):
    """One seed's training and test set, or a stack's with `models` leading."""

    x: torch.Tensor  # [features, examples]
    y: torch.Tensor  # [outputs, examples]
    test_x: torch.Tensor  # [features, tests]
    test_y: torch.Tensor  # [outputs, tests]


def draw(config: RunConfig) -> Dataset:
    """The data of a run, in its dtype.

    Drawn in float64 whatever the dtype, so that a seed means the same data in both.
    """
    parts = Dataset(*draw_quadratic(config.data, config.seed))
    if config.model.input_norm and config.norm.kind != "batch":
        parts = _standardised(parts)
    dtype = getattr(torch, config.train.dtype)
    return Dataset(*(part.to(dtype) for part in parts))


def _standardised(parts: Dataset) -> Dataset:
    """The inputs in units of the training set's mean and standard deviation, per feature."""
    mean, std = parts.x.mean(1, keepdim=True), parts.x.std(1, keepdim=True)
    return parts._replace(x=(parts.x - mean) / std, test_x=(parts.test_x - mean) / std)
