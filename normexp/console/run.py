"""One run whole, as much of it as a person reads at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from normexp.analysis.thinning import evenly
from normexp.config.defaults import KINDS, told, typed
from normexp.config.field import spell
from normexp.console.columns import Column, filled, fits, table_of
from normexp.console.lines import wrapped
from normexp.console.streams import stdout, stdout_line
from normexp.console.words import NOTHING, cell, counted

Row = Mapping[str, Any]

MOST_POINTS = 16
"""Evaluation points that are all shown; of more, so many with the first and the last."""

NAMES = {"step": "step", "train_loss": "train", "test_loss": "test loss",
         "test_loss_population": "population", "test_loss_test_batch": "test batch",
         "excess_loss": "excess", "test_accuracy": "accuracy",
         "test_accuracy_population": "population\naccuracy"}  # fmt: skip
"""Titles of the metrics."""

ECONOMIES = ("test_loss_test_batch", "test_accuracy_population", "train_loss",
             "test_loss_population")  # fmt: skip
"""What a narrow terminal does without, the first first."""


def print_run(manifest: Row, metrics: Sequence[Row], *, whole: bool = False) -> None:
    """What a run is, what it came to, its files, and how to make it again.

    Args:
        manifest: of the run, with its directory.
        metrics: at every evaluation point.
        whole: with every field and every evaluation point.
    """
    console = stdout()
    console.print(
        f"{manifest['label']}  {manifest['run_id']}  {manifest['status']}",
        style="bold",
        soft_wrap=True,
    )
    console.print(
        f"study {manifest['study']} · trajectory {manifest['trajectory_id']}", soft_wrap=True
    )
    _print_momentum(console, manifest)
    if whole:
        console.print(_sections(manifest["config"]))
    else:
        _print_config(console, manifest["config"])
    _print_metrics(console, metrics, most=None if whole else MOST_POINTS)
    _print_files(console, manifest["files"], whole=whole)
    console.print("reproduce:", style="bold")
    console.print(f"normexp reproduce {manifest['directory']}", soft_wrap=True)
    console.print("the sweep that makes it alone:", style="bold")
    console.print(manifest["command"], soft_wrap=True)
    console.print(manifest["directory"], soft_wrap=True)


def _print_momentum(console: Console, manifest: Row) -> None:
    momentum, half_life = manifest["config"].get("norm.momentum"), manifest["half_life_steps"]
    if momentum is None:
        return
    steps = NOTHING if half_life is None else f"{half_life:.3g}"
    console.print(
        f"momentum {momentum:g} (PyTorch), {1 - momentum:g} (Keras) · half-life {steps} "
        f"{'step' if steps == '1' else 'steps'}",
        soft_wrap=True,
    )


def _print_config(console: Console, config: Row) -> None:
    """The kinds, then the training and what differs from the defaults; the rest is counted."""
    said = told(config)
    for paths in ([p for p in said if p in KINDS], [p for p in said if p not in KINDS]):
        for line in wrapped([typed(path, config[path]) for path in paths], console.width):
            stdout_line(line)
    silent = counted(len(config) - len(said), "other field")
    console.print(f"{silent} as by default: --all", style="dim")


def _sections(config: Row) -> Table:
    """Every field, a row a section."""
    sections: dict[str, list[str]] = {}
    for path, value in config.items():
        section, _, field = path.rpartition(".")
        sections.setdefault(section or "run", []).append(f"{field}={spell(value)}")
    table = table_of("config", "")
    for section, fields in sections.items():
        table.add_row(section, "  ".join(fields))
    return table


def _print_metrics(console: Console, metrics: Sequence[Row], most: int | None) -> None:
    shown = thinned(metrics, most)
    names = [name for name in NAMES if name in metrics[0]]
    for left_out in range(len(ECONOMIES) + 1):
        kept = [name for name in names if name not in ECONOMIES[:left_out]]
        table = filled([_metric(name) for name in kept], shown)
        if fits(console, table):
            break
    console.print(table)
    missing = [NAMES[name].replace("\n", " ") for name in names if name not in kept]
    if missing:
        console.print(f"no room for {', '.join(missing)}", style="dim")
    if len(shown) < len(metrics):
        points = counted(len(metrics) - len(shown), "evaluation point").replace(" ", " more ", 1)
        console.print(f"… {points}: --all", style="dim")


def thinned(rows: Sequence[Row], most: int | None) -> list[Row]:
    """The first, the last and evenly spaced ones between, no more than that."""
    if most is None or len(rows) <= most:
        return list(rows)
    return [rows[point] for point in evenly(len(rows), most)]


def _metric(name: str) -> Column[Row]:
    return Column(NAMES[name], lambda row: cell(row[name]))


def _print_files(console: Console, files: Row, *, whole: bool) -> None:
    """How large they are: the tables alone on a line, or all of them as a table."""
    if whole:
        table = table_of("file", right=("bytes",))
        for name, file in files.items():
            table.add_row(name, str(file["bytes"]))
        console.print(table)
        return
    total = sum(file["bytes"] for file in files.values())
    names = [name for name in files if not name.startswith(".")]
    console.print(Text.assemble(("files: ", "bold"), f"{total / 1000:,.0f} kB"), soft_wrap=True)
    for line in wrapped(names, console.width):
        stdout_line(line)
