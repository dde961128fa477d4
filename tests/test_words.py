"""Words that people bring from elsewhere: each refusal names what to type here."""

import pytest
from conftest import Command

from normexp.cli import app
from normexp.cli.app import HINTS, WORDS

TYPED = {
    "plan --dry-run": "normexp plan",
    "sweep -m norm=batch": "a,b,c, range() and choice() sweep by themselves",
    "--multirun norm=batch": "a,b,c, range() and choice() sweep by themselves",
    "sweep --config-name mine": "study=NAME",
    "sweep -cn mine": "study=NAME",
    "sweep --config-path own": "--config-dir DIR",
    "plan --cfg job": "normexp plan",
    "sweep --resume": "the same normexp sweep again",
    "resume": "the same normexp sweep again",
    "sweep resume": "the same normexp sweep again",
    "list": "normexp ls",
    "plan list": "normexp ls",
    "rm batch-m0.1": "rm -r DIRECTORY",
    "run norm=batch": "normexp sweep",
    "sweep plan": "normexp plan",
    "norm=batch seed=0": "normexp sweep norm=batch",
    "help sweep": "normexp COMMAND --help",
    "sweep help": "normexp COMMAND --help",
    "swep": "did you mean sweep?",
    "sweep --jsn": "type --json",
    "sweep --configdir x": "type --config-dir",
    "sweep --seed 3": "type seed=VALUE",
    "plan --norm.momentum=0.3": "type norm.momentum=VALUE",
    "plan --batch-size 32": "type train.batch_size=VALUE",
    "plan --norm batch": "type norm=CHOICE",
    "sweep -j 4": "executor.workers=N",
    "sweep --dir x": "store.dir=DIR",
    "sweep --foo": "normexp sweep --help",
    "report --seed 3": "normexp report --help",
    "ls --dir": "normexp ls --help",
    "ls a b c": "normexp ls --help",
    "show": "normexp show --help",
    "plan --json=3": "normexp plan --help",
    "predict --steps x": "normexp predict --help",
    "--foo": "normexp --help",
    "predict --steps 10 --batch-size 4 --momentum 2": "",
    "plan --config-dir  norm=batch": "leave --config-dir out",
    "plan --config-dir= norm=batch": "leave --config-dir out",
    "ls --dir ": "leave --dir out",
    "ls --dir=": "leave --dir out",
    "report bn_regression --out ": "leave --out out",
}


@pytest.mark.parametrize("typed", TYPED)
def test_a_wrong_word_is_refused_with_what_to_type(normexp: Command, typed: str) -> None:
    """One line that says what is wrong, one that says what to type; exit code 2.

    A word of another tool, a near miss, and an option whose variable is not set.
    """
    result = normexp(*typed.split(" "))
    error, hint = result.stderr.splitlines()

    assert result.exit_code == 2
    assert result.stdout == ""
    assert error.startswith("error: ")
    assert hint.startswith("hint: ")
    assert TYPED[typed] in hint


def test_no_word_is_a_command_or_has_two_hints() -> None:
    """A word of the table that became a command would say something false."""
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    named = {hint.split("normexp ")[1].split()[0] for hint in WORDS.values() if "normexp " in hint}

    assert not commands & set(WORDS)
    assert len(WORDS) == sum(len(words.split()) for words in HINTS.values())
    assert {name.rstrip(":,") for name in named} - {"--help", "--version", "COMMAND"} <= commands


def test_help_and_version_go_to_stdout(normexp: Command) -> None:
    """Exit code 0, wherever `--help` stands among the words."""
    for typed in (["--help"], ["sweep", "norm=batch", "--help"], ["plan", "-h"], ["--version"]):
        shown = normexp(*typed)
        assert shown.exit_code == 0
        assert "normexp" in shown.stdout
    assert normexp().exit_code == 2
