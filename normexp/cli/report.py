"""A page and pictures of what is stored: `report`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import AsJson, Debug, StoreDir, app, print_json, reporting
from normexp.errors import UsageError


@app.command()
def report(  # noqa: PLR0913, PLR0917  the options of a command line
    wanted: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY|SWEEP|RUN]... [data.path=FILE]",
            help="By name, id or path; all if none. And where data in files are now.",
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option("--out", help="Where to; else in the store, under reports/.")
    ] = None,
    open_browser: Annotated[  # noqa: FBT002
        bool, typer.Option("--open", help="Open the page in a browser.")
    ] = False,
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
        from normexp.config.schema import PLACES
        from normexp.console.streams import stderr, stdout
        from normexp.report.contents import compose
        from normexp.report.source import gather
        from normexp.report.write import as_data, check_target, place, write
        from normexp.store.places import typed_places

        if out == "":
            raise UsageError("--out is empty", "type --out DIR, or leave it away")
        words = {each: each.startswith(tuple(f"{key}=" for key in PLACES)) for each in wanted or []}
        places = typed_places(word for word, is_place in words.items() if is_place)
        source = gather(directory, [word for word in words if not words[word]], places)
        target = place(directory, source) if out is None else Path(out)
        check_target(target, in_store=out is None)
        made = compose(source)
        written = write(made, target)
        if as_json:
            print_json(as_data(made, written))
            return
        stdout().print(f"{made.title}: {made.about}", soft_wrap=True)
        for sentence in made.headlines:
            stdout().print(sentence)
        for each in made.left_out:
            stderr().print(f"left out: {each.title}: {each.why}", soft_wrap=True)
        stdout().print(str(written), soft_wrap=True)
        if open_browser:
            typer.launch(str(written))
