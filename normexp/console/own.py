"""A user's own network: what is wrong with its batch norms, and what they cost."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rich.text import Text

from normexp.console.output import Column, legend, print_table, stdout, words_of
from normexp.console.words import counted, number

if TYPE_CHECKING:
    import pandas as pd

    from normexp.own.lint import Report
    from normexp.own.moves import Moves
    from normexp.own.verdict import Verdict

MOST_LAYERS = 12
"""Layers of two checkpoints that are listed: those that moved most; `--json` has all."""


def print_lint(report: "Report") -> None:
    """Movements in a table, then findings by rule with what to do."""
    if report.moves:
        _print_moves(report.moves)
    text = Text(str(report))
    text.highlight_regex(r"(?m)^fault(?=:)", "bold red")
    stdout().print(text, soft_wrap=True)
    if not report.is_module:
        legend("a file has no momentum, eps, mode or order: normexp.lint(model) looks at them too")


def _print_moves(moves: "Moves") -> None:
    rows = sorted(moves.layers, key=lambda each: -each.mean)
    columns = [
        words_of("layer", lambda move: move.layer),
        Column("mean by\nσ", lambda move: number(move.mean, 3)),
        Column("variance\n×", lambda move: number(move.variance)),
        Column("more\nbatches", lambda move: f"{move.batches:.0f}"),
    ]
    print_table(stdout(), rows[:MOST_LAYERS], columns)
    moved = sum(each.is_moved for each in rows)
    stdout().print(
        f"statistics moved in {moved:,} of {counted(len(rows), 'layer')}; "
        f"{moves.weights_moved:,} of {counted(moves.weights, 'weight')} moved; "
        "--json has all layers"
    )


def print_audit(table: "pd.DataFrame", scores: Sequence[str], verdict: "Verdict") -> None:
    """A row for every kind of statistics with all its scores, then the verdict."""

    def score_of(name: str) -> Callable[[Any], str]:
        return lambda row: number(row[name])

    columns = [
        words_of("statistics", lambda row: row["estimator"]),
        Column("population's\nshare", lambda row: number(row["share"], 2)),
        *(Column(name, score_of(name)) for name in scores),
        Column("excess", lambda row: number(row["excess"], 3)),
        Column("±", lambda row: number(row["interval"], 2)),
    ]
    print_table(stdout(), table.to_dict("records"), columns)
    stdout().print(str(verdict), soft_wrap=True)
