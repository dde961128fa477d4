"""Comparing the values of one field: `compare`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import AsJson, Debug, StoreDir, app, print_json, reporting, warn_of_lost


@app.command()
def compare(  # noqa: PLR0913, PLR0917  the options of a command line
    source: Annotated[str, typer.Argument(metavar="STUDY|DIRECTORY", help="Of study or sweep.")],
    field: Annotated[
        str,
        typer.Argument(
            metavar="FIELD[=BASELINE]",
            help="What is compared, such as norm.momentum or norm; and the value to compare with.",
        ),
    ],
    metric: Annotated[
        str, typer.Option("--metric", help="Such as test_loss, excess_loss, test_accuracy.")
    ] = "test_loss",
    directory: StoreDir = Path("runs"),
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Compare the values of one field with a baseline, everything else alike.

    Runs of one training are paired on their weights, runs of one seed by seed; intervals are
    95 %, by Student's t and bootstrap. What is undecided says about how many more seeds would
    settle it.

    \b
    Example:
      normexp compare bn_regression norm.momentum=0.1
      normexp compare bn_regression norm --metric test_loss_population
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.insight.compare import compare_field, report_numbers

        report = compare_field(source, field, metric=metric, store=directory)
        warn_of_lost(directory, source)
        if as_json:
            print_json(report_numbers(report))
        else:
            from normexp.console.compare import print_comparisons

            print_comparisons(report)
