"""Looking at what is there: `ls` and `show`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import AsJson, Debug, StoreDir, app, print_json, reporting, warn_of_damage


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
        from normexp.sweeps import listing

        runs = listing.runs(directory, study) if study else None
        sweeps = listing.sweeps(directory) if runs is None else []
        if as_json:
            print_json(sweeps if runs is None else runs.rows)
            return
        from normexp.console.listing import print_runs, print_sweeps

        print_sweeps(sweeps) if runs is None else print_runs(runs)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="Its id or the beginning of it, or its directory.")],
    whole: Annotated[  # noqa: FBT002
        bool, typer.Option("--all", help="With every field and every evaluation point.")
    ] = False,
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
        from normexp.sweeps import listing

        manifest, metrics = listing.run(directory, run)
        warn_of_damage(Path(manifest["directory"]))
        if as_json:
            print_json({**manifest, "points": metrics})
        else:
            from normexp.console.run import print_run

            print_run(manifest, metrics, whole=whole)
