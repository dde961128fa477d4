"""A user's own network: what is wrong with its batch norms."""

from typing import TYPE_CHECKING

from rich.text import Text

from normexp.console.streams import legend, stdout
from normexp.console.tables import Column, print_table, words_of
from normexp.console.words import counted, number

if TYPE_CHECKING:
    from normexp.own.lint import Finding, Report
    from normexp.own.moves import Move

MOST_LAYERS = 12
"""Layers of two checkpoints that are listed: those that moved most; `--json` has all."""

COLOURS = {"fault": "bold red", "note": "bold yellow"}


def print_lint(report: "Report") -> None:
    """Findings, each rule's meaning, and the numbers of both on the last line."""
    console, groups = stdout(), report.groups
    console.print(f"{report.source}: {_norms(report)}", soft_wrap=True)
    if report.moves:
        _print_moves(report)
    if groups:
        columns = [
            words_of("", lambda group: group[0].severity),
            words_of("rule", lambda group: group[0].rule, is_whole=True),
            words_of("layers", _layers),
            words_of("found", lambda group: group[0].found),
        ]
        print_table(console, groups, columns)
    for group in groups:
        first = group[0]
        text = Text(first.rule, COLOURS[first.severity]) + Text(f": {first.costs}. To do: ")
        console.print(text + Text(first.to_do))
    if not report.is_module:
        legend("A file has no momentum, eps, mode or order: normexp.lint(model) sees them.")
    notes = len(report.findings) - len(report.faults)
    console.print(f"{counted(len(report.faults), 'fault')}, {counted(notes, 'note')}")


def _norms(report: "Report") -> str:
    if not report.layers:
        return "no batch norm with running statistics"
    return f"{counted(report.layers, 'batch norm')}, {counted(report.channels, 'channel')}"


def _layers(group: "list[Finding]") -> str:
    first, more = group[0].layer or "all", len(group) - 1
    return f"{first} and {more:,} more" if more else first


def _print_moves(report: "Report") -> None:
    moves = sorted(report.moves, key=lambda each: -each.mean)
    columns = [
        words_of("layer", lambda move: move.layer),
        Column("mean,\nσ", lambda move: number(move.mean, 3)),
        Column("variance,\n×", lambda move: number(move.variance)),
        Column("more\nbatches", lambda move: number(move.batches and int(move.batches))),
        words_of("scale,\nshift", _affine),
    ]
    console = stdout()
    print_table(console, moves[:MOST_LAYERS], columns)
    still = sum(not each.is_moved for each in moves)
    rest = len(moves) - MOST_LAYERS
    console.print(
        f"statistics moved in {len(moves) - still:,} of {counted(len(moves), 'layer')}; "
        f"{report.weights_moved:,} of {counted(report.weights, 'weight')} moved"
        + (f"; {rest:,} layers that moved less are in --json" if rest > 0 else "")
    )


def _affine(move: "Move") -> str:
    return {True: "moved", False: "the same", None: "none"}[move.is_affine_moved]
