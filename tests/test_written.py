"""The gradient that is written out: autograd's, and no network's depends on its company."""

import pytest
import torch

import normexp
from normexp.config.schema import RunConfig
from normexp.engine.gradients import ByAutograd, Gradients, WrittenOut, gradients
from normexp.engine.packed import Packing
from normexp.engine.stack import TrainingStack
from normexp.models.activations import ACTIVATIONS
from normexp.models.network import Network

BATCH = ["~norm.momentum", "norm=batch"]
ARMS = {
    "no norm": ["norm=none"],
    "batch norm": BATCH,
    "raw input": [*BATCH, "model.input_norm=false"],
    "after the activation": [*BATCH, "norm.placement=after"],
    "without affine": [*BATCH, "norm.affine=false"],
    "labels": [*BATCH, "data=digits", "data.train_size=60", "data.test_size=9"],
}


def configs(*overrides: str) -> list[RunConfig]:
    """One configuration a trajectory of a study of odd sizes."""
    sizes = ["model.depth=3", "model.width=7", "data.train_size=60", "train.batch_size=13"]
    return [run.config for run in normexp.load(*sizes, *overrides).runs]


def both(settings: list[RunConfig]) -> tuple[TrainingStack, Packing, tuple[Gradients, Gradients]]:
    """A stack with autograd's gradient and the one that is written out, at its first weights."""
    network = Network(settings[0])
    packing = Packing(network.shapes, len(settings))
    flat = packing.pack([network.initial(config) for config in settings])
    ways = ByAutograd(network, packing, flat), WrittenOut(network, packing, flat)
    return TrainingStack(settings), packing, ways


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("arm", ARMS)
def test_what_is_written_out_is_what_autograd_finds(arm: str, activation: str) -> None:
    """Loss, statistics and gradient of two epochs' batches, the last of 8, in float64."""
    settings = configs(
        *ARMS[arm], f"model.activation={activation}", "train.dtype=float64", "seed=range(32)"
    )
    stack, packing, (one, other) = both(settings)

    for epoch in range(2):
        for x, y in stack.batches(epoch):
            expected, found = one(x, y, {}), other(x, y, {})
            torch.testing.assert_close(found.losses, expected.losses)
            assert found.statistics.keys() == expected.statistics.keys()
            for site, (mean, var) in found.statistics.items():
                torch.testing.assert_close(mean, expected.statistics[site].mean)
                torch.testing.assert_close(var, expected.statistics[site].var)
            slopes = packing.views(expected.gradient)
            for name, slope in packing.views(found.gradient).items():
                torch.testing.assert_close(slope, slopes[name], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_company_changes_no_bit_of_what_is_written_out(activation: str, dtype: str) -> None:
    """A network first of 96 and, with others, seventh of 32: 20 steps to the same bits."""
    own = [*BATCH, f"model.activation={activation}", f"train.dtype={dtype}"]
    many = TrainingStack(configs(*own, "seed=range(96)"))
    few = TrainingStack(configs(*own, "seed=range(90,96)") + configs(*own, "seed=0"))

    for epoch in range(4):
        left = list(zip(many.epoch(epoch), few.epoch(epoch), strict=True))
        for all_of, some in left:
            for a, b in zip(all_of, some, strict=True):
                assert torch.equal(a[0], b[6])
    for name, values in many.weights().items():
        assert torch.equal(values[0], few.weights()[name][6])


@pytest.mark.parametrize(
    "norm", ["norm=ghost", "norm=layer", "norm=batch norm.normalizing_variance=unbiased"]
)
def test_other_norms_are_left_to_autograd(norm: str) -> None:
    """Networks that the written pass does not know."""
    more = {"norm=ghost": ["norm.size=4", "train.batch_size=12"], "norm=layer": []}
    config = configs(*norm.split(), *more.get(norm, []), *BATCH[: "layer" not in norm])[0]
    network = Network(config)
    packing = Packing(network.shapes, 1)

    way = gradients(network, packing, packing.pack([network.initial(config)]))
    assert isinstance(way, ByAutograd)


@pytest.mark.parametrize("size", [1, 15, 16, 33, 2**18 + 5])
def test_the_hyperbolic_tangent_is_exact_to_a_last_bit(size: int) -> None:
    """Against float64, from numbers that round to themselves to those that come to one."""
    rng = torch.Generator().manual_seed(size)
    x = torch.randn(size, generator=rng) * 10 ** torch.empty(size).uniform_(-9, 2, generator=rng)
    exact = torch.tanh(x.double())
    y = ACTIVATIONS["tanh"].forward(x)

    assert float(((y - exact) / exact).abs().max()) < 1.2e-7
    assert torch.equal(y[: size // 2], ACTIVATIONS["tanh"].forward(x[: size // 2]))
