"""What Slurm cannot do is one clear line, and nothing is begun; a failing set-up trains nothing."""

import json
import re
import sys
from pathlib import Path

import pytest
from conftest import SMALL, Command

STUDY = [*SMALL, "norm=batch", "executor=slurm", "executor.time=10"]


@pytest.fixture
def on_slurm(cluster: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that answers."""
    monkeypatch.setenv("SLURM_CONF", str(cluster))


@pytest.mark.usefixtures("on_slurm")
@pytest.mark.parametrize(
    ("override", "word"),
    [("executor.partition=nowhere", "nowhere"), ("executor.options=ready", "--ready")],
)
def test_what_slurm_refuses_is_one_clear_line(normexp: Command, override: str, word: str) -> None:
    """In Slurm's own words."""
    done = normexp("sweep", *STUDY, override)

    assert (done.exit_code, done.stdout) == (2, "")
    assert word in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ("time=3", "executor.time=MINUTES"),
        ("mem=1G time-min=3", "executor.time=MINUTES"),
        ("--time-m=3", "executor.time=MINUTES"),
        ("partit=main", "executor.partition=NAME"),
        ("cpus-per-task=2", "executor.cpus_per_task=NUMBER"),
        ("array=0-9", "executor.array_parallelism=NUMBER"),
        ("ntasks=2", "leave it out"),
        ("sig=INT@1", "leave it out"),
        ("no-requeue", "leave it out"),
        ("'comment=an", "executor.options='mem=8G"),
    ],
)
def test_options_do_not_go_round_fields(normexp: Command, options: str, hint: str) -> None:
    """Of the executor, whose limits they would not keep, or that a task depends on."""
    quoted = options.replace("'", "\\'")
    result = normexp("sweep", *STUDY, f"executor.options='{quoted}'")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("error: executor.options=") == 1
    assert "hint: " in result.stderr
    assert hint in result.stderr
    assert not list(Path().rglob("sweeps/*"))


@pytest.mark.parametrize(
    ("variable", "overrides", "words"),
    [
        ("SBATCH_TIMELIMIT=3", STUDY, ["SBATCH_TIMELIMIT=3", "unset SBATCH_TIMELIMIT"]),
        (f"PATH={Path(sys.executable).parent}", STUDY, ["sbatch", "executor=local"]),
        ("PATH=/bin", ["--detach", *SMALL], ["executor=slurm"]),
    ],
    ids=["a variable of sbatch", "no Slurm", "detached from this machine"],
)
def test_what_cannot_be_is_told_before_anything_is_begun(
    normexp: Command,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    overrides: list[str],
    words: list[str],
) -> None:
    """What sbatch puts above its script; a machine without Slurm, or that ends with the command."""
    monkeypatch.setenv(*variable.split("=", 1))
    result = normexp("sweep", *overrides)

    assert (result.exit_code, result.stdout) == (2, "")
    assert all(word in result.stderr for word in words)
    assert not list(Path().rglob("sweeps/*"))


@pytest.mark.usefixtures("on_slurm")
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


@pytest.mark.usefixtures("on_slurm")
def test_a_task_that_said_nothing_is_told_with_its_empty_log(normexp: Command) -> None:
    """Whoever reads it can look there."""
    result = normexp("sweep", *STUDY, "executor.setup='exec 2>/dev/null; exit 3'")
    (log,) = {*re.findall(r"(\S+\.err) is empty", result.stderr)}

    assert result.exit_code == 1
    assert Path(log).read_bytes() == b""


@pytest.mark.usefixtures("on_slurm")
def test_a_setup_that_succeeds_is_what_the_task_works_in(normexp: Command) -> None:
    """With the README's options. Failures that it expects, and its exit, are its own."""
    text = (Path(__file__).parents[1] / "runs/README.md").read_text()
    (typed,) = re.findall(r"`\"(executor\.options='.*?')\"`", text)
    setup = "false || true; trap 'echo left >>setup.txt' EXIT; echo {1..2} >setup.txt"
    result = normexp("sweep", *STUDY, typed, f'executor.setup="{setup}"', "--json")
    answer = json.loads(result.stdout)

    assert result.exit_code == 0, result.stderr
    assert (answer["trained"], answer["failed"]) == (8, 0)
    assert Path("setup.txt").read_text() == "1 2\nleft\n"
