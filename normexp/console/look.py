"""Listings of a store: its sweeps, the runs of a study, one run."""

import shlex
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.filesize import decimal

from normexp.config.field import as_override, quoted, spell
from normexp.config.identity import describing
from normexp.config.schema import KIND_FIELDS, RECORDED
from normexp.console.output import (
    field_cells,
    fits,
    legend,
    print_command,
    print_table,
    say,
)
from normexp.console.words import METRICS, NOTHING, counted, evenly, keras, short
from normexp.sweeps.listing import StudyRuns

Row = Mapping[str, Any]

MOST_TYPED = 160
"""Characters shown of what was typed for one sweep."""

MOST_POINTS = 16
"""Evaluation points shown of a run."""

MOST_LINES = 30
"""The end of a log that is shown."""

SHOWN = ("test_accuracy", "test_loss", "excess_loss")
"""Metrics of each run of a study."""

DROP_ORDER = ("test batch", "population\naccuracy", "train", "population")


def print_sweeps(rows: Sequence[Row]) -> None:
    """The sweeps of a store, and how they differ."""
    statuses = {_status(row) for row in rows}
    names = {row["study"] for row in rows}
    also = f", {'all ' if len(rows) > 1 else ''}{statuses.pop()}" if len(statuses) == 1 else ""
    of = counted(len(names), "study") if len(names) > 1 else str(rows[0]["study"])
    say(f"{counted(len(rows), 'sweep')} of {of}{also}")
    typed = {str(row["directory"]): _typed(row) for row in rows}
    known = [words for words in typed.values() if words is not None]
    common = [word for word in known[0] if all(word in words for words in known)] if known else []
    if len(rows) > 1 and common:
        say("all:", *common)
    else:
        common = []
    table = [
        {
            "study": row["study"] if len(names) > 1 else None,
            "sweep": row["sweep"],
            "status": None if also else _status(row),
            "runs": row["runs"],
            "trained": row["trained"],
            "tags": " ".join(row["tags"]) or None,
            "typed": _shortened(typed[str(row["directory"])], common),
            "note": row["note"] or None,
        }
        for row in rows
    ]
    print_table(table, ("trained", "runs"))


def _status(row: Row) -> str:
    """The status of a sweep, its job, and why that waits."""
    why = f": {row['reason']}" if row["reason"] else ""
    return f"{row['status']} (job {row['job']}{why})" if row["job"] else str(row["status"])


def _shortened(words: Sequence[str] | None, common: Sequence[str]) -> str:
    if words is None:
        return "unreadable"
    own = " ".join(word for word in words if word not in common)
    return textwrap.shorten(own, MOST_TYPED, placeholder=" …") or NOTHING


def _typed(row: Row) -> list[str] | None:
    """The words typed for a sweep, its study and store left out; None if they cannot be read."""
    if row["typed"] is None:
        return None
    filed = ("--as", str(row["study"])) if "--as" in row["typed"] else ()
    return [
        word
        for word in row["typed"]
        if word not in filed
        and not word.startswith("store.dir=")
        and word != f"study={quoted(row['study'])}"
    ]


def print_runs(found: StudyRuns) -> None:
    """The runs of a study: what all have in common, and in what they differ, a line each."""
    rows = found.rows
    counts = Counter(row["status"] for row in rows)
    others = ", ".join(f"{n:,} {name}" for name, n in sorted(counts.items()) if name != "complete")
    states = others or ("all complete" if len(rows) > 1 else "complete")
    say(f"{found.study}: {counted(len(rows), 'run')}, {states}")
    if found.common:
        say("all:", *found.common)
    if not rows:
        return
    labels, fields = [], []
    for row in rows:
        head = {"run": row["run"], "status": row["status"] if others else None}
        figures = {METRICS[name]: row.get(name) for name in SHOWN}
        labels.append(head | {"label": row["label"]} | figures)
        if found.fields and "values" in row:
            fields.append(head | field_cells(found.fields, row["values"]) | figures)
    is_whole = len(fields) == len(rows) and fits(fields)
    print_table(fields if is_whole else labels, ("excess", "test loss", "accuracy"))


def print_run(manifest: Row, metrics: Sequence[Row], *, whole: bool = False) -> None:
    """A run: fields, metrics, files, and how to make it again; `whole` with all details."""
    name = f"{manifest['label']}  {manifest['run_id']}  {manifest['status']}"
    say(name, style="bold")
    say(f"study {manifest['study']} · trajectory {manifest['trajectory_id']}")
    momentum, half_life = manifest["config"].get("norm.momentum"), manifest["half_life_steps"]
    if momentum is not None:
        steps = short(half_life)
        say(
            f"momentum {momentum:g} (PyTorch), {keras(momentum)} (Keras) · half-life {steps} "
            f"{'step' if steps == '1' else 'steps'}"
        )
    _print_config(manifest["config"], whole=whole)
    _print_metrics(metrics, most=len(metrics) if whole else MOST_POINTS)
    _print_files(manifest["files"], whole=whole)
    if manifest["config"]["data.kind"] == RECORDED["data"]:
        say("recorded in a loop outside of normexp, which alone can train it again")
    else:
        say("reproduce:", style="bold")
        print_command(f"normexp reproduce {shlex.quote(manifest['directory'])}")
        say("the sweep that makes it alone:", style="bold")
        print_command(manifest["command"])
    say(manifest["directory"])


def print_failed(failed: Row) -> None:
    """A run that has failed: where, and the end of its log."""
    say(f"{failed['run_id']}  failed", style="bold")
    for line in failed["log"].splitlines()[-MOST_LINES:]:
        say(line)
    say(failed["sweep"])


def _print_config(config: Row, *, whole: bool) -> None:
    """Every field by section, or the kinds and what differs from the defaults."""
    if whole:
        sections: dict[str, list[str]] = {}
        for path, value in config.items():
            section, _, field = path.rpartition(".")
            sections.setdefault(section or "run", []).append(f"{field}={spell(value)}")
        rows = [{"config": name, "": "  ".join(each)} for name, each in sections.items()]
        print_table(rows)
        return
    shown = describing(config)
    for is_kind in (True, False):
        paths = [path for path in shown if (path in KIND_FIELDS) is is_kind]
        say(*(as_override(path, config[path]) for path in paths))
    others = counted(len(config) - len(shown), "other field")
    legend(f"{others} at the default: --all")


def _print_metrics(metrics: Sequence[Row], most: int) -> None:
    shown = [
        {title: metrics[point].get(name) for name, title in {"step": "step", **METRICS}.items()}
        for point in evenly(len(metrics), most)
    ]
    print_table(shown, DROP_ORDER)
    if more := len(metrics) - len(shown):
        points = counted(more, "evaluation point").replace(" ", " more ", 1)
        legend(f"… {points}: --all")


def _print_files(files: Row, *, whole: bool) -> None:
    """The size of all files and the names of the tables, or the size of each."""
    if whole:
        print_table([{"file": name, "bytes": e["bytes"]} for name, e in files.items()])
        return
    total = sum(file["bytes"] for file in files.values())
    say(f"files: {decimal(total)}", style="bold")
    say(*(name for name in files if not name.startswith(".")))
