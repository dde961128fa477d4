"""Stored runs with running statistics, by the trajectory that they are observed from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normexp.config.norm import BatchKind
from normexp.config.schema import RunConfig
from normexp.config.tree import nest
from normexp.errors import NormexpError, NotFoundError, UsageError
from normexp.store.expected import understood
from normexp.store.layout import StudyDirectory
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

        return read_trajectory(self.directory)


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
    found: dict[Path, list[tuple[Row, RunConfig]]] = {}
    for place, each, config in _tracked(selection):
        found.setdefault(place, []).append((each, config))
    if not found:
        raise UsageError(
            f"no run of {wanted or store} has running statistics to ask about",
            "name runs with norm=batch or norm=ghost: normexp ls shows what there is",
        )
    return [Subject(place, *map(tuple, zip(*pairs, strict=True))) for place, pairs in found.items()]


def _tracked(selection: Selection) -> Iterator[tuple[Path, Row, RunConfig]]:
    """The runs with running statistics, each with its trajectory's directory."""
    for path in selection.runs:
        try:
            manifest = read_run(path)
        except NormexpError:
            if len(selection.runs) == 1:
                raise
            continue  # unfinished or damaged: verify says more
        config = understood(nest(manifest["config"]))
        if isinstance(config.norm, BatchKind) and manifest["status"] == "complete":
            yield _trajectory(path, manifest), row(manifest, path), config


def _trajectory(path: Path, manifest: dict[str, Any]) -> Path:
    place = StudyDirectory(path.parent).trajectory(manifest["trajectory_id"])
    if not place.is_dir():
        raise NotFoundError(
            f"the training of {path} is not beside it: {place} is not there",
            "name the run in its own store, or type the run's command to make it anew",
        )
    return place
