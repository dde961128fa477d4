"""Kill sweeps at random moments and resume them: `make kills`.

Each sweep begins in an empty store, is killed with SIGKILL once or several times, and is resumed by
the same command. In the end its files must be those of an uninterrupted sweep to the bit, nothing
that was complete at a kill may have been made again, and nothing may be left over.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

THREADS = ["norm=none,batch", "norm.momentum=0.1,0.5,null", "seed=range(48)",
           "executor.stack_size=32", "store.checkpoint_after=0"]  # fmt: skip
PROCESSES = ["data=digits", "model=lenet", "data.train_size=256", "data.test_size=64",
             "norm=batch,layer", "norm.momentum=0.1,0.5", "seed=range(6)", "train.epochs=6",
             "executor.processes=true", "store.checkpoint_after=0"]  # fmt: skip
STUDIES = {"threads": THREADS, "processes": PROCESSES}
"""One stacked and in threads, one with convolutions and in processes, both with checkpoints."""


class Reference(NamedTuple):
    """What an uninterrupted sweep has left, its answer, and how long it took."""

    files: dict[str, bytes]
    answer: dict[str, Any]
    seconds: float


def main() -> int:
    """Kill, resume, compare; 1 if any promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("overrides", nargs="*", help="of both studies, such as 'seed=range(8)'")
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)  # noqa: S311  not for secrets
    phases: Counter[str] = Counter()
    broken: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        studies = {name: [*study, *arguments.overrides] for name, study in STUDIES.items()}
        references = {name: uninterrupted(Path(place, name), studies[name]) for name in studies}
        while phases.total() < arguments.kills:
            name = "processes" if rng.random() < 1 / 4 else "threads"
            store = Path(place, f"kill{phases.total()}")
            kills = min(rng.choice([1, 1, 2, 3]), arguments.kills - phases.total())
            seen = [kill(store, studies[name], references[name], rng) for _ in range(kills)]
            faults = resumed(store, studies[name], references[name])
            phases.update(f"{name}: {phase}" for phase in seen)
            broken += [f"{store.name} ({name}, {', '.join(seen)}): {fault}" for fault in faults]
            print(f"{phases.total()} kills: {seen} {faults or 'whole'}", flush=True)
    for phase, times in sorted(phases.items()):
        print(f"{times:4} killed in {phase}")
    print(f"{phases.total()} kills, {len(broken)} broken promises", *broken, sep="\n")
    return bool(broken)


def command(store: Path, study: list[str]) -> list[str]:
    """The one command, the same each time."""
    sweep = [sys.executable, "-m", "normexp", "sweep", *study]
    return [*sweep, f"store.dir={store}", "--json"]


def uninterrupted(store: Path, study: list[str]) -> Reference:
    """The sweep that nobody disturbs."""
    start = time.perf_counter()
    done = subprocess.run(command(store, study), capture_output=True, check=True)
    return Reference(files(store), json.loads(done.stdout), time.perf_counter() - start)


def kill(store: Path, study: list[str], reference: Reference, rng: random.Random) -> str:
    """Begin or resume a sweep, kill it, and return what it was at, by what it has left."""
    process = subprocess.Popen(
        command(store, study),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(rng.uniform(0, reference.seconds))
    if rng.random() < 1 / 2:  # alone, or with all that it has started
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    sweeps = sorted(store.glob("*/sweeps/2*"))
    trajectories = len(list(store.glob("*/trajectories/*/manifest.json")))
    if not sweeps:
        return "start-up and planning"
    if (sweeps[-1] / "manifest.json").exists():
        return "the end"
    if not trajectories:
        return "training"
    if trajectories < reference.answer["trajectories"]:
        return "training and storing"
    runs = len(list(store.glob("*/*/manifest.json")))
    return "observing" if runs < reference.answer["runs"] else "summing up"


def resumed(store: Path, study: list[str], reference: Reference) -> list[str]:
    """The promises that a sweep breaks when it is resumed."""
    before = complete(store)
    done = subprocess.run(command(store, study), capture_output=True, check=False, text=True)
    if done.returncode:
        return [f"the command ended with {done.returncode}: {done.stderr[-500:]}"]
    found, after, faults = files(store), complete(store), []
    if again := [path for path, made in before.items() if after.get(path) != made]:
        faults.append(f"made again, though complete: {again}")
    stored = sum("trajectories" in path for path in before)
    trained = json.loads(done.stdout)["trained"]
    if trained > reference.answer["trajectories"] - stored:
        faults.append(f"trained {trained} with {stored} complete")
    if found.keys() != reference.files.keys():
        faults.append(f"files: {sorted(found.keys() ^ reference.files.keys())[:5]}")
    if other := [path for path in found if found[path] != reference.files.get(path)]:
        faults.append(f"other bits: {other[:5]}")
    if left := [str(path) for path in store.rglob(".*") if path.name != ".hydra"]:
        faults.append(f"left over: {left}")
    return faults


def complete(store: Path) -> dict[str, tuple[int, int]]:
    """When and where each complete run and trajectory was made."""
    found = {}
    for path in store.glob("*/**/manifest.json"):
        if "sweeps" not in path.parts and not path.parent.name.startswith("."):
            about = path.stat()
            found[str(path.relative_to(store))] = (about.st_ino, about.st_mtime_ns)
    return found


def files(store: Path) -> dict[str, bytes]:
    """Every file of every run and trajectory, manifests aside: they tell the time."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file() and path.name != "manifest.json" and "sweeps" not in path.parts
    }


if __name__ == "__main__":
    sys.exit(main())
