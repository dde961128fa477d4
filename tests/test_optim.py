"""Optimizers and schedules against `torch.optim`."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import SMALL
from torch import optim

import normexp
from normexp.config.network import Adam, AdamW, Optimizer, Sgd
from normexp.engine.step import OptimizerState, scale

CASES: dict[str, tuple[Optimizer, Callable[..., optim.Optimizer], dict[str, Any]]] = {
    "adam": (Adam(beta1=0.8), optim.Adam, {"betas": (0.8, 0.999)}),
    "adam with decay": (Adam(weight_decay=0.1), optim.Adam, {"weight_decay": 0.1}),
    "adamw": (AdamW(weight_decay=0.2), optim.AdamW, {"weight_decay": 0.2}),
    "sgd": (Sgd(), optim.SGD, {}),
    "sgd with momentum": (Sgd(momentum=0.9), optim.SGD, {"momentum": 0.9}),
    "sgd, all": (
        Sgd(momentum=0.9, nesterov=True, weight_decay=0.1),
        optim.SGD,
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ),
}
RATES = (0.001, 0.1)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("case", CASES)
def test_an_optimizer_steps_as_torchs_does(case: str, schedule: str) -> None:
    """Two networks of five numbers with learning rates of their own, 20 steps, in float64."""
    config, oracle, options = CASES[case]
    rng = torch.Generator().manual_seed(0)
    start = torch.randn(2, 5, generator=rng, dtype=torch.float64)
    gradients = torch.randn(20, 2, 5, generator=rng, dtype=torch.float64)
    lr = torch.tensor(RATES, dtype=torch.float64).repeat_interleave(5)
    state = OptimizerState(config, lr, torch.full_like(lr, config.weight_decay))
    ours = start.clone().reshape(-1)
    theirs = [start[network].clone().requires_grad_() for network in range(2)]
    optimizers = [oracle([p], lr=rate, **options) for p, rate in zip(theirs, RATES, strict=True)]
    schedules = [optim.lr_scheduler.CosineAnnealingLR(each, T_max=20) for each in optimizers]

    for step, gradient in enumerate(gradients):
        state.update(ours, gradient.reshape(-1), scale(schedule, step, 20))
        for network in range(2):
            theirs[network].grad = gradient[network].clone()
            optimizers[network].step()
            if schedule == "cosine":
                schedules[network].step()
        torch.testing.assert_close(ours.view(2, 5), torch.stack([p.detach() for p in theirs]))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_networks_with_other_rates_and_decays_share_a_stack(
    as_json: Callable[..., Any], optimizer: str
) -> None:
    """Learning rate and weight decay are stackable: nine trainings, one stack, no bit changed."""
    study = [*SMALL, f"optim={optimizer}", "norm=none", "seed=0", "train.schedule=cosine",
             "train.epochs=20"]  # fmt: skip
    rates, decays = "optim.lr=0.001,0.01,0.03", "optim.weight_decay=0,0.3,3"
    together = as_json("sweep", *study, rates, decays, "executor.workers=1")
    alone = as_json("sweep", *study, "optim.lr=0.01", "optim.weight_decay=0", "store.dir=alone")
    runs = normexp.read(together["directory"]).set_index("run_id")
    one = normexp.read(alone["directory"]).set_index("run_id")

    assert (together["trajectories"], together["stacks"]) == (9, 1)
    assert runs["test_loss"].nunique() == 9
    assert runs.loc[one.index, "test_loss"].equals(one["test_loss"])
