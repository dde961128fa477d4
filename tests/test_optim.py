"""Optimizers and schedules against `torch.optim`."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import SMALL
from reference import NORMS, PlainLenet, PlainMlp, PlainNetwork, loss_and_gradient
from replay import batches
from torch import optim

import normexp
from normexp.engine.train import train

CASES: dict[str, tuple[Callable[..., optim.Optimizer], dict[str, Any]]] = {
    "adam optim.beta1=0.8": (optim.Adam, {"betas": (0.8, 0.999)}),
    "adam optim.weight_decay=0.1": (optim.Adam, {"weight_decay": 0.1}),
    "adamw optim.weight_decay=0.2": (optim.AdamW, {"weight_decay": 0.2}),
    "sgd": (optim.SGD, {"momentum": 0}),
    "sgd optim.momentum=0.9": (optim.SGD, {"momentum": 0.9}),
    "sgd optim.momentum=0.9 optim.nesterov=true optim.weight_decay=0.1": (
        optim.SGD,
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
    ),
}
RATES = (0.001, 0.03)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("model", ["mlp", "lenet"])
def test_an_optimizer_steps_as_torchs_does(model: str, case: str, schedule: str) -> None:
    """Two networks with learning rates of their own, compiled or not, eight steps in float64."""
    oracle, options = CASES[case]
    typed = ["data=digits", f"model={model}", "norm=layer", "seed=0", "data.train_size=70",
             "train.batch_size=18", "train.epochs=2", "train.dtype=float64",
             "model.activation=tanh", f"train.schedule={schedule}",
             f"optim.lr={','.join(map(str, RATES))}"]  # fmt: skip
    runs = normexp.load(*typed, *f"optim={case}".split()).runs
    record = train([run.config for run in runs])

    for place, (run, lr) in enumerate(zip(runs, RATES, strict=True)):
        network: PlainNetwork
        if model == "mlp":
            network = PlainMlp(8, 10, 64, 10, norm=NORMS["layer"], input_norm=False).double()
        else:
            network = PlainLenet(1, 8, NORMS["layer"], after=False).double()
            network.activation = torch.tanh
        network.put({name: values[place, 0] for name, values in record.weights.items()})
        optimizer = oracle(network.parameters(), lr=lr, **options)
        factor = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
        for batch in batches(run.config):
            loss_and_gradient(network, batch)
            optimizer.step()
            if schedule == "cosine":
                factor.step()
        for name, values in network.named().items():
            found = record.weights[name][place, -1]
            torch.testing.assert_close(found, values.detach(), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_networks_with_other_rates_and_decays_share_a_stack(
    as_json: Callable[..., Any], optimizer: str
) -> None:
    """Learning rate and weight decay are stackable: nine trainings, one stack, no bit changed."""
    study = [*SMALL, f"optim={optimizer}", "norm=none", "seed=0", "train.schedule=cosine",
             "train.epochs=20"]  # fmt: skip
    rates, decays = "optim.lr=0.001,0.003,0.01", "optim.weight_decay=0,0.3,3"
    together = as_json("sweep", *study, rates, decays, "executor.workers=1")
    alone = as_json("sweep", *study, "optim.lr=0.003", "optim.weight_decay=0", "store.dir=alone")
    runs = normexp.read(together["directory"]).set_index("run_id")
    one = normexp.read(alone["directory"]).set_index("run_id")

    assert (together["trajectories"], together["stacks"]) == (9, 1)
    assert runs["test_loss"].nunique() == 9
    assert runs.loc[one.index, "test_loss"].equals(one["test_loss"])
