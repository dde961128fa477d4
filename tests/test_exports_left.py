"""Exports that do not end, and two at a time."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import SMALL, AsJson
from running import began, ended, until


@pytest.fixture
def never(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is there once a tool in MLflow's place was imported, which does not end."""
    said, tool = Path("imported").absolute(), Path("tools/mlflow.py")
    tool.parent.mkdir()
    tool.write_text(f"import time\nopen({str(said)!r}, 'w').close()\ntime.sleep(1e6)")
    monkeypatch.setenv("PYTHONPATH", "tools")
    return said


def test_a_signal_leaves_a_tool_behind_that_does_not_end(as_json: AsJson, never: Path) -> None:
    """While trainings go on: some runs are stored, the others interrupted, and no lock is left."""
    words = [*SMALL, "norm=batch", "seed=0", "train.epochs=2,400000", "executor.workers=2"]
    process = began(*words, "log.to=mlflow")
    until(never.exists, process)
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)

    assert code == 130
    assert "interrupted: 5 of 10 runs are stored" in err
    assert "Traceback" not in err
    assert as_json("ls")[0]["status"] == "interrupted"
    assert not list(Path("runs").rglob(".*.lock"))
    assert not list(Path("runs/bn_regression/sweeps").rglob("alive.json"))


def test_a_sweep_whose_export_is_left_behind_is_complete(as_json: AsJson, never: Path) -> None:
    """A line says how to export later; the same by --limit, which is no failure."""
    words = [*SMALL, "norm=batch", "seed=0", "log.to=mlflow"]
    process = began(*words, "--json")
    until(never.exists, process)
    process.send_signal(signal.SIGINT)
    code, out, _ = ended(process)
    limited, limited_out, _ = ended(began(*words, "--limit", "2s", "--json"))
    line = ("log.to=mlflow: it had not ended when the sweep did; to do it later: "
            "normexp export bn_regression --to mlflow --dir runs")  # fmt: skip

    assert (code, limited) == (130, 0)
    assert json.loads(out)["warnings"] == [line]
    assert json.loads(limited_out)["warnings"] == [line]
    assert [row["status"] for row in as_json("ls")] == ["complete", "complete"]
    assert as_json("verify")["problems"] == []


def test_two_signals_leave_a_tool_at_once(as_json: AsJson, never: Path) -> None:
    """As they leave everything; the runs are whole."""
    process = began(*SMALL, "norm=batch", "seed=0", "log.to=mlflow")
    until(never.exists, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)

    assert code == 130
    assert "left at once; what is stored is whole" in err
    assert as_json("ls")[0]["status"] == "unfinished"
    assert as_json("verify")["problems"] == []


@pytest.mark.filterwarnings("ignore")  # of the tools
@pytest.mark.usefixtures("study")
def test_two_exports_at_a_time_add_every_run_once(as_json: AsJson) -> None:
    """The second waits for the first, and finds its runs there."""
    pytest.importorskip("mlflow")
    command = [sys.executable, "-m", "normexp", "export", "--to", "mlflow", "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    new = [json.loads(process.communicate()[0])["new"] for process in both]

    assert sorted(new) == [0, 6]
    assert as_json("export", "--to", "mlflow")["new"] == 0
