"""What there is as lines: sweeps with what was typed, runs with what differs between them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from normexp.config.field import quoted
from normexp.console.lines import Cells, cropped, heads, lines, one_line, width_of, wrapped
from normexp.console.streams import stdout, stdout_line
from normexp.console.words import NOTHING, cell, counted, field_value, heading, number
from normexp.sweeps.listing import StudyRuns

Row = Mapping[str, Any]

FEWEST = 26
"""Characters for what was typed, below which another column gives way."""

MOST_LINES = 2
"""Of what was typed for one sweep."""

MOST_RULE = 80
"""Characters of the rule above sweeps, however wide the screen."""


def print_sweeps(rows: Sequence[Row]) -> None:
    """The sweeps of a store under the names of their studies, and how they differ."""
    console, statuses = stdout(), {_status(row) for row in rows}
    names = dict.fromkeys(row["study"] for row in rows)
    also = f", {'all ' if len(rows) > 1 else ''}{statuses.pop()}" if len(statuses) == 1 else ""
    of = f" of {counted(len(names), 'study')}" if len(names) > 1 else ""
    console.print(f"{counted(len(rows), 'sweep')}{of}{also}", soft_wrap=True)
    columns = _sweep_columns(rows, with_status=not also, width=console.width)
    room = max(FEWEST, console.width - width_of(columns) - 2)
    for line in heads([*columns, Cells("typed", [])], min(console.width, MOST_RULE)):
        _bold(console, line)
    fixed = dict(zip((row["directory"] for row in rows), lines(columns), strict=True))
    for name in names:
        _print_study(console, [row for row in rows if row["study"] == name], fixed, room)


def _sweep_columns(rows: Sequence[Row], *, with_status: bool, width: int) -> list[Cells]:
    """All but what was typed, as many as leave room for that."""
    columns = [Cells("sweep", [one_line(row["sweep"]) for row in rows])]
    if with_status:
        columns.append(Cells("status", [_status(row) for row in rows]))
    for name in ("runs", "trained"):
        more = Cells(name, [cell(row[name]) for row in rows], is_figure=True)
        if width - width_of([*columns, more]) - 2 >= FEWEST:
            columns.append(more)
    return columns


def _status(row: Row) -> str:
    """The status of a sweep, its job, and why that waits."""
    why = f": {one_line(row['reason'])}" if row["reason"] else ""
    return f"{row['status']} (job {one_line(row['job'])}{why})" if row["job"] else row["status"]


def _print_study(
    console: Console, rows: Sequence[Row], fixed: Mapping[str, str], room: int
) -> None:
    words = [None if row["typed"] is None else _words(row) for row in rows]
    known = [each for each in words if each is not None]
    common = [word for word in known[0] if all(word in each for each in known)] if known else []
    common = common if len(rows) > 1 else []
    name = one_line(str(rows[0]["study"]))
    console.print(Text(name, "bold"), soft_wrap=True)
    if common:
        for line in wrapped(["all:", *common], console.width - 1):
            stdout_line(f" {line}")
    indent = max(len(fixed[row["directory"]]) for row in rows)
    for row, each in zip(rows, words, strict=True):
        own = None if each is None else [word for word in each if word not in common]
        told = ["unreadable"] if own is None else own or [NOTHING]
        first, *more = wrapped(told, room, MOST_LINES)
        stdout_line(f"{fixed[row['directory']]:{indent}}  {first}")
        for line in more:
            stdout_line(f"{'':{indent}}  {line}")


def _words(row: Row) -> list[str]:
    """What was typed, without what the listing says anyway."""
    filed = ("--as", str(row["study"]))
    return [
        word
        for word in row["typed"]
        if (word not in filed or "--as" not in row["typed"])
        and not word.startswith("store.dir=")
        and word != f"study={quoted(row['study'])}"
    ]


def print_runs(found: StudyRuns) -> None:
    """The runs of a study: what all are, once, and in what they differ, a line each."""
    console, rows = stdout(), found.rows
    counts = Counter(row["status"] for row in rows)
    others = [f"{n:,} {name}" for name, n in sorted(counts.items()) if name != "complete"]
    told = ", ".join(others) or ("all complete" if len(rows) > 1 else "complete")
    console.print(f"{one_line(found.study)}: {counted(len(rows), 'run')}, {told}", soft_wrap=True)
    if found.common:
        for line in wrapped(["all:", *found.common], console.width):
            stdout_line(line)
    if not rows:
        return
    columns = _fitting(found, console.width, with_status=bool(others))
    for line in heads(columns):
        _bold(console, line)
    for line in lines(columns):
        stdout_line(line)


def _fitting(found: StudyRuns, width: int, *, with_status: bool) -> list[Cells]:
    """What differs, a column each, or the label where there is no room for that."""
    rows = found.rows
    head = [Cells("run", [one_line(row["run"]) for row in rows])]
    if with_status:
        head.append(Cells("status", [row["status"] for row in rows]))
    fields = [
        Cells(
            heading(path, keras=False),
            [one_line(field_value(path, row.get("values", {}), keras=False)) for row in rows],
        )
        for path in found.fields
    ]
    figures = _figures(rows)
    whole = [*head, *fields, *figures]
    damaged = not all("values" in row for row in rows)
    if fields and not damaged and width_of(whole) <= width:
        return whole
    labels = [one_line(row["label"]) for row in rows]
    while figures and width - width_of([*head, *figures]) < FEWEST:
        figures = figures[:-1]
    room = max(8, width - width_of([*head, *figures]) - 2)
    return [*head, Cells("label", [cropped(label, room) for label in labels]), *figures]


def _figures(rows: Sequence[Row]) -> list[Cells]:
    titles = {"test_accuracy": "accuracy", "test_loss": "test loss", "excess_loss": "excess"}
    return [
        Cells(title, [_figure(row, name) for row in rows], is_figure=True)
        for name, title in titles.items()
        if any(row.get(name) is not None for row in rows)
    ]


def _figure(row: Row, name: str) -> str:
    value = row.get(name)
    return NOTHING if value is None else number(float(value))


def _bold(console: Console, line: str) -> None:
    console.print(Text(line, "bold"), soft_wrap=True)
