"""What sweeps and stores cost, start-up included, on Linux: seconds and the peak of memory.

python tests/harness/load.py          a sweep of 20,000 runs, and every command on its store
python tests/harness/load.py --cost   sweeps by number of runs and by width, and a picture
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import altair as alt
import pandas as pd

MOMENTA = [*(f"{number / 20:g}" for number in range(1, 20)), "null"]
PROGRAM = [sys.executable, "-m", "normexp"]
LOOK_SECONDS = 0.2
READ = "import normexp; print(len(normexp.read('runs')))"

RUNS, WIDTHS, RUNS_BY_WIDTH = (10, 100, 1_000, 10_000, 100_000), (10, 30, 100, 300, 1_000), 160


def main() -> None:
    """Print a line a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=20_000, help="of the sweep; the most, by --cost"
    )
    parser.add_argument("--cost", action="store_true")
    parser.add_argument("--picture", type=Path, help="where the picture goes, a PNG or SVG")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:  # one: ext4 is slow for minutes after deletions
        if not asked.cost:
            for name, command in _commands(asked.runs).items():
                measured(name, command, place)
            return
        sizes = [("runs", size) for size in RUNS if size <= asked.runs]
        sizes += [("width", size) for size in WIDTHS]
        rows = [_sweep(by, size, place) for by, size in sizes]
    if asked.picture:
        picture(pd.DataFrame(rows)).save(asked.picture, scale_factor=2)


def _study(runs: int) -> list[str]:
    momenta = MOMENTA[: min(runs, len(MOMENTA))]
    seeds = -(-runs // len(MOMENTA))
    return ["norm=batch", f"norm.momentum={','.join(momenta)}", f"seed=range({seeds})"]


def _commands(runs: int) -> dict[str, list[str]]:
    study = _study(runs)
    return {
        f"sweep of {runs:,} runs": [*PROGRAM, "sweep", *study],
        "the same again": [*PROGRAM, "sweep", *study],
        "plan": [*PROGRAM, "plan", *study],
        "ls": [*PROGRAM, "ls"],
        "ls bn_regression": [*PROGRAM, "ls", "bn_regression"],
        "read": [sys.executable, "-c", READ],
        "report": [*PROGRAM, "report", "bn_regression"],
        "verify": [*PROGRAM, "verify"],
    }


def _sweep(by: str, size: int, place: str) -> dict[str, str | float]:
    """The cost of a sweep of so many runs, or of networks so wide."""
    study = _study(size if by == "runs" else RUNS_BY_WIDTH)
    study += [f"model.width={size}"] if by == "width" else []
    command = [*PROGRAM, "sweep", *study, f"store.dir={by}-{size}"]
    seconds, gigabytes = measured(f"{by} {size:,}", command, place)
    return {"by": by, "size": size, "seconds": seconds, "GB of memory": gigabytes}


def measured(name: str, command: list[str], place: str) -> tuple[float, float]:
    """Wall clock, and the most memory in GB that the command and its processes had together."""
    start, most = time.perf_counter(), 0
    process = subprocess.Popen(
        command,
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while process.poll() is None:
        most = max(most, _held(process.pid))
        time.sleep(LOOK_SECONDS)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    seconds, gigabytes = time.perf_counter() - start, most / 1e9
    print(f"{name:24} {seconds:8.1f} s {gigabytes:8.2f} GB", flush=True)
    return seconds, gigabytes


def _held(session: int) -> int:
    """Bytes of memory that the processes of a session have, shared ones counted once."""
    held = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if os.getsid(int(process.name)) == session:
                lines = (process / "smaps_rollup").read_text().splitlines()
                held += sum(int(line.split()[1]) * 1024 for line in lines if line[:4] == "Pss:")
    return held


def picture(measurements: pd.DataFrame) -> alt.VConcatChart:
    """Seconds and memory, by runs on the left and by width on the right."""
    titles = {"runs": "runs", "width": f"width of the network ({RUNS_BY_WIDTH} runs)"}
    return alt.vconcat(*(
        alt.hconcat(*(
            alt.Chart(measurements[measurements["by"] == by], width=300, height=170)
            .mark_line(point=True)
            .encode(
                alt.X("size:Q", title=title).scale(type="log").axis(tickCount=5, format=","),
                alt.Y(f"{value}:Q", title=value).scale(type="log"),
            )
            for by, title in titles.items()
        ))
        for value in ("seconds", "GB of memory")
    ))  # fmt: skip


if __name__ == "__main__":
    main()
