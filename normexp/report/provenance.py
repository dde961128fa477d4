"""What each run is: its configuration, what made it, where it lies, how to make it again."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from normexp.config.field import spell
from normexp.console.words import cell, counted
from normexp.errors import NormexpError
from normexp.report.figure import Cell, Drawn, Figure, Link, Table
from normexp.report.source import Source
from normexp.store.stored import Row, read_run
from normexp.store.sweep import typed

MOST_RUNS = 200
"""Rows of the table of runs; of more, each arm's run in the middle."""

MOST_VALUES = 8
MOST_SWEEPS = 10

WITH = ("normexp", "code", "commit", "python", "torch", "numpy", "platform", "cpu")
"""What of an environment is told."""


def provenance(source: Source) -> Drawn:
    """Configuration, provenance, and the runs with their directories."""
    return [_configuration(source), _making(source), _runs(source)]


def _configuration(source: Source) -> Figure:
    """What is alike in all runs, and what is not; what follows from a kind counts as alike."""
    fields = [path for path in source.fields if "." in path]
    varied = [path for path in (*fields, "seed") if len(_values(source.rows, path)) > 1]
    groups: dict[str, list[str]] = {}
    for path in dict.fromkeys(path for row in source.rows for path in row if "." in path):
        if path not in varied:
            group, _, field = path.rpartition(".")
            groups.setdefault(group, []).append(f"{field}={_listed(_values(source.rows, path))}")
    rows = [(path, _listed(_values(source.rows, path))) for path in varied]
    rows += [(group, "  ".join(each)) for group, each in groups.items()]
    told = ", ".join(varied)
    return Figure(
        name="configuration",
        title="What differs, and what does not",
        sentence=f"These runs differ in {told}; all else is the same, or follows from these."
        if told
        else "There is one configuration.",
        description="",
        table=Table(("field", "values"), tuple(rows), prose=True),
        open=True,
    )


def _values(rows: Sequence[Row], path: str) -> list[str]:
    """What a field is, each value once, among the runs that have it."""
    return list(dict.fromkeys(spell(row[path]) for row in rows if path in row))


def _listed(values: Sequence[str]) -> str:
    if len(values) > MOST_VALUES:
        return f"{', '.join(values[:3])}, ..., {values[-1]} ({len(values)} values)"
    return ", ".join(values)


def _making(source: Source) -> Figure:
    """Which code, libraries and machines have made the runs, and which commands."""
    manifests = [manifest for row in source.rows if (manifest := _manifest(row))]
    created = sorted(manifest["created"] for manifest in manifests)
    made = {
        name: Counter(cell(manifest["environment"].get(name)) for manifest in manifests)
        for name in WITH
    }
    rows: list[tuple[Cell, ...]] = [
        (
            "made",
            " to ".join(dict.fromkeys(map(_when, (created[0], created[-1])))) if created else "",
        )
    ]
    rows += [(name, _counts(found)) for name, found in made.items()]
    rows += [("sweep", command) for command in _commands(source)]
    one = source.rows[0]["directory"]
    rows += [("one run again", f"normexp reproduce {shlex.quote(one)}")]
    several = [name for name, found in made.items() if len(found) > 1]
    sentence = (
        f"The runs were made with more than one {', '.join(several)}: normexp why RUN says what "
        "that can mean."
        if several
        else f"All {len(manifests):,} runs were made by the same code on the same kind of machine."
        if len(manifests) > 1
        else "What has made the run, and how to make it again."
    )
    return Figure(
        name="provenance",
        title="What made them",
        sentence=sentence,
        description="",
        table=Table(("what", "by which"), tuple(rows), prose=True),
        open=True,
    )


def _when(created: str) -> str:
    """`2026-11-21 15:07 UTC`."""
    return datetime.fromisoformat(created).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _manifest(row: Row) -> Mapping[str, Any] | None:
    try:
        return read_run(Path(row["directory"]))
    except NormexpError:
        return None


def _counts(found: Counter[str]) -> str:
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{value} ({counted(n, 'run')})" for value, n in found.most_common())


def _commands(source: Source) -> list[str]:
    """What was typed for the sweeps that these runs belong to, the newest ones."""
    found = [_command(path) for path in source.sweeps[-MOST_SWEEPS:]]
    return list(dict.fromkeys(each for each in found if each))


def _command(sweep: Path) -> str:
    words = typed(sweep)
    if words is None:
        return ""
    if "--as" in words:
        return shlex.join(["normexp", "sweep", *words])
    study = f"study={sweep.parents[1].name}"
    own = [each for each in words if not each.startswith("study=")]
    return shlex.join(["normexp", "sweep", study, *own])


def _runs(source: Source) -> Figure:
    """The runs and where they lie."""
    parts = source.parts
    rows = [{**row, "arm": part.arm_name(row)} for part in parts.values() for row in part.rows]
    shown = rows if len(rows) <= MOST_RUNS else _middle(rows)
    columns = ("run", "arm", "seed", "test loss", "excess", "directory")
    note = "A run again, compared with what is stored: normexp reproduce RUN."
    if len(shown) < len(rows):
        note = (
            f"{len(shown)} of {len(rows):,} runs: each arm's in the middle by test loss; "
            f"normexp.read() has all. {note}"
        )
    return Figure(
        name="runs",
        title="The runs",
        sentence=" ".join(
            f"{name}: {_sentence(part)}" if name else _sentence(part)
            for name, part in parts.items()
        ),
        description="",
        table=Table(columns, tuple(map(_run, shown))),
        note=note,
    )


def _sentence(source: Source) -> str:
    known = [row for row in source.rows if row.get("test_loss") is not None]
    if not known:
        return f"{counted(len(source.rows), 'run')}, none with a finite test loss."
    best, worst = (pick(known, key=lambda row: row["test_loss"]) for pick in (min, max))
    if best is worst:
        return f"The test loss is {cell(best['test_loss'])}."
    return (
        f"Test losses of single runs go from {cell(best['test_loss'])} ({source.arm_name(best)}, "
        f"seed {best['seed']}) to {cell(worst['test_loss'])} ({source.arm_name(worst)}, seed "
        f"{worst['seed']})."
    )


def _run(row: Row) -> tuple[Cell, ...]:
    excess = row.get("excess_loss") if "norm.momentum" in row else None
    place = Path(row["directory"])
    return (
        row["run_id"],
        row["arm"],
        str(row["seed"]),
        cell(row.get("test_loss")) if row["status"] == "complete" else row["status"],
        cell(excess),
        Link(place.name, place),
    )


def _middle(rows: Sequence[Row]) -> list[Row]:
    """Of each arm the run with the median test loss."""
    by_arm: dict[str, list[Row]] = {}
    for row in rows:
        by_arm.setdefault(row["arm"], []).append(row)
    found = []
    for members in by_arm.values():
        ranked = sorted(members, key=lambda row: (row["test_loss"] is None, row["test_loss"] or 0))
        found.append(ranked[(len(ranked) - 1) // 2])
    return found[:MOST_RUNS]
