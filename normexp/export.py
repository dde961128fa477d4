"""Runs handed to other tools: tables, TensorBoard, MLflow, Weights & Biases, Trackio.

An exporter takes a directory and runs, and returns how many of them were new there. It finds runs
by their ids and leaves those that are there as they are, so that exporting twice adds nothing.
Tables are written anew. Nothing is sent to a server.
"""

import os
from collections.abc import Callable, Collection
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time

from normexp.errors import NormexpError, UsageError
from normexp.store import parquet
from normexp.store.locks import flocked
from normexp.store.stored import Stored

Runs = Collection[Stored]
"""Of any studies, each once."""

MOST = 1000
"""Numbers that MLflow takes at a time."""


def points(run: Stored) -> dict[int, dict[str, float]]:
    """Return by step a run's metrics and, by layer, the errors of its running statistics.

    Numbers that do not exist are left out, such as the training loss before the first step.
    """
    found: dict[int, dict[str, float]] = {}
    for table in ("metrics", "layers"):
        rows = parquet.read(run.directory / f"{table}.parquet", run.manifest["files"])
        for row in rows.to_pylist():
            there, layer = found.setdefault(row.pop("step"), {}), row.pop("layer", "")
            for name, value in row.items():
                if value is not None:
                    there[f"{name}/{layer}".rstrip("/")] = value
    return found


def to_tables(suffix: str, place: Path, runs: Runs) -> int:
    """Write `runs`, a row a run as in `normexp.read`, and `points`, a row a step of it."""
    import pandas as pd

    steps = [
        {"run_id": run.id, "step": step, **row} for run in runs for step, row in points(run).items()
    ]
    rows = parquet.rows_table([run.row for run in runs]).to_pandas()
    for name, frame in {"runs": rows, "points": pd.DataFrame(steps)}.items():
        getattr(frame, f"to_{suffix}")(place / f"{name}.{suffix}", index=False)
    return len(runs)


def to_directories(fill: Callable[[Path, Stored], None], place: Path, runs: Runs) -> int:
    """Make a directory for each run, hidden until it is whole, below one of its study."""
    new = 0
    for run in runs:
        final = place.joinpath(*run.directory.parts[-2:])
        if not final.exists():
            final.parent.mkdir(exist_ok=True)
            with TemporaryDirectory(prefix=".", dir=final.parent) as hidden:
                part = Path(hidden, run.id)
                part.mkdir()
                fill(part, run)
                part.rename(final)
            new += 1
    return new


def fill_tensorboard(directory: Path, run: Stored) -> None:
    """Write events; the configuration is what TensorBoard calls hyperparameters."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(directory))
    known = {path: value for path, value in run.flat.items() if value is not None}
    writer.add_event(Event(summary=hparams_pb(known, trial_id=run.id)))
    for step, row in points(run).items():
        values = [Summary.Value(tag=name, simple_value=row[name]) for name in row]
        writer.add_event(Event(step=step, summary={"value": values}, wall_time=time()))
    writer.close()


def fill_wandb(directory: Path, run: Stored) -> None:
    """Write an offline run, which `wandb sync` sends."""
    os.environ["WANDB_ERROR_REPORTING"] = "false"  # which is sent from offline runs too
    import wandb

    live = wandb.init(
        project=run.manifest["study"], id=run.id, name=run.label, config=run.flat, mode="offline",
        dir=directory.resolve(), settings={"console": "off", "silent": True, "x_disable_meta": True,
                                 "x_disable_stats": True, "x_save_requirements": False}
    )  # fmt: skip
    for step, row in points(run).items():
        live.log(row, step)
    live.finish()


def to_mlflow(place: Path, runs: Runs) -> int:
    """Add runs to a SQLite file, in an experiment a study."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow
    from mlflow.entities import Metric, Param

    database = place.resolve() / "mlflow.db"
    if not database.exists():
        with TemporaryDirectory(prefix=".", dir=place) as hidden:
            part = Path(hidden, database.name)
            mlflow.MlflowClient(f"sqlite:///{part.resolve()}").search_experiments()  # makes it
            part.rename(database)
    mlflow.set_tracking_uri(f"sqlite:///{database}")
    client, ids = mlflow.MlflowClient(), set()
    for each in mlflow.search_runs(search_all_experiments=True, output_format="list"):
        if each.info.status == "FINISHED":
            ids.add(each.data.tags.get("normexp.run_id"))
        elif "normexp.run_id" in each.data.tags:  # of an export that was interrupted
            client.delete_run(each.info.run_id)
    new = [run for run in runs if run.id not in ids]
    for run in new:
        home = mlflow.set_experiment(run.manifest["study"]).experiment_id
        name = client.create_run(
            home, tags={"normexp.run_id": run.id}, run_name=run.label
        ).info.run_id
        client.log_batch(name, params=[Param(key, str(run.flat[key])) for key in run.flat])
        metrics = [
            Metric(key, value, 0, step)
            for step, row in points(run).items()
            for key, value in row.items()
        ]
        while metrics:
            client.log_batch(name, metrics[:MOST])
            del metrics[:MOST]
        client.set_terminated(name)
    return len(new)


def to_trackio(place: Path, runs: Runs) -> int:
    """Add runs to SQLite files, one a study: each in a transaction."""
    from trackio import sqlite_storage

    sqlite_storage.TRACKIO_DIR = place.resolve()
    store, studies = sqlite_storage.SQLiteStorage, {run.manifest["study"] for run in runs}
    there = {each["id"] for study in studies for each in store.get_run_records(study)}
    new = [run for run in runs if run.id not in there]
    for run in new:
        rows, study = points(run), run.manifest["study"]
        numbers = [*rows.values()]
        store.bulk_log(study, run.label, numbers, [*rows], config=run.flat, run_id=run.id)
    return len(new)


EXPORTERS: dict[str, Callable[..., int]] = {
    "csv": partial(to_tables, "csv"),
    "parquet": partial(to_tables, "parquet"),
    "tensorboard": partial(to_directories, fill_tensorboard),
    "wandb": partial(to_directories, fill_wandb),
    "mlflow": to_mlflow,
    "trackio": to_trackio,
}
"""By the name of the tool."""


def refuse_missing(tool: str) -> None:
    """Make sure that a tool is installed.

    Raises:
        UsageError: it is not.
    """
    if tool not in ("csv", "parquet") and find_spec(tool) is None:
        raise UsageError(f"log.to={tool} needs {tool}", f"type pip install {tool}")


def export(tool: str, runs: Runs, store: Path, out: Path | None = None) -> tuple[Path, int]:
    """Hand runs to a tool; return where they are, in `out` or the store, and how many are new.

    Raises:
        UsageError: the tool is not installed, or its place in the store is a link.
        NormexpError: the tool cannot use its place.
    """
    place = out or store / "exports" / tool
    for each in (place.parent, place, *place.glob("*")):
        if each.is_symlink() and out is None:
            raise UsageError(f"{each} is a link, which is not followed", "type --out DIR")
    place.mkdir(parents=True, exist_ok=True)
    try:
        with flocked(place):  # another export must not add the same runs
            return place, EXPORTERS[tool](place, runs)
    except ImportError as error:
        raise UsageError(f"--to {tool} needs {error.name}", f"type pip install {tool}") from error
    except (NormexpError, OSError):
        raise
    except Exception as error:  # a tool's own
        said = str(error).partition("\n")[0] or type(error).__name__
        raise NormexpError(
            f"{tool} cannot use {place}: {said}",
            "move it away: everything is exported anew; --debug shows all",
        ) from error
