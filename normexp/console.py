"""What a person sees: progress and narration on stderr, tables on stdout."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from normexp.analysis import Arm, Estimate
from normexp.config.field import spell
from normexp.config.schema import IDENTITY_GROUPS
from normexp.errors import NormexpError
from normexp.planning.cost import steps
from normexp.planning.plan import Plan, Stack
from normexp.session.sweep import SweepResult, describe

NOTHING = "–"


def stdout() -> Console:
    """For data."""
    return Console(highlight=False)


def stderr() -> Console:
    """For narration, progress and errors."""
    return Console(stderr=True, highlight=False)


def print_error(error: NormexpError) -> None:
    """`error:` and `hint:`, a line each, however long."""
    console = stderr()
    console.print(Text("error: ", "bold red") + Text(error.message), soft_wrap=True)
    if error.hint:
        console.print(Text("hint: ", "bold cyan") + Text(error.hint), soft_wrap=True)


def print_plan(plan: Plan) -> None:
    """A plan: what there is to do, what is there already, and about how long it takes."""
    console, study = stdout(), plan.study
    console.print(f"{study.name}: {study.about}", soft_wrap=True)
    console.print(
        f"{counted(len(study.runs), 'run')} → {counted(plan.trajectories, 'trajectory')} "
        f"→ {counted(len(plan.stacks), 'stack')} to work on"
    )
    console.print(
        f"cached {counted(len(plan.cached), 'run')} · to train "
        f"{counted(plan.to_train, 'trajectory')} · to observe {counted(plan.to_observe, 'run')}"
    )
    table = _table("axis", "values")
    for axis in study.axes:
        table.add_row(axis.key, _values(axis.values))
    console.print(table)
    for note in study.notes:
        console.print(f"note: {note}", soft_wrap=True)
    if plan.stacks:
        console.print(
            f"estimate: about {_duration(plan.estimate_seconds)} with "
            f"{counted(plan.workers, 'worker')}, start-up aside"
        )
    else:
        console.print("nothing to do: every run is there")


def print_result(result: SweepResult) -> None:
    """A sweep's table, its warnings, and its directory on the last line."""
    console, plan = stdout(), result.plan
    console.print(
        f"{plan.study.name}: {counted(len(plan.study.runs), 'run')}, {len(plan.cached)} of them "
        f"cached; {counted(plan.to_train, 'trajectory')} trained in {_duration(result.seconds)}"
    )
    if result.rows:
        console.print(arm_table(result.arms))
        console.print(
            "mean ± 95 % interval over seeds. excess = test loss − population loss: what the\n"
            "running statistics cost, on the same weights. half-life in steps.",
            style="dim",
        )
    for line in (*plan.study.notes, *_diverged(result.arms)):
        stderr().print(f"note: {line}", soft_wrap=True)
    for line in result.warnings:
        stderr().print(Text("warning: ", "bold yellow") + Text(line), soft_wrap=True)
    for line in result.errors:
        stderr().print(Text("failed: ", "bold red") + Text(line), soft_wrap=True)
    console.print(str(result.directory), soft_wrap=True)


def arm_table(arms: Sequence[Arm]) -> Table:
    """One row an arm: what it is, and its losses over seeds."""
    fields = list(dict.fromkeys(path for arm in arms for path in arm.values))
    table = _table(*map(heading, fields), right=("half-life", "n", "test loss", "population",
                                                 "excess"))  # fmt: skip
    for arm in arms:
        table.add_row(
            *(_value(path, arm.values) for path in fields),
            NOTHING if arm.half_life_steps is None else f"{arm.half_life_steps:.3g}",
            str(arm.n),
            *(_estimate(arm.estimates[name]) for name in ("test_loss", "test_loss_population")),
            _estimate(arm.estimates["excess_loss"]) if arm.has_statistics else NOTHING,
        )
    return table


def print_listing(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows as a table."""
    table = _table(*columns)
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in columns))
    stdout().print(table)


def print_run(manifest: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> None:
    """One run whole."""
    console = stdout()
    console.print(f"{manifest['label']}  {manifest['run_id']}  {manifest['status']}", style="bold")
    console.print(f"study {manifest['study']} · trajectory {manifest['trajectory_id']}")
    sections: dict[str, list[str]] = {}
    for path, value in manifest["config"].items():
        section, _, field = path.rpartition(".")
        sections.setdefault(section or "run", []).append(f"{field}={spell(value)}")
    table = _table("config", "")
    for section, fields in sections.items():
        table.add_row(section, "  ".join(fields))
    console.print(table)
    names = {"step": "step", "train_loss": "train", "test_loss": "test loss",
             "test_loss_population": "population", "test_loss_test_batch": "test batch",
             "excess_loss": "excess"}  # fmt: skip
    table = _table(right=tuple(names.values()))
    for row in metrics:
        table.add_row(*(_cell(row[name]) for name in names))
    console.print(table)
    table = _table("file", right=("bytes",))
    for name, file in manifest["files"].items():
        table.add_row(name, str(file["bytes"]))
    console.print(table)
    console.print("reproduce:", style="bold")
    console.print(manifest["command"], soft_wrap=True)
    console.print(manifest["directory"], soft_wrap=True)


class LiveProgress:
    """Progress of a sweep: a bar on a terminal, a line a stack elsewhere."""

    def __init__(self) -> None:
        self._console = stderr()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Rate(),
            TimeRemainingColumn(compact=True),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._ended = self._stacks = 0

    def began(self, plan: Plan) -> None:
        """Show how much there is to do."""
        self._stacks = len(plan.stacks)
        work = [s for s in plan.stacks if not s.stored]
        total = sum(steps(stack.config) * len(stack.trajectories) for stack in work)
        self._task = self._bar.add_task(self._description(), total=total or None)
        if not self._console.is_terminal:
            self._console.print(
                f"{counted(plan.to_train, 'trajectory')} to train and "
                f"{counted(plan.to_observe, 'run')} to observe in {counted(self._stacks, 'stack')}"
            )
        self._bar.start()

    def stepped(self, networks: int) -> None:
        """Move the bar."""
        self._bar.advance(self._task, networks)

    def ended(self, stack: Stack, error: Exception | None) -> None:
        """Count a stack."""
        self._ended += 1
        self._bar.update(self._task, description=self._description())
        if not self._console.is_terminal:
            what = "failed: " + describe(error) if error else "stored"
            self._console.print(
                f"stack {self._ended}/{self._stacks}: {counted(stack.runs, 'run')} {what}",
                soft_wrap=True,
            )

    def close(self) -> None:
        """Take the bar off the screen."""
        self._bar.stop()

    def _description(self) -> str:
        return f"stacks {self._ended}/{self._stacks}"


class _Rate(ProgressColumn):
    """Steps done, and how many networks' steps a second."""

    def render(self, task: Task) -> Text:
        if not task.total:
            return Text("observing")
        if task.finished:
            return Text("observing and storing")
        speed = f"{task.speed:,.0f}" if task.speed else NOTHING
        return Text(f"{task.completed / task.total:4.0%} · {speed} network-steps/s")


def heading(path: str) -> str:
    """A column's name for a field: the group for its kind, the field's own name otherwise."""
    group, _, field = path.rpartition(".")
    return group if field == "kind" and group in IDENTITY_GROUPS else field


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`, `2 trajectories`."""
    plural = noun.removesuffix("y") + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def _table(*left: str, right: Sequence[str] = ()) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _value(path: str, values: Mapping[str, Any]) -> str:
    if path not in values:
        return NOTHING
    return "cumulative" if path == "norm.momentum" and values[path] is None else spell(values[path])


def _values(values: Sequence[Any], most: int = 8) -> str:
    spelled = [spell(value) for value in values]
    if len(spelled) > most:
        return f"{', '.join(spelled[:3])}, ..., {spelled[-1]} ({len(spelled)})"
    return ", ".join(spelled)


def _estimate(estimate: Estimate) -> str:
    if math.isnan(estimate.half_width):
        return _number(estimate.mean)
    return f"{_number(estimate.mean)} ± {_number(estimate.half_width, 2)}"


def _number(value: float, digits: int = 4) -> str:
    """So many significant digits, integers whole, no exponent below a million."""
    if math.isnan(value):
        return NOTHING
    if value and (abs(value) >= 1e6 or abs(value) < 1e-4):  # noqa: PLR2004  where digits get long
        return f"{value:.{digits - 1}e}"
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, digits - whole)}f}"


def _cell(value: Any) -> str:  # noqa: ANN401
    if value is None:
        return NOTHING
    return _number(value) if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004  a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def _diverged(arms: Sequence[Arm]) -> list[str]:
    number = sum(arm.diverged for arm in arms)
    return [f"{counted(number, 'run')} diverged and left out of the means"] if number else []
