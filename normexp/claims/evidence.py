"""What the claims are judged by: the rows of the studies that have run, and their tables."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from normexp.analysis.arms import Row
from normexp.analysis.comparison import Comparison, Scale, compare_paired
from normexp.claims.claim import Cell

Of = Mapping[str, Any]
"""Which rows: values of fields, by dotted name; kinds by the name of their group."""


@dataclass(frozen=True)
class Sample:
    """One number a seed, and the runs that it comes from; runs that diverged are not in it.

    Attributes:
        values: by seed.
        run_ids: of the runs behind them.
        lost: by arm, the seeds whose runs diverged.
    """

    values: Mapping[int, float]
    run_ids: tuple[str, ...] = ()
    lost: Mapping[str, frozenset[int]] = field(default_factory=dict)

    def map(self, change: Callable[[float], float]) -> "Sample":
        """Every value changed."""
        return Sample({seed: change(v) for seed, v in self.values.items()}, self.run_ids, self.lost)

    def with_other(self, other: "Sample", join: Callable[[float, float], float]) -> "Sample":
        """The values of the seeds that both have, joined."""
        common = [seed for seed in self.values if seed in other.values]
        values = {seed: join(self.values[seed], other.values[seed]) for seed in common}
        return Sample(values, (*self.run_ids, *other.run_ids), {**self.lost, **other.lost})

    def __truediv__(self, other: "Sample") -> "Sample":
        return self.with_other(other, lambda a, b: a / b if b else math.nan)


@dataclass(frozen=True)
class Evidence:
    """The rows of the studies by name, one a run."""

    studies: Mapping[str, Sequence[Row]]
    _tables: dict[tuple[str, str], Any] = field(default_factory=dict, compare=False)

    def rows(self, study: str, of: Of) -> list[Row]:
        """The rows of a study with these values."""
        return [
            row
            for row in self.studies.get(study, ())
            if all(key in row and row[key] == value for key, value in of.items())
        ]

    def sample(self, study: str, metric: str | Callable[[Row], float], of: Of) -> Sample:
        """A metric of the rows with these values, by seed; diverged runs are left out and told."""
        found = self.rows(study, of)
        rows = [row for row in found if row["status"] == "complete"]
        lost = frozenset(int(row["seed"]) for row in found if row["status"] != "complete")
        arm = " ".join(f"{key}={value}" for key, value in of.items())
        measure = metric if callable(metric) else lambda row: _number(row.get(metric))
        values = {int(row["seed"]): measure(row) for row in rows}
        ids = tuple(str(row["run_id"]) for row in rows)
        return Sample(values, ids, {arm: lost} if lost else {})

    def table(self, row: Row, name: str) -> Any:  # noqa: ANN401  a frame of pandas
        """One of a run's tables, or of its trajectory's, as a frame."""
        key = (str(row["directory"]), name)
        if key not in self._tables:
            from normexp.store import parquet

            run = Path(row["directory"])
            own = run / f"{name}.parquet"
            place = own if own.exists() else self.trajectory(row) / f"{name}.parquet"
            self._tables[key] = parquet.read(place).to_pandas()
        return self._tables[key]

    @staticmethod
    def trajectory(row: Row) -> Path:
        """The directory of a run's trajectory."""
        return Path(row["directory"]).parent / "trajectories" / str(row["trajectory_id"])


def compared(baseline: Sample, other: Sample, scale: Scale) -> Comparison:
    """Two samples compared by seed."""
    seeds = sorted(baseline.values.keys() & other.values.keys())
    before, after = ([sample.values[s] for s in seeds] for sample in (baseline, other))
    return compare_paired(before, after, scale)


def ratio_cell(
    where: str,
    baseline: Sample,
    other: Sample,
    rule: Callable[[Comparison], bool | None],
    *,
    scale: Scale = "ratio",
) -> Cell:
    """A cell that a comparison by seed decides."""
    found = compared(baseline, other, scale)
    ids = (*baseline.run_ids, *other.run_ids)
    return Cell(where, rule(found), "", found, ids, lost_pairs(baseline, other))


def lost_pairs(*samples: Sample) -> str:
    """How many pairs diverged runs have cost, and of which arm they were; empty if none."""
    arms = {arm: seeds for sample in samples for arm, seeds in sample.lost.items() if seeds}
    if not arms:
        return ""
    told = ", ".join(f"{len(seeds)} of {arm}" for arm, seeds in arms.items())
    return f"{len(frozenset().union(*arms.values()))} pairs lost to runs that diverged: {told}"


def _number(value: Any) -> float:  # noqa: ANN401  of a row
    return math.nan if value is None else float(value)
