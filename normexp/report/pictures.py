"""Pictures of one seed an arm, computed from its training when a report asks: which, and how."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from normexp.config.schema import RunConfig
from normexp.console.tables import evenly
from normexp.console.words import counted
from normexp.errors import NormexpError, UsageError
from normexp.report.figure import sentences
from normexp.report.source import Source
from normexp.store.places import find_data
from normexp.store.stored import Row

if TYPE_CHECKING:
    from pathlib import Path

    from normexp.engine.pictures import Picture

MOST_EPOCHS = 13

MOST_IMAGES = 40_000
"""Images that are passed through networks, over arms and epochs."""

FOREVER = 1e9
"""An epoch that none reaches."""


class Pictured(NamedTuple):
    """Pictures of runs.

    Attributes:
        pictures: by arm and epoch.
        rows: by arm.
        points: evaluation points of the longest run, drawn or not.
        lost: arms that have none, by the reason.
    """

    pictures: "dict[str, dict[int, Picture]]"
    rows: dict[str, Row]
    points: int
    lost: dict[str, list[str]]

    @property
    def epochs(self) -> list[int]:
        """All epochs that are drawn."""
        return sorted({epoch for each in self.pictures.values() for epoch in each})

    @property
    def note(self) -> str:
        """Sentences on the seeds, on arms without a picture, and on epochs that are left out."""
        drawn, epochs = {arm: self.rows[arm] for arm in self.pictures}, len(self.epochs)
        return sentences(
            _seeds(drawn),
            *(f"Without {', '.join(arms)}: {why}." for why, arms in self.lost.items()),
            f"{epochs} of {self.points} evaluation points are drawn, evenly."
            if epochs < self.points else "",
        )  # fmt: skip


def pictured(
    source: Source, arms: Iterable[str], most: int = MOST_EPOCHS, *, curves_only: bool = False
) -> Pictured:
    """Pictures of arms, each of one seed, at up to `most` evaluation points."""
    rows = typical(source, arms)
    runs = dict(zip(rows, source.stored(rows.values()), strict=True))
    data = find_data([run.config.data for run in runs.values()], source.places)
    lost: dict[str, list[str]] = {}
    sharing: dict[Path, dict[str, RunConfig]] = {}
    for arm, run in runs.items():
        found = data[run.config.data]
        if not run.trajectory.is_dir():
            lost.setdefault("its training is no longer in the store", []).append(arm)
        elif isinstance(found, UsageError):
            lost.setdefault(found.message, []).append(arm)
        else:
            config = replace(run.config, data=found)
            sharing.setdefault(run.trajectory, {})[arm] = config
    made: dict[str, dict[int, Picture]] = {}
    for place, members in sharing.items():
        try:
            made |= _of_training(place, members, most, len(rows), curves_only=curves_only)
        except NormexpError as error:
            lost.setdefault(error.message, []).extend(members)
    points = max((run.config.train.epochs + 1 for run in runs.values()), default=0)
    return Pictured({arm: made[arm] for arm in rows if arm in made}, rows, points, lost)


def typical(source: Source, arms: Iterable[str]) -> dict[str, Row]:
    """One run of each arm, all of one seed if there is one: so arms of one training share it.

    The seed is the one whose final test losses have ranks nearest to the arms' medians. An arm
    without that seed has the run nearest to its own median.
    """
    import pandas as pd

    if not source.complete:
        return {}
    frame = pd.DataFrame(source.complete)[["arm", "seed", "test_loss"]]
    frame = frame.assign(row=pd.Series(source.complete))
    frame = frame[frame["arm"].isin(list(arms))].sort_values(["test_loss", "seed"])
    grouped = frame.groupby("arm")["seed"]
    middle = (grouped.transform("size") - 1) // 2
    frame["away"] = (grouped.cumcount() - middle).abs() / grouped.transform("size")
    by_seed = frame.groupby("seed")["away"].agg(["size", "sum"]).reset_index()
    best = by_seed.sort_values(["size", "sum", "seed"], ascending=[False, True, True])["seed"]
    frame["other"] = frame["seed"] != (best.iloc[0] if len(best) else 0)
    chosen = frame.sort_values(["other", "away"]).drop_duplicates("arm").set_index("arm")["row"]
    return {arm: chosen[arm] for arm in source.arms if arm in chosen}


def intervals(epochs: Iterable[int]) -> dict[int, float]:
    """By epoch the one that ends its validity: a slider may stop at other arms' epochs."""
    own = sorted(epochs)
    return dict(zip(own, [*own[1:], FOREVER], strict=True))


def _of_training(
    place: "Path", members: Mapping[str, RunConfig], most: int, arms: int, *, curves_only: bool
) -> "dict[str, dict[int, Picture]]":
    """Pictures of the runs of one training.

    Raises:
        NormexpError: it is damaged.
    """
    from normexp.engine.pictures import pictures
    from normexp.numerics import one_thread
    from normexp.store.tables import read_trajectory

    config = next(iter(members.values()))
    if config.model.kind != "mlp":  # which takes long: the first point and the last one always
        tests = getattr(config.data, "test_size", None) or config.data.train_size or 1
        most = min(most, max(2, MOST_IMAGES // (tests * arms)))
    record = read_trajectory(place)
    with one_thread():
        points = evenly(record.epochs + 1, most)
        made = pictures(record, list(members.values()), points, curves_only=curves_only)
    return dict(zip(members, made, strict=True))


def _seeds(rows: Mapping[str, Row]) -> str:
    """The seeds that are drawn, as a sentence."""
    seeds = [row["seed"] for row in rows.values()]
    common = max(seeds, key=seeds.count)
    text = f"Drawn is seed {common}, nearest to the arms' medians by rank of final test loss"
    others = [arm for arm, row in rows.items() if row["seed"] != common]
    return (
        f"{text}; of {counted(len(others), 'arm')} without it: another seed."
        if others
        else f"{text}."
    )
