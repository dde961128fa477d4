"""What the bench measures of normexp alone: small commands, its parts, and the machine's limits."""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from peers.process import Figures, heard, start
from peers.work import Work

REPEATS = 3
"""Of what takes a second or less: medians count."""

PLAN = ["norm=batch", "norm.momentum=range(0.01,0.205,0.01)", "seed=range(500)"]


def command_seconds(*arguments: str) -> float:
    """Wall clock of normexp's command, the median of some."""
    tries = []
    for _ in range(REPEATS):
        before = time.perf_counter()
        process = start([sys.executable, "-m", "normexp", *arguments])
        _, err = process.communicate()
        if process.returncode:
            raise SystemExit(err)
        tries.append(time.perf_counter() - before)
    return median(tries)


READ = """
import json, sys, time, normexp
start = time.perf_counter()
import pandas, pyarrow.parquet
imported = time.perf_counter()
frame = normexp.read(sys.argv[1])
print(json.dumps({"import": imported - start, "read": time.perf_counter() - imported,
                  "runs": len(frame)}))
"""


def start_and_read(store: str) -> Figures:
    """Work (d): seconds of small commands, and of reading a store into pandas."""
    read = heard(start([sys.executable, "-c", READ, store]))
    with tempfile.TemporaryDirectory() as empty:
        plan = command_seconds("plan", *PLAN, f"store.dir={empty}")
    again = [heard(start([sys.executable, "-c", READ, store]))["read"] for _ in range(REPEATS)]
    return {
        "--help": command_seconds("--help"),
        "plan of 10,000 runs": plan,
        f"reading {read['runs']:,} runs, imports aside": median(again),
        "importing pandas and pyarrow": read["import"],
    }


def parts_and_limits(work: Work, place: Path, store: str, step: float) -> Figures:
    """Where the time of (b) goes on one core, and how far it is from what the machine allows.

    Args:
        work: (b).
        place: for a store of its own.
        store: of a sweep of (b) that has ended.
        step: seconds of a network-step of normexp's training, on one core.
    """
    study = [*work.overrides(work.momenta), f"seed=range({work.seeds})"]
    overrides = [*study, f"store.dir={place / 'parts'}"]
    parts = heard(start([sys.executable, "-m", "peers.parts", *overrides]))
    limits = heard(start([sys.executable, "-m", "peers.limits", f"{store}/bn_regression"]))
    runs = len(work.momenta) * work.seeds
    found = {f"one worker: {name}, s": seconds for name, seconds in parts.items()}
    training, writing = step * 1e6, parts["write"] / runs * 1e3
    return found | {
        "training, us a network-step": training,
        "matrix products alone, us a network-step": limits["products"],
        "  training / products": training / limits["products"],
        "copy, GB/s": limits["copy"],
        "memory traffic alone, us a network-step": limits["traffic"],
        "  training / traffic": training / limits["traffic"],
        "writing, ms a run": writing,
        "Parquet alone, ms a run": limits["parquet"],
        "  writing / Parquet": writing / limits["parquet"],
    }
