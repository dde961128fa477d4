"""A sweep of 20,000 runs, and what one does with its store afterwards: `make load`, on Linux.

Prints seconds and the peak of memory of each command, start-up included.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

MOMENTA = [*(f"{number / 20:g}" for number in range(1, 20)), "null"]
PROGRAM = [sys.executable, "-m", "normexp"]
LOOK_SECONDS = 0.2
READ = "import normexp; print(len(normexp.read('runs')))"


def main() -> None:
    """One line a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    runs = parser.parse_args().runs
    study = ["norm=batch", f"norm.momentum={','.join(MOMENTA)}", f"seed=range({runs // 20})"]
    commands = {
        f"sweep of {runs:,} runs": [*PROGRAM, "sweep", *study],
        "the same again": [*PROGRAM, "sweep", *study],
        "plan": [*PROGRAM, "plan", *study],
        "ls": [*PROGRAM, "ls"],
        "ls bn_regression": [*PROGRAM, "ls", "bn_regression"],
        "read": [sys.executable, "-c", READ],
        "report": [*PROGRAM, "report", "bn_regression"],
        "verify": [*PROGRAM, "verify"],
    }
    with tempfile.TemporaryDirectory() as place:
        for name, command in commands.items():
            seconds, gigabytes = measured(command, place)
            print(f"{name:24} {seconds:8.1f} s {gigabytes:8.2f} GB", flush=True)
    print(json.dumps({"machine": platform.processor(), "cores": os.cpu_count()}))


def measured(command: list[str], place: str) -> tuple[float, float]:
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
    return time.perf_counter() - start, most / 1e9


def _held(session: int) -> int:
    """Bytes of memory that the processes of a session have, shared ones counted once."""
    return sum(_proportional(int(each.name)) for each in Path("/proc").glob("[0-9]*")
               if _session(int(each.name)) == session)  # fmt: skip


def _session(process: int) -> int | None:
    with suppress(OSError):
        return os.getsid(process)
    return None


def _proportional(process: int) -> int:
    with suppress(OSError):  # it has ended meanwhile
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
