"""Shared by all commands: options, answers as text or JSON, errors."""

import functools
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, NamedTuple, ParamSpec

import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from normexp.cli import complete
from normexp.cli.words import WORDS, HelpfulCommand, keys_of
from normexp.errors import NormexpError, UsageError, did_you_mean, nearest

PURPOSES = {"sweeps": "Sweep", "look": "Look", "insight": "Explain", "theory": "Explain",
            "own": "Your own network", "trust": "Trust", "store": "Keep"}  # fmt: skip
"""What the commands of each file are for."""


class Commands(TyperGroup):
    """The commands; Typer's refusals end in an `error:` and a `hint:`, as all others do."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
        """Run the command that `args` says, or the arguments of this process."""
        typed = list(sys.argv[1:] if args is None else args) or ["--help"]
        if typed[0] == "help":
            typed = [*typed[1:], "--help"]
        if "_NORMEXP_COMPLETE" in os.environ:
            # Typer would import pydantic to check what is typed, and rich to read summaries.
            sys.modules["rich"] = None  # type: ignore[assignment]
            for kind in (TyperArgument, TyperOption):
                kind.process_value = lambda _, __, value: value  # type: ignore[assignment,method-assign]
        if not named.pop("standalone_mode", True):
            return super().main(typed, *rest, **named)
        try:
            _refuse_empty(typed)
            code = super().main(typed, *rest, **named | {"standalone_mode": False})
        except typer.Abort:
            code = 1
        except (typer.TyperException, NormexpError) as error:
            from normexp.console.output import print_error

            if not isinstance(error, NormexpError):
                error = UsageError(_message(error), self._hint(typed, error))
            print_error(error)
            code = error.exit_code
        sys.exit(code or 0)

    def format_commands(self, _: Any, formatter: Any) -> None:  # noqa: ANN401  Typer's own
        """Write the commands with their summaries, by what they are for."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for name, each in self.commands.items():
            module = getattr(each.callback, "__module__", "").rpartition(".")[2]
            purpose = PURPOSES.get(module, module.capitalize())
            row = name.ljust(max(map(len, self.commands))), each.get_short_help_str(80)
            groups.setdefault(purpose, []).append(row)
        for purpose, rows in groups.items():
            with formatter.section(purpose):
                formatter.write_dl(rows, col_max=12)

    def _hint(self, typed: Sequence[str], error: typer.TyperException) -> str:
        """Return what to type instead of a command or an option that Typer does not know."""
        known = "requires" in error.message or "does not take" in error.message
        option = "" if known else str(getattr(error, "option_name", ""))
        unknown = re.search(r"No such command '(.*?)'", error.message)
        whole = next((each for each in typed if option and each.startswith(option)), option)
        word = whole.lstrip("-").partition("=")[0] or (unknown[1] if unknown else "")
        if word in WORDS:
            return WORDS[word]
        if unknown and "=" in word:
            return f"type normexp sweep {word}"
        if unknown:
            return did_you_mean(word, self.commands, f"there is {', '.join(self.commands)}")
        command = self.commands.get(next((each for each in typed if each in self.commands), ""))
        if command is None:
            return "type normexp --help"
        meant: list[str] = []
        if option:
            names = [name for each in command.params for name in each.opts if name[:2] == "--"]
            meant = [f"--{near}" for near in nearest(word, [name[2:] for name in names])]
            if any(each.name == "overrides" for each in command.params):
                meant = keys_of(word) or meant
        return f"type {' or '.join(meant)}" if meant else f"type normexp {command.name} --help"


def refuse_words(context: typer.Context, words: list[str] | None) -> list[str] | None:
    """Return the overrides, or refuse a word among them that other tools know."""
    root = context.find_root().command
    commands = root.commands if isinstance(root, TyperGroup) else {}
    for word in words or ():
        hint = f"type normexp {word}" if word in commands else WORDS.get(word)
        if hint:
            raise UsageError(f"{word!r} is no override, which is KEY=VALUE", hint)
    return words


def into(overrides: list[str] | None, directory: Path | None) -> list[str]:
    """Return the overrides with the store that `--dir` names."""
    from normexp.config.field import quoted

    return [*(overrides or []), *([f"store.dir={quoted(str(directory))}"] if directory else [])]


def _message(error: typer.TyperException) -> str:
    text = error.format_message().partition(" (Possible")[0].partition(" Did you mean")[0]
    text = text.replace("Input should be", "it has to be").replace("\n", " ")
    return (text[:1].lower() + text[1:]).rstrip(".")


def _refuse_empty(typed: Sequence[str]) -> None:
    """Refuse an empty option, from a shell's variable that is not set: it would mean `.`."""
    for option, value in pairwise([*typed, " "]):
        if option.startswith("--") and (not value or option.endswith("=")):
            name = option.rstrip("=")
            raise UsageError(f"{name} '' is empty", f"leave {name} out, or type a value")


app = typer.Typer(
    name="normexp",
    cls=Commands,
    help="Run studies of normalization momentum: hundreds of trainings from one command.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C has ended."""

Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Hydra overrides; a,b,c, range() and choice() sweep.",
        callback=refuse_words,
        autocompletion=complete.overrides,
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
    typer.Argument(metavar="data.path=FILE", help="Where the data are now."),
]
Fields = Annotated[
    list[str] | None,
    typer.Argument(metavar="FIELD=VALUES", help="Runs with these fields alone."),
]
Sources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="STUDY|SWEEP|RUN|FIELD=VALUES|data.path=FILE",
        help="By name, id or path (default: all); with these fields; where data are now.",
        autocompletion=complete.names,
    ),
]
Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FIELD=VALUES|data.path=FILE",
        help="Runs with these fields alone, and where the data are now.",
    ),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="By id or the beginning of it, by name or directory.",
        autocompletion=complete.names,
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]
Out = Annotated[Path | None, typer.Option("--out", help="Directory (default: one in the store).")]
StoreDir = Annotated[Path, typer.Option("--dir", help="The store.")]
RUNS = Path("runs")
"""The store, unless another one is named."""

Into = Annotated[Path | None, typer.Option("--dir", help="The store, as store.dir.")]

AsJson = Annotated[bool, typer.Option("--json", help="JSON on stdout.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
UNWRAPPED = "\b\n"
"""Keeps the lines of a paragraph of help apart."""

P = ParamSpec("P")


def _plain(content: Any) -> Any:  # noqa: ANN401
    if isinstance(content, list):
        return [*map(_plain, content)]
    return content.as_dict() if hasattr(content, "as_dict") else content


class Answer(NamedTuple):
    """The result of a command: its content, how it is printed for people, then how it ends.

    Programs get the content as data: what its `as_dict` says if it has one, or what `data` says.
    """

    content: Any
    show: Callable[[Any], object]
    code: int = 0
    data: Callable[[Any], Any] = _plain
    end: Callable[[Any], object] = lambda _: None


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
                    content = answer.content
                    print_json(answer.data(content)) if as_json else answer.show(content)
                    answer.end(content)
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
        app.command(name, cls=HelpfulCommand, help=text, **settings)(run)
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
        from normexp.console.output import print_error

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


def main() -> None:
    """Run the `normexp` command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the shell
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  as long as we live
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± is no reason to fail
    try:
        app()
    except SystemExit as end:
        from normexp.cli.sweeps import ENDED_EARLY, leave

        if end.code in ENDED_EARLY:
            leave(end.code)
        raise


def warn_of_damage(*directories: Path) -> None:
    """Warn on stderr of those of the runs that are not as their manifests say."""
    from normexp.store.manifest import intact

    warn_of_lost([directory for directory in directories if intact(directory) is None])


def warn_of_lost(lost: Sequence[Path], notes: Iterable[str] = ()) -> None:
    """Print notes on an answer, and warn of damaged runs that were left out, on stderr."""
    from normexp.console.output import note, warn
    from normexp.console.words import counted

    for each in notes:
        note(each)
    if lost:
        more = counted(len(lost) - 1, "other run")
        others = f" and {more} are" if lost[1:] else " is"
        warn(f"{lost[0]}{others} damaged: normexp verify says what and what to type")


def print_json(content: Any) -> None:  # noqa: ANN401
    """Print JSON on stdout."""
    from normexp.console.output import escaped
    from normexp.store.plain import to_json

    sys.stdout.write(escaped(to_json(content).decode()))
