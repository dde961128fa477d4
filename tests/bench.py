"""Speed, as ratios against plain PyTorch in one run: `make bench`.

Every figure of the README and the closing notes comes from here. Nothing asserts a time.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import torch
from reference import PlainMlp, batch_norm, train_plainly

import normexp
from normexp.engine.numerics import one_thread
from normexp.engine.stack import TrainingStack

STEPS = 384
NETWORKS = 256
MOMENTA = 20
SEEDS = 64
REPEATS = 3


def seconds_of(work: Callable[[], Any]) -> float:
    """Wall clock of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def loop_step_seconds(threads: int) -> float:
    """One step of S1's batch-norm network in the plain loop, 128 steps timed after 32."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = PlainMlp(8, 10, norm=batch_norm(0.5), input_norm=True)
    x = torch.linspace(-7, 10, 64)[:, None]
    batch = (x, x**2 - 5 + 2 * torch.randn(64, 1))
    train_plainly(network, [batch] * 32, lr=0.03)
    return seconds_of(lambda: train_plainly(network, [batch] * 128, lr=0.03)) / 128


def stack_step_seconds(threads: int) -> float:
    """One step of one network, of 256 trained in as many stacks as there are threads."""
    study = normexp.load("norm=batch", "~norm.momentum", f"seed=range({NETWORKS})")
    configs = [run.config for run in study.runs]
    share = NETWORKS // threads
    stacks = [TrainingStack(configs[i : i + share]) for i in range(0, NETWORKS, share)]

    def train(stack: TrainingStack, epochs: range) -> None:
        for epoch in epochs:
            for _ in stack.epoch(epoch):
                pass

    def all_stacks(epochs: range) -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda stack: train(stack, epochs), stacks))

    with one_thread():
        all_stacks(range(1))
        return seconds_of(lambda: all_stacks(range(1, 4))) / (3 * 32) / NETWORKS


def sweep_seconds(momenta: int, *, pictures: bool = False) -> float:
    """A study of 64 seeds with so many momenta, in this process: start-up aside, Parquet with."""
    step = 1 / momenta
    values = ",".join(f"{step * (number + 1):.6g}" for number in range(momenta))
    with tempfile.TemporaryDirectory() as store:
        overrides = ["norm=batch", f"norm.momentum={values}", f"seed=range({SEEDS})",
                     f"log.pictures={str(pictures).lower()}"]  # fmt: skip
        return seconds_of(lambda: normexp.sweep(*overrides, f"store.dir={store}"))


def command_seconds(*arguments: str) -> float:
    """Wall clock of the installed command, in an empty directory."""
    command = [sys.executable, "-m", "normexp", *arguments]
    with tempfile.TemporaryDirectory() as place:
        return seconds_of(
            lambda: subprocess.run(command, cwd=place, check=True, capture_output=True)
        )


def import_seconds(module: str) -> float:
    """Wall clock of importing a module in a new interpreter, the interpreter's own aside."""
    bare = seconds_of(lambda: subprocess.run([sys.executable, "-c", ""], check=True))
    command = [sys.executable, "-c", f"import {module}"]
    return seconds_of(lambda: subprocess.run(command, check=True)) - bare


def default_study_parts() -> dict[str, float]:
    """Where the default study's time goes, by its own clocks."""
    with tempfile.TemporaryDirectory() as store:
        timed = ["executor.workers=1", f"store.dir={store}"]
        plan = seconds_of(lambda: normexp.plan(*timed))
        result = normexp.sweep(*timed)
        return {"plan": plan, "work, one worker": result.seconds}


def main() -> None:
    """Measure everything, print a table, and keep the raw figures beside it as JSON."""
    repeat = range(REPEATS)
    threads = min(2, os.cpu_count() or 1)
    loops = {n: median(loop_step_seconds(n) for _ in repeat) for n in (1, threads)}
    stacks = {n: median(stack_step_seconds(n) for _ in repeat) for n in (1, threads)}
    sweep_seconds(1)
    one = median(sweep_seconds(1) for _ in repeat)
    many = median(sweep_seconds(MOMENTA) for _ in repeat)
    one_drawn = median(sweep_seconds(1, pictures=True) for _ in repeat)
    many_drawn = median(sweep_seconds(MOMENTA, pictures=True) for _ in repeat)
    figures = {
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "loop, us a network-step, 1 thread": loops[1] * 1e6,
        f"loop, us a network-step, {threads} threads": loops[threads] * 1e6,
        f"{NETWORKS} networks, us a network-step, 1 thread": stacks[1] * 1e6,
        f"{NETWORKS} networks, us a network-step, {threads} threads": stacks[threads] * 1e6,
        "loop / normexp, 1 thread": loops[1] / stacks[1],
        f"loop / normexp, {threads} threads": min(loops.values()) / stacks[threads],
        f"{SEEDS} seeds, 1 momentum, s": one,
        f"{SEEDS} seeds, {MOMENTA} momenta, s": many,
        f"{MOMENTA} momenta / 1 momentum": many / one,
        f"{MOMENTA} momenta / 1 momentum, with pictures": many_drawn / one_drawn,
        "plan of 10,000 runs, command, s": median(
            command_seconds("plan", "norm=batch", "seed=range(500)",
                            "norm.momentum=range(0.01,0.205,0.01)") for _ in repeat),
        "--help, command, s": median(command_seconds("--help") for _ in repeat),
        "default study, command, s": median(command_seconds("sweep") for _ in repeat),
        "  of which importing torch, s": median(import_seconds("torch") for _ in repeat),
        **{f"  of which {name}, s": part for name, part in default_study_parts().items()},
    }  # fmt: skip
    for name, figure in figures.items():
        print(f"{name:48}", f"{figure:10.3f}" if isinstance(figure, float) else figure)
    Path("bench.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
