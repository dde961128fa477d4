"""Tables: a plan, a sweep's result, listings, one run."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from normexp.analysis import Arm
from normexp.config.field import spell
from normexp.console.arms import print_arms
from normexp.console.columns import table_of
from normexp.console.streams import stderr, stdout, stdout_line
from normexp.console.words import (
    cell,
    counted,
    duration,
    listed,
)
from normexp.planning.plan import Plan
from normexp.session.result import SweepResult, outdated

MOST_LAID_OUT = 1000
"""Rows of a listing."""


def print_plan(plan: Plan) -> None:
    """A plan: what there is to do, what is there already, and about how long it takes."""
    console, study = stdout(), plan.study
    typed = " ".join(study.overrides)
    console.print(
        f"{study.name} with {typed}" if typed else f"{study.name}: {study.about}", soft_wrap=True
    )
    console.print(
        f"{counted(len(study.runs), 'run')} → {counted(plan.trajectories, 'trajectory')} "
        f"→ {counted(len(plan.stacks), 'stack')} to work on"
    )
    console.print(
        f"cached {counted(len(plan.cached), 'run')} · to train "
        f"{counted(plan.to_train, 'trajectory')} · to observe {counted(plan.to_observe, 'run')}"
    )
    table = table_of("axis", "values")
    for axis in study.axes:
        table.add_row(axis.key, listed(axis.values))
    console.print(table)
    for note in (*study.notes, *outdated(plan)):
        console.print(f"note: {note}", soft_wrap=True)
    if plan.stacks:
        seconds = plan.estimate_seconds
        about = "under a second" if seconds < 1 else f"about {duration(seconds)}"
        console.print(f"estimate: {about} with {counted(plan.workers, 'worker')}, start-up aside")
    else:
        console.print("nothing to do: every run is there")


def print_result(result: SweepResult) -> None:
    """A sweep's table, its warnings, and its directory on the last line."""
    console, plan = stdout(), result.plan
    console.print(
        f"{plan.study.name}: {counted(len(plan.study.runs), 'run')}, {len(plan.cached)} cached, "
        f"{result.observed} observed"
        f"{f', {len(result.failed)} failed' if result.failed else ''}; "
        f"{counted(result.trained, 'trajectory')} trained; "
        f"{duration(result.seconds)}",
        soft_wrap=True,
    )
    if result.rows:
        print_arms(console, result.arms, result.differing)
    notes = plan.study.notes if plan.study.overrides else ()  # nothing of the default surprises
    for line in (*notes, *_diverged(result.arms)):
        stderr().print(f"note: {line}", soft_wrap=True)
    for line in result.warnings:
        stderr().print(Text("warning: ", "bold yellow") + Text(line), soft_wrap=True)
    for line in result.errors:
        stderr().print(Text("failed: ", "bold red") + Text(line), soft_wrap=True)
    console.print(str(result.directory), soft_wrap=True)


def print_listing(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as a table; very many as plain lines, since laying them out would take seconds."""
    cells = [[cell(row.get(name)) for name in columns] for row in rows]
    if len(cells) > MOST_LAID_OUT:
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        for line in (columns, *cells):
            padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
            stdout_line(" " + "  ".join(padded).rstrip())
        return
    table = table_of(*columns)
    for line in cells:
        table.add_row(*line)
    stdout().print(table)


def print_run(manifest: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> None:
    """One run whole."""
    console = stdout()
    console.print(f"{manifest['label']}  {manifest['run_id']}  {manifest['status']}", style="bold")
    console.print(f"study {manifest['study']} · trajectory {manifest['trajectory_id']}")
    if (momentum := manifest["config"].get("norm.momentum")) is not None:
        console.print(
            f"momentum {momentum:g} as in PyTorch, {1 - momentum:g} as in Keras; half-life "
            f"{cell(manifest['half_life_steps'])} steps"
        )
    sections: dict[str, list[str]] = {}
    for path, value in manifest["config"].items():
        section, _, field = path.rpartition(".")
        sections.setdefault(section or "run", []).append(f"{field}={spell(value)}")
    table = table_of("config", "")
    for section, fields in sections.items():
        table.add_row(section, "  ".join(fields))
    console.print(table)
    names = {"step": "step", "train_loss": "train", "test_loss": "test loss",
             "test_loss_population": "population", "test_loss_test_batch": "test batch",
             "excess_loss": "excess", "test_accuracy": "accuracy",
             "test_accuracy_population": "population accuracy"}  # fmt: skip
    names = {name: title for name, title in names.items() if name in metrics[0]}
    table = table_of(right=tuple(names.values()))
    for row in metrics:
        table.add_row(*(cell(row[name]) for name in names))
    console.print(table)
    table = table_of("file", right=("bytes",))
    for name, file in manifest["files"].items():
        table.add_row(name, str(file["bytes"]))
    console.print(table)
    console.print("reproduce:", style="bold")
    console.print(f"normexp reproduce {manifest['directory']}", soft_wrap=True)
    console.print("the sweep that makes it alone:", style="bold")
    console.print(manifest["command"], soft_wrap=True)
    console.print(manifest["directory"], soft_wrap=True)


def _diverged(arms: Sequence[Arm]) -> list[str]:
    number = sum(arm.diverged for arm in arms)
    return [f"{counted(number, 'run')} diverged, left out of the means"] if number else []
