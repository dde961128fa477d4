"""Why a run is kept or made again, as a person reads it."""

from collections.abc import Mapping, Sequence
from typing import Any

from normexp.config.field import Role, spell
from normexp.console.columns import table_of
from normexp.console.streams import stdout
from normexp.console.trust import print_changes
from normexp.console.words import NOTHING, counted
from normexp.trust.differences import MEANINGS
from normexp.trust.why import REASONS

Report = Mapping[str, Any]


def print_why(report: Report) -> None:
    """A stored run, a comparison, or the runs of a study."""
    if report["kind"] == "run":
        _print_run(report)
    elif report["kind"] == "comparison":
        _print_comparison(report)
    else:
        _print_study(report)


def _print_run(report: Report) -> None:
    console, made = stdout(), report["made"]
    console.print(f"{report['label']}  {report['run_id']}  {report['reason']}", style="bold")
    console.print(f"study {report['study']} · {report['directory']}", soft_wrap=True)
    state = "stored and damaged" if report["damaged"] else "stored and whole"
    trajectory = report["trajectory"]
    console.print(
        f"{state}; trajectory {spell(trajectory['id'])} {trajectory['state']}", soft_wrap=True
    )
    for name, what in report["damaged"].items():
        console.print(f"{name}: {what}", soft_wrap=True)
    if report["damaged"] and not report["noticed"]:
        console.print("a sweep looks at sizes only: type normexp verify, then it will see this")
    told = ", ".join(f"{name} {spell(value)}" for name, value in made.items() if value is not None)
    if told:
        console.print(f"made: {told}", soft_wrap=True)
        print_changes(report["changed"], report["unknown"])
    actions = report["on_code_change"]
    if len(set(actions.values())) == 1:
        console.print(f"sweep {actions['warn']}")
        return
    table = table_of("sweep --on-code-change=", "")
    for policy, action in actions.items():
        table.add_row(policy, action)
    console.print(table)


def _print_comparison(report: Report) -> None:
    console = stdout()
    for side in ("left", "right"):
        console.print(f"{side}: {report[side]['label']}  {report[side]['run_id']}", soft_wrap=True)
    if report.get("described", 1) > 1:
        console.print(f"right is the nearest of {counted(report['described'], 'described run')}")
    if report["differences"]:
        _print_differences(report["differences"], "left", "right")
    console.print(_verdict(report), soft_wrap=True)


def _verdict(report: Report) -> str:
    if report["same_run"]:
        return "the same run"
    if report["same_trajectory"]:
        return "two runs of the same trajectory: trained once, observed twice"
    if report["same_structure"]:
        return "two trajectories of the same structure: they can train side by side"
    return "two structures: they cannot train side by side"


def _print_differences(rows: Sequence[Report], left: str, right: str) -> None:
    table = table_of("field", left, right, "role")
    for row in rows:
        values = (spell(row[side]) if side in row else NOTHING for side in ("left", "right"))
        table.add_row(row["key"], *values, row["role"])
    stdout().print(table)
    roles = [role for role in Role if any(row["role"] == role.value for row in rows)]
    for role in roles:
        stdout().print(f"{role.value}: {MEANINGS[role]}", style="dim")


def _print_study(report: Report) -> None:
    console = stdout()
    console.print(f"{report['study']}: {counted(report['runs'], 'run')} in {report['directory']}",
                  soft_wrap=True)  # fmt: skip
    for note in report["notes"]:
        console.print(f"note: {note}", soft_wrap=True)
    if not report["details"]:
        table = table_of("runs", "why", right=("number",))
        for reason, found in report["reasons"].items():
            if found["runs"]:
                first = ", ".join(each["label"] for each in found["first"])
                more = ", ..." if found["runs"] > len(found["first"]) else ""
                table.add_row(f"{first}{more}", REASONS[reason], f"{found['runs']:,}")
        console.print(table)
    for detail in report["details"]:
        console.print()
        if detail["kind"] == "run":
            _print_run(detail)
        else:
            _print_described(detail)


def _print_described(detail: Report) -> None:
    console = stdout()
    console.print(f"{detail['label']}  {detail['run_id']}", style="bold")
    trajectory = detail["trajectory"]
    console.print(REASONS[detail["reason"]], soft_wrap=True)
    console.print(f"trajectory {trajectory['id']} {trajectory['state']}")
    if not detail["nearest"]:
        console.print("no run is stored that it could be compared with")
    for near in detail["nearest"]:
        number = counted(len(near["differences"]), "other field")
        console.print(
            f"near: {near['label']}  {near['run_id']} of {near['study']}, {number}",
            soft_wrap=True,
        )
        if near["differences"]:
            _print_differences(near["differences"], "wanted", "stored")
