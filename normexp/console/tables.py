"""Tables: a plan, a sweep's result."""

from collections.abc import Sequence

from rich.text import Text

from normexp.analysis import Arm
from normexp.console.arms import print_arms
from normexp.console.columns import table_of
from normexp.console.streams import stderr, stdout
from normexp.console.words import (
    counted,
    duration,
    listed,
)
from normexp.sweeps.outcome import Outcome
from normexp.sweeps.plan import Plan


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
    for note in (*study.notes, *plan.warnings):
        console.print(f"note: {note}", soft_wrap=True)
    if plan.stacks:
        seconds = plan.estimate_seconds
        about = "under a second" if seconds < 1 else f"about {duration(seconds)}"
        console.print(f"estimate: {about} with {counted(plan.workers, 'worker')}, start-up aside")
    else:
        console.print("nothing to do: every run is there")


def print_result(result: Outcome) -> None:
    """A sweep's table, its warnings, and its directory on the last line."""
    console, plan = stdout(), result.plan
    console.print(
        f"{plan.study.name}: {counted(len(plan.study.runs), 'run')}, "
        f"{result.planned['cached']} cached, {result.observed} observed"
        f"{f', {len(result.failed)} failed' if result.failed else ''}; "
        f"{counted(result.trained, 'trajectory')} trained; "
        f"{duration(result.seconds)}",
        soft_wrap=not console.is_terminal,
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


def print_detached(detached: Outcome) -> None:
    """A sweep that goes on by itself: what was submitted, how to look, its directory last."""
    console, plan = stdout(), detached.plan
    what = f"{counted(plan.to_observe, 'run')} in {counted(len(plan.stacks), 'stack')}"
    number = detached.jobs[-1]
    job = f"Slurm's job {number}"
    console.print(
        f"{plan.study.name}: {job} has {what}"
        if detached.status == "submitted"
        else f"{plan.study.name}: {job} is at it, {what} are to come",
        soft_wrap=True,
    )
    console.print(
        "normexp ls shows how it goes; the same command without --detach waits and sums up; "
        f"scancel {number} ends it",
        soft_wrap=True,
    )
    console.print(str(detached.directory), soft_wrap=True)


def _diverged(arms: Sequence[Arm]) -> list[str]:
    number = sum(arm.diverged for arm in arms)
    return [f"{counted(number, 'run')} diverged, left out of the means"] if number else []
