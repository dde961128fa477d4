"""Stored runs read back: a directory, its manifest, what follows from these, and frames of many."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from sys import intern
from typing import TYPE_CHECKING, Any

from normexp.config.field import Scalar
from normexp.config.identity import completed
from normexp.config.schema import IDENTITY_GROUPS
from normexp.config.tree import without_gone
from normexp.errors import NormexpError, NotFoundError, pick
from normexp.store.columns import RUN_TABLES, TABLES
from normexp.store.layout import ID_LENGTH, StudyDirectory, looked, studies
from normexp.store.manifest import MANIFEST, METRICS, intact, read_manifest
from normexp.store.plain import reason, verified
from normexp.store.sweep import SUMMARY, TYPED, has_ended, read_summary
from normexp.study.asked import where_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from normexp.config.schema import RunConfig

FINAL = tuple(c.name for c in TABLES["metrics"] if c.name not in ("step", "epoch"))
"""The metrics of the last evaluation point, which a row repeats."""

HEAD = ("run_id", "status", "study")
TAIL = ("half_life_steps", "diverged_step", "label", "trajectory_id")

Row = dict[str, Any]


@dataclass(frozen=True)
class Stored:
    """A run as its own directory records it: neither a study nor today's defaults are asked."""

    directory: Path
    manifest: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.manifest["run_id"])

    @property
    def label(self) -> str:
        """The run's name for people."""
        return str(self.manifest.get("label") or self.directory.name)

    @property
    def trajectory_id(self) -> str:
        """The id of its training."""
        return str(self.manifest["trajectory_id"])

    @property
    def trajectory(self) -> Path:
        """The directory of its training, unless the run was copied away."""
        return StudyDirectory(self.directory.parent).trajectory(Path(self.trajectory_id).name)

    @cached_property
    def flat(self) -> dict[str, Scalar]:
        """The configuration by dotted names; what is newer than the run is at its neutral value.

        Raises:
            UsageError: it names a kind that there is not.
        """
        return completed(self.manifest["config"])

    @cached_property
    def config(self) -> "RunConfig":
        """The configuration, its data where they stood when the run was made.

        Raises:
            NormexpError: it is none, or not one of a run.
        """
        from normexp.store.places import located

        return located({**self.manifest, "config": self.flat})

    @cached_property
    def row(self) -> Row:
        """The run's row, see `row`, with today's fields."""
        return row({**self.manifest, "config": self.flat}, self.directory)


def stored(directory: Path) -> Stored:
    """Return the run in a directory.

    Raises:
        NormexpError: its manifest or its metrics cannot be read, or it is something else's.
    """
    place = directory if directory.name not in ("", "..") else directory.resolve()
    return Stored(place, read_run(place))


def whole_runs(directories: Iterable[Path], lost: list[Path] | None = None) -> Iterator[Stored]:
    """Yield the runs in those of the directories that are whole; `lost` gets the damaged ones."""
    for directory, manifest in looked(directories, lambda path: (path, intact(path))):
        if manifest is not None and manifest["kind"] == "run":
            yield Stored(directory, manifest)
        elif manifest is None and lost is not None:
            lost.append(directory)


def row(manifest: Mapping[str, Any], directory: Path) -> Row:
    """Return a run's row: identity, configuration, final metrics, and where it stands."""
    # Rows share their texts: those of a million runs take 2 GB, and would take 10.
    there = without_gone(manifest["config"])
    config = {intern(path): _shared(value) for path, value in there.items()}
    kinds = {group: config[f"{group}.kind"] for group in IDENTITY_GROUPS}
    final = {intern(name): v for name, v in manifest["metrics"].items() if name in FINAL}
    head, tail = ({name: _shared(manifest[name]) for name in names} for names in (HEAD, TAIL))
    text = str(directory).encode(errors="replace").decode()  # as a table can hold it
    return {**head, **kinds, **config, **final, **tail, "directory": text}


def rows_of(directories: Iterable[Path]) -> list[Row]:
    """Return the rows of runs, older ones completed; NormexpError if one cannot be read."""
    return list(looked(directories, lambda directory: stored(directory).row))


def read_run(directory: Path) -> dict[str, Any]:
    """Return the manifest of a run whose metrics are those of the manifest.

    Raises:
        NormexpError: it or they cannot be read, or it is something else's.
    """
    manifest = read_manifest(directory)
    if manifest["kind"] != "run":
        raise NormexpError(f"{directory} is a {manifest['kind']}, not a run")
    try:
        verified(f"{directory}/{METRICS}", manifest["files"][METRICS])
    except (OSError, ValueError) as error:
        raise NormexpError(
            f"{directory / METRICS} cannot be read ({reason(error)})",
            f"remove {directory} and sweep again: only what is missing is made again",
        ) from error
    return manifest


def _shared(value: Any) -> Any:  # noqa: ANN401  a cell of a table
    return intern(value) if type(value) is str else value


def read(path: str | Path, table: str = "runs", where: str | Sequence[str] = ()) -> "pd.DataFrame":
    """Return a run, a sweep, a study or a whole store as a frame.

    Args:
        path: the directory of any of these.
        table: `runs`, one row a run with its configuration and final metrics; or the long tables
            `metrics`, `stats` or `layers` of all runs, with a column `run_id` in front.
        where: fields that the runs must have, such as `["norm.momentum=0.1,0.5", "seed=range(4)"]`.

    Raises:
        NotFoundError: there is no run at `path`.
        UsageError: there is no such table, or no run has these fields.
    """
    import pyarrow as pa  # which listings need not wait for

    from normexp.store import parquet

    pick(str(table), dict.fromkeys(("runs", *RUN_TABLES)), "table")
    directories = _complete_runs(Path(path))
    if where:
        found = {each.directory: each.flat for each in map(stored, directories)}
        directories = where_of([where] if isinstance(where, str) else where).among(found)
    if table == "runs":
        arrow = parquet.rows_table(rows_of(directories))
    else:
        arrow, ids = stacked(directories, table)
        places = arrow["place"].combine_chunks()
        arrow = arrow.set_column(0, "run_id", pa.DictionaryArray.from_arrays(places, pa.array(ids)))
    frame: pd.DataFrame = arrow.to_pandas()
    return frame


def _complete_runs(path: Path) -> list[Path]:
    """Return the complete runs in a directory of any kind.

    Raises:
        NotFoundError: there is none.
    """
    if (path / "metrics.parquet").is_file():
        return [path]
    if not (path / TYPED).is_file():
        own = list(StudyDirectory(path).runs().values())
        found = own or [run for study in studies(path) for run in study.runs().values()]
    elif not (path / SUMMARY).is_file():
        raise NotFoundError(
            f"the sweep {path} has not ended", "read its study, or repeat the command to continue"
        )
    else:
        place = path if path.parent.parent.name else path.resolve()  # "." has no parents
        files = read_manifest(path).get("files") if has_ended(path) else None  # not of old sweeps
        ids = dict.fromkeys(read_summary(path, files)["run_id"].to_pylist())
        there = StudyDirectory(place.parents[1]).runs(ids)
        found = [there[name] for name in ids if name in there]
    if not found:
        raise NotFoundError(f"no complete run in {path}", "type normexp ls to see what there is")
    return found


def stacked(directories: Sequence[Path], table: str) -> "tuple[pa.Table, list[str]]":
    """Return the tables of runs one below the other, and the ids of the runs.

    In front of each row is its run's `place` among these.

    Raises:
        NormexpError: a table is not as its manifest says; without a manifest, not a table.
    """
    import pyarrow as pa

    from normexp.store import parquet

    parts, ids = [], []
    for place, directory in enumerate(directories):
        alone = not os.path.lexists(directory / MANIFEST)
        manifest = {} if alone else read_manifest(directory)
        part = parquet.read(directory / f"{table}.parquet", manifest.get("files"))
        parts.append(part.add_column(0, "place", pa.array([place] * part.num_rows, pa.int32())))
        ids.append(str(manifest.get("run_id", directory.name[-ID_LENGTH:])))
    return pa.concat_tables(parts, promote_options="permissive").unify_dictionaries(), ids
