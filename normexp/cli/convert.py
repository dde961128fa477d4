"""Momentum in another framework's words: `convert`."""

from dataclasses import asdict
from typing import Annotated

import typer

from normexp.cli.app import AsJson, Debug, app, print_json, reporting


@app.command(context_settings={"ignore_unknown_options": True})  # -1 is a value
def convert(  # noqa: PLR0913, PLR0917  as Typer calls it
    value: Annotated[
        str | None, typer.Argument(help="The momentum as one types it there; null is None.")
    ] = None,
    source: Annotated[
        str, typer.Option("--from", metavar="FRAMEWORK", help="Whose value it is.")
    ] = "torch",
    target: Annotated[
        str, typer.Option("--to", metavar="FRAMEWORK", help="Who is to get it.")
    ] = "torch",
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help="Examples of a batch, for time constants in samples."),
    ] = None,
    values: Annotated[
        int | None,
        typer.Option(
            "--values",
            help="Values a channel in a batch, N·H·W of images, for the ratio of variances; "
            "default: the batch size.",
            show_default=False,
        ),
    ] = None,
    show_all: Annotated[  # noqa: FBT002
        bool, typer.Option("--list", help="Show the table of all frameworks, as without a value.")
    ] = False,
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Say a momentum in another framework's words, and what else must change.

    Without a value, the conventions of all frameworks, as their sources have them.

    \b
    Example:
      normexp convert 0.99 --from keras --to torch --batch-size 32
      normexp convert --list
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.frameworks.convert import convert as converted
        from normexp.frameworks.table import FRAMEWORKS

        if value is None or show_all:
            frameworks = tuple(FRAMEWORKS.values())
            if as_json:
                print_json([asdict(framework) for framework in frameworks])
                return
            from normexp.console.convert import print_frameworks

            print_frameworks(frameworks)
            return
        answer = converted(value, source, target, batch_size, values)
        if as_json:
            print_json(asdict(answer))
        else:
            from normexp.console.convert import print_conversion

            print_conversion(answer)
