"""What one run and trajectory cost: plans, disk, and requests to a file server, under strace.

    python tests/harness/scale.py             plans of up to 100,000 runs, and a store
    python tests/harness/scale.py --million   and a plan of a million runs (a gigabyte, minutes)

Seconds are of processor time, which others disturb less than the clock. A request is a call that a
shared file system's server hears of: of names (open, stat, mkdir, rename, unlink), of directories
(getdents), and of data (read, and the close of what was written).
"""

import argparse
import json
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from load import MOMENTA, PROGRAM

ARMS = ["optim.lr=" + ",".join(f"{number / 1000:g}" for number in range(1, 11)),
        "train.batch_size=16,32,64,128,256"]  # fmt: skip
STUDY = ["norm=batch", f"norm.momentum={','.join(MOMENTA)}"]
RUNS = 20 * 64
NAMES = re.compile(
    r"(openat|unlink|mkdir|rename|newfstatat|statx|access|readlink|utimensat|unlinkat)\((?:AT_FDCWD|\")"
)


def main() -> None:
    """Print a line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--plan", type=int)
    arguments = parser.parse_args()
    if arguments.plan:
        print(json.dumps(plan(arguments.plan)))
        return
    for seeds in (1, 20, 100, *([1000] if arguments.million else [])):
        command = [sys.executable, __file__, "--plan", str(seeds)]
        print("plan", json.loads(subprocess.check_output(command)), flush=True)
    with tempfile.TemporaryDirectory() as place:
        study = [*STUDY, "seed=range(64)", f"store.dir={place}/runs"]
        read = f"import normexp; normexp.read('{place}/runs')"
        for name, command in {
            "sweep": [*PROGRAM, "sweep", *study],
            "the same again": [*PROGRAM, "sweep", *study],
            "plan": [*PROGRAM, "plan", *study],
            "ls STUDY": [*PROGRAM, "ls", "bn_regression", "--dir", f"{place}/runs"],
            "read": [sys.executable, "-c", read],
            "verify": [*PROGRAM, "verify", "--dir", f"{place}/runs"],
        }.items():
            print(f"{name}: {requests(command, place):.1f} requests a run", flush=True)
        for kind in ("*/metrics.parquet", "trajectories/*/manifest.json"):
            directories = [path.parent for path in Path(place).glob(f"runs/*/{kind}")]
            inside = [each for path in directories for each in (path, *path.rglob("*"))]
            size = sum(path.lstat().st_blocks for path in inside) / 2 / len(directories)
            print(f"{kind}: {len(inside) / len(directories):.1f} inodes, {size:.1f} kB each")


def plan(seeds: int) -> dict[str, float]:
    """A plan of 1,000 runs a seed, in this process: seconds and memory."""
    from normexp.study.study import load
    from normexp.sweeps.plan import Inventory, build

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


def requests(command: list[str], place: str) -> float:
    """Requests that a command sends to the file system below a place, for each run."""
    with tempfile.NamedTemporaryFile("r", errors="replace") as log:
        strace = [shutil.which("strace") or "strace", "-f", "-y", "-e", "trace=file,desc"]
        traced = [*strace, "-o", log.name, *command]
        subprocess.run(traced, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        calls = [line for line in log if place in line and "resumed>" not in line]
    names = sum(bool(NAMES.search(line)) for line in calls)
    listed = sum("getdents64(" in line for line in calls)
    data = sum("read" in line and not line.endswith("= 0\n") for line in calls)
    return (names + listed + data + sum("O_CREAT" in line for line in calls)) / RUNS


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
