"""The report of a study that is growing, on a page that follows: `watch`."""

from pathlib import Path
from typing import Annotated

import typer

from normexp.cli.app import Debug, StoreDir, app, reporting


@app.command()
def watch(  # noqa: PLR0913, PLR0917  the options of a command line
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="[STUDY]", help="By name or path; else that of the newest sweep."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; only this machine, unless you say so.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="The same; 0 for any that is free.")] = 0,
    open_browser: Annotated[  # noqa: FBT002
        bool, typer.Option("--open", help="Open the page in a browser.")
    ] = False,
    directory: StoreDir = Path("runs"),
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Serve a study's report on this machine, made again whenever a run is stored; Ctrl-C ends.

    The sweep runs elsewhere: in another terminal, or on another machine that shares the store.

    \b
    Example:
      normexp watch
      normexp watch bn_regression --port 8000
    """  # noqa: D301  \b keeps the lines of the example apart
    with reporting(debug=debug):
        from normexp.console.streams import stderr, stdout
        from normexp.report.live import Live, study_of
        from normexp.report.server import LOOPBACK, ReportServer

        study = study_of(directory, wanted)
        if host not in LOOPBACK:
            stderr().print(
                f"warning: {host} can be reached by others, who will see the report", soft_wrap=True
            )
        server = ReportServer(Live(study), host, port)
        stdout().print(server.address, soft_wrap=True)
        stderr().print(f"the report of {study.path}; Ctrl-C ends", soft_wrap=True)
        if open_browser:
            typer.launch(server.address)
        server.serve()
