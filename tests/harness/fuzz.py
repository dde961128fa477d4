"""Throws spoilt stores at everything that reads one: `make fuzz`.

Or `PYTHONPATH=tests python tests/harness/fuzz.py --cases 5000`.

Each case copies a small real store, spoils one file of it (seeded by the case's number), and calls
all readers in a worker process. It fails on any exception but `NormexpError`, any traceback, any
undocumented exit code, escape sequences on the terminal, a crash, a hang, on memory without bound,
and on damage that `verify` does not see.
"""

import argparse
import collections
import json
import multiprocessing
import random
import resource
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import mutations
from conftest import store_of
from mutations import BYTES, HARMLESS, MANIFEST, PLACES, Spoil

SECONDS = 600
"""For a case; it takes a twentieth of one, a report some seconds."""

MOST_GROWTH = 2**20
"""Kilobytes by which a case may let its process grow."""

CODES = (0, 1, 2, 3, 4)
SWEEPS = (
    ["model.depth=2", "model.width=4", "data.train_size=40", "data.test_size=20",
     "train.batch_size=16", "train.epochs=2", "norm=batch", "norm.momentum=0.1", "seed=0"],
    ["data=digits", "data.train_size=40", "data.test_size=20", "model=lenet", "norm=ghost",
     "model.units1=8", "model.units2=6", "norm.momentum=0.1", "seed=0", "train.epochs=1"],
)  # fmt: skip


def is_listed(path: Path) -> bool:
    """Whether a manifest has the digest of this file."""
    return path.name != MANIFEST and "sweeps" not in path.parts


def kinds_for(path: Path) -> dict[str, tuple[Spoil, bool]]:
    """Return the ways to spoil this file, and whether the manifest's digest is mended after it."""
    listed = is_listed(path)
    ways: dict[str, tuple[int, Spoil]] = {
        ".yaml": (9, mutations.edit_yaml),
        ".parquet": (6, mutations.spoil_table),
        ".safetensors": (12, mutations.spoil_weights),
        ".json": (20 if path.name == MANIFEST else 1, mutations.spoil_json),
    }
    found = {name: (spoil, False) for name, spoil in (BYTES | PLACES).items()}
    if listed:
        found |= {f"{name}, digest mended": (spoil, True) for name, spoil in BYTES.items()}
        found["sparse, digest mended"] = (lambda path, _: mutations.grow(path, 2**27), True)
    if path.suffix in ways:
        times, spoil = ways[path.suffix]
        found |= {f"edit {number}": (spoil, listed) for number in range(times)}
    if path.suffix == ".json":
        found["raw JSON"] = (mutations.raw_json, False)
    if path.suffix == ".yaml":
        found["YAML that hurts"] = (mutations.spoil_yaml, listed)
    if path.suffix == ".parquet":
        found["many rows"] = (mutations.bomb_table, listed)
        found |= {f"flip the end {number}": (BYTES["flip the end"], listed) for number in range(6)}
    return found


def make_store(place: Path) -> None:
    """Make a run of S1 and one of digits by LeNet, with their trajectories and sweeps."""
    for overrides in SWEEPS:
        store_of(place, *overrides)


def case(base: Path, place: Path, number: int) -> dict[str, Any]:
    """Return one case: what was done, and what went wrong."""
    rng = random.Random(number)  # noqa: S311  nothing secret
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place)
    found = (path for path in place.rglob("*") if path.is_file())
    files = sorted(path for path in found if path.name != "study.lock")  # says nothing
    directory = rng.choice(sorted({_home(path) for path in files}))
    path = rng.choice([each for each in files if _home(each) == directory])
    kinds = kinds_for(path)
    kind = rng.choice(sorted(kinds))
    spoil, mended = kinds[kind]
    before = path.read_bytes()
    spoil(path, rng)
    if mended:
        with suppress(OSError):
            mutations.fix(path)
    is_lost = is_listed(path) and not mended and kind not in HARMLESS
    if kind in BYTES and path.is_file() and path.read_bytes() == before:
        is_lost = False
    return {
        "case": number,
        "kind": kind,
        "file": str(path.relative_to(place)),
        "problems": list(_read_all(place, directory, rng, is_lost=is_lost)),
    }


def _home(path: Path) -> Path:
    return path.parent.parent if path.parent.name == ".hydra" else path.parent


def _read_all(store: Path, directory: Path, rng: random.Random, *, is_lost: bool) -> Iterator[str]:
    """Yield what the readers did wrong."""
    import normexp
    from normexp.store.tables import read_trajectory

    study, place, run = store / "bn_regression", ["--dir", str(store)], str(directory)
    commands = [
        ["ls", *place],
        ["ls", "bn_regression", *place],
        ["show", run],
        ["compare", "bn_regression", "norm", *place],
        ["show", directory.name[-12:], *place],
        ["verify", run],
        ["verify", *place],
    ]
    if rng.random() < 0.1:
        commands += [["why", run], ["why", "norm=batch", *place]]
    if rng.random() < 0.02:
        commands.append(["reproduce", run, "--out", str(store / "made.json")])
    if rng.random() < 0.1:
        commands.append(["plan", *rng.choice(SWEEPS), f"store.dir={store}"])
    if rng.random() < 0.05:
        commands.append(["diff", run, str(rng.choice(list(study.glob("*-s0-*"))))])
        commands.append(["report", "bn_regression", *place, "--out", str(store / "page")])
    as_json = rng.choice(([], ["--json"]))
    for command in commands:
        problem, code = _invoke([*command, *as_json] if command[0] != "plan" else command)
        if problem:
            yield problem
        if command[:2] == ["verify", "--dir"] and is_lost and code != 4:
            yield f"verify did not see it: {code}"
    for table in ("runs", "metrics", "stats", "layers"):
        for where in (directory, study):
            yield from _call(f"read {table}", normexp.read, where, table)
    yield from _call("read_trajectory", read_trajectory, directory)


def _call(name: str, call: Callable[..., object], *args: object) -> Iterator[str]:
    from normexp import NormexpError

    try:
        str(call(*args))
    except NormexpError:
        pass
    except BaseException as error:  # noqa: BLE001  PyO3's panics are no Exception
        yield f"{name}: {_described(error)}"


def _invoke(command: list[str]) -> tuple[str | None, int]:
    from typer.testing import CliRunner

    from normexp.cli import app

    result = CliRunner().invoke(app, command)
    problem = None
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        problem = _described(result.exception)
    elif result.exit_code not in CODES:
        problem = f"exit code {result.exit_code}"
    elif "Traceback" in result.output:
        problem = "traceback"
    elif any(bad in result.output for bad in "\x1b\x07\x9b\u202e"):
        problem = "escape sequences on the terminal"
    return problem and f"{' '.join(command)}: {problem}", result.exit_code


def _described(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "normexp" in frame.filename] or frames
    last = own[-1]
    return f"{type(error).__name__}: {str(error)[:120]} at {Path(last.filename).name}:{last.lineno}"


def work(base: Path, line: Connection) -> None:
    """Do the cases whose numbers come in, in a process of its own; None ends it."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        for number in iter(line.recv, None):
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            done = case(base, Path(place) / "store", number)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown
            if grown > MOST_GROWTH:
                done["problems"].append(f"memory: grew by {grown // 1024} MB")
            line.send(done)


class Hand:
    """A worker process, begun anew when it crashes or hangs."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._begin()

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, there = context.Pipe()
        self._process = context.Process(target=work, args=(self._base, there), daemon=True)
        self._process.start()
        there.close()

    def do(self, number: int) -> dict[str, Any]:
        """Return one case; a worker that does not answer is ended."""
        self._line.send(number)
        with suppress(EOFError):
            if self._line.poll(SECONDS):
                done: dict[str, Any] = self._line.recv()
                return done
        self._process.kill()
        self._process.join()
        code = self._process.exitcode
        self._begin()
        return {"case": number, "kind": "?", "file": "?", "problems": [f"ended with {code}"]}

    def end(self) -> None:
        """Let it go."""
        with suppress(OSError):  # it has crashed
            self._line.send(None)
        self._process.join()


def fuzz(base: Path, cases: range) -> list[dict[str, Any]]:
    """Return all that was done, case by case."""
    hand = Hand(base)
    done = []
    try:
        for number in cases:
            done.append(hand.do(number))
            if done[-1]["problems"]:
                print(json.dumps(done[-1]), flush=True)
        return done
    finally:
        hand.end()


def main() -> int:
    """Run many cases and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--start", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-base-") as place:
        base = Path(place) / "store"
        make_store(base)
        done = fuzz(base, range(given.start, given.start + given.cases))
    for kind, count in collections.Counter(each["kind"] for each in done).most_common():
        sys.stdout.write(f"{kind:<32}{count:6}\n")
    wrong = sum(bool(each["problems"]) for each in done)
    sys.stdout.write(f"{len(done)} mutations, {wrong} with problems\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
