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
import os
import queue
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import mutations
from conftest import store_of
from mutations import BYTES, MANIFEST, PLACES, Spoil

SECONDS = 60
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


def kinds_for(path: Path) -> dict[str, tuple[Spoil, bool]]:
    """The ways to spoil this file, and whether the manifest's digest is mended afterwards."""
    found: dict[str, tuple[Spoil, bool]] = {
        each.__name__: (each, False) for each in (*BYTES, *PLACES)
    }
    listed = path.name != MANIFEST and "sweeps" not in path.parts
    if listed:
        fixed = (*BYTES, mutations.sparse_end)
        found |= {f"{each.__name__}, digest mended": (each, True) for each in fixed}
    if path.suffix == ".json":
        for each in (mutations.spoil_json, mutations.spoil_json, mutations.raw_json):
            found |= {each.__name__: (each, False)}
        if path.name == MANIFEST:
            found |= {f"spoil_json {n}": (mutations.spoil_json, False) for n in range(20)}
    if path.suffix == ".yaml":
        found |= {
            each.__name__: (each, listed) for each in (mutations.spoil_yaml, mutations.edit_yaml)
        }
        found |= {f"edit_yaml {n}": (mutations.edit_yaml, listed) for n in range(8)}
    if path.suffix == ".parquet":
        found |= {f"spoil_table {n}": (mutations.spoil_table, listed) for n in range(6)}
        found |= {"bomb_table": (mutations.bomb_table, listed)}
        found |= {f"flip_end {n}": (mutations.flip_end, listed) for n in range(6)}
    if path.suffix == ".safetensors":
        found |= {f"spoil_weights {n}": (mutations.spoil_weights, listed) for n in range(12)}
    return found


def make_store(place: Path) -> None:
    """A run of S1's and one of digits by LeNet, with their trajectories and sweeps."""
    for overrides in SWEEPS:
        store_of(place, *overrides)


def case(base: Path, place: Path, number: int) -> dict[str, Any]:
    """One case: what was done, and what went wrong."""
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
    told = {"case": number, "kind": spoil.__name__, "file": str(path.relative_to(place))}
    before = path.read_bytes()
    spoil(path, rng)
    if mended:
        with suppress(OSError):
            mutations.fix(path)
    listed = path.name != MANIFEST and "sweeps" not in path.parts
    lost = listed and not mended and spoil not in (mutations.rename, mutations.stray)
    if lost and spoil in BYTES and path.is_file() and path.read_bytes() == before:
        lost = False
    told["problems"] = list(_read_all(place, directory, rng, lost=lost))
    return told


def _home(path: Path) -> Path:
    return path.parent.parent if path.parent.name == ".hydra" else path.parent


def _read_all(store: Path, directory: Path, rng: random.Random, *, lost: bool) -> Iterator[str]:
    """What the readers did wrong."""
    study = store / "bn_regression"
    as_json = rng.choice(([], ["--json"]))
    commands = [
        ["ls", "--dir", str(store), *as_json],
        ["ls", "bn_regression", "--dir", str(store), *as_json],
        ["show", str(directory), *as_json],
        ["compare", "bn_regression", "norm", "--dir", str(store), *as_json],
        ["show", directory.name[-12:], "--dir", str(store), *as_json],
        ["verify", str(directory), *as_json],
        ["verify", "--dir", str(store), *as_json],
    ]
    if rng.random() < 0.1:
        commands.append(["why", str(directory), *as_json])
        commands.append(["why", "norm=batch", "--dir", str(store), *as_json])
    if rng.random() < 0.02:
        commands.append(["reproduce", str(directory), "--out", str(store / "made.json"), *as_json])
    if rng.random() < 0.1:
        commands.append(["plan", *rng.choice(SWEEPS), f"store.dir={store}"])
    if rng.random() < 0.05:
        commands.append(
            ["diff", str(directory), str(rng.choice(list(study.glob("*-s0-*")))), *as_json]
        )
        commands.append(
            ["report", "bn_regression", "--dir", str(store), "--out", str(store / "page"), *as_json]
        )
    code = None
    for command in commands:
        problem, code = _invoke(command)
        if problem:
            yield problem
        if command[:2] == ["verify", "--dir"] and lost and code != 4:
            yield f"verify did not see it: {code}"
    tables = ("runs", "metrics", "stats", "layers")
    for table in tables:
        for place in (directory, study):
            yield from _call(f"read {table}", lambda p=place, t=table: _frame(p, t))
    yield from _call("read_trajectory", lambda: _trajectory(directory))


def _frame(place: Path, table: str) -> None:
    import normexp

    str(normexp.read(place, table))


def _trajectory(place: Path) -> None:
    from normexp.store.trajectory import read_trajectory

    read_trajectory(place)


def _call(name: str, call: Any) -> Iterator[str]:  # noqa: ANN401
    from normexp import NormexpError

    try:
        call()
    except NormexpError:
        pass
    except BaseException as error:  # noqa: BLE001  PyO3's panics are no Exception
        yield f"{name}: {_described(error)}"


def _invoke(command: list[str]) -> tuple[str | None, int]:
    from typer.testing import CliRunner

    from normexp.cli import app

    result = CliRunner().invoke(app, command)
    name = " ".join(command[:1] + [word for word in command if word == "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return f"{name}: {_described(result.exception)}", result.exit_code
    if result.exit_code not in CODES:
        return f"{name}: exit code {result.exit_code}", result.exit_code
    if "Traceback" in result.output:
        return f"{name}: traceback", result.exit_code
    if any(bad in result.output for bad in "\x1b\x07\x9b\u202e"):
        return f"{name}: escape sequences on the terminal", result.exit_code
    return None, result.exit_code


def _described(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "normexp" in frame.filename] or frames
    last = own[-1]
    return f"{type(error).__name__}: {str(error)[:120]} at {Path(last.filename).name}:{last.lineno}"


def work(base: Path) -> None:
    """A worker: numbers of cases in, a line of JSON each out."""
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    out = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        told = case(base, place / "store", int(line))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown
        if grown > MOST_GROWTH:
            told["problems"].append(f"memory: grew by {grown // 1024} MB")
        out.write(json.dumps(told) + "\n")
        out.flush()
    shutil.rmtree(place, ignore_errors=True)


class Hand:
    """A worker process, begun anew when it crashes or hangs."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._begin()

    def _begin(self) -> None:
        command = [sys.executable, __file__, "--worker", str(self._base)]
        same = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=same
        )
        self._lines: queue.Queue[str] = queue.Queue()
        assert self._process.stdout is not None
        self._thread = threading.Thread(
            target=_forward, args=(self._process.stdout, self._lines), daemon=True
        )
        self._thread.start()

    def do(self, number: int) -> dict[str, Any]:
        """One case; a worker that does not answer is ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        try:
            answer = self._lines.get(timeout=SECONDS)
        except queue.Empty:
            answer = ""
            self._process.kill()
        if answer:
            told: dict[str, Any] = json.loads(answer)
            return told
        self.end()
        code = self._process.returncode
        self._begin()
        return {"case": number, "kind": "?", "file": "?", "problems": [f"ended with {code}"]}

    def end(self) -> None:
        """Let it go."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has crashed
            self._process.stdin.close()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _forward(stream: IO[str], lines: "queue.Queue[str]") -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def fuzz(base: Path, cases: range) -> list[dict[str, Any]]:
    """All that was done, case by case."""
    hand = Hand(base)
    done = []
    try:
        for number in cases:
            done.append(hand.do(number))
            if done[-1]["problems"]:
                sys.stdout.write(json.dumps(done[-1]) + "\n")
                sys.stdout.flush()
        return done
    finally:
        hand.end()


def main() -> int:
    """Run many cases and say what they found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--worker", type=Path)
    given = parser.parse_args()
    if given.worker:
        work(given.worker)
        return 0
    with tempfile.TemporaryDirectory(prefix="fuzz-base-") as place:
        base = Path(place) / "store"
        make_store(base)
        done = fuzz(base, range(given.start, given.start + given.cases))
    counts = collections.Counter(told["kind"] for told in done)
    wrong = [told for told in done if told["problems"]]
    for kind, count in counts.most_common():
        sys.stdout.write(f"{kind:<16}{count:6}\n")
    sys.stdout.write(f"{len(done)} mutations, {len(wrong)} with problems\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
