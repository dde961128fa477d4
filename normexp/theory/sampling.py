"""How far one batch's mean and variance scatter."""

from normexp.theory.bounds import whole, within


def mean_variance(examples: int, variance: float = 1.0) -> float:
    """Variance of the mean of so many independent examples: σ²/n, in the units of `variance`.

    Raises:
        UsageError: there is no example, or the variance is negative.
    """
    return within("variance", variance) / whole("number of examples", examples)


def variance_variance(
    examples: int, variance: float = 1.0, excess_kurtosis: float = 0.0, *, unbiased: bool = True
) -> float:
    """Variance of the variance of so many independent examples: σ⁴·(2/(n − 1) + κ/n).

    Of the unbiased one, which divides by n − 1; the biased one's is ((n − 1)/n)² of it, and it is
    low by σ²/n for ever (`variance_expectation`).

    Args:
        examples: at least 2; 1 does for the biased one, which is then 0 always.
        variance: σ².
        excess_kurtosis: κ, 0 for a Gaussian, −1.2 for a uniform, at least −2 for any distribution.
        unbiased: which.

    Raises:
        UsageError: an argument lies outside these bounds.
    """
    whole("number of examples", examples, 1 + unbiased)
    within("variance", variance)
    within("excess kurtosis", excess_kurtosis, -2.0)
    if examples == 1:
        return 0.0
    scale = variance * variance_expectation(examples, unbiased=unbiased)
    return scale**2 * (2 / (examples - 1) + excess_kurtosis / examples)


def variance_expectation(examples: int, variance: float = 1.0, *, unbiased: bool = True) -> float:
    """Expectation of a batch's variance: σ², of the biased one σ²·(n − 1)/n.

    Raises:
        UsageError: there is no example, or the variance is negative.
    """
    within("variance", variance)
    whole("number of examples", examples)
    return variance if unbiased else variance * (examples - 1) / examples


def _alike(images: int, positions: int, correlation: float) -> None:
    whole("number of images", images)
    whole("number of positions", positions)
    within("correlation", correlation, -1 / (positions - 1) if positions > 1 else -1.0, 1.0)
