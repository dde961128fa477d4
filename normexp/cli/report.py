"""A page and pictures of what is stored: `report`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import AsJson, Debug, StoreDir, app, print_json, reporting


@app.command()
def report(
    wanted: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STUDY|SWEEP|RUN]...", help="By name, id or path; all if none."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where to; else in the store, under reports/.")
    ] = None,
    directory: StoreDir = Path("runs"),
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Write a report: one HTML file that opens offline, its figures as SVG and PNG, and Markdown.

    Two or more studies or sweeps are laid side by side; runs are one report together.

    \b
    Example:
      normexp report bn_regression
      normexp report bn_regression placement --out comparison
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.console.streams import stderr, stdout
        from normexp.report.contents import compose
        from normexp.report.source import gather
        from normexp.report.write import as_data, place, write

        source = gather(directory, wanted or [])
        made = compose(source)
        written = write(made, out or place(directory, source))
        if as_json:
            print_json(as_data(made, written))
            return
        for figure in made.figures:
            stdout().print(f"{figure.title}: {figure.sentence}")
        for each in made.left_out:
            stderr().print(f"left out: {each.title}: {each.why}", soft_wrap=True)
        stdout().print(str(written), soft_wrap=True)
