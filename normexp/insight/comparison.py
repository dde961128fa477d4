"""Two samples of a metric compared: how far apart, how surely, and how many seeds would settle it.

What is decided depends on the interval alone, never on a test chosen afterwards. Scales: losses are
positive and skewed (a momentum of 0.01 may cost a factor of 40 with one seed and of 10 with
another), so they are compared by the ratio of their geometric means; what may be negative or zero
(excess losses, gaps) and shares (accuracies) by the difference of their means.

Arms are paired as they can be. Runs of one training share their weights: momenta and estimators are
compared on identical weights. Runs of one seed share the data and, where the layers have the same
shapes, the initial weights (common random numbers). Where neither is so, samples are independent.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Any, Literal

from normexp.config.field import FieldSpec, Role
from normexp.config.identity import between
from normexp.config.tree import field_specs, nest

Scale = Literal["ratio", "difference"]

FEWEST = 6
"""Values of a sample below which nothing is decided.

All n differences have one sign by chance once in 2**(n − 1): with five 6 % of the time, with six
3 %.
"""

MOST_MORE_SEEDS = 1000
"""More than that is no advice."""

RESAMPLES = 9999
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Comparison:
    """A sample against a baseline.

    Attributes:
        scale: `ratio` of geometric means or `difference` of means, other against baseline.
        paired: whether value i of one belongs to value i of the other.
        n: values that count, of the baseline and of the other.
        left_out: pairs (or values) left out since they are not finite.
        estimate: on the scale; NaN without values.
        low: lower end of the 95 % interval, on the scale; NaN below n = 2.
        high: upper end.
        effect_size: paired: mean / standard deviation of the differences (d_z); unpaired: Hedges'
            g; of logarithms where the scale is a ratio. NaN below n = 2, infinite without spread.
        decided: whether the interval excludes "no difference" and there are values enough.
        more_seeds: about how many more of each would settle an undecided one; 0 if decided. None
            where that cannot be said, fewer than 2 values having no spread; where nothing differs;
            and where it is so many that it is no advice.
    """

    scale: Scale
    paired: bool
    n: tuple[int, int]
    left_out: int
    estimate: float
    low: float
    high: float
    effect_size: float
    decided: bool
    more_seeds: int | None

    @property
    def nothing(self) -> float:
        """The estimate where there is no difference."""
        return 1.0 if self.scale == "ratio" else 0.0


def compare_paired(
    baseline: Sequence[float], other: Sequence[float], scale: Scale = "difference"
) -> Comparison:
    """Compare values that belong together, such as those of one seed.

    The interval of the mean difference, of logarithms where the scale is a ratio, is the smallest
    that holds two others: Student's t, and the BCa bootstrap's (Efron 1987; SciPy's), its level
    raised for small samples. t is short where differences are skewed, BCa where they
    are few or have long tails. How often it holds the truth, measured on 1500 samples each (with
    BCa alone):

        n    normal         Student's t, 3  exponential    log-normal, σ = 1
        6    95 % (92 %)    96 % (91 %)     92 % (90 %)    84 % (83 %)
        8    96 % (94 %)    98 % (92 %)     92 % (92 %)    89 % (88 %)
        16   95 % (94 %)    96 % (90 %)     95 % (93 %)    91 % (89 %)
        24   95 % (94 %)    96 % (91 %)     95 % (94 %)    92 % (90 %)

    Differences as skewed as the last ones are decided too soon: take logarithms, or more seeds.

    Args:
        baseline: one value a pair.
        other: in the same order.
        scale: of the comparison; a ratio needs positive values.
    """
    pairs = zip(_on(scale, baseline), _on(scale, other), strict=True)
    differences = [after - before for before, after in pairs]
    kept = [each for each in differences if math.isfinite(each)]
    return _comparison(scale, [kept], len(differences) - len(kept))


def compare_unpaired(
    baseline: Sequence[float], other: Sequence[float], scale: Scale = "difference"
) -> Comparison:
    """Compare two independent samples; as `compare_paired`, each resampled by itself, t as Welch's.

    The effect size is Hedges' g: the difference of means over the pooled standard deviation, times
    1 − 3/(4·(n₁ + n₂) − 9) (Hedges 1981).
    """
    both = [_on(scale, sample) for sample in (baseline, other)]
    kept = [[value for value in sample if math.isfinite(value)] for sample in both]
    return _comparison(scale, kept, sum(map(len, both)) - sum(map(len, kept)))


def scale_of(metric: str, values: Sequence[float]) -> Scale:
    """Return the scale of a metric: ratios of losses that are all positive, else differences."""
    finite = [value for value in values if math.isfinite(value)]
    is_loss = "loss" in metric and metric != "excess_loss"
    return "ratio" if is_loss and all(value > 0 for value in finite) else "difference"


def _on(scale: Scale, values: Sequence[float]) -> list[float]:
    """Values as they are averaged; NaN where the scale has no place for one."""
    if scale == "difference":
        return list(values)
    return [math.log(value) if 0 < value < math.inf else math.nan for value in values]


def _comparison(scale: Scale, samples: Sequence[Sequence[float]], left_out: int) -> Comparison:
    """A comparison from one sample of differences, or from two independent samples."""
    paired, n = len(samples) == 1, (len(samples[0]), len(samples[-1]))
    means = [fmean(each) if each else math.nan for each in samples]
    spreads = [variance(each) if len(each) > 1 else math.nan for each in samples]
    middle = means[0] if paired else means[1] - means[0]
    low, high = _interval(samples, middle, spreads)
    freedom = [len(each) - 1 for each in samples]
    squares = [spread * of for spread, of in zip(spreads, freedom, strict=True)]
    pooled = sum(squares) / max(1, sum(freedom))
    if pooled:
        effect = middle / math.sqrt(pooled) * (1 if paired else 1 - 3 / (4 * sum(n) - 9))
    else:
        effect = math.copysign(math.inf, middle) if middle else 0.0
    decided = min(n) >= FEWEST and (low > 0 or high < 0)
    wanted = None if decided else _seeds(middle, spreads)
    more = None if wanted is None else max(1, wanted - min(n))  # this many have not settled it
    if scale == "ratio":  # beyond 1e304 it is infinite enough
        middle, low, high = (math.exp(min(each, 700.0)) for each in (middle, low, high))
    return Comparison(
        scale, paired, n, left_out, middle, low, high, effect, decided, 0 if decided else more
    )


def _interval(
    samples: Sequence[Sequence[float]], middle: float, spreads: Sequence[float]
) -> tuple[float, float]:
    """The interval of a mean, or of the second mean minus the first.

    Student's t (Welch 1947) and BCa together; the percentiles where BCa degenerates; the point
    itself where nothing varies. The bootstrap is from a fixed stream, so that a table is the same
    every time. It knows neither that it has estimated the spread nor that resampling
    shrinks it by √((n − 1)/n): of eight normal values its 95 % interval holds the mean 90 times in
    a hundred. Hesterberg's expanded intervals ("What Teachers Should Know About the Bootstrap",
    2015, section 3.3) put t(0.975, n − 1)·√(n/(n − 1)) in the place of z(0.975).
    """
    from scipy.special import ndtr, stdtrit

    n = min(map(len, samples))
    if n < 2:  # noqa: PLR2004  a single value has no spread
        return math.nan, math.nan
    parts = [spread / len(sample) for spread, sample in zip(spreads, samples, strict=True)]
    error = math.sqrt(sum(parts))
    if error <= 1e-12 * max(abs(middle), *(abs(v) for s in samples for v in s), 1e-300):
        return middle, middle
    expanded = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2)) * math.sqrt(n / (n - 1))
    level = min(1 - 2 * float(ndtr(-expanded)), 1 - 1e-6)
    low, high = _bootstrap(samples, level)
    freedom = 1 / sum(
        (part / sum(parts)) ** 2 / (len(sample) - 1)
        for part, sample in zip(parts, samples, strict=True)
    )
    half = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * error
    return min(low, middle - half), max(high, middle + half)


def _bootstrap(samples: Sequence[Sequence[float]], level: float) -> tuple[float, float]:
    """Return the BCa interval (Efron 1987), or percentiles where it degenerates.

    The numbers are those of `scipy.stats.bootstrap`, which takes a second to import.
    """
    import numpy as np
    from scipy.special import ndtr, ndtri

    rng, resampled = np.random.default_rng(0), np.zeros(RESAMPLES)
    middle = third = second = 0.0
    for sign, values in zip((-1, 1)[-len(samples) :], samples, strict=True):
        sample, n = np.asarray(values), len(values)
        resampled += sign * sample[rng.integers(0, n, (RESAMPLES, n))].mean(axis=-1)
        middle += sign * sample.mean()
        away = sample - sample.mean()
        third += sign * (away**3).sum() / n**3
        second += (away**2).sum() / n**2
    bias = ndtri(((resampled < middle).mean() + (resampled <= middle).mean()) / 2)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    with np.errstate(all="ignore"):
        moved = bias + ndtri(tails)
        corrected = ndtr(bias + moved / (1 - third / 6 / second**1.5 * moved))
    shares = corrected if np.isfinite(corrected).all() else tails
    low, high = np.quantile(resampled, shares)
    return float(low), float(high)


def _seeds(middle: float, spreads: Sequence[float]) -> int | None:
    """The number of seeds from which on the interval is narrower than the difference.

    The smallest n with t(0.975)·(standard error) < |difference|, both as observed.
    """
    from scipy.special import stdtrit

    if not middle or not math.isfinite(sum(spreads)):
        return None
    for n in range(FEWEST, MOST_MORE_SEEDS + 1):
        t = float(stdtrit(len(spreads) * (n - 1), 0.5 + CONFIDENCE / 2))
        if t * math.sqrt(sum(spreads) / n) < abs(middle):
            return n
    return None


Row = Mapping[str, Any]
Pairing = Literal["weights", "seed", "unpaired"]

SAME_WEIGHTS = ("model.activation", "model.input_norm", "model.linear_norm")
"""Structural fields of models that leave the initial weights of the layers as they are."""


@dataclass(frozen=True)
class ArmComparison:
    """Two arms compared in a metric.

    Attributes:
        pairing: what the pairs share.
        result: the numbers.
        diverged: runs of both arms left out since their training diverged.
        unmatched: runs left out since the other arm has not their seed, or it diverged there.
        run_ids: of all runs that count, those of the baseline first.
    """

    pairing: Pairing
    result: Comparison
    diverged: int
    unmatched: int
    run_ids: tuple[str, ...]


def compare_arms(baseline: Sequence[Row], other: Sequence[Row], metric: str) -> ArmComparison:
    """Compare two arms, one run a seed in each.

    Args:
        baseline: rows of one configuration.
        other: rows of another one.
        metric: a column of both; what is missing or not finite is left out.
    """
    pairing = pairing_of(baseline, other)
    kept = [[row for row in arm if row["status"] == "complete"] for arm in (baseline, other)]
    first, second = kept if pairing == "unpaired" else _pairs(*kept)
    before, after = (
        [math.nan if row.get(metric) is None else float(row[metric]) for row in arm]
        for arm in (first, second)
    )
    compare = compare_unpaired if pairing == "unpaired" else compare_paired
    return ArmComparison(
        pairing=pairing,
        result=compare(before, after, scale_of(metric, [*before, *after])),
        diverged=len(baseline) + len(other) - len(kept[0]) - len(kept[1]),
        unmatched=len(kept[0]) + len(kept[1]) - len(first) - len(second),
        run_ids=tuple(str(row["run_id"]) for row in (*first, *second)),
    )


def pairing_of(first: Sequence[Row], second: Sequence[Row]) -> Pairing:
    """Return the pairing of two arms: by seeds, those of runs that diverged included."""
    seeds = [{row["seed"] for row in arm} for arm in (first, second)]
    common = seeds[0] & seeds[1]
    if not common or len(common) < min(map(len, seeds)) or not _is_fair(first[0], second[0]):
        return "unpaired"
    pairs = zip(*_pairs(first, second), strict=True)
    return "weights" if all(a["trajectory_id"] == b["trajectory_id"] for a, b in pairs) else "seed"


def _pairs(first: Sequence[Row], second: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows of the seeds that both have, in the order of the seeds."""
    one, two = ({row["seed"]: row for row in arm} for arm in (first, second))
    common = sorted(one.keys() & two.keys())
    return [one[seed] for seed in common], [two[seed] for seed in common]


def _is_fair(first: Row, second: Row) -> bool:
    """True if runs of one seed share the data and the layers' initial weights."""
    specs: dict[str, FieldSpec] = {}
    for row in (first, second):
        specs |= field_specs(nest({path: value for path, value in row.items() if "." in path}))
    return not any(
        path.startswith(("data.", "model."))
        and specs[path].rule.role is Role.STRUCTURAL
        and path not in SAME_WEIGHTS
        for path in between(first, second)
    )
