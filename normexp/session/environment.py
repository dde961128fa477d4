"""Where numbers were made: recorded beside the results, never part of their identity."""

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("normexp", "torch", "numpy", "hydra-core", "omegaconf", "pyarrow", "safetensors")
INSTRUCTIONS = ("avx", "avx2", "fma", "avx512f", "avx512_bf16", "amx_tile")


@cache
def environment() -> dict[str, Any]:
    """Versions, machine and settings; JSON types only."""
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "cpu": _cpu("model name"),
        "instructions": [name for name in INSTRUCTIONS if name in _cpu("flags").split()],
        "cores": os.cpu_count(),
        "mkl_cbwr": os.environ.get("MKL_CBWR"),
        "aten_cpu_capability": os.environ.get("ATEN_CPU_CAPABILITY"),
        "commit": _commit(),
    }


def changed(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Stand-in until helper A's is merged: what numbers depend on and is another now."""
    known = [name for name in _DECIDING if name in recorded and name in now]
    return {name: (recorded[name], now[name]) for name in known if recorded[name] != now[name]}


def unknown(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Stand-in too: what is known now and an older record does not say."""
    return tuple(name for name in _DECIDING if name in now and name not in recorded)


_DECIDING = ("torch", "numpy", "cpu", "instructions", "mkl_cbwr", "aten_cpu_capability", "code")


def _cpu(key: str) -> str:
    """A line of /proc/cpuinfo; empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


def _commit() -> str | None:
    """The commit of the working tree that normexp runs from, `+` for changes; None if installed."""
    here = Path(__file__).parents[2]
    if not (here / ".git").exists():
        return None
    describe = ["git", "-C", str(here), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        done = subprocess.run(describe, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
