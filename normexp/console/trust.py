"""Verification, certificates, and the checks of an installation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from normexp.config.field import spell
from normexp.console.output import Row, legend, note, print_table, say, stderr
from normexp.console.words import NOTHING, counted, duration
from normexp.sweeps.environment import PACKAGES

if TYPE_CHECKING:
    from normexp.trust.doctor import Check
    from normexp.trust.verify import Finding, Verification

MOST_ALIKE = 3
"""Directories with the very same problems that are named one by one."""

MOST_COMMANDS = 5
"""Commands that are written out; `--json` has all."""

VERDICTS = {
    "identical": "every file is equal to the bit",
    "agrees": "what does not depend on the platform agrees",
    "differs": "the recorded numbers are not what the recorded configuration gives",
}

SECTIONS = {"config": "field", "metrics": "final metric"}
"""Parts of a manifest that are compared, and what their entries are."""


@contextmanager
def verifying() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, on a terminal only; yields what moves it."""
    console = stderr()
    bar = Progress(
        TextColumn("verifying"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.file.isatty(),
    )
    task = bar.add_task("", total=None)
    with bar:
        yield lambda done, of: bar.update(task, completed=done, total=of)


def print_verification(result: "Verification") -> None:
    """Problems with what to do, notes on stderr, and the summary on the last line."""
    findings = result.problems
    remedies = dict.fromkeys(each.to_do for each in findings)
    commands = [remedy for remedy in remedies if remedy.startswith("normexp ")]
    if findings:
        print_table([*_problems(findings, commands)])
        for i, command in enumerate(commands[:MOST_COMMANDS], start=1):
            say(f"[{i}] {command}")
    if any(each.marked and each.to_do in commands for each in findings):
        note("what is damaged is marked; a sweep that has it makes it anew, and nothing else")
    if size := len(result.without_trajectory):
        note(f"{counted(size, 'run')} without a trajectory in the study: whole, not observable")
    if size := len(result.unfinished):
        note(f"{counted(size, 'sweep')} not ended, killed or still running: no error")
    if result.hidden:
        note(f"{counted(result.hidden, 'hidden file')}, left by work in progress: no error")
    say(
        f"verified: {counted(result.runs, 'run')}, {counted(result.trajectories, 'trajectory')}, "
        f"{counted(result.sweeps, 'sweep')}; {counted(len(findings), 'problem')}"
    )


def _problems(findings: "Sequence[Finding]", commands: Sequence[str]) -> Iterator[Row]:
    """Rows of the table; of many directories with the same problems only the first are named."""
    groups: dict[tuple[str, tuple[str, ...]], list[Finding]] = {}
    for each in findings:
        groups.setdefault((each.kind, each.what), []).append(each)
    for (kind, problems), members in groups.items():
        for each in members[:MOST_ALIKE]:
            what, to_do = "\n".join(problems), _to_do(each, commands)
            yield {"directory": each.directory, "what is wrong": what, "to do": to_do}
        if (rest := len(members) - MOST_ALIKE) > 0:
            yield {"directory": f"and {counted(rest, kind).replace(' ', ' more such ')}"}


def _to_do(finding: "Finding", commands: Sequence[str]) -> str:
    if finding.to_do not in commands:
        return finding.to_do
    place = commands.index(finding.to_do) + 1
    typed = f"type [{place}]" if place <= MOST_COMMANDS else "see --json"
    return f"it cannot be marked: remove it, then {typed}" if finding.marked is False else typed


def print_certificate(content: Mapping[str, Any], path: Path) -> None:
    """The verdict, what it rests on, and the certificate's file on the last line."""
    verdict, files = content["verdict"], content["files"]
    name = f"{content['label']}  {content['run_id']}  {verdict}"
    say(name, style="bold")
    say(f"{verdict}: {VERDICTS[verdict]}")
    same = sum(file["recorded"] == file["found"] for file in files.values())
    say(
        f"{same} of {counted(len(files), 'file')} identical · trained alone in "
        f"{duration(content['seconds'])}"
    )
    print_changes(content["environment"]["changed"], content["environment"]["unknown"])
    for name, file in files.items():
        if None in file.values():
            side = "made again" if file["found"] is None else "recorded"
            say(f"{name} is not among the files {side}")
        elif (
            file["recorded"] != file["found"]
            and name.removesuffix(".parquet") not in content["deviations"]
        ):
            say(f"{name} has other bytes")
    for name, (old, new) in content["results"].items():
        if name in SECTIONS:
            names = [each for each in dict.fromkeys([*old, *new]) if old.get(each) != new.get(each)]
            rows = [
                {SECTIONS[name]: n, "recorded": spell(old.get(n)), "found": spell(new.get(n))}
                for n in names
            ]
            print_table(rows)
        else:
            say(f"{name}: recorded {spell(old)}, found {spell(new)}")
    _print_deviations(content)
    say(str(path))


def _print_deviations(content: Mapping[str, Any]) -> None:
    judged, limits = content["judged_until"], content["tolerances"]
    rows = []
    for table, columns in content["deviations"].items():
        for column, far in columns.items():
            row = {"table": table, "column": column, "first at step": far["first_step"]}
            row["largest"] = f"{far['largest']:.1e}"
            if judged:
                row["early"] = f"{far['early']:.1e}"
                row["allowed"] = f"{limits.get(table, limits['tables']):.1e}"
            rows.append(row)
    print_table(rows)
    if rows and judged:
        legend(
            f"early: step 0, and batches up to {judged['steps']}, which is judged; what comes "
            "later is chaotic, and counts jump."
        )


def print_changes(changes: Mapping[str, Any], unknown: Sequence[str]) -> None:
    """The entries of the environment that differ, and those that a record lacks."""
    if unknown:
        say(f"not recorded then: {', '.join(unknown)}")
    if changes:
        titles = "changed", "recorded", "now"
        rows = [
            dict(zip(titles, (name, *_apart(old, new)), strict=True))
            for name, (old, new) in changes.items()
        ]
        print_table(rows)
    elif not unknown:
        say("nothing has changed that numbers depend on")


def _apart(old: Any, new: Any) -> tuple[str, str]:  # noqa: ANN401
    """Two values; of lists, what each has and the other has not."""
    if isinstance(old, list) and isinstance(new, list):
        return (
            " ".join(str(part) for part in old if part not in new) or "fewer",
            " ".join(str(part) for part in new if part not in old) or "fewer",
        )
    return spell(old), spell(new)


def print_environment(environment: Mapping[str, Any]) -> None:
    """Versions, machine and settings, a line a kind."""
    known = dict(environment)
    names = {"mkl_cbwr": "MKL_CBWR", "aten_cpu_capability": "ATEN_CPU_CAPABILITY"}
    groups = {
        "normexp": {"": known["normexp"]} | {n: known[n] for n in ("code", "commit", "dirty")},
        "versions": {name: known[name] for name in ("python", *PACKAGES[1:], "libc")},
        "machine": {"": known["platform"], "cpu": known["cpu"], "with": known["instructions"],
                    "cores": known["cores"], "usable": known["usable_cores"]},
        "settings": known["threads"] | {title: known[name] for name, title in names.items()},
    }  # fmt: skip
    for group, entries in groups.items():
        parts = (f"{name} {entry(value)}".strip() for name, value in entries.items())
        say(Text(f"{group}: ", "bold") + Text(" · ".join(parts)))


def entry(value: object) -> str:
    """A list in one cell; a dash for what is not recorded or was not set."""
    if isinstance(value, Mapping):
        value = [f"{name}={each}" for name, each in value.items() if each is not None]
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return str(value) if value not in (None, "") else NOTHING


def print_check(check: "Check") -> None:
    """`ok`, or `FAILED` with what to do."""
    sign = Text("ok    ", "green") if check.ok else Text("FAILED", "bold red")
    advice = f"; {check.advice}" if check.advice else ""
    say(sign + Text(f"  {check.name:<10}{check.found}{advice}"))
