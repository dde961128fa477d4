"""Words that people bring from elsewhere, and what to type here in their place."""

import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from normexp.errors import NormexpError, UsageError

HINTS = {
    "type normexp plan: it says what a sweep would do": "dry-run dryrun preview simulate",
    "leave it out: a,b,c, range() and choice() sweep by themselves": "m multirun",
    "type study=NAME for a study, or GROUP=CHOICE for a part of one": "config-name config cn",
    "type --config-dir DIR": "config-path cp cd configs",
    "type normexp plan for what would run, normexp show RUN for a run's whole configuration": (
        "cfg c info job resolve package p inspect describe"
    ),
    "type normexp reproduce RUN": "experimental-rerun replay",
    "type the same normexp sweep again: it keeps what is complete and continues the rest": (
        "resume continue restart retry"
    ),
    "type --on-code-change rerun where the code has changed; equal runs would give the same": (
        "force overwrite rerun no-cache f"
    ),
    "type executor.workers=N": "jobs j n-jobs num-workers parallel threads nproc",
    "type executor.device=cuda": "gpu gpus cuda",
    "type executor=slurm or executor=ray": "slurm ray launcher cluster submit sbatch submitit",
    "type store.dir=DIR": "out output output-dir out-dir logdir log-dir save-dir o d dir",
    "leave it out: progress goes to stderr, 2>/dev/null silences it": "verbose v quiet q silent",
    "type normexp --help, or normexp COMMAND --help": "help usage man hydra-help ?",
    "type normexp --version": "version V",
    "type normexp ls": "list l runs studies experiments status ps progress queue top squeue",
    "type rm -r DIRECTORY, as normexp ls STUDY names it; a later sweep makes what it needs again": (
        "rm remove delete del clean prune gc purge"
    ),
    "type normexp sweep": "run train fit start launch execute exp experiment grid search",
    "type normexp report STUDY": "plot viz visualize figure figures html results summary table",
    "type normexp watch STUDY": "dashboard ui board tensorboard serve monitor tail log logs",
    "type normexp show RUN": "cat get view open details",
    "press Ctrl-C where the sweep runs, or type scancel JOB for one in Slurm": (
        "stop kill cancel abort scancel"
    ),
    "type normexp verify": "check validate fsck audit",
    "type normexp ls --json, or normexp.read() in Python": "export csv dump download",
    "type normexp predict": "tune optimize best recommend",
}
WORDS = {word: hint for hint, words in HINTS.items() for word in words.split()}


class Commands(TyperGroup):
    """The commands; what Typer refuses ends in an `error:` and a `hint:`, as all else does."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **named: Any) -> Any:  # noqa: ANN401
        """Run the command that `args` says, or the arguments of this process."""
        typed = list(sys.argv[1:] if args is None else args)
        if not typed or not named.pop("standalone_mode", True):
            return super().main(typed, *rest, **named)
        try:
            _refuse_empty(typed)
            code = super().main(typed, *rest, **named | {"standalone_mode": False})
        except typer.Abort:
            sys.exit(1)
        except typer.TyperException as error:
            _end(UsageError(_message(error), self._hint(typed, error)))
        except NormexpError as error:
            _end(error)
        sys.exit(code or 0)

    def _hint(self, typed: Sequence[str], error: typer.TyperException) -> str:
        """What to type in place of what Typer does not know."""
        known = "requires" in error.message or "does not take" in error.message
        option = "" if known else str(getattr(error, "option_name", ""))
        unknown = re.search(r"No such command '(.*?)'", error.message)
        whole = next((each for each in typed if option and each.startswith(option)), option)
        word = whole.lstrip("-").partition("=")[0] or (unknown[1] if unknown else "")
        command = self.commands.get(next((each for each in typed if each in self.commands), ""))
        if word in WORDS:
            return WORDS[word]
        if unknown:
            return _for_command(word, list(self.commands))
        if not (option and command):
            return f"type normexp {command.name} --help" if command else "type normexp --help"
        from normexp.errors import nearest

        keys = _keys(word) if any(each.name == "overrides" for each in command.params) else []
        options = [name for each in command.params for name in each.opts if name[:2] == "--"]
        if near := nearest(word, [name[2:] for name in options]):
            keys = keys or [f"--{name}" for name in near]
        return f"type {' or '.join(keys)}" if keys else f"type normexp {command.name} --help"


def _keys(word: str) -> list[str]:
    """The overrides that an option means by its name, such as `--batch-size`."""
    from normexp.config.schema import KINDS
    from normexp.config.tree import known_keys

    name = word.replace("-", "_")
    groups = [f"{group}=CHOICE" for group in ("study", *KINDS) if name == group]
    keys = [f"{key}=VALUE" for key in known_keys() if name in (key, key.rpartition(".")[2])]
    return groups or keys


def refuse_words(context: typer.Context, words: list[str] | None) -> list[str] | None:
    """The overrides; a word among them that is none, and that people use elsewhere, is refused."""
    for word in words or []:
        hint = f"type normexp {word}" if word in _commands(context) else WORDS.get(word)
        if hint:
            raise UsageError(f"{word!r} is no override, which is KEY=VALUE", hint)
    return words


def _commands(context: typer.Context) -> Sequence[str]:
    root = context.find_root().command
    return list(root.commands) if isinstance(root, TyperGroup) else []


def _for_command(word: str, commands: Sequence[str]) -> str:
    if "=" in word:
        return f"type normexp sweep {word}"
    from normexp.errors import did_you_mean

    return did_you_mean(word, commands, f"there is {', '.join(commands)}")


def _message(error: typer.TyperException) -> str:
    text = error.format_message().partition(" (Possible")[0].partition(" Did you mean")[0]
    return (text[:1].lower() + text[1:]).rstrip(".").replace("\n", " ")


def _refuse_empty(typed: Sequence[str]) -> None:
    """An empty text would be the current directory; it is a shell's variable that is not set."""
    for option, value in pairwise([*typed, " "]):
        if option.startswith("--") and (not value or option.endswith("=")):
            name = option.rstrip("=")
            raise UsageError(f"{name} '' is empty", f"leave {name} out, or type a value")


def _end(error: NormexpError) -> NoReturn:
    from normexp.console.streams import print_error

    print_error(error)
    sys.exit(error.exit_code)
