"""A training of search.py's problem, asked for by Hydra's Optuna sweeper 1.3 with Optuna 2.10."""

import math
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.singleton import Singleton

import normexp

ConfigStore.instance().store("problem", {"lr": 0.1, "momentum": 0.1, "words": []})


@hydra.main(version_base=None, config_path=None, config_name="problem")
def loss(config: Any) -> float:  # noqa: ANN401
    """Return the test loss; infinite if the training diverged."""
    state = Singleton.get_state()
    pair = f"optim.lr={config.lr}", f"norm.momentum={config.momentum}"
    (row,) = normexp.sweep(*config.words, *pair).rows
    Singleton.set_state(state)  # normexp asks Hydra too
    return float(row["test_loss"]) if row["status"] == "complete" else math.inf


if __name__ == "__main__":
    loss()
