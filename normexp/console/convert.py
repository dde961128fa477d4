"""Conventions as tables: one conversion, or all frameworks."""

from collections.abc import Sequence

from rich.table import Table

from normexp.console.columns import fits, table_of
from normexp.console.streams import stdout
from normexp.console.words import NOTHING, number
from normexp.frameworks.convert import Conversion
from normexp.frameworks.table import CALLER, FIRST_BATCH, Framework
from normexp.theory.memory import half_life

SIGNS = {
    "not verified": "?",
    "depends on version": "varies",
    "new": "new",
    "old": "old",
    "time constant": "time",
}

LEGEND = """\
weighs: what the parameter is the weight of, the new batch or the old value; time: a time constant \
in samples. running variance: of the batch variances over n (biased) or n − 1 that are averaged; \
? not verified, varies: with the version. debias: whether the initial value is taken out. starts: \
the running mean and variance at first; copy: the first batch. norm/framework=NAME trains and \
evaluates as one of them; --json has remarks and sources."""

DEBIASING = {"none": NOTHING, "debiased": "yes", "divided": "divided"}
STARTS = {FIRST_BATCH: "copy", CALLER: NOTHING}

LONG = 11
"""Characters of a parameter that a narrow terminal has room for; others stand below its table."""

BELOW = "..."


def print_conversion(conversion: Conversion) -> None:
    """The value in both words, then a line for each thing that differs, then remarks."""
    console, one, other = stdout(), conversion.source, conversion.target
    console.print(f"{one.title}: {conversion.given}", style="bold")
    console.print(f"{other.title}: {conversion.typed}", style="bold")
    console.print(_meaning(conversion))
    if conversion.differences:
        table = _differing(conversion, one.title, other.title, "to get the first's results")
        if not fits(console, table):
            table = _differing(conversion, one.name, other.name, "to get the\nfirst's results")
        console.print(table)
    elif one != other:
        console.print("nothing else differs")
    for remark in conversion.remarks:
        console.print(remark, style="dim")


def print_frameworks(frameworks: Sequence[Framework]) -> None:
    """A row a framework, and what the columns mean."""
    console = stdout()
    table, below = _conventions(frameworks, longest=100), ""
    if not fits(console, table):
        table = _conventions(frameworks, longest=LONG)
        long = [each for each in frameworks if len(each.parameter or "") > LONG]
        below = "".join(f"{BELOW} of {each.name}: {each.parameter}\n" for each in long)
    console.print(table)
    console.print(f"{below}{LEGEND}", style="dim")


def _conventions(frameworks: Sequence[Framework], *, longest: int) -> Table:
    """The table, parameters of more characters than that left out."""
    table = table_of("framework", "parameter", "weighs", right=("default", "eps"))
    table.columns[0].no_wrap = True
    for title in ("running\nvariance", "debias", "starts"):
        table.add_column(title)
    for each in frameworks:
        name = each.parameter or NOTHING
        table.add_row(
            each.name,
            name if len(name) <= longest else BELOW,
            SIGNS.get(each.weighs, NOTHING),
            _number(each.default),
            _number(each.eps),
            SIGNS.get(each.averages, each.averages),
            DEBIASING[each.debiasing],
            STARTS.get(each.starts_at, each.starts_at),
        )
    return table


def _differing(conversion: Conversion, source: str, target: str, todo: str) -> Table:
    table = table_of("differs", source, target, todo)
    for each in conversion.differences:
        table.add_row(each.what, each.source, each.target, each.todo or NOTHING)
    return table


def _meaning(conversion: Conversion) -> str:
    newest = conversion.newest
    if newest == "cumulative":
        return "the cumulative mean: at step t the newest batch weighs 1/t"
    steps = half_life(newest)
    lasts = "" if steps is None else f"; half-life {number(steps)} batches"
    return f"the newest batch weighs {newest:.6g}, the old value {1 - newest:.6g}{lasts}"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:g}"
