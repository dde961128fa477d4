"""How much the statistics of batches scatter, by what batches near one another differ by."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

FEWEST_PAIRS = 2
"""Pairs of batches without which nothing is said of their noise."""


def apart(batches: Array, counted: Array, updates: int) -> Array:
    """Mean squares of what batches so many updates from each other differ by, by channel.

    Where the truth takes random steps of variance w an update and a batch has variance v about it,
    E(s_(t+k) − s_t)² is 2v + k·w.

    Args:
        batches: statistics of batches in order, [stretches, updates, channels].
        counted: whether a batch is looked at, [stretches, updates].
        updates: k, at least 1.

    Returns:
        [channels]; NaN where there are too few pairs.
    """
    pairs = counted[:, updates:] & counted[:, :-updates]
    if pairs.sum() < FEWEST_PAIRS:
        return np.full(batches.shape[2], np.nan)
    squares: Array = np.square(batches[:, updates:] - batches[:, :-updates])[pairs]
    means: Array = squares.mean(0)
    return means
