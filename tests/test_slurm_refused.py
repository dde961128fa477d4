"""What Slurm cannot do is one clear line, and nothing is begun."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SMALL
from typer.testing import Result

ON_SLURM = [sys.executable, "-m", "normexp", "sweep", "executor=slurm", *SMALL]


@pytest.mark.parametrize(
    ("override", "word"),
    [("executor.partition=nowhere", "nowhere"), ("executor.options=ready", "--ready")],
)
def test_what_slurm_refuses_is_one_clear_line(
    cluster: Path, monkeypatch: pytest.MonkeyPatch, override: str, word: str
) -> None:
    """In Slurm's own words."""
    monkeypatch.setenv("SLURM_CONF", str(cluster))
    done = subprocess.run([*ON_SLURM, override], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert word in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in done.stderr


def test_what_the_readme_types_suits_the_cluster_it_names(
    cluster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its options of sbatch, on the Slurm that its section tells how to start."""
    monkeypatch.setenv("SLURM_CONF", str(cluster))
    text = (Path(__file__).parents[1] / "README.md").read_text()
    (typed,) = re.findall(r"`\"(executor\.options='.*?')\"`", text)
    done = subprocess.run([*ON_SLURM, typed], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ("time=3", "executor.time=MINUTES"),
        ("--time=0-00:03:00", "executor.time=MINUTES"),
        ("mem=1G time-min=3", "executor.time=MINUTES"),
        ("time-m=3", "executor.time=MINUTES"),
        ("partit=main", "executor.partition=NAME"),
        ("cpus-per-task=2", "executor.cpus_per_task=NUMBER"),
        ("array=0-9", "executor.array_parallelism=NUMBER"),
        ("ntasks=2", "leave it out"),
        ("sig=INT@1", "leave it out"),
        ("no-requeue", "leave it out"),
        ("'comment=an", "executor.options='mem=8G"),
    ],
)
def test_options_do_not_go_round_fields(
    normexp: Callable[..., Result], options: str, hint: str
) -> None:
    """Of the executor, whose limits they would not keep, or that a task depends on."""
    quoted = options.replace("'", "\\'")
    result = normexp("sweep", "executor=slurm", *SMALL, f"executor.options='{quoted}'")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("error: executor.options=") == 1
    assert "hint: " in result.stderr
    assert hint in result.stderr
    assert not list(Path().rglob("sweeps/*"))


def test_neither_does_the_environment(
    normexp: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which sbatch puts above what its script says."""
    monkeypatch.setenv("SBATCH_TIMELIMIT", "3")
    result = normexp("sweep", "executor=slurm", *SMALL)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "SBATCH_TIMELIMIT=3" in result.stderr
    assert "unset SBATCH_TIMELIMIT" in result.stderr


def test_only_a_cluster_can_be_detached_from(normexp: Callable[..., Result]) -> None:
    """This machine works for as long as the command does."""
    result = normexp("sweep", "--detach", *SMALL)

    assert (result.exit_code, result.stdout) == (2, "")
    assert "executor=slurm" in result.stderr


def test_where_there_is_no_slurm_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is begun."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    done = subprocess.run(ON_SLURM, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "sbatch" in done.stderr
    assert "executor=local" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(Path().rglob("sweeps/*"))
