"""Two arms of runs compared: which values belong together, and what is left out.

Runs of one training share their weights: momenta and estimators are compared on identical weights.
Runs of one seed share the data and, where the layers have the same shapes, the initial weights
(common random numbers). Where neither is so, samples are independent.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from normexp.config.differences import between
from normexp.config.field import FieldSpec, Role
from normexp.config.tree import field_specs, nest
from normexp.insight.comparison import Comparison, compare_paired, compare_unpaired, scale_of

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
    """How two arms are paired: by their seeds, those of runs that diverged included."""
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
    """Whether runs of one seed share the data and the layers' initial weights."""
    specs: dict[str, FieldSpec] = {}
    for row in (first, second):
        specs |= field_specs(nest({path: value for path, value in row.items() if "." in path}))
    return not any(
        path.startswith(("data.", "model."))
        and specs[path].rule.role is Role.STRUCTURAL
        and path not in SAME_WEIGHTS
        for path in between(first, second)
    )
