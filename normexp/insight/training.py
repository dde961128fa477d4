"""Stored runs with running statistics, by the training that they are observed from."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from normexp.config.data import Data
from normexp.config.network import Own
from normexp.config.norm import BatchKind
from normexp.config.schema import RunConfig
from normexp.errors import NormexpError, NotFoundError, UsageError
from normexp.store.places import find_data
from normexp.store.selection import select
from normexp.store.stored import Stored, stored, whole_runs
from normexp.study.asked import ANY_RUN, Place, Where

if TYPE_CHECKING:
    from normexp.trained import Record

NO_NETWORK = "the network is code of the user's, and stored runs never run code"


@dataclass(frozen=True)
class Training:
    """A stored training, and runs that are observed from it.

    Attributes:
        directory: of the training.
        runs: with running statistics.
        data: as they can be read here; None where the runs say where.
    """

    directory: Path
    runs: tuple[Stored, ...]
    data: Data | None = None

    @property
    def configs(self) -> tuple[RunConfig, ...]:
        """The runs' configurations."""
        configs = tuple(run.config for run in self.runs)
        if self.data is None:
            return configs
        return tuple(replace(config, data=self.data) for config in configs)

    def missing(self, *, weights: bool) -> UsageError | None:
        """Why a recorded loop has not left what is needed: every batch, and perhaps the weights."""
        run = self.runs[0]
        if not isinstance(run.config.model, Own):
            return None
        from normexp.store.parquet import has_batches

        if weights:
            return UsageError(
                f"momenta cannot be tried: {NO_NETWORK}",
                "type normexp ls STUDY, or compare STUDY norm.momentum, for those evaluated there",
            )
        if has_batches(self.directory, run.config.model.channels):
            return None
        return UsageError(
            "recorded without the statistics of every batch",
            "normexp.record(model, optimizer, keep='every') keeps them",
        )

    def record(self) -> "Record":
        """Return the record of the training.

        Raises:
            NormexpError: it is damaged.
        """
        from normexp.store.tables import read_trajectory

        try:
            return read_trajectory(self.directory)
        except NormexpError as error:
            study = shlex.quote(str(self.directory.parents[1]))
            raise NormexpError(
                error.message, f"type normexp verify {study}: it says what to type then"
            ) from error


def trainings(
    store: Path, wanted: str | None, lost: list[Path] | None = None, where: Where = ANY_RUN
) -> list[Training]:
    """Return the trainings of the runs that are meant.

    A run that stands in several studies counts once. One that is damaged is left out, unless it is
    the only one.

    Args:
        store: where names are looked for.
        wanted: a study, sweep or run, by name, id or path; None is the whole store.
        lost: gets the directories of damaged runs.
        where: fields that the runs must have.

    Raises:
        NotFoundError: there is no such thing, or no training is beside its runs.
        NormexpError: the only run cannot be read.
        UsageError: no run has running statistics.
    """
    selection, name = select(store, wanted, where), wanted or str(store)
    runs = list(whole_runs(selection.runs, lost))
    if not runs and len(selection.runs) == 1:
        runs = [stored(selection.runs[0])]
    tracked = sorted(filter(_is_tracked, runs), key=lambda run: run.trajectory.is_dir())
    if found := trainings_of({run.id: run for run in tracked}.values()):  # beside it if any
        return found
    if tracked:
        raise NotFoundError(
            f"the training of {tracked[0].directory} is not beside it: {tracked[0].trajectory} is "
            "not there",
            "name the run in its own store; or remove the run's directory and sweep it again",
        )
    if selection.trajectories and not selection.runs:
        raise UsageError(
            f"{name} is a training, without a run of its own", "name a run of it, or its study"
        )
    raise UsageError(
        f"no run of {name} has running statistics and has not diverged",
        "name runs with norm=batch or norm=ghost: normexp ls shows what there is",
    )


def trainings_of(runs: Iterable[Stored]) -> list[Training]:
    """Return the trainings of runs; those that are not beside their runs are left out."""
    grouped: dict[str, list[Stored]] = {}
    for run in runs:
        if _is_tracked(run):
            grouped.setdefault(run.trajectory_id, []).append(run)
    return [
        Training(place, tuple(members))
        for members in grouped.values()
        for place in [run.trajectory for run in members if run.trajectory.is_dir()][:1]
    ]


def readable(
    found: Sequence[Training], places: Sequence[Place] = (), *, weights: bool = False
) -> tuple[list[Training], list[str]]:
    """Return the trainings that have left what is needed, with their data, and notes on the others.

    Args:
        found: the trainings.
        places: where data may stand now; else they must be where they stood.
        weights: whether weights are needed too, beside the statistics of every batch.

    Raises:
        UsageError: there is none, or a place has none of these data.
    """
    sets = find_data((run.config.data for each in found for run in each.runs), places)
    kept: list[Training] = []
    lost: dict[str, list[UsageError]] = {}
    for each in found:
        those = [sets[run.config.data] for run in each.runs]
        data = next((d for d in those if not isinstance(d, UsageError)), those[0])
        why = each.missing(weights=weights) or data
        if isinstance(why, UsageError):
            lost.setdefault(f"{why.message}; {why.hint}", []).extend([why] * len(each.runs))
        else:
            kept.append(replace(each, data=why))
    if lost and not kept:
        raise next(iter(lost.values()))[0]
    return kept, [f"{len(errors)} runs left out: {why}" for why, errors in lost.items()]


def _is_tracked(run: Stored) -> bool:
    """True if a run has running statistics at its end."""
    return run.manifest["status"] == "complete" and isinstance(run.config.norm, BatchKind)
