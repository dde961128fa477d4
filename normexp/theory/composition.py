"""What several updates a step, or another batch size, make of a momentum."""

import math

from normexp.theory.bounds import momentum_of, within


def scaled(momentum: float, ratio: float) -> float:
    """The momentum whose updates forget as `ratio` updates do: q → q^κ, a' = 1 − (1 − a)^κ.

    The rule for batches κ times as large: statistics then forget equally fast by examples seen
    (Busbridge et al. 2023, arXiv 2307.13813, for weights). κ = 1/k undoes κ = k.

    Args:
        momentum: in [0, 1]; 0 and 1 stay.
        ratio: new batch size over old, positive, no need to be whole.

    Raises:
        UsageError: the momentum lies outside [0, 1], or the ratio is not positive.
    """
    within("ratio", ratio, above=True)
    if momentum_of(momentum) == 1:
        return 1.0
    return -math.expm1(ratio * math.log1p(-momentum))
