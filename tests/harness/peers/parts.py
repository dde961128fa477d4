"""Where normexp's time goes by wall clock: what a sweep on one worker does, asked every 2 ms."""

import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

INTERVAL = 0.002
"""Seconds between two looks."""

ROOMS = {
    "store": "write",
    "study": "plan",
    "config": "plan",
    "sweeps": "other",
    "cli": "other",
}
"""What a room of normexp is doing; the engine does one of two things."""

PLANNING = ("plan.py", "cost.py")


def main(*overrides: str) -> None:
    """One line of JSON: seconds by part."""
    start = time.perf_counter()
    worker = threading.Thread(target=_sweep, args=overrides, name="normexp")
    worker.start()
    looks: Counter[str] = Counter()
    while worker.is_alive():
        frames = sys._current_frames()  # noqa: SLF001
        looks[_part([frames[each] for each in _at_work() if each in frames])] += 1
        time.sleep(INTERVAL)
    seconds = time.perf_counter() - start
    whole = sum(looks.values())
    parts = {part: seconds * number / whole for part, number in looks.items()}
    print(json.dumps({"whole": seconds, **parts}))


def _sweep(*overrides: str) -> None:
    import normexp

    normexp.sweep(*overrides, "executor.workers=1", "executor.processes=false")


def _at_work() -> list[int]:
    """The threads that do the sweep: neither this one, nor what shows a sign of life."""
    return [t.ident or 0 for t in threading.enumerate() if t.name.startswith("normexp")]


def _part(frames: list[FrameType]) -> str:
    """What is being done: imports, plan, train, observe, write or something else."""
    found = {_part_of(frame) for frame in frames}
    order = ("import", "train", "observe", "write", "plan")
    return next((part for part in order if part in found), "other")


def _part_of(frame: FrameType | None) -> str:
    """By the innermost call that tells; a pass of the engine by who has asked for it."""
    engine = None
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith("<frozen importlib"):
            return "import"
        parts = Path(path).parts
        if "normexp" in parts[:-1]:
            room = parts[len(parts) - 1 - parts[::-1].index("normexp") + 1]
            if room in {"engine", "nets", "data"}:
                engine = "observe" if parts[-1] == "observe.py" else "train"
            elif engine is not None:
                return engine
            elif room in ROOMS:
                return "plan" if parts[-1] in PLANNING else ROOMS[room]
        frame = frame.f_back
    return engine or "other"


if __name__ == "__main__":
    main(*sys.argv[1:])
