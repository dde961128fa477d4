"""What differs between two runs: `diff`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import AsJson, Debug, StoreDir, app, print_json, reporting, warn_of_damage


@app.command()
def diff(
    first: Annotated[str, typer.Argument(metavar="RUN", help="By id, name or directory.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another one, likewise.")],
    directory: StoreDir = Path("runs"),
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Print where two runs differ: configuration, results, layers, and what made them.

    \b
    Example:
      normexp diff 64fdd590 bb21f7a0
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.trust import diff as insight

        report = insight.diff(first, second, store=directory)
        warn_of_damage(*(Path(report[side]["directory"]) for side in insight.SIDES))
        if as_json:
            print_json(report)
            return
        from normexp.console.diff import print_diff

        print_diff(report)
