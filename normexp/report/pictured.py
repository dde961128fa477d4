"""Histograms and fitted curves of some runs, computed from their trainings when a report asks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from normexp.config.schema import RunConfig
from normexp.errors import NormexpError, UsageError
from normexp.insight.thinning import evenly
from normexp.report.source import Source
from normexp.store.layout import StudyDirectory
from normexp.store.places import find_data, located
from normexp.store.stored import Row, read_run

if TYPE_CHECKING:
    from normexp.engine.pictures import Picture

MOST_EPOCHS = 13

MOST_IMAGES = 40_000
"""Images that are passed through networks, over arms and epochs."""


@dataclass(frozen=True)
class Pictured:
    """Pictures of runs.

    Attributes:
        pictures: by arm and epoch.
        configs: by arm.
        epochs: evaluation points of the longest run, drawn or not.
        lost: by the reason, arms that have none.
    """

    pictures: "dict[str, dict[int, Picture]]"
    configs: dict[str, RunConfig]
    epochs: int
    lost: dict[str, list[str]]

    @property
    def why(self) -> str:
        """Why there are none at all."""
        return "; ".join(self.lost)

    @property
    def note(self) -> str:
        """A sentence on the arms that have none; empty if all have."""
        return " ".join(f"Without {', '.join(arms)}: {why}." for why, arms in self.lost.items())


def training_of(row: Row) -> Path:
    """The directory of a run's trajectory, which may be gone."""
    return StudyDirectory(Path(row["directory"]).parent).trajectory(row["trajectory_id"])


def pictured(source: Source, rows: Mapping[str, Row], most: int = MOST_EPOCHS) -> Pictured:
    """Pictures of runs by arm, at up to `most` of their evaluation points.

    Args:
        source: where they are.
        rows: one run an arm.
        most: evaluation points.
    """
    from normexp.engine.numerics import one_thread
    from normexp.engine.pictures import pictures
    from normexp.store.trajectory import read_trajectory

    configs = {arm: located(read_run(Path(row["directory"]))) for arm, row in rows.items()}
    data = find_data([config.data for config in configs.values()], source.places)
    lost: dict[str, list[str]] = {}
    sharing: dict[Path, dict[str, RunConfig]] = {}
    for arm, config in configs.items():
        place, found = training_of(rows[arm]), data[config.data]
        if not place.is_dir():
            lost.setdefault("its training is no longer in the store", []).append(arm)
        elif isinstance(found, UsageError):
            lost.setdefault(found.message, []).append(arm)
        else:
            sharing.setdefault(place, {})[arm] = replace(config, data=found)
    found_pictures: dict[str, dict[int, Picture]] = {}
    for place, members in sharing.items():
        config = next(iter(members.values()))
        try:
            record = read_trajectory(place)
        except NormexpError as error:
            lost.setdefault(error.message, []).extend(members)
            continue
        points = evenly(config.train.epochs + 1, min(most, _affordable(config, len(rows))))
        with one_thread():
            made = pictures(record, list(members.values()), points)
        found_pictures |= dict(zip(members, made, strict=True))
    return Pictured(
        {arm: found_pictures[arm] for arm in rows if arm in found_pictures},
        configs,
        max((config.train.epochs + 1 for config in configs.values()), default=0),
        lost,
    )


def _affordable(config: RunConfig, arms: int) -> int:
    """Evaluation points that do not take long: of images fewer, the last one always."""
    if config.model.kind == "mlp":
        return MOST_EPOCHS
    tests = getattr(config.data, "test_size", None) or config.data.train_size or 1
    return max(2, MOST_IMAGES // (tests * arms))
