"""The command line: parse, call, print."""

import io
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from normexp.errors import NormexpError

app = typer.Typer(
    name="normexp",
    help="Run studies of normalization momentum: hundreds of trainings from one command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C has ended; what is stored is whole whenever that is."""

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...", help="Hydra overrides; a,b,c, range() and choice() sweep."
    ),
]
ConfigDir = Annotated[
    Path | None, typer.Option("--config-dir", help="Your own configs, before the packaged ones.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The same as data, on stdout.")]
StoreDir = Annotated[Path, typer.Option("--dir", help="The store to look in.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@app.command()
def sweep(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,  # noqa: FBT002  a flag of the command line
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Train and observe the runs of a study, and sum them up by arm.

    Without overrides: batch norm against none, at five momenta and eight seeds. A run that is in
    the store already is not trained again, and a new momentum on an old training trains nothing.
    Ends with the sweep's directory on the last line.

    \b
    Example:
      normexp sweep norm=none,batch norm.momentum=0.01,0.1,0.5 'seed=range(32)'
      normexp sweep norm=batch train.batch_size=16,64,256 optim.lr=0.003,0.03
    """  # noqa: D301  \b keeps the lines of the example apart
    with _reporting(debug=debug):
        from normexp.console.progress import LiveProgress
        from normexp.console.tables import print_result
        from normexp.session import sweep as session
        from normexp.session.result import result_numbers

        progress = LiveProgress()
        try:
            arguments = overrides or []
            result = session.sweep(*arguments, config_dir=config_dir, progress=progress)
        finally:
            progress.close()
        if as_json:
            _print_json(result_numbers(result))
        else:
            print_result(result)
        if result.failed:
            raise typer.Exit(1)


@app.command()
def plan(
    overrides: Overrides = None,
    config_dir: ConfigDir = None,
    as_json: AsJson = False,  # noqa: FBT002
    debug: Debug = False,  # noqa: FBT002
) -> None:
    """Say what a sweep would do: runs, trajectories, stacks, what is cached, about how long.

    \b
    Example:
      normexp plan norm=batch norm.momentum=0.1,0.3
    """  # noqa: D301  \b keeps the lines of the example apart
    with _reporting(debug=debug):
        from normexp.session import sweep as session
        from normexp.session.result import plan_report

        made = session.plan(*(overrides or []), config_dir=config_dir)
        if as_json:
            _print_json(plan_report(made))
        else:
            from normexp.console.tables import print_plan

            print_plan(made)


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
    with _reporting(debug=debug):
        from normexp.session import listing

        columns, rows = listing.runs(directory, study) if study else listing.sweeps(directory)
        if as_json:
            _print_json(rows)
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
    with _reporting(debug=debug):
        from normexp.session import listing

        manifest, metrics = listing.run(directory, run)
        if as_json:
            _print_json({**manifest, "points": metrics})
        else:
            from normexp.console.tables import print_run

            print_run(manifest, metrics)


def main() -> None:
    """The entry point of the `normexp` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± is no reason to fail
    try:
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            sys.stdout.flush()
            sys.stderr.flush()
            for child in multiprocessing.active_children():
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGKILL)
            os._exit(INTERRUPTED)  # or a second Ctrl-C leaves joblib waiting for its processes
        raise


@contextmanager
def _reporting(*, debug: bool) -> Iterator[None]:
    """Turn errors into `error:` and `hint:` lines and exit codes."""
    try:
        yield
    except NormexpError as error:
        if debug:
            raise
        from normexp.console.streams import print_error

        print_error(error)
        raise typer.Exit(error.exit_code) from None
    except BrokenPipeError:
        sys.stderr.close()  # the reader has gone, as with head
        raise typer.Exit(0) from None
    except OSError as error:
        if debug:
            raise
        from normexp.console.streams import print_error

        what = f"{error.strerror or error}: {error.filename or 'the output'}"
        print_error(NormexpError(what))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted; what is stored is kept, the same command continues", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _print_json(content: Any) -> None:  # noqa: ANN401
    from normexp.store.files import finite

    sys.stdout.write(json.dumps(finite(content), indent=1, ensure_ascii=False) + "\n")
