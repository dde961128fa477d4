"""The runs of a report: their configuration, code and commands, and where they lie."""

import shlex
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from normexp.config.field import spell
from normexp.console.words import cell, counted, listed
from normexp.report.figure import Drawn, Figure, Link, Table, table
from normexp.report.source import Source
from normexp.store.stored import Row
from normexp.store.sweep import typed

MOST_SWEEPS = 10

WITH = ("normexp", "code", "commit", "python", "torch", "numpy", "platform", "cpu")
"""The entries of an environment that are shown."""


def provenance(source: Source) -> Drawn:
    """Configuration, provenance, and the runs with their directories."""
    return [_configuration(source), _making(source), _runs(source)]


def _configuration(source: Source) -> Figure:
    """The fields that differ, and the others; those that follow from a kind count as alike."""
    paths = dict.fromkeys(path for row in source.rows for path in row if "." in path)
    values = {
        path: list({spell(row[path]): row[path] for row in source.rows if path in row}.values())
        for path in [*paths, "seed"]
    }
    fields = [path for path in source.fields if path in values]
    varied = [path for path in (*fields, "seed") if len(values[path]) > 1]
    groups: dict[str, list[str]] = {}
    for path in paths:
        if path not in varied:
            group, _, field = path.rpartition(".")
            groups.setdefault(group, []).append(f"{field}={listed(values[path])}")
    rows = [(path, listed(values[path])) for path in varied]
    rows += [(group, "  ".join(each)) for group, each in groups.items()]
    return Figure(
        name="configuration",
        title="What differs, and what does not",
        sentence=f"These runs differ in {', '.join(varied)}; all else is the same, or follows from "
        "these."
        if varied
        else "There is one configuration.",
        table=Table(("field", "values"), tuple(rows), prose=True),
        open=True,
    )


def _making(source: Source) -> Figure:
    """Code, libraries, machines and commands that have made the runs."""
    created = [datetime.fromisoformat(run.manifest["created"]) for run in source.runs]
    when = (f"{each.astimezone(UTC):%Y-%m-%d %H:%M UTC}" for each in (min(created), max(created)))
    made = {
        name: Counter(cell(run.manifest["environment"].get(name)) for run in source.runs)
        for name in WITH
    }
    rows = [("made", " to ".join(dict.fromkeys(when)))]
    rows += [(name, _counts(found)) for name, found in made.items()]
    rows += [("sweep", command) for command in _commands(source)]
    rows += [("one run again", f"normexp reproduce {shlex.quote(source.rows[0]['directory'])}")]
    several = [name for name, found in made.items() if len(found) > 1]
    sentence = (
        f"The runs were made with more than one {', '.join(several)}: normexp why RUN says what "
        "that can mean."
        if several
        else f"All {len(source.runs):,} runs were made by the same code on one kind of machine."
        if len(source.runs) > 1
        else "The code and the machine that made the run, and how to make it again."
    )
    return Figure(
        name="provenance",
        title="What made them",
        sentence=sentence,
        table=Table(("what", "by which"), tuple(rows), prose=True),
        open=True,
    )


def _counts(found: Counter[str]) -> str:
    if len(found) == 1:
        return next(iter(found))
    return ", ".join(f"{value} ({counted(n, 'run')})" for value, n in found.most_common())


def _commands(source: Source) -> list[str]:
    """The commands of the sweeps that these runs belong to, the newest ones."""
    found = []
    for path in source.sweeps[-MOST_SWEEPS:]:
        words = typed(path)
        if words is None:
            continue
        if words and "--as" not in words:
            own = (each for each in words if not each.startswith("study="))
            words = (f"study={path.parents[1].name}", *own)
        found.append(shlex.join(["normexp", "sweep", *words]))
    return list(dict.fromkeys(found))


def _runs(source: Source) -> Figure:
    """The runs and where they lie."""
    rows = [row for part in source.parts.values() for row in part.rows]
    ranges = [f"{name}: {_range(part)}" if name else _range(part)
              for name, part in source.parts.items()]  # fmt: skip
    columns = ("run", "arm", "seed", "test loss", "excess", "directory")
    return Figure(
        name="runs",
        title="The runs",
        sentence=" ".join(ranges),
        table=table(columns, map(_run, rows)),
        note="A run again, compared with what is stored: normexp reproduce RUN.",
    )


def _run(row: Row) -> tuple[object, ...]:
    place = Path(row["directory"])
    loss = row.get("test_loss") if row["status"] == "complete" else row["status"]
    excess = row.get("excess_loss") if "norm.momentum" in row else None
    return (row["run_id"], row["arm"], row["seed"], loss, excess, Link(place.name, place))


def _range(source: Source) -> str:
    known = sorted(
        (row for row in source.rows if row.get("test_loss") is not None),
        key=lambda row: row["test_loss"],
    )
    if not known:
        return f"{counted(len(source.rows), 'run')}, none with a finite test loss."
    best, worst = (
        f"{cell(row['test_loss'])} ({row['arm']}, seed {row['seed']})"
        for row in (known[0], known[-1])
    )
    return f"Test losses of single runs go from {best} to {worst}."
