"""`verify`: whether what is stored is what was stored."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import AsJson, Debug, StoreDir, app, print_json, reporting
from normexp.errors import VerificationError


@app.command()
def verify(
    wanted: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY|SWEEP|RUN]", help="Its name, id or directory; nothing: all that is."
        ),
    ] = None,
    directory: StoreDir = Path("runs"),
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Check every digest, table and identity of what is stored, and say what to do.

    What is damaged is marked, so that the next sweep makes exactly that anew. Ends with exit code 4
    if anything is wrong.

    \b
    Example:
      normexp verify
      normexp verify bn_regression
      normexp verify runs/bn_regression/none-s0-64fdd590c34c
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.console.verification import VerifyProgress, print_verification
        from normexp.trust import verify as trust
        from normexp.trust.selection import select

        selection = select(directory, wanted)
        with VerifyProgress() as progress:
            result = trust.verify(selection, progress.report)
        if as_json:
            print_json(trust.report_of(result))
        else:
            print_verification(result)
        if result.findings:
            raise typer.Exit(VerificationError.exit_code)
