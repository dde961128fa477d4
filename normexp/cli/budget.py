"""What running statistics are off by, and why: `budget`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import (
    AsJson,
    Debug,
    Places,
    StoreDir,
    app,
    print_json,
    print_notes,
    reporting,
    warn_of_lost,
)


@app.command()
def budget(
    wanted: Annotated[
        str, typer.Argument(metavar="RUN|STUDY", help="A run, sweep or study, by name, id or path.")
    ],
    places: Places = None,
    directory: StoreDir = Path("runs"),
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Say what running statistics are off by at the end, and what it is made of.

    running − population = initial + drift + noise, exactly: what is left of the value before the
    first batch; how far the population has moved since the batches that are averaged; and what
    those batches were off by themselves. Of one run, layer by layer; of several, arm by arm.

    \b
    Example:
      normexp budget 64fdd590
      normexp budget bn_regression
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.insight.budget import budgets
        from normexp.insight.summary import arms_of, layers_of, report
        from normexp.store.places import typed_places

        found, notes = budgets(directory, wanted, typed_places(places or ()), last_only=True)
        print_notes(notes)
        warn_of_lost(directory, wanted)
        if as_json:
            print_json([report(each) for each in found])
            return
        from normexp.console.budget import print_budget_of_arms, print_budget_of_run

        if len(found) == 1:
            print_budget_of_run(found[0].row, layers_of(found[0]), found[0].cost)
        else:
            print_budget_of_arms(*arms_of(found))
