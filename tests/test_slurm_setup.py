"""`executor.setup`: where any of its commands fails nothing is trained, and the log is named."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SMALL
from typer.testing import Result

Command = Callable[..., Result]

STUDY = [*SMALL, "norm=batch", "executor=slurm", "executor.time=10"]


@pytest.fixture(autouse=True)
def _on_slurm(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(cluster))


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        ("module load nosuch", ["module: command not found", "code 127"]),
        ("false; export AFTER=1", ["code 1"]),
        ("cd nowhere && export INSIDE=1", ["nowhere: No such file", "code 1"]),
        ("echo no licence >&2; exit 3", ["no licence", "code 3"]),
    ],
)
def test_any_failing_command_of_the_setup_fails_the_task(
    normexp: Command, setup: str, words: list[str]
) -> None:
    """In the middle, at the end, or in a list, which `set -e` alone overlooks."""
    result = normexp("sweep", *STUDY, f"executor.setup='{setup}'")

    assert result.exit_code == 1, result.stderr
    assert all(word in result.stderr for word in ["executor.setup ended the task", *words])
    assert "Traceback" not in result.stderr
    assert not list(Path("runs").rglob("metrics.parquet"))


def test_a_task_that_said_nothing_is_told_with_its_empty_log(normexp: Command) -> None:
    """Whoever reads it can look there."""
    result = normexp("sweep", *STUDY, "executor.setup='exec 2>/dev/null; exit 3'")
    (log,) = {*re.findall(r"(\S+\.err) is empty", result.stderr)}

    assert result.exit_code == 1
    assert Path(log).read_bytes() == b""


def test_a_setup_that_succeeds_is_what_the_task_works_in(normexp: Command) -> None:
    """Failures that it expects are its own business, and so is what it does at its exit."""
    setup = "false || true; trap 'echo left >>setup.txt' EXIT; echo {1..2} >setup.txt"
    result = normexp("sweep", *STUDY, f'executor.setup="{setup}"', "--json")
    answer = json.loads(result.stdout)

    assert result.exit_code == 0, result.stderr
    assert (answer["trained"], answer["failed"]) == (8, 0)
    assert Path("setup.txt").read_text() == "1 2\nleft\n"
