"""Making a run again: `reproduce`."""

import signal
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from normexp.cli.app import AsJson, Debug, Places, StoreDir, app, print_json, reporting


@app.command()
def reproduce(  # noqa: PLR0913, PLR0917  the command's options
    run: Annotated[
        str, typer.Argument(help="Its id or the beginning of it, its name, or its directory.")
    ],
    places: Places = None,
    directory: StoreDir = Path("runs"),
    out: Annotated[
        Path | None, typer.Option("--out", help="The certificate's file, not in the run's place.")
    ] = None,
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Train a run alone from its directory, compare every number, and write a certificate.

    Needs the run's directory only, which may come from another machine. Where nothing has changed
    that numbers depend on, files must be equal to the bit; elsewhere they must agree as far as
    training lets them. Exit code 4 where they do not.

    \b
    Example:
      normexp reproduce 64fdd590
      normexp reproduce none-s0-64fdd590c34c --out certificate.json
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.console.progress import LiveProgress
        from normexp.trust.reproduce import reproduce as again

        progress = LiveProgress()
        signal.signal(signal.SIGTERM, _leave)
        try:
            certificate = again(run, places, store=directory, out=out, progress=progress)
        finally:
            progress.close()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if as_json:
            print_json(certificate.content)
        else:
            from normexp.console.certificate import print_certificate

            print_certificate(certificate)
        if not certificate.holds:
            raise typer.Exit(4)


def _leave(number: int, _: FrameType | None) -> None:
    """End by an exception, so that nothing is left in the temporary place."""
    raise SystemExit(128 + number)
