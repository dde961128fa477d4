"""Looking at what is there: `ls` and `show`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import AsJson, Debug, StoreDir, app, print_json, reporting


@app.command("ls")
def list_store(
    study: Annotated[str | None, typer.Argument(help="List this study's runs.")] = None,
    directory: StoreDir = Path("runs"),
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """List the sweeps of the store, or the runs of one study.

    \b
    Example:
      normexp ls
      normexp ls bn_regression
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.session import listing

        columns, rows = listing.runs(directory, study) if study else listing.sweeps(directory)
        if as_json:
            print_json(rows)
        else:
            from normexp.console.tables import print_listing

            print_listing(columns, rows)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="Its id or the beginning of it, or its directory.")],
    directory: StoreDir = Path("runs"),
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Show one run whole: configuration, metrics, files, and the command that gives it again.

    \b
    Example:
      normexp show 64fdd590
      normexp show runs/bn_regression/none-s0-64fdd590c34c
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.session import listing

        manifest, metrics = listing.run(directory, run)
        if as_json:
            print_json({**manifest, "points": metrics})
        else:
            from normexp.console.tables import print_run

            print_run(manifest, metrics)
