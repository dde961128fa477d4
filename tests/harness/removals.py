"""Kill `rm` and `gc` at random moments beside a sweep that runs: `make removals`.

Each time in a copy of one store, whose study alpha has a tagged sweep, another that shares runs
with it, and rubbish. The sweep beside works on another study, or begins in alpha at that moment.
Whatever is killed: verify finds nothing, what was not to go is there as it was, the sweep beside
gets all of its runs, and the same command, and `gc`, end the work as if nothing had happened. What
all three free is what two that nobody kills say beforehand, to the byte.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kills import complete
from typer.testing import CliRunner

import normexp
from normexp.cli import app

SMALL = ["model.depth=2", "model.width=4", "data.train_size=40", "data.test_size=20",
         "train.batch_size=16", "train.epochs=2"]  # fmt: skip
ALPHA = [*SMALL, "--as", "alpha"]
KEPT = [*ALPHA, "norm=none,batch", "norm.momentum=0.1,0.5", "seed=range(4)", "--tag", "paper"]
OTHER = [*ALPHA, "norm=batch", "norm.momentum=0.5,0.9", "seed=range(2,6)"]
WAYS: dict[str, Callable[[Path], list[str]]] = {
    "a sweep": lambda store: ["rm", sweeps(store)[1].name],
    "a tagged sweep": lambda store: ["rm", sweeps(store)[0].name],
    "fields": lambda _: ["rm", "alpha", "norm.momentum=0.5"],
    "a run": lambda store: ["rm", str(next(store.glob("alpha/none-s1-*")))],  # beta has it too
    "the study": lambda _: ["rm", "alpha"],
    "gc": lambda _: ["gc"],
}
BESIDE = {
    "beta": [*SMALL, "--as", "beta", "norm=none,batch", "seed=range(8)"],
    "alpha": [*ALPHA, "norm=batch,layer", "norm.momentum=0.5,0.7", "seed=range(2,8)"],
}
NOTES = "removed.json"
"""Written, and so not freed."""

KILLED = """
import os, signal, sys
CHANGES = ("os.rename", "os.remove", "os.rmdir")
kinds, moment = sys.argv[1], int(sys.argv[2])
seen = {"changes": 0, "all": 0}
def hear(event, _):
    if event in CHANGES or event in ("open", "os.scandir", "fcntl.flock"):
        for kind in ("all", "changes")[: 1 + (event in CHANGES)]:
            seen[kind] += 1
            if kind == kinds and seen[kind] == moment:
                os.write(1, event.encode())
                os.kill(os.getpid(), signal.SIGKILL)
from normexp.cli import main
sys.argv = ["normexp", *sys.argv[3:], "--yes", "--json"]
sys.addaudithook(hear)
try:
    main()
finally:
    os.write(2, repr(seen).encode())
"""
"""A command that is killed as it opens, renames or removes its so-manieth file; it says of what."""

Sizes = dict[str, int]


@dataclass(frozen=True)
class Way:
    """What a command does when nobody kills it: events, bytes said, and what is left in the end."""

    events: dict[str, int]
    said: int
    left: Sizes


@dataclass(frozen=True)
class Template:
    """A store to be copied, and what each way leaves of it."""

    store: Path
    ways: dict[str, Way]


def main() -> int:
    """Kill; 1 if any promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)  # noqa: S311  not for secrets
    seen: Counter[str] = Counter()
    broken: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        template = made(Path(place))
        while seen.total() < arguments.kills:
            said, faults = kill(template, Path(place, "copy"), rng)
            if said is not None:
                seen[said] += 1
            broken += faults
            print(f"{seen.total()}: {said or 'ended before'} {faults or 'whole'}", flush=True)
            shutil.rmtree(Path(place, "copy"))
    for what, times in sorted(seen.items()):
        print(f"{times:4} {what}")
    print(f"{seen.total()} kills, {len(broken)} broken promises", *broken, sep="\n")
    return bool(broken)


def made(place: Path, ways: tuple[str, ...] = tuple(WAYS)) -> Template:
    """The store, and what comes of each way where nobody disturbs it."""
    store, elsewhere = place / "template", place / "elsewhere"
    for words in (KEPT, OTHER):
        asked(store, "sweep", *words)
    asked(elsewhere, "sweep", *ALPHA, "norm=none", "seed=100")
    alpha = store / "alpha"
    (orphan,) = elsewhere.glob("alpha/trajectories/[0-9a-f]*")
    shutil.copytree(orphan, alpha / "trajectories" / orphan.name)
    interrupted = alpha / "sweeps/20260101T000000Z-00000000"
    interrupted.mkdir()
    (interrupted / "sweep.yaml").write_text("study: alpha\n")
    (alpha / "trajectories/.0123456789ab.checkpoint").write_bytes(b"12345")
    (alpha / "trajectories/.0123456789ab.lock").write_bytes(b"{}")
    there = {}
    for name in ways:
        copy = place / name.replace(" ", "-")
        shutil.copytree(store, copy)
        words = WAYS[name](copy)
        said = freed_by(copy, *words)
        done = killed(copy, "all", 0, words)
        gc = freed_by(copy, "gc") if words != ["gc"] else 0
        asked(copy, "gc", "--yes")
        there[name] = Way(json.loads(done.stderr.replace("'", '"')), said + gc, sizes(copy))
    return Template(store, there)


def kill(template: Template, store: Path, rng: random.Random) -> tuple[str | None, list[str]]:
    """Kill one command, and return what it was at, if it was killed, and what it has broken."""
    name, beside = rng.choice([*template.ways]), rng.choice([*BESIDE])
    shutil.copytree(template.store, store)
    way, words, before = template.ways[name], WAYS[name](store), sizes(store)
    going = asked(store, *words, "--dry-run")
    named = [path for kind in ("runs", "trajectories", "sweeps", "studies") for path in going[kind]]
    stays = {path: made for path, made in complete(store).items()
             if not any((store / path).is_relative_to(each) for each in named)}  # fmt: skip
    kinds = rng.choice([*way.events])
    moment = rng.randint(1, way.events[kinds])
    command = [sys.executable, "-m", "normexp", "sweep", *BESIDE[beside], f"store.dir={store}"]
    sweep = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(rng.uniform(0, 1))
    done = killed(store, kinds, moment, words)
    faults = sound(store, "after the kill")
    out, err = sweep.communicate()
    faults += sound(store, "in the end")
    now = complete(store)
    faults += [f"{path} is lost" for path, made in stays.items() if now.get(path) != made]
    if sweep.returncode:
        faults.append(f"the sweep beside ended with {sweep.returncode}: {err.decode()[-500:]}")
    elif len(normexp.read(json.loads(out)["directory"])) != json.loads(out)["runs"]:
        faults.append("the sweep beside lacks runs")
    if beside == "beta":
        faults += ended(store, words, way, before)
    what = f"{name}, with {beside}, at {done.stdout}"
    label = f"{store.name}: {what}, {kinds} {moment}: "
    return what if done.returncode < 0 else None, [label + fault for fault in faults]


def ended(store: Path, words: list[str], way: Way, before: Sizes) -> list[str]:
    """What is broken once the same command and `gc` have ended the work."""
    freed = sum(before.values()) - sum(sizes(store).values())
    for again in (words, ["gc"]):
        if CliRunner().invoke(app, [*again, "--dry-run", "--dir", str(store)]).exit_code == 0:
            freed += freed_by(store, *again)
            asked(store, *again, "--yes")
    faults = sound(store, "when all is done")
    if freed != way.said:
        faults.append(f"{freed} bytes were freed or said to be, of {way.said}")
    if other := sizes(store).items() ^ way.left.items():
        faults.append(f"left: {sorted(other)[:5]}")
    return faults


def killed(
    store: Path, kinds: str, moment: int, words: list[str]
) -> "subprocess.CompletedProcess[str]":
    """A command killed at such an event; 0: never."""
    program = [sys.executable, "-c", KILLED, kinds, str(moment), *words, "--dir", str(store)]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def asked(store: Path, command: str, *words: str) -> Any:  # noqa: ANN401
    """The answer of a command, in this process."""
    place = [f"store.dir={store}"] if command == "sweep" else ["--dir", str(store)]
    done = CliRunner().invoke(app, [command, *words, *place, "--json"])
    assert done.exit_code == 0, (command, words, done.stderr)
    return json.loads(done.stdout)


def freed_by(store: Path, *words: str) -> int:
    """The bytes that `--dry-run` says, without the notes on what is removed."""
    said = asked(store, *words, "--dry-run")
    going = [Path(each) for kind in ("sweeps", "studies") for each in said[kind]]
    notes = [note.stat().st_size for path in going for note in path.rglob(NOTES)]
    return int(said["bytes"]) - sum(notes)


def sound(store: Path, when: str) -> list[str]:
    """What verify finds."""
    done = CliRunner().invoke(app, ["verify", "--dir", str(store), "--json"])
    return [] if done.exit_code in (0, 3) else [f"verify {when}: {done.output[:500]}"]


def sizes(store: Path) -> Sizes:
    """The bytes of every file of alpha."""
    return {
        str(path.relative_to(store)): path.lstat().st_size
        for path in (store / "alpha").rglob("*")
        if not path.is_dir() and path.name != NOTES
    }


def sweeps(store: Path) -> list[Path]:
    """Those of alpha that have ended, the oldest first."""
    return sorted(path.parent for path in store.glob("alpha/sweeps/*/manifest.json"))


if __name__ == "__main__":
    sys.exit(main())
