"""Arms: the runs of one configuration over their seeds, with intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and half the width of its 95 % interval (Student's t); NaN below n = 2."""

    mean: float
    half_width: float
    n: int


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
    """Mean and 95 % interval of independent values.

    The interval is mean ± t(0.975, n − 1)·s/√n.
    """
    n = len(values)
    mean = fmean(values) if n else math.nan
    if n < 2 or not math.isfinite(mean):  # noqa: PLR2004  a single value has no spread
        return Estimate(mean, math.nan, n)
    from scipy.special import stdtrit

    return Estimate(mean, float(stdtrit(n - 1, 0.975)) * stdev(values) / math.sqrt(n), n)


def _arm(values: dict[str, Any], members: Sequence[Row]) -> Arm:
    kept = [row for row in members if row["status"] == "complete"]
    tracked = "norm.momentum" in members[0]
    estimates = {
        name: estimate([math.nan if row[name] is None else row[name] for row in kept])
        for name in (*LOSSES, *(name for name in ACCURACIES if name in members[0]))
    }
    named = {"norm.estimator": members[0].get("norm.estimator", "ema")} if tracked else {}
    return Arm(
        values=named | values,
        n=len(kept),
        diverged=len(members) - len(kept),
        estimates=estimates,
        half_life_steps=members[0]["half_life_steps"],
        has_statistics=tracked,
    )
