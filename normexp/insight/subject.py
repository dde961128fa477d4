"""Stored runs with running statistics, by the trajectory that they are observed from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from normexp.config.differences import completed
from normexp.config.norm import BatchKind
from normexp.config.schema import RunConfig
from normexp.errors import NormexpError, NotFoundError, UsageError
from normexp.store.layout import StudyDirectory
from normexp.store.places import Place, find_data, located
from normexp.store.rows import Row, read_run, row
from normexp.trust.selection import Selection, select

if TYPE_CHECKING:
    from normexp.record import Record


@dataclass(frozen=True)
class Subject:
    """A trajectory and the runs that are observed from it.

    Attributes:
        directory: of the trajectory.
        rows: of its runs, as listings have them.
        configs: of its runs.
    """

    directory: Path
    rows: tuple[Row, ...]
    configs: tuple[RunConfig, ...]

    def record(self) -> "Record":
        """What the training has left.

        Raises:
            NormexpError: it is damaged.
        """
        from normexp.store.trajectory import read_trajectory

        try:
            return read_trajectory(self.directory)
        except NormexpError as error:
            study = self.directory.parents[1]
            raise NormexpError(
                error.message, f"type normexp verify {study}: it says what to type then"
            ) from error


def subjects(store: Path, wanted: str | None) -> list[Subject]:
    """The runs that are meant, those that a training has completed, by trajectory.

    Args:
        store: where to look for names.
        wanted: a study, sweep or run, by name, id or path; None is the whole store.

    Raises:
        NotFoundError: there is none, or its trajectory is not there.
        UsageError: none of them has running statistics.
    """
    selection = select(store, wanted)
    found = subjects_at(selection.runs)
    if not found:
        raise _nothing(selection, wanted or str(store))
    return found


def subjects_at(directories: Sequence[Path]) -> list[Subject]:
    """The same of the runs in these directories; nothing where none has running statistics.

    Raises:
        NotFoundError: their trajectories are not there.
    """
    found: dict[str, list[tuple[Path, Row, RunConfig]]] = {}
    missing: list[NormexpError] = []
    for place, each, config in _tracked(directories):
        if place.is_dir():
            found.setdefault(each["trajectory_id"], []).append((place, each, config))
        else:
            missing.append(_without_training(place, each))
    if missing and not found:
        raise missing[0]
    return [_subject(members) for members in found.values()]


def subjects_of(rows: Sequence[Row]) -> list[Subject]:
    """The same of the runs of rows, with these very rows.

    Those without running statistics are left out, and those whose training is not beside them.

    Args:
        rows: as listings have them; a run may have several.

    Raises:
        NormexpError: a run cannot be read.
    """
    found: dict[Path, list[tuple[Row, RunConfig]]] = {}
    for each in rows:
        path = Path(each["directory"])
        manifest = read_run(path)
        config = located(manifest)
        place = StudyDirectory(path.parent).trajectory(manifest["trajectory_id"])
        if isinstance(config.norm, BatchKind) and place.is_dir():
            found.setdefault(place, []).append((each, config))
    return [Subject(place, *zip(*members, strict=True)) for place, members in found.items()]


def with_data(
    found: Sequence[Subject], places: Sequence[Place] = ()
) -> tuple[list[Subject], list[str]]:
    """The trainings whose data can be read here, and what is to be said of the others.

    Args:
        found: the trainings.
        places: where data may stand now; else they must be where they stood.

    Raises:
        UsageError: no data can be read, or a place has none of these.
    """
    sets = find_data((config.data for each in found for config in each.configs), places)
    kept: list[Subject] = []
    lost: dict[UsageError, int] = {}
    for each in found:
        all_places = [sets[config.data] for config in each.configs]
        data = next((d for d in all_places if not isinstance(d, UsageError)), all_places[0])
        if isinstance(data, UsageError):
            lost[data] = lost.get(data, 0) + len(each.rows)
        else:
            configs = tuple(replace(config, data=data) for config in each.configs)
            kept.append(replace(each, configs=configs))
    if lost and not kept:
        raise next(iter(lost))
    return kept, [f"{n} runs left out: {why.message}; {why.hint}" for why, n in lost.items()]


def _subject(members: list[tuple[Path, Row, RunConfig]]) -> Subject:
    """The runs of one training, each once, though they may stand in several studies."""
    once = {row["run_id"]: (row, config) for _, row, config in members}
    rows, configs = zip(*once.values(), strict=True)
    return Subject(members[0][0], rows, configs)


def _nothing(selection: Selection, wanted: str) -> UsageError:
    """Why nothing can be said."""
    if selection.trajectories and not selection.runs:
        return UsageError(
            f"{wanted} is a training, without a run of its own", "name a run of it, or its study"
        )
    return UsageError(
        f"no run of {wanted} has running statistics and has not diverged",
        "name runs with norm=batch or norm=ghost: normexp ls shows what there is",
    )


def _tracked(directories: Sequence[Path]) -> Iterator[tuple[Path, Row, RunConfig]]:
    """The runs with running statistics, each with its trajectory's directory."""
    for path in directories:
        try:
            manifest = read_run(path)
        except NormexpError:
            if len(directories) == 1:
                raise
            continue  # unfinished or damaged: verify says more
        config = located(manifest)
        if isinstance(config.norm, BatchKind) and manifest["status"] == "complete":
            place = StudyDirectory(path.parent).trajectory(manifest["trajectory_id"])
            yield place, completed(row(manifest, path)), config


def _without_training(place: Path, row: Row) -> NotFoundError:
    return NotFoundError(
        f"the training of {row['directory']} is not beside it: {place} is not there",
        "name the run in its own store; or remove the run's directory and sweep it again",
    )
