"""Every norm with every model: it trains as plain PyTorch does, or is refused with a reason."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from reference import (
    NORMS,
    PlainLenet,
    PlainMlp,
    PlainNetwork,
    PlainResnet,
    evaluate,
    loss_and_gradient,
)
from replay import batches, held_out

import normexp
from normexp.config.schema import KINDS, RunConfig
from normexp.engine.observe import observe
from normexp.engine.train import train
from normexp.nets.network import Network
from normexp.trained import GROWTH_OF_DIVERGENCE, diverged_step

SIZES = ["data=digits", "data.train_size=20", "data.test_size=20", "train.batch_size=18",
         "train.epochs=5", "train.dtype=float64", "optim=sgd", "optim.lr=0.01",
         "seed=1"]  # fmt: skip
"""Two steps an epoch, the second of two images."""

SETTINGS = {
    "ghost": ["norm.size=4"],
    "batch_renorm": ["norm.r_max=1.5", "norm.d_max=0.5", "norm.warmup_steps=2",
                     "norm.ramp_steps=0"],
}  # fmt: skip
"""As `reference.NORMS` has them."""

MODELS = {
    "mlp": ["model=mlp", "model.depth=2", "model.width=6"],
    "lenet": ["model=lenet"],
    "resnet": ["model=resnet", "model.width=4"],
}

REFUSED = {
    ("mlp", "instance"): "norm=instance normalises each channel of an image, and hidden1 gives "
    "vectors of 6 numbers",
}
"""Pairs that make no sense, with what is said of them."""

PAIRS = [
    (model, norm, placement)
    for model in MODELS
    for norm in KINDS["norm"]
    for placement in ("before", "after")
    if (norm, placement) != ("none", "after")
]


def overrides(model: str, norm: str, placement: str) -> list[str]:
    """A study of one run."""
    momentum = ["norm.momentum=0.1"] if hasattr(KINDS["norm"][norm], "momentum") else []
    place = [] if norm == "none" else [f"norm.placement={placement}"]
    own = SETTINGS.get(norm, [])
    return [*MODELS[model], f"norm={norm}", *momentum, *place, *own, *SIZES]


def plain(config: RunConfig) -> PlainNetwork:
    """The oracle of a run, on digits."""
    norm, after = NORMS[config.norm.kind], getattr(config.norm, "placement", "before") == "after"
    if config.model.kind == "mlp":
        return PlainMlp(
            2, 6, 64, 10, norm=norm, input_norm=bool(config.model.input_norm), after=after
        ).double()
    if config.model.kind == "lenet":
        linear_norm = bool(config.model.linear_norm)
        return PlainLenet(1, 8, norm, after=after, linear_norm=linear_norm).double()
    return PlainResnet(1, 8, norm, after=after).double()


@pytest.mark.parametrize(("model", "norm", "placement"), PAIRS)
def test_a_pair_trains_as_plain_pytorch_does_or_is_refused(
    command: Callable[..., Any], model: str, norm: str, placement: str
) -> None:
    """Ten steps: loss, weights, then the loss in evaluation mode, in float64."""
    typed = overrides(model, norm, placement)
    if (model, norm) in REFUSED:
        refused = command("sweep", *typed)
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert refused.stderr.splitlines()[0] == f"error: {REFUSED[model, norm]}"
        return
    (run,) = normexp.load(*typed).runs
    config, network = run.config, plain(run.config)
    record = train([config])
    (observation,) = observe(record, [config], [0])

    optimizer = torch.optim.SGD(network.parameters(), lr=config.optim.lr)
    tested = []
    for step, batch in enumerate(batches(config)):
        epoch, second = divmod(step, 2)
        if not second:
            network.put({name: values[0, epoch] for name, values in record.weights.items()})
            tested.append(evaluate(network, held_out(config)))
        loss, _ = loss_and_gradient(network, batch)
        optimizer.step()
        torch.testing.assert_close(record.train_loss[0, step], loss, rtol=1e-9, atol=1e-9)
        for name, values in network.named().items():
            if second:
                found = record.weights[name][0, epoch + 1]
                torch.testing.assert_close(found, values.detach(), rtol=1e-8, atol=1e-9)
    tested.append(evaluate(network, held_out(config)))

    torch.testing.assert_close(observation.scores["loss"], torch.stack(tested))
    if network.norms and record.sites:
        torch.testing.assert_close(observation.running_mean[-1], network.channels("running_mean"))
        torch.testing.assert_close(observation.running_var[-1], network.channels("running_var"))


@pytest.mark.parametrize("lr", [3.0, 30.0, 1000.0])
@pytest.mark.parametrize("model", MODELS)
def test_a_training_diverges_at_the_step_at_which_plain_pytorch_s_does(
    model: str, lr: float
) -> None:
    """Its loss is not finite, or a thousand times that at the start."""
    typed = [*overrides(model, "none", "before"), f"optim.lr={lr}", "data.train_size=54"]
    (run,) = normexp.load(*typed).runs
    network = plain(run.config)
    network.put(Network(run.config).initial(run.config))
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    losses = []
    for batch in batches(run.config):
        losses.append(float(loss_and_gradient(network, batch)[0]))
        optimizer.step()
    lost = [not loss <= GROWTH_OF_DIVERGENCE["cross entropy"] * losses[0] for loss in losses]
    first = lost.index(True) + 1 if True in lost else None

    assert diverged_step(train([run.config]), 0) == first
    assert first is not None or model == "mlp"
