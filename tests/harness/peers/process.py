"""Processes of the bench: started, and heard."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


def start(command: Sequence[str], threads: int = 1) -> subprocess.Popen[str]:
    """A new interpreter that finds the peers."""
    own = Path(__file__).parents  # of `peers`, and of `reference`
    path = os.pathsep.join([str(own[1]), str(own[2]), *filter(None, sys.path[1:])])
    here = {"PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=os.environ | here, stdout=pipe, stderr=pipe, text=True)


def heard(process: subprocess.Popen[str]) -> Figures:
    """The JSON in a process's last line."""
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"{process.args!r}\n{err}")
    found: Figures = json.loads(out.splitlines()[-1])
    return found
