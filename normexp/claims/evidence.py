"""What the claims are judged by: the rows of the studies that have run, and their tables."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from normexp.analysis.arms import Row
from normexp.analysis.comparison import Comparison, Scale, compare_paired
from normexp.claims.claim import Cell

Of = Mapping[str, Any]
"""Which rows: values of fields, by dotted name; kinds by the name of their group."""


@dataclass(frozen=True)
class Sample:
    """One number a seed, and the runs that it comes from; runs that diverged are not in it."""

    values: Mapping[int, float]
    run_ids: tuple[str, ...] = ()

    def map(self, change: Callable[[float], float]) -> "Sample":
        """Every value changed."""
        return Sample({seed: change(v) for seed, v in self.values.items()}, self.run_ids)

    def with_other(self, other: "Sample", join: Callable[[float, float], float]) -> "Sample":
        """The values of the seeds that both have, joined."""
        common = [seed for seed in self.values if seed in other.values]
        values = {seed: join(self.values[seed], other.values[seed]) for seed in common}
        return Sample(values, (*self.run_ids, *other.run_ids))

    def __truediv__(self, other: "Sample") -> "Sample":
        return self.with_other(other, lambda a, b: a / b if b else math.nan)

    def __sub__(self, other: "Sample") -> "Sample":
        return self.with_other(other, lambda a, b: a - b)


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
        """A metric of the rows with these values, by seed; diverged runs are left out."""
        rows = [row for row in self.rows(study, of) if row["status"] == "complete"]
        measure = metric if callable(metric) else lambda row: _number(row.get(metric))
        values = {int(row["seed"]): measure(row) for row in rows}
        return Sample(values, tuple(str(row["run_id"]) for row in rows))

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

    @cached_property
    def run_ids(self) -> tuple[str, ...]:
        """Of all runs."""
        return tuple(str(row["run_id"]) for rows in self.studies.values() for row in rows)


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
    return Cell(where, rule(found), "", found, (*baseline.run_ids, *other.run_ids))


def _number(value: Any) -> float:  # noqa: ANN401  of a row
    return math.nan if value is None else float(value)
