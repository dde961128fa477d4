"""What one run, trajectory and stack cost.

    python tests/harness/scale.py             plans, pickles, and a store under strace
    python tests/harness/scale.py --million   and a plan of a million runs (a gigabyte, minutes)

Seconds are of processor time, which others disturb less than the clock. A request is a call that a
shared file system's server hears of: of names (open, stat, mkdir, rename, unlink), of directories
(getdents), and of data (read, and the close of what was written).
"""

import argparse
import json
import pickle
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

MOMENTA = ",".join([*(f"{number / 20:g}" for number in range(1, 20)), "null"])
ARMS = ["optim.lr=" + ",".join(f"{number / 1000:g}" for number in range(1, 11)),
        "train.batch_size=16,32,64,128,256"]  # fmt: skip
STUDY = ["norm=batch", f"norm.momentum={MOMENTA}"]
NORMEXP = [sys.executable, "-m", "normexp"]
NAMES = re.compile(
    r"(openat|unlink|mkdir|rename|newfstatat|statx|access|readlink|utimensat|unlinkat)\((?:AT_FDCWD|\")"
)
CALLS = re.compile(r"^\d+ +(\w+)\(")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--plan", type=int)
    arguments = parser.parse_args()
    if arguments.plan:
        print(json.dumps(plan(arguments.plan)))
        return
    for seeds in (1, 5, 20, 100, *([1000] if arguments.million else [])):
        command = [sys.executable, __file__, "--plan", str(seeds)]
        print("plan", json.loads(subprocess.check_output(command)), flush=True)
    for size in (8, 32, 256):
        print("pickle", pickled(size), flush=True)
    with tempfile.TemporaryDirectory() as place:
        print("store", store(Path(place) / "store"), flush=True)
        study = [*STUDY, "seed=range(64)", f"store.dir={place}/store"]
        read = f"import normexp; normexp.read('{place}/store')"
        for name, command in {
            "plan": [*NORMEXP, "plan", *study],
            "ls STUDY": [*NORMEXP, "ls", "bn_regression", "--dir", f"{place}/store"],
            "read": [sys.executable, "-c", read],
            "the same again": [*NORMEXP, "sweep", *study],
            "verify": [*NORMEXP, "verify", "--dir", f"{place}/store"],
        }.items():
            print(name, requests(command, f"{place}/store", 1280), flush=True)
        for momenta, runs in ((MOMENTA, 1280), ("0.1", 64)):
            new = ["norm=batch", f"norm.momentum={momenta}", *study[2:-1]]
            command = [*NORMEXP, "sweep", *new, f"store.dir={place}/new{runs}"]
            print(f"sweep of {runs}", requests(command, f"{place}/new{runs}", runs), flush=True)


def plan(seeds: int) -> dict[str, float]:
    """A plan of 1,000 runs a seed, in this process: seconds and memory."""
    from normexp.sweeps.inventory import Inventory
    from normexp.sweeps.plan import build
    from normexp.sweeps.sweep import load

    load("seed=0")
    before, start = _peak(), time.process_time()
    study = load(*STUDY, *ARMS, f"seed=range({seeds})", "executor.workers=1000")
    loaded = time.process_time()
    stacks = build(study, Inventory()).stacks
    return {
        "runs": len(study.runs),
        "load_seconds": round(loaded - start, 2),
        "build_seconds": round(time.process_time() - loaded, 2),
        "stacks": len(stacks),
        "bytes_a_run": round((_peak() - before) / len(study.runs)),
    }


def pickled(size: int) -> dict[str, int]:
    """What a stack of so many trajectories, 20 runs each, takes on its way to a worker."""
    from normexp.sweeps.inventory import Inventory
    from normexp.sweeps.plan import build
    from normexp.sweeps.sweep import load

    study = load(*STUDY, f"seed=range({size})", f"executor.stack_size={size}", "executor.workers=1")
    stack = build(study, Inventory()).stacks[0]
    return {"trajectories": len(stack.trajectories), "bytes": len(pickle.dumps(stack))}


def store(place: Path) -> dict[str, float]:
    """Sweeps of one worker: what runs and trajectories leave, and what they take."""
    fixed = ["norm=batch", "executor.workers=1"]
    alone = [*fixed, "norm.momentum=0.1"]
    few = [seconds(place.with_name(f"few{n}"), *alone, f"seed=range({n})")
           for n in (64, 128)]  # fmt: skip
    many = seconds(place, *fixed, STUDY[1], "seed=range(64)")
    observe = (many - few[0]) / (19 * 64)
    runs = [path.parent for path in place.glob("bn_regression/*/metrics.parquet")]
    trainings = list(place.glob("bn_regression/trajectories/*"))
    return {
        "inodes_a_run": _mean(runs, lambda _: 1),
        "kilobytes_a_run": _mean(runs, lambda path: path.lstat().st_blocks / 2),
        "inodes_a_trajectory": _mean(trainings, lambda _: 1),
        "kilobytes_a_trajectory": _mean(trainings, lambda path: path.lstat().st_blocks / 2),
        "milliseconds_a_run": round(1e3 * observe, 2),
        "milliseconds_a_trajectory": round(1e3 * ((few[1] - few[0]) / 64 - observe), 2),
    }


def seconds(place: Path, *study: str) -> float:
    """Processor time of a sweep, start-up included."""
    before = _of_children()
    command = [*NORMEXP, "sweep", *study, f"store.dir={place}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return _of_children() - before


def requests(command: list[str], place: str, runs: int) -> dict[str, float]:
    """What a command asks of the file system below a place, for each of so many runs."""
    with tempfile.NamedTemporaryFile("r", errors="replace") as log:
        traced = [
            shutil.which("strace") or "strace",
            "-f",
            "-y",
            "-e",
            "trace=file,desc",
            "-o",
            log.name,
            *command,
        ]
        subprocess.run(traced, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        calls = [line for line in log if place in line and "resumed>" not in line]
    kinds = [found[1] for line in calls if (found := CALLS.match(line))]
    names = sum(bool(NAMES.search(line)) for line in calls)
    counts = Counter(kinds)
    written = sum("O_CREAT" in line for line in calls)
    data = sum("read" in line and not line.endswith("= 0\n") for line in calls) + written
    listed = counts["getdents64"]
    return {
        "calls": round(len(calls) / runs, 1),
        "requests": round((names + data + listed) / runs, 1),
        **{kind: round(number / runs, 2) for kind, number in counts.most_common(8)},
    }


def _mean(directories: list[Path], of: Callable[[Path], float]) -> float:
    """Of what is in directories, themselves included."""
    inside = [each for place in directories for each in (place, *place.rglob("*"))]
    return round(sum(map(of, inside)) / len(directories), 1)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
