"""What 16 trainings find: `normexp search`, a grid, plain Optuna, and Hydra's Optuna sweeper.

    python tests/harness/search.py [PYTHON [FIRST_SEED END]]

The problem, stated before anything ran: S1 with batch norm, two layers, 400 examples and 6 epochs;
a learning rate from 1e-4 to 1 and one of ten momenta. A repetition trains with one seed, and names
a learning rate and a momentum by the least test loss. What is named is judged on eight other seeds:
the median test loss, over the least that a fine grid (65 learning rates, ten momenta) has there.
Optuna and Hydra's sweeper propose both, and every trial is a training. The sweeper 1.3 wants Optuna
below 3, and so an environment and a PYTHON of its own, with normexp and hydra-optuna-sweeper; it is
left out where PYTHON is not given, or is empty. Repetitions have seeds 0 to 9 unless others are
given.
"""

import math
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import optuna
import yaml

import normexp
from normexp.sweeps.search import search
from normexp.sweeps.sweep import sweep

MOMENTA = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9)
FOUR = (0.01, 0.1, 0.4, 0.9)
PROBLEM = ["norm=batch", "model.depth=2", "data.train_size=400", "data.test_size=200",
           "train.epochs=6"]  # fmt: skip
LOW, HIGH, TRAININGS, FINE = 1e-4, 1.0, 16, 65
SEEDS = range(*map(int, sys.argv[2:])) if sys.argv[2:] else range(10)
JUDGES = "seed=range(1000,1008)"

Pair = tuple[float, float]
"""A learning rate and a momentum."""


def rates(number: int) -> list[float]:
    """Learning rates at equal distances on a logarithmic scale."""
    return [float(f"{each:.4g}") for each in np.geomspace(LOW, HIGH, number)]


def losses(
    store: str, lrs: Sequence[float], momenta: Sequence[float], seed: str
) -> dict[Pair, float]:
    """Median test losses; infinite where most seeds diverged."""
    lr, momentum = (",".join(map(str, each)) for each in (lrs, momenta))
    words = [*PROBLEM, f"optim.lr={lr}", f"norm.momentum={momentum}", seed, f"store.dir={store}"]
    found: dict[Pair, list[float]] = {}
    for row in normexp.sweep(*words).rows:
        pair = row["optim.lr"], row["norm.momentum"]
        is_whole = row["status"] == "complete"
        found.setdefault(pair, []).append(row["test_loss"] if is_whole else math.inf)
    return {pair: median(values) for pair, values in found.items()}


def least(found: dict[Pair, float]) -> Pair:
    """The learning rate and the momentum of the least loss."""
    return min(found, key=lambda pair: found[pair])


def by_search(store: str, seed: int) -> Pair:
    """All momenta are read off each training."""
    momenta = ",".join(map(str, MOMENTA))
    words = [*PROBLEM, f"optim.lr=interval({LOW},{HIGH})", f"norm.momentum={momenta}",
             f"seed={seed}", f"store.dir={store}"]  # fmt: skip
    best = search(words, lambda study: sweep(study).rows, TRAININGS, seed=seed)["trials"][0]
    return best["values"]["optim.lr"], best["observed"]["norm.momentum"]


def by_grid(store: str, seed: int) -> Pair:
    """As many learning rates, and all momenta read off."""
    return least(losses(store, rates(TRAININGS), MOMENTA, f"seed={seed}"))


def by_product(store: str, seed: int) -> Pair:
    """Four learning rates by four momenta: what a grid is where each momentum is a training."""
    return least(losses(store, rates(4), FOUR, f"seed={seed}"))


def by_optuna(store: str, seed: int) -> Pair:
    """Both proposed, each trial a training, one after the other."""

    def objective(trial: optuna.Trial) -> float:
        lr = trial.suggest_float("lr", LOW, HIGH, log=True)
        momentum = trial.suggest_categorical("momentum", MOMENTA)
        return losses(store, [lr], [momentum], f"seed={seed}")[lr, momentum]

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=TRAININGS)
    return study.best_params["lr"], study.best_params["momentum"]


def by_hydra(store: str, seed: int) -> Pair:
    """The same by Hydra's sweeper, as its documents call it; one job at a time."""
    words = ",".join([*PROBLEM, f"seed={seed}", f"store.dir={store}"]).replace("=", r"\=")
    place = Path(store).parent / f"hydra-{seed}"
    subprocess.run(
        [sys.argv[1], Path(__file__).with_name("hydra_problem.py"), "-m", "hydra/sweeper=optuna",
         f"hydra.sweeper.n_trials={TRAININGS}", "hydra.sweeper.n_jobs=1",
         f"hydra.sweeper.sampler.seed={seed}", f"lr=tag(log,interval({LOW},{HIGH}))",
         f"momentum=choice({','.join(map(str, MOMENTA))})", f"words=[{words}]",
         f"hydra.sweep.dir={place}"],
        check=True, capture_output=True,
    )  # fmt: skip
    best = yaml.safe_load((place / "optimization_results.yaml").read_text())["best_params"]
    return best["lr"], best["momentum"]


WAYS = {
    "normexp search, ten momenta read off": by_search,
    "grid of 16 learning rates, ten momenta read off": by_grid,
    "grid of 4 learning rates by 4 momenta": by_product,
    "Optuna over both, a training a trial": by_optuna,
    **({"Hydra's Optuna sweeper, likewise": by_hydra} if any(sys.argv[1:2]) else {}),
}


def main() -> None:
    """Print the ratio of every way: median, and the repetitions."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "runs")
        fine = losses(store, rates(FINE), MOMENTA, JUDGES)
        best = least(fine)
        floor = fine[best]
        print(f"the fine grid's best: lr {best[0]:g}, momentum {best[1]:g}, loss {floor:.4g}")
        for name, way in WAYS.items():
            pairs = [way(store, seed) for seed in SEEDS]
            judged = [losses(store, [lr], [m], JUDGES)[lr, m] / floor for lr, m in pairs]
            shown = " ".join(f"{each:.3g}" for each in sorted(judged))
            print(f"{name}: {median(judged):.3f} ({shown})")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
