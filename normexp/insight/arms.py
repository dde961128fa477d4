"""Arms: the runs of one configuration over their seeds, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev
from typing import Any

Row = Mapping[str, Any]

MOST_SKEWED = 0.5
"""Skewness over √n from which on Student's t holds a mean too seldom."""


@dataclass(frozen=True)
class Estimate:
    """Values over seeds: all tables have the mean, since losses and their differences add up.

    Attributes:
        mean: of all.
        half_width: of its 95 % interval (Student's t); NaN below n = 2.
        n: number of values.
        median: of all; error budgets and forecasts have it, which one seed does not rule.
        is_skewed: whether the interval is too short on one side, see `estimate`.
    """

    mean: float
    half_width: float
    n: int
    median: float = math.nan
    is_skewed: bool = False


@dataclass(frozen=True)
class Arm:
    """The replicates of one configuration.

    Attributes:
        values: the fields that tell the arms apart, by dotted name; absent where it has no such;
            the estimator, which says what a momentum means, always.
        n: replicates that count.
        diverged: replicates left out because their training diverged.
        estimates: by metric.
        half_life_steps: None without momentum, or where it never forgets.
        has_statistics: whether there are running statistics that could cost anything.
    """

    values: dict[str, Any]
    n: int
    diverged: int
    estimates: dict[str, Estimate]
    half_life_steps: float | None
    has_statistics: bool


LOSSES = ("test_loss", "test_loss_population", "test_loss_test_batch", "excess_loss")
ACCURACIES = ("test_accuracy", "test_accuracy_population", "test_accuracy_test_batch")
"""Those of runs on labels."""


def arms(rows: Sequence[Row], differing: Sequence[str]) -> list[Arm]:
    """The arms of a sweep, in the order of their first runs.

    Args:
        rows: one a run, with dotted configuration columns and final metrics.
        differing: dotted names that tell the runs apart; the seed replicates.
    """
    grouped: dict[tuple[Any, ...], list[Row]] = {}
    fields = [path for path in differing if path != "seed"]
    for row in rows:
        grouped.setdefault(tuple((p, row[p]) for p in fields if p in row), []).append(row)
    return [_arm(dict(key), members) for key, members in grouped.items()]


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and 95 % interval of independent values, mean ± t(0.975, n − 1)·s/√n.

    Of skewed values it holds the mean less often, by about their skewness over √n. A sample seldom
    shows it: where the large values are missing, the mean, its interval and the sample's skewness
    are all too small. The spread of logarithms shows it, so the skewness is the larger of the
    sample's and of a log-normal distribution's with that spread. How often, of log-normal values
    with σ, the interval holds the mean, and how often it misses it unmarked:

        n    σ = 0.25     σ = 0.5      σ = 0.75     σ = 1
        4    94 %, 5 %    92 %, 6 %    88 %, 4 %    82 %, 2 %
        8    94 %, 5 %    92 %, 6 %    88 %, 2 %    83 %, 1 %
        16   94 %, 6 %    93 %, 7 %    90 %, 3 %    86 %, 0 %

    Rare large values above a floor, such as losses have where the data are noisy, no eight seeds
    show: `arms` marks all losses of an arm if one of them is skewed.
    """
    n = len(values)
    mean = fmean(values) if n else math.nan
    if n < 2 or not math.isfinite(mean):  # noqa: PLR2004  a single value has no spread
        return Estimate(mean, math.nan, n, mean)
    skewed = _skewness(values, mean) > MOST_SKEWED * math.sqrt(n)
    return Estimate(mean, float(half_width(stdev(values), n)), n, median(values), skewed)


def half_width(deviation: Any, n: Any) -> Any:  # noqa: ANN401  a number each, or a column each
    """Half of a mean's 95 % interval by Student's t, from the standard deviation of n values."""
    import numpy as np
    from scipy.special import stdtrit

    return stdtrit(np.maximum(n - 1, 1), 0.975) * deviation / np.sqrt(n)


def _skewness(values: Sequence[float], mean: float) -> float:
    """The sample's, or that of log-normal values whose logarithms spread as these do."""
    square, cube = (fmean((value - mean) ** power for value in values) for power in (2, 3))
    skewness = abs(cube) / square**1.5 if square else 0.0
    if min(values) <= 0:
        return skewness
    e = math.exp(min(stdev(map(math.log, values)) ** 2, 100.0))
    return max(skewness, (e + 2) * math.sqrt(e - 1))


def _arm(values: dict[str, Any], members: Sequence[Row]) -> Arm:
    kept = [row for row in members if row["status"] == "complete"]
    tracked = "norm.momentum" in members[0]
    estimates = {
        name: estimate([math.nan if row[name] is None else row[name] for row in kept])
        for name in (*LOSSES, *(name for name in ACCURACIES if name in members[0]))
    }
    if any(estimates[name].is_skewed for name in LOSSES):  # of the same seeds: one shows it for all
        estimates |= {name: replace(estimates[name], is_skewed=True) for name in LOSSES}
    named = {"norm.estimator": members[0].get("norm.estimator", "ema")} if tracked else {}
    return Arm(
        values=named | values,
        n=len(kept),
        diverged=len(members) - len(kept),
        estimates=estimates,
        half_life_steps=members[0]["half_life_steps"],
        has_statistics=tracked,
    )
