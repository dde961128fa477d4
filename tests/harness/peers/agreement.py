"""Whether a peer comes to normexp's losses."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from scipy.stats import t as student

from peers.process import Figures
from peers.work import Final

Known = Mapping[tuple[float, int], Final]
"""Normexp's, by momentum and seed."""

DOUBT = 1e-3
"""How seldom equal work may seem to differ, by Student's t over seeds."""


def difference(finals: Sequence[Final], known: Known, of: str) -> Figures:
    """How far the logarithms of losses are apart; seeds count, not momenta, which share weights."""
    by_seed: dict[int, list[float]] = {}
    for each in finals:
        ratio = getattr(each, of) / getattr(known[each[:2]], of)
        by_seed.setdefault(each.seed, []).append(math.log(ratio))
    logs = [fmean(part) for part in by_seed.values()]
    error = stdev(logs) / len(logs) ** 0.5
    farthest = max(0.01, float(student.ppf(1 - DOUBT / 2, len(logs) - 1)) * error)
    return {
        "log ratio": fmean(logs),
        "standard error": error,
        "agrees": abs(fmean(logs)) < farthest,
    }
