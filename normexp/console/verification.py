"""A verification as a table of problems and one line that sums it up."""

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from normexp.console.columns import table_of
from normexp.console.streams import stderr, stdout
from normexp.console.words import counted
from normexp.trust.verify import Finding, Verification

MOST_ALIKE = 3
"""Directories with the very same problems that are named one by one."""

MOST_COMMANDS = 5
"""Commands that are written out; `--json` has all."""


class VerifyProgress:
    """A bar on stderr, on a terminal only."""

    def __init__(self) -> None:
        console = stderr()
        self._bar = Progress(
            TextColumn("verifying"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def report(self, done: int, of: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=done, total=of)


def print_verification(result: Verification) -> None:
    """Problems with what to do, notes on stderr, and the summary on the last line."""
    console = stdout()
    if result.findings:
        commands = _commands(result.findings)
        table = table_of("directory", "what is wrong", "to do")
        table.columns[0].no_wrap = True  # to be copied
        for path, whats, remedy in _grouped(result.findings, commands):
            table.add_row(path, whats, remedy)
        console.print(table)
        for number, command in enumerate(commands[:MOST_COMMANDS], start=1):
            console.print(f"[{number}] {command}", soft_wrap=True)
    for note in _notes(result):
        stderr().print(f"note: {note}", soft_wrap=True)
    parts = (
        counted(result.runs, "run"),
        counted(result.trajectories, "trajectory"),
        counted(result.sweeps, "sweep"),
    )
    console.print(
        f"verified: {', '.join(parts)}; {counted(result.problems, 'problem')}", soft_wrap=True
    )


def _commands(findings: Iterable[Finding]) -> list[str]:
    """What can be typed, each once, in order."""
    remedies = dict.fromkeys(each.remedy for each in findings)
    return [remedy for remedy in remedies if remedy.startswith("normexp ")]


def _grouped(
    findings: Sequence[Finding], commands: Sequence[str]
) -> Iterable[tuple[str, str, str]]:
    """Rows of the table; of many directories with the same problems only the first are named."""
    groups: dict[tuple[str, tuple[str, ...]], list[Finding]] = {}
    for each in findings:
        groups.setdefault((each.kind, each.problems), []).append(each)
    for (kind, problems), members in groups.items():
        what = "\n".join(problems)
        for each in members[:MOST_ALIKE]:
            yield each.path, what, _to_do(each, commands)
        if (rest := len(members) - MOST_ALIKE) > 0:
            yield f"and {rest:,} more such {_plural(kind, rest)}", "", ""


def _to_do(finding: Finding, commands: Sequence[str]) -> str:
    if finding.remedy not in commands:
        return finding.remedy
    number = commands.index(finding.remedy) + 1
    typed = f"type [{number}]" if number <= MOST_COMMANDS else "see --json"
    return f"it cannot be marked: remove it, then {typed}" if finding.marked is False else typed


def _plural(kind: str, number: int) -> str:
    return counted(number, kind).partition(" ")[2]


def _notes(result: Verification) -> Iterable[str]:
    if result.findings and any(each.marked for each in result.findings):
        yield "what is damaged is marked; a sweep that has it makes it anew, and nothing else"
    if number := len(result.alone):
        yield f"{counted(number, 'run')} without a trajectory in the study: whole, not observable"
    if number := len(result.unfinished):
        yield f"{counted(number, 'sweep')} not ended, killed or still running: no error"
    if result.hidden:
        yield f"{counted(result.hidden, 'hidden file')}, left by work in progress: no error"
