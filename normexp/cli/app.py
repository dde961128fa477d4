"""Shared by all commands: options, answers as text or JSON, errors."""

import functools
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple, ParamSpec

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
        help="What to do with stored runs of other code or another machine.",
    ),
]
Places = Annotated[
    list[str] | None,
    typer.Argument(metavar="[data.path=FILE]...", help="Where the data are now."),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]
StoreDir = Annotated[Path, typer.Option("--dir", help="The store.")]
RUNS = Path("runs")
"""The store, unless another one is named."""

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
UNWRAPPED = "\b\n"
"""Keeps the lines of a paragraph of help apart."""

P = ParamSpec("P")


class Answer(NamedTuple):
    """The result of a command: as data for programs or printed for people, then how it ends."""

    data: Callable[[], Any]
    show: Callable[[], None]
    code: int = 0
    end: Callable[[], None] = lambda: None


def command(
    name: str | None = None,
    **settings: Any,  # noqa: ANN401  Typer's own
) -> Callable[[Callable[P, Answer | None]], Callable[P, Answer | None]]:
    """Register a command; add `--debug`, and `--json` if it returns an answer."""

    def register(function: Callable[P, Answer | None]) -> Callable[P, Answer | None]:
        signature = inspect.signature(function)
        added = {"as_json": AsJson, "debug": Debug}
        if signature.return_annotation is None:
            del added["as_json"]

        @functools.wraps(function)
        def run(*args: Any, as_json: bool = False, debug: bool = False, **named: Any) -> None:  # noqa: ANN401
            with reporting(debug=debug):
                answer = function(*args, **named)
                if answer is not None:
                    print_json(answer.data()) if as_json else answer.show()
                    answer.end()
                    if answer.code:
                        raise typer.Exit(answer.code)

        keyword = inspect.Parameter.KEYWORD_ONLY
        extra = [
            inspect.Parameter(each, keyword, default=False, annotation=kind)
            for each, kind in added.items()
        ]
        run.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*signature.parameters.values(), *extra], return_annotation=None
        )
        text = inspect.cleandoc(function.__doc__ or "").replace("Example:", UNWRAPPED + "Example:")
        app.command(name, help=text, **settings)(run)
        return function

    return register


@contextmanager
def reporting(*, debug: bool) -> Iterator[None]:
    """Turn errors into `error:` and `hint:` lines and exit codes."""
    try:
        yield
    except (NormexpError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            sys.stderr.close()  # the reader has gone, as with head
            raise typer.Exit(0) from None
        if debug:
            raise
        from normexp.console.streams import print_error

        if isinstance(error, OSError):
            error = NormexpError(f"{error.strerror or error}: {error.filename or 'the output'}")
        print_error(error)
        raise typer.Exit(error.exit_code) from None
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


def warn_of_damage(*directories: Path) -> None:
    """Warn on stderr of runs that are not as their manifests say."""
    from normexp.console.streams import warn
    from normexp.store.files import intact

    lost = [str(directory) for directory in directories if intact(directory) is None]
    if lost:
        others = f" and {len(lost) - 1} more runs are" if lost[1:] else " is"
        warn(f"{lost[0]}{others} damaged: normexp verify says what and what to type")


def warn_of_lost(store: Path, wanted: str, notes: Iterable[str] = ()) -> None:
    """Print notes on an answer, and warn of damaged runs that were left out, on stderr."""
    from normexp.console.streams import note
    from normexp.store.selection import select

    for each in notes:
        note(each)
    warn_of_damage(*select(store, wanted).runs)


def print_json(content: Any) -> None:  # noqa: ANN401
    """Print JSON on stdout."""
    from normexp.console.streams import escaped
    from normexp.store.texts import finite

    sys.stdout.write(escaped(json.dumps(finite(content), indent=1, ensure_ascii=False)) + "\n")
