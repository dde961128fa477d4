"""Processes of the bench: started, heard, and their losses compared with normexp's."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from scipy.stats import t as student

from peers.work import Final

Figures = dict[str, Any]

Known = Mapping[tuple[float, int], Final]
"""Normexp's, by momentum and seed."""

DOUBT = 1e-3
"""How seldom equal work may seem to differ, by Student's t over seeds."""


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


def difference(finals: Sequence[Final], known: Known, of: str) -> Figures:
    """How far the logarithms of losses are apart; seeds count, not momenta, which share weights."""
    by_seed: dict[int, list[float]] = {}
    for each in finals:
        ratio = getattr(each, of) / getattr(known[each[:2]], of)
        by_seed.setdefault(each.seed, []).append(math.log(ratio))
    logs = [fmean(part) for part in by_seed.values()]
    error = stdev(logs) / len(logs) ** 0.5
    farthest = max(0.01, float(student.ppf(1 - DOUBT / 2, len(logs) - 1)) * error)
    return {
        "log ratio": fmean(logs),
        "standard error": error,
        "agrees": abs(fmean(logs)) < farthest,
    }
