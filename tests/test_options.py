"""`normexp options`: what can be typed, in the terminal, as JSON and as a page."""

from pathlib import Path
from typing import Any

import pytest
from conftest import AsJson, Command

import normexp as package
from normexp.config.schema import packaged_configs
from normexp.study.compose import composer

GROUPS = ("study", "data", "model", "norm", "norm/framework", "optim", "executor")


def test_the_page_in_configs_is_what_the_command_prints(normexp: Command) -> None:
    """Made by `normexp options --markdown >configs/README.md`."""
    page = normexp("options", "--markdown").stdout

    assert page == (packaged_configs() / "README.md").read_text()


def test_it_lists_the_choices_that_hydra_finds(as_json: AsJson) -> None:
    """Of every group, each with a line, those of the user's own configs too."""
    own = Path("own/study/mine.yaml")
    own.parent.mkdir(parents=True)
    own.write_text("# @package _global_\nstudy:\n  about: a study of mine\n")
    choices = as_json("options", "--config-dir", "own")["choices"]
    with composer(Path("own")) as hydra:
        found = {group: hydra.options(group) for group in GROUPS}

    assert {group: sorted(each) for group, each in choices.items()} == {
        group: sorted({*there} - {"framework"}) for group, there in found.items()
    }
    assert choices["study"]["mine"] == "a study of mine"
    assert all(about for each in choices.values() for about in each.values())


def test_every_field_of_a_run_is_there_with_its_default(as_json: AsJson) -> None:
    """Whatever kinds it is of; typing a default changes no run."""
    fields = as_json("options")["fields"]
    (run,) = package.load("norm=batch", "norm.momentum=0.1", "seed=0").runs
    names = {path for path in run.flat if not path.endswith(".kind")}
    defaults = {each["field"]: each["default"] for each in fields if "norm=batch" in each["of"]}
    typed = [f"{path}={value}".replace("True", "true") for path, value in defaults.items()]
    (again,) = package.load(
        "norm=batch", "seed=0", *(w.replace("None", "null") for w in typed)
    ).runs

    assert names <= {each["field"] for each in fields}
    assert all(each["meaning"] and each["type"] and each["role"] for each in fields)
    assert again.id == run.id


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("norm", ["norm=ghost", "norm.momentum=0.1"]),
        ("norm=group", ["norm=group", "norm.groups=2", "a whole number from 1"]),
        ("group", ["norm=group", "norm.groups=2", "structural"]),
        ("train", ["train.epochs=12", "passes over the training set", "epochs"]),
        ("lr", ["optim.lr=0.03", "learning rate", "stackable"]),
        ("optim.lr", ["a number above 0"]),
        ("seed", ["seed=0", "from 0"]),
        ("keras", ["norm/framework=keras", "0.99"]),
        ("bn_regression", ["study=bn_regression"]),
    ],
)
def test_a_word_shows_its_part(normexp: Command, word: str, shown: list[str]) -> None:
    """A group, a choice, a section, a field or its last part."""
    result = normexp("options", word)

    assert result.exit_code == 0, result.stderr
    assert [each for each in shown if each not in result.stdout] == []


@pytest.mark.parametrize(
    ("word", "hint"),
    [("norm.momentm", "norm.momentum"), ("batchnorm", "batch"), ("optimizers", "optim"),
     ("norm=batsh", "norm=batch"), ("zzz", "type normexp options")],
)  # fmt: skip
def test_a_wrong_word_is_told_the_nearest(normexp: Command, word: str, hint: str) -> None:
    """In two lines, exit code 2."""
    result = normexp("options", word)
    error, meant = result.stderr.splitlines()

    assert result.exit_code == 2
    assert error == f"error: {word!r} is no option"
    assert meant.startswith("hint: ")
    assert hint in meant


def test_lines_fit_the_terminal(normexp: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """At 80 columns, and words are whole."""
    monkeypatch.setenv("COLUMNS", "80")
    lines: list[Any] = []
    for word in ((), ("norm",), ("model",), ("executor",), ("norm/framework",)):
        lines += normexp("options", *word).stdout.splitlines()

    assert max(map(len, lines)) <= 80
