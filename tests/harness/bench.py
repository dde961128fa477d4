"""normexp and its peers on the same work, in one run: `make bench`.

Each peer runs in processes of its own, on the cores that its line names; loops, ensembles, JAX and
normexp's training alone in one process a core, each with a share of the seeds. Slow ones do a
sample, scaled by the count, their start-up not. All draw the same data, weights and orders, and
must come to the same losses. Nothing asserts a time.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from overhead import overhead
from peers.aside import parts_and_limits, start_and_read
from peers.process import Figures, difference, heard, start
from peers.work import Final, Work, work_named

CORES = sorted(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(2))[:2]

HEAD = """
(work) peer, cores, runs done of all, seconds of start-up, of work and of both, scaled to all runs;
× multiple of normexp's, of (a) without start-up; ln(loss / normexp's) and its standard error"""

ONCE = ("start", "compile", "end")
"""Phases that do not grow with the number of runs."""

PACKAGES = ("torch", "jax", "ray", "hydra-core", "hydra-joblib-launcher", "pyarrow", "numpy")


@dataclass(frozen=True)
class Entry:
    """A line of the table: who does how much of which work on how many cores."""

    work: str
    name: str
    module: str
    cores: int
    momenta: int | None = None
    seeds: int | None = None
    option: str | None = None
    needs: str | None = None  # a package that may not be there

    @property
    def quick(self) -> bool:
        """Whether a test needs it: each peer once on each work."""
        twice = self.work == "a" and self.cores > 1
        return not twice and (self.work, self.option) != ("b", "features-first")

    @property
    def shares(self) -> int:
        """Processes: one a core, but where the peer has its own way to use several."""
        alone = self.module in ("command", "ray_tasks", "hydra_app")
        sweeps = self.work != "a"  # normexp's training alone is no sweep
        return 1 if alone and sweeps else self.cores


ENTRIES = [
    Entry("a", "normexp", "command", 1),
    Entry("a", "plain loop", "loop", 1, seeds=8),
    Entry("a", "torch.func ensemble", "ensemble", 1, seeds=256),
    Entry("a", "JAX", "jax_runs", 1, needs="jax"),
    Entry("a", "JAX, features first", "jax_runs", 1, option="features-first", needs="jax"),
    Entry("a", "normexp", "command", 2),
    Entry("a", "plain loop", "loop", 2, seeds=16),
    Entry("a", "JAX", "jax_runs", 2, needs="jax"),
    Entry("a", "JAX, features first", "jax_runs", 2, option="features-first", needs="jax"),
    Entry("b", "normexp", "command", 2),
    Entry("b", "plain loop", "loop", 2, 2, 8),
    Entry("b", "Hydra, basic", "hydra_app", 1, 2, 4, "basic"),
    Entry("b", "Hydra, joblib", "hydra_app", 2, 2, 8, "joblib", "hydra-joblib-launcher"),
    Entry("b", "Ray tasks", "ray_tasks", 2, 2, 8, needs="ray"),
    Entry("b", "torch.func ensemble", "ensemble", 2, 4, 64),
    Entry("b", "JAX", "jax_runs", 2, 20, 40, needs="jax"),
    Entry("b", "JAX, features first", "jax_runs", 2, 20, 40, "features-first", "jax"),
    Entry("c", "normexp", "command", 2),
    Entry("c", "plain loop", "loop", 2, 2, 8),
    Entry("c", "torch.func ensemble", "ensemble", 2, 2, 8),
    Entry("c", "JAX", "jax_runs", 2, 5, 8, needs="jax"),
]


class Bench:
    """What has been measured so far.

    Args:
        place: a directory for what the peers write.
        quick: whether all is as small as a test wants it.
    """

    def __init__(self, place: Path, *, quick: bool) -> None:
        self.place, self.quick = place, quick
        self.lines: list[Figures] = []

    def measure(self, entry: Entry) -> None:
        """Run a peer and keep what came of it."""
        work, missing = work_named(entry.work, quick=self.quick), _missing(entry.needs)
        line = {"work": entry.work, "peer": entry.name, "cores": entry.cores, "missing": missing}
        if missing is None:
            answers = self._answers(entry, work)
            finals = [Final(*each) for answer in answers for each in answer["finals"]]
            scale = len(work.momenta) * work.seeds / len(finals)
            parts = [_seconds(answer, scale) for answer in answers]
            line |= {"runs": len(finals), "of": len(work.momenta) * work.seeds, "finals": finals,
                     "phases": [answer["seconds"] for answer in answers]}  # fmt: skip
            line |= {name: max(part[name] for part in parts) for name in parts[0]}
            line |= self._compared(line)
        self.lines.append(line)
        print(_spelled(line), flush=True)

    def normexp(self, work: str, cores: int | None = None) -> Figures:
        """The line of normexp with so many cores, or the newest."""
        own = [e for e in self.lines if e["peer"] == "normexp" and e["work"] == work]
        return next((e for e in own if e["cores"] == cores), own[-1])

    def parts(self, store: str) -> Figures:
        """Where normexp's time goes, and how far it is from limits."""
        a, b = (work_named(name, quick=self.quick) for name in "ab")
        step = self.normexp("a", 1)["working"] / a.seeds / a.steps
        return parts_and_limits(b, self.place, store, step)

    def _answers(self, entry: Entry, work: Work) -> list[Figures]:
        """Start the peer's processes together, and hear them."""
        seeds = work.seeds if self.quick else entry.seeds or work.seeds
        shares = 1 if self.quick else entry.shares
        share, own = seeds // shares, self.place / f"{entry.work}-{len(self.lines)}"
        own.mkdir()
        processes = []
        for number in range(shares):
            cores = CORES[number : number + 1] if shares > 1 else CORES[: entry.cores]
            command = [sys.executable, "-m", f"peers.{entry.module}", entry.work]
            command += ["--seeds", str(number * share), str((number + 1) * share)]
            command += ["--cores", str(len(cores)), "--pin", *map(str, cores), "--place", str(own)]
            command += ["--quick"] if self.quick else []
            command += ["--momenta", str(entry.momenta)] if entry.momenta and not self.quick else []
            command += ["--option", entry.option] if entry.option else []
            processes.append(start([*command, "--since", str(time.time())], len(cores)))
        return [heard(process) for process in processes]

    def _compared(self, line: Figures) -> Figures:
        """Times as multiples of normexp's, and whether the losses are the same."""
        if line["peer"] == "normexp":
            return {"place": str(self.place / f"{line['work']}-{len(self.lines)}")}
        ours = self.normexp(line["work"], line["cores"])
        known = {Final(*each)[:2]: Final(*each) for each in ours["finals"]}
        found: Figures = {"times": line["all"] / ours["all"], "cores of normexp": ours["cores"]}
        if line["work"] == "a":
            found["times"] = line["working"] / ours["working"]
        for loss in ("train_loss", "test_loss"):
            found[loss] = difference(line["finals"], known, loss)
        return found


def _seconds(answer: Figures, scale: float) -> Figures:
    """Start-up, work scaled to all runs, and both; what is not the peer's left out."""
    phases = answer["seconds"]
    start = sum(phases.get(name, 0.0) for name in ONCE)
    working = scale * sum(v for name, v in phases.items() if name not in (*ONCE, "uncounted"))
    return {"start": start, "working": working, "all": start + working}


def _missing(package: str | None) -> str | None:
    try:
        _ = package and version(package)
    except PackageNotFoundError:
        return f"{package} is not installed"
    return None


def _spelled(line: Figures) -> str:
    head = f"({line['work']}) {line['peer']:20} {line['cores']} core{'s' * (line['cores'] > 1):1}"
    if line["missing"]:
        return f"{head} {line['missing']}"
    runs = f"{line['runs']:,} of {line['of']:,}"
    times = f"× {line['times']:.2f}" if "times" in line else ""
    losses = "".join(
        f"  {loss[:5]} {line[loss]['log ratio']:+.3f} ± {line[loss]['standard error']:.3f}"
        f"{'' if line[loss]['agrees'] else ' DISAGREES'}"
        for loss in ("train_loss", "test_loss")
        if loss in line
    )
    seconds = " ".join(f"{line[name]:8.2f}" for name in ("start", "working", "all"))
    return f"{head} {runs:>14} {seconds} {times:>9}{losses}"


def _machine() -> Figures:
    from normexp.sweeps.environment import environment

    found = {name: version(name) for name in PACKAGES if _missing(name) is None}
    about = environment()
    kept = {name: about.get(name) for name in ("cpu", "instructions", "commit", "dirty", "normexp")}
    date = datetime.now(UTC).isoformat(timespec="minutes")
    return {"date": date, "cores": len(CORES), "python": platform.python_version(), **found, **kept}


def _table(figures: Figures) -> Iterator[str]:
    for name, figure in figures.items():
        yield f"{name:48} {f'{figure:10.3f}' if isinstance(figure, float) else figure}"


def main() -> None:
    """Measure all that is asked for, print it, and keep the raw figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes: whether all agree")
    parser.add_argument("--only", default="a,b,c,d,f", help="works, such as a,b")
    parser.add_argument("--out", type=Path, help="the raw figures' file")
    asked = parser.parse_args()
    works = asked.only.split(",")
    raw: Figures = {"machine": _machine(), "quick": asked.quick}
    print("\n".join(_table(raw["machine"])))
    print(HEAD)
    with tempfile.TemporaryDirectory(prefix="normexp-bench-") as path:
        bench = Bench(Path(path), quick=asked.quick)
        for entry in ENTRIES:
            if entry.work in works and (entry.quick or not asked.quick):
                bench.measure(entry)
        raw["lines"] = bench.lines
        if "b" in works:
            store, figures = bench.normexp("b")["place"], raw.setdefault("normexp", {})
            if "a" in works:
                figures |= bench.parts(store)
            if "d" in works:
                figures |= start_and_read(store)
            print("\n".join(_table(figures)))
    if "f" in works and _missing("transformers") is None:
        raw["record"] = overhead(steps=4 if asked.quick else 100)
        print("\n".join(_table(raw["record"])))
    out = asked.out or Path(tempfile.gettempdir()) / "normexp-bench.json"
    out.write_text(json.dumps(raw, indent=1, default=str) + "\n")
    print(f"raw figures: {out}")
    if not all(line[loss]["agrees"] for line in bench.lines for loss in ("train_loss", "test_loss")
               if loss in line):  # fmt: skip
        raise SystemExit("the losses disagree")


if __name__ == "__main__":
    main()
