"""A user's own network: what is wrong with its batch norms, and what they cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from normexp.console.output import legend, print_table, say
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
    say(text)
    if not report.is_module:
        legend("a file has no momentum, eps, mode or order: normexp.lint(model) looks at them too")


def _print_moves(moves: "Moves") -> None:
    rows = sorted(moves.layers, key=lambda each: -each.mean)
    shown = [
        {
            "layer": each.layer,
            "mean by\nσ": number(each.mean, 3),
            "variance\n×": each.variance,
            "more\nbatches": f"{each.batches:.0f}",
        }
        for each in rows[:MOST_LAYERS]
    ]
    print_table(shown)
    moved = sum(each.is_moved for each in rows)
    say(
        f"statistics moved in {moved:,} of {counted(len(rows), 'layer')}; "
        f"{moves.weights_moved:,} of {counted(moves.weights, 'weight')} moved; "
        "--json has all layers"
    )


def print_audit(table: "pd.DataFrame", scores: Sequence[str], verdict: "Verdict") -> None:
    """A row for every kind of statistics with all its scores, then the verdict."""
    rows = [
        {
            "statistics": row["estimator"],
            "population's\nshare": number(row["share"], 2),
            **{name: row[name] for name in scores},
            "excess": number(row["excess"], 3),
            "±": number(row["interval"], 2),
        }
        for row in table.to_dict("records")
    ]
    print_table(rows)
    legend(
        "own: as the model has them; mix: with a share of the population's; batch: each batch by "
        "its own. excess: over the population's score, ± its 95 % interval."
    )
    say(str(verdict))
