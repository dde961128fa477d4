"""Sweeps as commands of their own, for tests that meet them in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kills import files

SWEEP = [str(Path(sys.executable).with_name("normexp")), "sweep"]
"""The command that is installed."""

INSTALLED = ("joblib", "numpy", "torch", "ray", "submitit", "cloudpickle", "pyarrow", "yaml")

ELSEWHERE = {"created", "seconds", "resumed_after_epochs", "sha256"}
"""What a manifest says of when and how it was made; its digest covers that."""


def began(*overrides: str) -> subprocess.Popen[str]:
    """A sweep in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [*SWEEP, *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit code, stdout and stderr of a sweep."""
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


@contextmanager
def killing() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """A function like `began`, whose sweeps end with the block."""
    started = []

    def start(*overrides: str) -> subprocess.Popen[str]:
        started.append(began(*overrides))
        return started[-1]

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def litter() -> Iterator[None]:
    """Files here for every module that could be meant; whoever ran one fails the test."""
    said = Path("said").absolute()
    names = [f"{name}.py" for name in {*sys.stdlib_module_names, *INSTALLED} - {"__main__"}]
    for name in names:
        Path(name).write_text(
            f"open({str(said)!r}, 'a').write(__name__ + '\\n')\nraise ImportError(__file__)\n"
        )
    yield
    for name in names:
        Path(name).unlink()
    assert not said.exists(), said.read_text()


def until(condition: Callable[[], object], process: subprocess.Popen[Any] | None = None) -> None:
    """Wait for a condition, as long as the process lives."""
    deadline = time.monotonic() + 600
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def checkpoints() -> list[Path]:
    """Those of trainings that are in the middle."""
    return list(Path("runs").rglob("*.checkpoint"))


def resumed(store: str = "runs") -> list[int]:
    """After how many epochs the trainings of a store went on."""
    found = Path(store).glob("*/trajectories/*/manifest.json")
    return [json.loads(path.read_text())["resumed_after_epochs"] for path in found]


def manifests(store: Path, *, without: set[str]) -> dict[str, dict[str, Any]]:
    """Those of runs and trajectories, without what may differ."""
    return {
        str(path.relative_to(store)): {
            name: value
            for name, value in json.loads(path.read_text()).items()
            if name not in without
        }
        for path in store.rglob("manifest.json")
        if "sweeps" not in path.parts
    }


def assert_same(one: Path, other: Path, *, without: set[str] = ELSEWHERE) -> None:
    """Every file to the bit, and every manifest but for its time and place."""
    assert files(one) == files(other)
    assert manifests(one, without=without) == manifests(other, without=without)
