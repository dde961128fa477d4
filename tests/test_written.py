"""The gradient that is written out: autograd's, and no network's depends on its company."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

import normexp
from normexp.config.schema import RunConfig
from normexp.engine.step import Packing, by_autograd, written_out
from normexp.engine.train import TrainingStack
from normexp.nets.layout import ACTIVATIONS
from normexp.nets.network import Network
from normexp.nets.written import is_written_out

BATCH = ["~norm.momentum", "norm=batch"]
ARMS = {
    "no norm": ["norm=none"],
    "a last batch of one": ["norm=none", "data.train_size=27"],
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


@pytest.mark.parametrize(
    ("arm", "activation"),
    [*((arm, "tanh") for arm in ARMS), *(("after the activation", a) for a in ACTIVATIONS)],
)
def test_what_is_written_out_is_what_autograd_finds(arm: str, activation: str) -> None:
    """Loss, statistics and gradient of two epochs' batches, the last of 8 or of 1, in float64."""
    settings = configs(
        *ARMS[arm], f"model.activation={activation}", "train.dtype=float64", "seed=range(32)"
    )
    network = Network(settings[0])
    packing = Packing(network.shapes, len(settings))
    flat = packing.pack([network.initial(config) for config in settings])
    one, other = (way(network, packing, flat) for way in (by_autograd, written_out))
    stack = TrainingStack(settings)

    for x, y in [*stack.batches(0), *stack.batches(1)]:
        expected, found = one(x, y, {}), other(x, y, {})
        torch.testing.assert_close(found.losses, expected.losses)
        assert found.statistics.keys() == expected.statistics.keys()
        for site, moments in found.statistics.items():
            torch.testing.assert_close(tuple(moments), tuple(expected.statistics[site]))
        slopes = packing.views(expected.gradient)
        for name, slope in packing.views(found.gradient).items():
            torch.testing.assert_close(slope, slopes[name], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("typed", [["train.batch_size=1"], ["train.batch_size=4"]])
def test_a_batch_of_one_needs_no_norm(as_json: Callable[..., Any], typed: list[str]) -> None:
    """Five examples, one at a time or the last one alone."""
    sizes = ["data.train_size=5", "data.test_size=4", "train.epochs=1"]
    answer = as_json("sweep", "norm=none", "seed=0", *sizes, *typed)

    assert (answer["runs"], answer["failed"], answer["diverged"]) == (1, 0, 0)


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
    "norm",
    [
        [*BATCH[:1], "norm=ghost", "norm.size=4", "train.batch_size=12"],
        ["norm=layer"],
        [*BATCH, "norm.normalizing_variance=unbiased"],
    ],
)
def test_other_norms_are_left_to_autograd(norm: list[str]) -> None:
    """Networks that the written pass does not know."""
    assert not is_written_out(configs(*norm)[0])
    assert is_written_out(configs(*BATCH)[0])


@pytest.mark.parametrize("size", [1, 15, 16, 33, 2**18 + 5])
def test_the_hyperbolic_tangent_is_exact_to_a_last_bit(size: int) -> None:
    """Against float64, from numbers that round to themselves to those that come to one."""
    rng = torch.Generator().manual_seed(size)
    x = torch.randn(size, generator=rng) * 10 ** torch.empty(size).uniform_(-9, 2, generator=rng)
    exact = torch.tanh(x.double())
    y = ACTIVATIONS["tanh"].forward(x)

    assert float(((y - exact) / exact).abs().max()) < 1.2e-7
    assert torch.equal(y[: size // 2], ACTIVATIONS["tanh"].forward(x[: size // 2]))
