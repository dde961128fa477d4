"""Runs as tables: one row a run, as summaries and `normexp.read` have it, and the long tables."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from normexp.errors import NormexpError, NotFoundError, pick
from normexp.store import parquet
from normexp.store.columns import RUN_TABLES
from normexp.store.layout import ID_LENGTH, StudyDirectory, studies
from normexp.store.manifest import MANIFEST, read_manifest
from normexp.store.stored import rows_of
from normexp.store.sweep import SUMMARY, TYPED, has_ended

if TYPE_CHECKING:
    import pandas as pd


def read(path: str | Path, table: str = "runs") -> "pd.DataFrame":
    """Return a run, a sweep, a study or a whole store as a frame.

    Args:
        path: the directory of any of these.
        table: `runs`, one row a run with its configuration and final metrics; or the long tables
            `metrics`, `stats` or `layers` of all runs, with a column `run_id` in front.

    Raises:
        NotFoundError: there is no run at `path`.
        UsageError: there is no such table.
    """
    pick(str(table), dict.fromkeys(("runs", *RUN_TABLES)), "table")
    directories = _complete_runs(Path(path))
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


def stacked(directories: Sequence[Path], table: str) -> tuple[pa.Table, list[str]]:
    """Return the tables of runs one below the other, and the ids of the runs.

    In front of each row is its run's `place` among these.

    Raises:
        NormexpError: a table is not as its manifest says; without a manifest, not a table.
    """
    parts, ids = [], []
    for place, directory in enumerate(directories):
        alone = not os.path.lexists(directory / MANIFEST)
        manifest = {} if alone else read_manifest(directory)
        part = parquet.read(directory / f"{table}.parquet", manifest.get("files"))
        parts.append(part.add_column(0, "place", pa.array([place] * part.num_rows, pa.int32())))
        ids.append(str(manifest.get("run_id", directory.name[-ID_LENGTH:])))
    return pa.concat_tables(parts, promote_options="permissive").unify_dictionaries(), ids


def read_summary(sweep: Path, files: Mapping[str, Any] | None = None) -> pa.Table:
    """Return a sweep's summary; see `parquet.read`.

    Raises:
        NormexpError: it cannot be read, or its columns are not those of a summary.
    """
    found = parquet.read(sweep / SUMMARY, files)
    types, names = parquet.column_types(), found.column_names
    fits = all(types.get(field.name) == field.type for field in found.schema)
    if not fits or "run_id" not in names or len({*names}) < len(names):
        raise NormexpError(
            f"{sweep / SUMMARY} cannot be read (its columns are not those of a summary)",
            f"remove {sweep}: its runs are untouched",
        )
    return found


def summary_ids(sweep: Path, *, with_trajectories: bool = False) -> list[str]:
    """Return the ids of a sweep's runs; none where its summary cannot be read."""
    names = ("run_id", "trajectory_id")[: 1 + with_trajectories]
    with suppress(NormexpError):
        found = read_summary(sweep)
        return [str(each) for name in names if name in found.schema.names for each in found[name]]
    return []
