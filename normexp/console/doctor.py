"""The doctor's words: the environment in groups, a line a check."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from normexp.console.streams import stdout
from normexp.sweeps.environment import PACKAGES
from normexp.trust.doctor import Check

NAMES = {"mkl_cbwr": "MKL_CBWR", "aten_cpu_capability": "ATEN_CPU_CAPABILITY"}
WIDTH_OF_A_NAME = 10


def print_environment(environment: Mapping[str, Any]) -> None:
    """What numbers are made with here, by kind."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for group, entries in _groups(environment).items():
        pairs = [f"{name} {_word(value)}".strip() for name, value in entries.items()]
        table.add_row(group, " · ".join(pairs))
    stdout().print(table)


def print_check(check: Check) -> None:
    """`ok`, or `FAILED` with what to do, as soon as it is known."""
    sign = Text("ok    ", "green") if check.ok else Text("FAILED", "bold red")
    advice = f"; {check.advice}" if check.advice else ""
    line = f"  {check.name:<{WIDTH_OF_A_NAME}}{check.found}{advice}"
    stdout().print(sign + Text(line, ""), soft_wrap=True)


def _groups(environment: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The entries by group, in words that a person reads."""
    known = dict(environment)
    code = {"": known["normexp"]} | {n: known[n] for n in ("code", "commit", "dirty")}
    machine = {"": known["platform"], "cpu": known["cpu"], "with": known["instructions"]}
    cores = {"cores": known["cores"], "usable": known["usable_cores"]}
    versions = {name: known[name] for name in ("python", *PACKAGES[1:], "libc")}
    settings = known["threads"] | {title: known[name] for name, title in NAMES.items()}
    return {
        "normexp": code,
        "versions": versions,
        "machine": machine | cores,
        "settings": settings,
    }


def _word(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "–" if value is None else str(value)
