"""Why a run is made again or is not: `why`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import AsJson, ConfigDir, Debug, FiledAs, app, print_json, reporting


@app.command()
def why(  # noqa: PLR0913, PLR0917  the options of a command line
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|KEY=VALUE...",
            help="A stored run, by id, name or directory; or two; or overrides, as for plan.",
        ),
    ],
    directory: Annotated[
        Path | None, typer.Option("--dir", help="The store to look in; runs, unless overridden.")
    ] = None,
    config_dir: ConfigDir = None,
    filed_as: FiledAs = None,
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Say why a sweep would keep a run or make it again, or where two runs differ.

    Of described runs that are not stored, names the stored ones that are most like them, and every
    field that differs.

    \b
    Example:
      normexp why 64fdd590
      normexp why 64fdd590 bb21f7a0
      normexp why norm=batch norm.momentum=0.1 seed=3
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.trust import why as trust

        report = trust.why(arguments, store=directory, config_dir=config_dir, filed_as=filed_as)
        if as_json:
            print_json(report)
        else:
            from normexp.console.why import print_why

            print_why(report)
