"""Which runs a figure is made from that has to read trainings: some seeds of the arms drawn."""

from dataclasses import dataclass
from pathlib import Path

from normexp.config.norm import REFERENCES
from normexp.console.words import counted
from normexp.insight.training import Training, trainings_of
from normexp.report.source import Source
from normexp.store.stored import Row, Stored, stored

MOST_SEEDS = 8
"""Of an arm."""

MOST_LAYERS = 9

MOST_POINTS = 25
"""Evaluation points."""


@dataclass(frozen=True)
class Sample:
    """Some runs with running statistics.

    Attributes:
        rows: of these runs, with their arms.
        arms: that these are, in the order of the palette.
        note: how many seeds there are of how many, and which arms have no error; may be empty.
    """

    rows: tuple[Row, ...]
    arms: tuple[str, ...]
    note: str

    def trainings(self) -> list[Training]:
        """Their trainings, those that are there."""
        places = dict.fromkeys(row["directory"] for row in self.rows)
        return trainings_of(stored(Path(place)) for place in places)

    def arms_of(self, run: Stored) -> list[str]:
        """The arms of a run, one for each source that has it."""
        return [row["arm"] for row in self.rows if row["directory"] == str(run.directory)]


def sample(source: Source) -> Sample:
    """The first seeds of every arm that is drawn and has running statistics."""
    kept: dict[str, list[Row]] = {arm: [] for arm in source.palette.arms}
    exact: set[str] = set()
    for each in sorted(source.complete, key=lambda row: row["seed"]):
        if each["arm"] not in kept or "norm.estimator" not in each:
            continue
        if each["norm.estimator"] in REFERENCES:
            exact.add(each["arm"])
        else:
            kept[each["arm"]].append(each)
    found = {arm: rows for arm, rows in kept.items() if rows}
    most = max(map(len, found.values()), default=0)
    parts = [f"From {MOST_SEEDS} of {counted(most, 'seed')}."] if most > MOST_SEEDS else []
    if exact:
        names = ", ".join(arm for arm in source.palette.arms if arm in exact)
        parts.append(f"Without {names}, which average nothing.")
    rows = tuple(row for rows in found.values() for row in rows[:MOST_SEEDS])
    return Sample(rows, tuple(found), " ".join([*parts, source.thinned]).strip())


def why_none(source: Source) -> str:
    """Why a sample is empty."""
    if not source.complete:
        return "every run diverged"
    if any(arm.has_statistics for arm in source.arms):
        return "no arm that is drawn has running statistics of its own"
    return "no run has running statistics"
