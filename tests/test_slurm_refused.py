"""What Slurm cannot do is one clear line, and nothing is begun."""

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
