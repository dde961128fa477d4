"""A sweep of 20,000 runs, and what one does with its store afterwards: `make load`.

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

MOMENTA = ",".join([*(f"{number / 20:g}" for number in range(1, 20)), "null"])
READ = "import normexp; print(len(normexp.read('runs')))"


def main() -> None:
    """One line a command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20_000)
    runs = parser.parse_args().runs
    program = [sys.executable, "-m", "normexp"]
    study = ["norm=batch", f"norm.momentum={MOMENTA}", f"seed=range({runs // 20})"]
    commands = {
        f"sweep of {runs:,} runs": [*program, "sweep", *study],
        "the same again": [*program, "sweep", *study],
        "plan": [*program, "plan", *study],
        "ls": [*program, "ls"],
        "ls bn_regression": [*program, "ls", "bn_regression"],
        "read": [sys.executable, "-c", READ],
        "report": [*program, "report", "bn_regression"],
        "verify": [*program, "verify"],
    }
    with tempfile.TemporaryDirectory() as place:
        for name, command in commands.items():
            seconds, gigabytes = measured(command, place)
            print(f"{name:24} {seconds:8.1f} s {gigabytes:8.2f} GB", flush=True)
    print(json.dumps({"machine": platform.processor(), "cores": os.cpu_count()}))


def measured(command: list[str], place: str) -> tuple[float, float]:
    """Wall clock, and the most memory that the process had."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, usage.ru_maxrss / 1e6


if __name__ == "__main__":
    main()
