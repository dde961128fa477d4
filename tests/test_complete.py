"""Completion in bash, zsh and fish: what Typer's scripts ask, answered by a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SMALL, Command

SLOW = ("pydantic", "torch", "pandas", "numpy", "hydra", "rich", "importlib.metadata")
"""Modules that nobody shall wait for who presses the Tab key."""


def completed(line: str, shell: str = "zsh") -> subprocess.CompletedProcess[str]:
    """What a shell asks when the last word of a line is being typed, and the modules imported."""
    words = line.replace("=", " = ").split() + ([""] if line.endswith(" ") else [])
    of_shell = {
        "bash": {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    return subprocess.run(
        [Path(sys.executable).parent / "normexp"],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            **of_shell,
            "_NORMEXP_COMPLETE": f"complete_{shell}",
            "PYTHONPROFILEIMPORTTIME": "1",
        },
    )


def asked(line: str, shell: str = "zsh") -> list[str]:
    """The answers to a line whose last word is being typed."""
    done = completed(line, shell)
    return done.stdout.replace('"', " ").replace("(", " ").replace(")", " ").split()


@pytest.mark.parametrize(
    ("line", "shell", "there"),
    [
        ("normexp swe", "zsh", "sweep"),
        ("normexp swe", "bash", "sweep"),
        ("normexp swe", "fish", "sweep"),
        ("normexp sweep norm.mom", "zsh", "norm.momentum="),
        ("normexp sweep norm.mom", "fish", "norm.momentum="),
        ("normexp sweep norm.mom", "bash", "norm.momentum="),
        ("normexp sweep norm=gr", "zsh", "norm=group"),
        ("normexp sweep norm=gr", "fish", "norm=group"),
        ("normexp sweep norm=gr", "bash", "group"),
        ("normexp plan norm=batch,gr", "zsh", "norm=batch,group"),
        ("normexp plan norm=batch norm.estimator=pop", "bash", "population"),
        ("normexp sweep study=", "bash", "placement"),
    ],
)
def test_commands_keys_and_values_are_completed(line: str, shell: str, there: str) -> None:
    """Bash parts words at `=`, and wants the value alone."""
    assert there in asked(line, shell)


@pytest.mark.parametrize("line", ["normexp swe", "normexp sweep norm.mom", "normexp ls bn"])
def test_completion_imports_nothing_slow(line: str) -> None:
    """Typer checks what is typed by pydantic, which takes as long as all the rest."""
    imported = {each.rpartition("|")[2].strip() for each in completed(line).stderr.splitlines()}

    assert "normexp.cli.app" in imported
    assert not imported & {*SLOW}


def test_what_is_stored_is_completed(normexp: Command) -> None:
    """Studies, sweeps and runs of the store in this directory."""
    normexp("sweep", *SMALL, "norm=none", "seed=0")
    (run,) = Path("runs/bn_regression").glob("none-*")
    (sweep,) = Path("runs/bn_regression/sweeps").iterdir()
    identity = run.name.rpartition("-")[2]

    assert "bn_regression" in asked("normexp report bn")
    assert sweep.name in asked(f"normexp report {sweep.name[:6]}")
    assert identity in asked(f"normexp show {identity[:5]}")
    assert "bn_regression" in asked("normexp ls bn")


def test_the_store_is_named_alike_by_all(normexp: Command) -> None:
    """`--dir` of a sweep is its store.dir; a result is a line, and a table in a notebook."""
    import normexp as package

    words = [*SMALL, "norm=none", "seed=0"]
    swept = normexp("sweep", *words, "--dir", "else/where")
    planned = normexp("plan", *words, "--dir", "else/where")
    result = package.sweep(*words, "store.dir=else/where")

    assert swept.exit_code == 0, swept.stderr
    assert "nothing to do" in planned.stdout
    assert not Path("runs").exists()
    assert repr(result).startswith("<bn_regression: 1 of 1 runs, 0 trained, else/where/")
    assert "<table" in result._repr_html_()


def test_a_footnote_explains_what_is_shown(
    normexp: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no room for a column, nothing is said of it."""
    words = ["sweep", *SMALL, "norm=batch", "norm.momentum=0.1,0.5", "seed=0,1,2"]
    wide = normexp(*words).stdout
    monkeypatch.setenv("COLUMNS", "24")
    narrow = normexp(*words).stdout

    assert "half-life in steps" in wide
    assert "excess = test loss" in wide
    assert "half-life" not in narrow
    assert "excess =" not in narrow
