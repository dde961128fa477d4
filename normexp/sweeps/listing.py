"""Listings of sweeps, runs, and one run. Reads manifests, imports neither torch nor pandas."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from math import isnan
from pathlib import Path
from typing import Any

import msgspec

from normexp.config.identity import common, completed, in_order, varying
from normexp.errors import NormexpError, NotFoundError, UsageError, did_you_mean
from normexp.executors.slurm import is_in_queue, queued
from normexp.store import sweep
from normexp.store.layout import StudyDirectory, looked, studies
from normexp.store.manifest import METRICS as TABLE
from normexp.store.manifest import intact
from normexp.store.selection import find_run, find_study
from normexp.store.stored import read_run
from normexp.store.sweep import SweepDirectory, has_ended, read_end
from normexp.study.asked import ANY_RUN, Where
from normexp.sweeps.in_slurm import sent_array

Rows = list[dict[str, Any]]
Config = dict[str, Any]

METRICS = ("test_loss", "excess_loss", "test_accuracy")
"""Of the last evaluation point, as listings show them."""


@dataclass(frozen=True)
class StudyRuns:
    """The runs of a study, and the fields in which they differ.

    Attributes:
        study: its name.
        fields: that differ between runs, the norm's first, the seed last.
        common: what all runs are, as one types it; defaults are left out.
        rows: one a run, in the order of the fields' values; damaged ones last.
    """

    study: str
    fields: tuple[str, ...]
    common: tuple[str, ...]
    rows: Rows


def sweeps(store: Path) -> Rows:
    """The rows of all sweeps, oldest first within each study.

    Raises:
        NotFoundError: the store is empty.
    """
    rows: Rows = []
    for study in studies(store):
        for path in study.sweep_directories():
            end, words = read_end(path), sweep.typed(path)
            rows.append(
                {
                    "study": study.path.name,
                    "sweep": path.name,
                    **_status(path, end),
                    **{name: end[name] if end else None for name in ("runs", "trained", "seconds")},
                    "typed": None if words is None else list(words),
                    **msgspec.to_builtins(sweep.labels_of(path)),
                    "directory": str(path),
                }
            )
    if not rows:
        raise NotFoundError(
            f"no sweep in {store}", "type normexp sweep, or --dir for another store"
        )
    return rows


def chosen(rows: Rows, tag: str | None, since: str | None, status: str | None) -> Rows:
    """Return the sweeps with a tag, that began on a day or later, and have a status.

    Raises:
        UsageError: the day is none, or there is no such sweep.
    """
    day = None
    if since is not None:
        try:
            day = date.fromisoformat(since).strftime("%Y%m%d")
        except ValueError:
            raise UsageError(f"--since {since} is no date", "type --since 2026-11-27") from None
    found = [
        row
        for row in rows
        if (tag is None or tag in row["tags"])
        and (day is None or row["sweep"] >= day)
        and (status is None or row["status"] == status)
    ]
    if rows and not found:
        tags = sorted({each for row in rows for each in row["tags"]})
        there = f"tags {', '.join(tags) or '–'}; status {', '.join({r['status'] for r in rows})}"
        raise UsageError("no sweep is like that", f"there is {there}; from {rows[0]['sweep'][:8]}")
    return found


def _status(path: Path, end: Mapping[str, Any] | None) -> dict[str, str | None]:
    """The status of a sweep, its last job if a cluster has or had it, and why that waits."""
    job = reason = None
    if end is not None:
        status = end["status"]
        job = [None, *end.get("jobs", ())][-1]  # of no sweep before they were kept
    elif has_ended(path):
        status = "damaged"
    else:
        place = SweepDirectory(path)
        sent = sent_array(place)
        statuses = None if sent is None else sent.array.statuses()
        job = sent.array.job if sent else None
        waiting, reason = queued(statuses or {})
        if waiting:
            status = "queued"
        elif place.is_alive():
            status = "running"
        elif sent is None:
            status = "unfinished"
        else:
            status = {True: "running", False: "detached", None: "unknown"}[is_in_queue(statuses)]
    return {"status": status, "job": job, "reason": reason or None}


def runs(store: Path, name: str, where: Where = ANY_RUN) -> StudyRuns:
    """One study's complete runs, and those that are damaged; or those that have some fields.

    Raises:
        NotFoundError: no such study.
        UsageError: no run has these fields.
    """
    study = find_study(store, name)
    whole: list[tuple[dict[str, Any], Config]] = []
    damaged: Rows = []
    paths = study.run_directories()
    for path, manifest in zip(paths, looked(paths, intact), strict=True):
        label, _, identity = path.name.rpartition("-")
        head = {"run": identity, "label": label, "status": "damaged", "directory": str(path)}
        if manifest is not None and manifest.get("run_id") == identity:
            whole.append((head | _results(manifest), _completed(manifest["config"])))
        else:
            damaged.append(head)
    if where:
        meant = where.among({number: config for number, (_, config) in enumerate(whole)})
        whole, damaged = [whole[number] for number in meant], []
    configs = [config for _, config in whole]
    fields = tuple(varying(configs))
    for field in reversed(fields):
        values = [repr(value) for value in in_order(field, [each.get(field) for each in configs])]
        rank = {value: number for number, value in enumerate(values)}
        whole.sort(key=lambda each: rank.get(repr(each[1].get(field)), -1))
    rows = [
        head | {"values": {path: config[path] for path in fields if path in config}}
        for head, config in whole
    ]
    return StudyRuns(study.path.name, fields, common(configs), rows + damaged)


def ranked(found: StudyRuns, by: str, most: int | None) -> StudyRuns:
    """Return the runs of a listing in the order of a field or a metric, the best first.

    Accuracies begin with the largest, all else with the least; what has none comes last.

    Raises:
        UsageError: no run has such a field or metric.
    """
    known = [name for name in METRICS if any(name in row for row in found.rows)] + [*found.fields]
    if by not in known:
        names = ", ".join(known)
        raise UsageError(
            f"no run has {by!r} to sort by; there is {names}",
            did_you_mean(by, known, f"type --sort {known[0]}, for example"),
        )
    sign = -1 if "accuracy" in by else 1

    def rank(row: dict[str, Any]) -> tuple[bool, float, str]:
        value = row.get("values", row).get(by, row.get(by))
        if not isinstance(value, int | float) or isnan(value):
            return True, 0.0, str(value)
        return False, sign * value, ""

    return replace(found, rows=sorted(found.rows, key=rank)[:most])


def _results(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The status and the metrics; runs without running statistics have no excess loss."""
    metrics = manifest["metrics"]
    has_statistics = "norm.momentum" in manifest["config"]
    names = [n for n in METRICS if n in metrics and (has_statistics or n != "excess_loss")]
    return {"status": manifest["status"], **{name: metrics[name] for name in names}}


def _completed(config: Config) -> Config:
    """A configuration with the fields that are newer; as it is where its kinds are unknown."""
    with suppress(UsageError):
        return completed(config)
    return config


def failed_run(store: Path, wanted: str) -> dict[str, Any] | None:
    """The last sweep in which a run has failed, by the beginning of its id, and the run's log."""
    for study in studies(store):
        for path in reversed(study.sweep_directories()):
            end = read_end(path) or {"errors": []}
            for run in end["failed"] if end["errors"] else ():
                if run.startswith(wanted):
                    log = SweepDirectory(path).log_of(run) or "\n".join(end["errors"])
                    return {"run_id": run, "status": "failed", "sweep": str(path), "log": log}
    return None


def run(store: Path, wanted: str) -> tuple[dict[str, Any], Rows]:
    """A run's manifest, its directory added, and its metrics at every evaluation point.

    Study and command are by the name that the study has now.

    Raises:
        NotFoundError: no such run, or several.
    """
    from normexp.store import parquet

    directory = find_run(store, wanted)
    manifest = read_run(directory)
    metrics: Rows = parquet.read(directory / TABLE, manifest["files"]).to_pylist()
    if not metrics:
        raise NormexpError(f"{directory / TABLE} has no rows")
    study, old = StudyDirectory(directory.absolute().parent), manifest["study"]
    manifest = {**manifest, "directory": str(directory)}
    if study.path.name != old and study.sweeps.is_dir():  # it has another name since
        filed, command = f"--as {study.path.name}", manifest["command"].replace(f" --as {old}", "")
        manifest |= {"study": study.path.name, "command": f"{command} {filed}"}
    return manifest, metrics
