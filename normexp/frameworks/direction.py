"""The two directions of a momentum, and CNTK's third one: a time constant in samples."""

import math
from decimal import Decimal


def turned(momentum: float) -> float:
    """1 − momentum: the weight of the new batch from that of the old value, and back.

    In decimals as they are written: 1 − 0.9 is 0.09999999999999998 in binary, and would be another
    run than 0.1.
    """
    return float(1 - Decimal(repr(float(momentum))))


def newest_of_time_constant(samples: float, batch_size: int) -> float:
    """The weight of the newest batch, 1 − exp(−B / T).

    Args:
        samples: T, the time constant; 0: the last batch alone; inf: frozen.
        batch_size: B, examples of a batch.

    CNTK, `BatchNormalizationNode::ComputeExpAvgFactor`, microsoft/CNTK@498a4c4.
    """
    return 1.0 if samples == 0 else -math.expm1(-batch_size / samples)


def time_constant_of_newest(newest: float, batch_size: int) -> float:
    """The time constant in samples, −B / ln(1 − a); the inverse of `newest_of_time_constant`."""
    if newest in (0, 1):
        return 0.0 if newest else math.inf
    return -batch_size / math.log1p(-newest)
