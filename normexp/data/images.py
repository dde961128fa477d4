"""Images of bytes, and how they become a network's input."""

from functools import cache
from typing import Any

import numpy as np
import torch

Bytes = np.ndarray[Any, Any]


@cache
def read_digits() -> tuple[Bytes, Bytes]:
    """scikit-learn's digits: images [1797, 1, 8, 8] from 0 to 16, and labels."""
    from sklearn.datasets import load_digits  # takes a second, so only who needs it pays

    x, y = load_digits(return_X_y=True)
    return x.reshape(-1, 1, 8, 8).astype(np.uint8), y.astype(np.int64)


def standardised(x: Bytes, test_x: Bytes, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Images [examples, channels, height, width] in units of the training set.

    Of its mean and standard deviation, channel by channel, over all examples and pixels.
    """
    mean = x.mean((0, 2, 3), dtype=np.float64)
    std = x.std((0, 2, 3), dtype=np.float64)
    center, scale = (torch.from_numpy(part)[:, None, None].to(dtype) for part in (mean, std))
    train, test = (torch.from_numpy(part).to(dtype) for part in (x, test_x))
    return train.sub_(center).div_(scale), test.sub_(center).div_(scale)
