"""Stored runs taken together: `compare`, `claims`, `budget`."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from normexp.cli.app import RUNS, Answer, Fields, StoreDir, Words, command, warn_of_lost

if TYPE_CHECKING:
    from pathlib import Path


@command()
def compare(
    source: Annotated[str, typer.Argument(metavar="STUDY|DIRECTORY", help="A study or a sweep.")],
    field: Annotated[
        str,
        typer.Argument(
            metavar="FIELD[=BASELINE]",
            help="What is compared, such as norm.momentum or norm; and the value to compare with.",
        ),
    ],
    fields: Fields = None,
    *,
    metric: Annotated[
        str, typer.Option(help="Such as test_loss, excess_loss, test_accuracy.")
    ] = "test_loss",
    directory: StoreDir = RUNS,
) -> Answer:
    """Compare the values of one field, everything else alike.

    Runs of one training are paired on their weights, others by seed. Intervals are 95 %, by
    Student's t and bootstrap. For what is undecided, the table has about how many more seeds would
    settle it.

    Example:
      normexp compare bn_regression norm.momentum=0.1
      normexp compare bn_regression norm --metric test_loss_population
    """
    from normexp.console.compare import print_comparisons
    from normexp.insight.compare import compare_field, report_numbers
    from normexp.study.asked import as_asked

    lost: list[Path] = []
    where = as_asked(fields or ()).where
    report = compare_field(source, field, metric=metric, store=directory, where=where, lost=lost)
    warn_of_lost(lost)
    return Answer(report, print_comparisons, data=report_numbers)


@command()
def claims(
    wanted: Annotated[
        list[str] | None, typer.Argument(metavar="SOURCE|ID", help="Such as S1, or S1.3.")
    ] = None,
    *,
    directory: StoreDir = RUNS,
    criteria: Annotated[
        bool, typer.Option("--list", help="Show claims and criteria; run nothing.")
    ] = False,
) -> Answer:
    """Check the claims of five tutorials on batch norm.

    By criteria that were written down before. Runs the studies behind them, or reads what is in the
    store already. Each claim holds, fails,
    holds only under conditions, or is undecided; effects have 95 % intervals over seeds. Claims
    that cannot come out otherwise are listed as identities, without a verdict by runs.

    Example:
      normexp claims
      normexp claims S1.3
      normexp claims S2 --list
    """
    from normexp.claims import check
    from normexp.console.compare import print_criteria, print_verdicts
    from normexp.console.output import warn

    chosen, settled = check.select(wanted or [])
    if criteria:
        known = [check.described(each) for each in chosen]
        return Answer(
            {"claims": known, "settled": settled}, lambda _: print_criteria(chosen, settled)
        )
    found = check.check(chosen, settled, directory, _sweep)
    for line in found.warnings:
        warn(line)
    details = bool(wanted) and all("." in name for name in wanted or [])
    return Answer(
        found,
        partial(print_verdicts, details=details),
        code=int(bool(found.failed)),
        data=check.as_data,
    )


def _sweep(name: str, overrides: Sequence[str]) -> list[str]:
    """Sweep a study of the claims; return the ids of runs that failed."""
    from normexp.cli.sweeps import swept
    from normexp.console.output import stderr

    stderr().print(f"study {name}: {' '.join(overrides)}")
    result, code = swept(overrides)
    for line in (*result.warnings, *result.errors):
        stderr().print(line)
    if code:  # interrupted, and finished all the same
        raise typer.Exit(code)
    return result.failed


@command()
def budget(
    wanted: Annotated[
        str, typer.Argument(metavar="RUN|STUDY", help="A run, sweep or study, by name, id or path.")
    ],
    words: Words = None,
    *,
    directory: StoreDir = RUNS,
) -> Answer:
    """Show how far running statistics are off, and why.

    running − population = initial + drift + noise, exactly: the rest of the value before the first
    batch; how far the population has moved since the averaged batches; and the sampling error of
    those batches. One run is shown layer by layer, several arm by arm.

    Example:
      normexp budget 64fdd590
      normexp budget bn_regression norm.momentum=0.1
    """
    from normexp.console.budget import print_budget_of_arms, print_budget_of_run
    from normexp.insight.budget import budgets, by_arm, report
    from normexp.study.asked import as_asked

    lost: list[Path] = []
    asked = as_asked(words or ())
    found, notes = budgets(directory, wanted, asked, last_only=True, lost=lost)
    warn_of_lost(lost, notes)

    data = [report(each) for each in found]
    if len(found) == 1:
        return Answer(data, lambda _: print_budget_of_run(found[0]))
    return Answer(data, lambda _: print_budget_of_arms(*by_arm(found)))
