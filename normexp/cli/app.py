"""What all commands share: the app, options, and how an error ends a command."""

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from normexp.cli.words import Commands, refuse_words
from normexp.errors import NormexpError

app = typer.Typer(
    name="normexp",
    cls=Commands,
    help="Run studies of normalization momentum: hundreds of trainings from one command.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C has ended."""

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        help="Hydra overrides; a,b,c, range() and choice() sweep.",
        callback=refuse_words,
    ),
]
ConfigDir = Annotated[
    Path | None, typer.Option("--config-dir", help="Your own configs, before the packaged ones.")
]
FiledAs = Annotated[
    str | None,
    typer.Option("--as", metavar="NAME", help="Keep the runs as a study of this name."),
]
OnCodeChange = Annotated[
    str,
    typer.Option(
        "--on-code-change",
        metavar="warn|rerun|ignore",
        help="What becomes of stored runs that other code or another machine has made.",
    ),
]
Places = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PLACE=VALUE]...", help="Where its data are now: data.path=FILE."),
]
AsJson = Annotated[bool, typer.Option("--json", help="The same as data, on stdout.")]
StoreDir = Annotated[Path, typer.Option("--dir", help="The store to look in.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


@contextmanager
def reporting(*, debug: bool) -> Iterator[None]:
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
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _print_version(wanted: bool) -> None:  # noqa: FBT001  as Typer calls it
    if wanted:
        from normexp import __version__

        typer.echo(f"normexp {__version__}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
]


@app.callback()
def _root(*, version: Version = False) -> None:
    """Options of no command."""


def print_notes(notes: Iterable[str]) -> None:
    """What a person should know of an answer, on stderr."""
    from normexp.console.streams import stderr

    for note in notes:
        stderr().print(f"note: {note}", soft_wrap=True, markup=False)


def warn_of_damage(*directories: Path) -> None:
    """Say on stderr which of these runs are not as their manifests say."""
    from normexp.console.streams import stderr
    from normexp.store.files import intact

    lost = [str(directory) for directory in directories if intact(directory) is None]
    if lost:
        others = f" and {len(lost) - 1} more runs are" if lost[1:] else " is"
        stderr().print(
            f"warning: {lost[0]}{others} damaged: normexp verify says what and what to type",
            soft_wrap=True,
        )


def warn_of_lost(store: Path, wanted: str) -> None:
    """Say on stderr which runs were left out of an answer, since they are damaged."""
    from normexp.trust.selection import select

    warn_of_damage(*select(store, wanted).runs)


def print_json(content: Any) -> None:  # noqa: ANN401
    """Data for programs, on stdout."""
    from normexp.console.streams import escaped
    from normexp.store.texts import finite

    sys.stdout.write(escaped(json.dumps(finite(content), indent=1, ensure_ascii=False)) + "\n")
