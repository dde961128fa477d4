"""Images of bytes, and how they become a network's input."""

import gzip
from functools import cache
from importlib.metadata import distribution
from typing import Any

import numpy as np
import torch

Bytes = np.ndarray[Any, Any]

DIGITS = "sklearn/datasets/data/digits.csv.gz"
"""What `sklearn.datasets.load_digits` reads; importing that takes a second."""


@cache
def read_digits() -> tuple[Bytes, Bytes]:
    """scikit-learn's digits: images [1797, 1, 8, 8] from 0 to 16, and labels."""
    place = distribution("scikit-learn").locate_file(DIGITS)
    with gzip.open(str(place)) as lines:
        table = np.loadtxt(lines, delimiter=",", dtype=np.int64)
    return table[:, :-1].reshape(-1, 1, 8, 8).astype(np.uint8), table[:, -1]


def standardised(x: Bytes, test_x: Bytes, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [examples, channels, height, width] in units of the training set.

    Of its mean and standard deviation, channel by channel, over all examples and pixels.
    """
    moments = [_moments(x[:, channel]) for channel in range(x.shape[1])]
    center, scale = (
        torch.tensor(part, dtype=dtype).view(-1, 1, 1) for part in zip(*moments, strict=True)
    )
    train, test = (torch.from_numpy(part).to(dtype) for part in (x, test_x))
    return train.sub_(center).div_(scale), test.sub_(center).div_(scale)


def _moments(values: Bytes) -> tuple[float, float]:
    """Mean and standard deviation of bytes, from how often each occurs: no copy of them all."""
    some = np.array_split(values, len(values) // 1000 + 1)
    counts = sum(np.bincount(part.ravel(), minlength=256) for part in some)
    levels = np.arange(256)
    mean = float(counts @ levels) / values.size
    return mean, float(counts @ (levels - mean) ** 2 / values.size) ** 0.5
