"""Reading back: any part of a store as a pandas frame."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from normexp.errors import NotFoundError, pick
from normexp.store import parquet, summary
from normexp.store.columns import RUN_TABLES
from normexp.store.files import MANIFEST, read_manifest
from normexp.store.layout import ID_LENGTH, StudyDirectory, studies
from normexp.store.stored import rows_of
from normexp.store.sweep import SUMMARY, has_ended

if TYPE_CHECKING:
    import pandas as pd


def read(path: str | Path, table: str = "runs") -> "pd.DataFrame":
    """A run, a sweep, a study or a whole store as a frame.

    Args:
        path: the directory of any of these.
        table: `runs`, one row a run with its configuration and final metrics; or the long tables
            `metrics`, `stats` or `layers` of all runs, with a column `run_id` in front.

    Raises:
        NotFoundError: there is no run at `path`.
        UsageError: there is no such table.
    """
    pick(str(table), dict.fromkeys(("runs", *RUN_TABLES)), "table")
    directories = run_directories(Path(path))
    is_summary = table == "runs"
    arrow = summary.table(rows_of(directories)) if is_summary else _long(directories, table)
    frame: pd.DataFrame = arrow.to_pandas()
    return frame


def run_directories(path: Path) -> list[Path]:
    """The complete runs in a directory of any kind.

    Raises:
        NotFoundError: there is none.
    """
    if (path / "metrics.parquet").is_file():
        found = [path]
    elif (path / "sweep.yaml").is_file():
        found = _runs_of_sweep(path)
    else:
        own = list(StudyDirectory(path).runs().values())
        found = own or [run for study in studies(path) for run in study.runs().values()]
    if not found:
        raise NotFoundError(f"no complete run in {path}", "type normexp ls to see what there is")
    return found


def _runs_of_sweep(path: Path) -> list[Path]:
    if not (path / SUMMARY).is_file():
        raise NotFoundError(
            f"the sweep {path} has not ended", "read its study, or repeat the command to continue"
        )
    whole = path if len(path.parts) > len(("sweeps", path.name)) else path.resolve()
    there = StudyDirectory(whole.parents[1]).runs()
    files = read_manifest(path).get("files") if has_ended(path) else None  # not of old sweeps
    wanted = summary.read(path / SUMMARY, files)["run_id"].to_pylist()
    return [there[name] for name in dict.fromkeys(wanted) if name in there]


def _long(directories: Sequence[Path], table: str) -> pa.Table:
    """The tables of all runs that have them, one below the other, each row with its run's id."""
    whole, ids = stacked(directories, table)
    places = whole["place"].combine_chunks()
    return whole.set_column(0, "run_id", pa.DictionaryArray.from_arrays(places, pa.array(ids)))


def stacked(directories: Sequence[Path], table: str) -> tuple[pa.Table, list[str]]:
    """Return the tables of runs one below the other, and the ids of the runs.

    In front of each row is its run's `place` among these.

    Args:
        directories: at least one; all have the table.
        table: its name.

    Raises:
        NormexpError: a table is not as its manifest says; without a manifest, not a table.
    """
    parts, ids = [], []
    for place, directory in enumerate(directories):
        alone = not os.path.lexists(directory / MANIFEST)
        manifest = {} if alone else read_manifest(directory)
        part = parquet.read(directory / f"{table}.parquet", manifest.get("files"))
        places = pa.array([place] * part.num_rows, pa.int32())
        parts.append(part.add_column(0, "place", places))
        ids.append(str(manifest.get("run_id", directory.name[-ID_LENGTH:])))
    return pa.concat_tables(parts, promote_options="permissive").unify_dictionaries(), ids
