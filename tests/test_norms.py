"""Norms beyond what every pair with a model shows: their options, the hand-written ones."""

from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import SMALL, AsJson
from safetensors.torch import load_file
from torch import nn

import normexp
from normexp.config.norm import BatchRenorm, GroupNorm, InstanceNorm, LayerNorm, limits
from normexp.engine.observe import observe
from normexp.engine.train import train
from normexp.nets.layout import Affine
from normexp.nets.models import parameter_shapes
from normexp.nets.norms import normalize_batch, normalize_example

PLAIN = Affine(None, None)


def images(batch: int, channels: int, side: int) -> torch.Tensor:
    """A stack of one network's images, [1, batch, channels, side, side]."""
    rng = torch.Generator().manual_seed(0)
    return 1 + 3 * torch.randn(1, batch, channels, side, side, generator=rng, dtype=torch.float64)


def hand_written(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """As S4 writes them all: `x.var()` is unbiased."""
    return (x - x.mean(axes, keepdim=True)) / (x.var(axes, keepdim=True) + 1e-12).sqrt()


@pytest.mark.parametrize("batch", [2, 3, 50])
def test_normalising_by_the_unbiased_variance_is_the_hand_written_batch_norm(batch: int) -> None:
    """Its output is √((n − 1)/n) of PyTorch's: 0.707 of it for batches of two."""
    x = images(batch, 4, 1).squeeze((3, 4)).transpose(1, 2)  # [1, channels, batch]
    unbiased, _ = normalize_batch(x, PLAIN, 1e-12, "unbiased")
    biased = nn.BatchNorm1d(4, eps=1e-12, affine=False).double()(x[0].T).T

    torch.testing.assert_close(unbiased, hand_written(x, (2,)))
    torch.testing.assert_close(unbiased[0], biased * ((batch - 1) / batch) ** 0.5)


@pytest.mark.parametrize(
    ("config", "groups", "n"),
    [
        (LayerNorm(eps=1e-12, normalizing_variance="unbiased"), 1, 6 * 4),
        (InstanceNorm(eps=1e-12, normalizing_variance="unbiased"), 6, 4),
        (GroupNorm(groups=3, eps=1e-12, normalizing_variance="unbiased"), 3, 2 * 4),
    ],
    ids=["layer", "instance", "group"],
)
def test_the_hand_written_norms_of_s4_differ_by_their_variance(
    config: LayerNorm | InstanceNorm | GroupNorm, groups: int, n: int
) -> None:
    """√((n − 1)/n) of `torch.nn`'s output, n the values that are normalised together."""
    x = images(5, 6, 2)
    expected = nn.GroupNorm(groups, 6, eps=1e-12, affine=False).double()(x[0])
    found = normalize_example(config, x, PLAIN)

    torch.testing.assert_close(found[0], expected * ((n - 1) / n) ** 0.5)
    by_hand = hand_written(x.view(1, 5, groups, -1), (3,)).view(x.shape)
    torch.testing.assert_close(found, by_hand)


def test_layer_norm_per_channel_is_group_norm_of_one_group() -> None:
    """S4's layer norm; PyTorch's has a weight an element."""
    typed = [
        "data=digits",
        "model=lenet",
        "norm=layer",
        "seed=0",
        "norm.affine_per=element,channel",
    ]
    element, channel = (parameter_shapes(run.config) for run in normexp.load(*typed).runs)

    assert element["conv1.norm.weight"] == (6, 8, 8)
    assert channel["conv1.norm.weight"] == (6,)
    assert element["linear1.norm.weight"] == channel["linear1.norm.weight"]


@pytest.mark.parametrize(
    ("model", "values"),
    [([], [8] * 9), (["data=digits", "model=lenet"], [512] * 6 + [128] * 16 + [8] * 204)],
    ids=["mlp", "lenet"],
)
def test_the_biased_running_variance_is_that_of_keras_and_s2(
    model: list[str], values: list[int]
) -> None:
    """With momentum 1 it is the last batch's variance: (n − 1)/n of PyTorch's, without training."""
    sizes = SMALL if not model else ["data.train_size=40", "train.batch_size=16", "train.epochs=1"]
    study = [*model, *sizes, "norm=batch", "norm.momentum=1", "seed=0", "train.dtype=float64"]
    runs = normexp.load(*study, "norm.running_variance=unbiased,biased").runs
    configs = [run.config for run in runs]
    unbiased, biased = (
        each.running_var[-1] for each in observe(train(configs[:1]), configs, [0, 0])
    )
    n = torch.tensor(values, dtype=torch.float64)

    assert len({run.trajectory_id for run in runs}) == 1
    torch.testing.assert_close(biased, unbiased * (n - 1) / n, rtol=1e-12, atol=0)


def test_a_norm_without_affine_learns_nothing(as_json: AsJson) -> None:
    """No scale, no shift, in any kind that has the option."""
    kinds = "batch,ghost,batch_renorm,ema_train,layer,rms,group"
    answer = as_json("sweep", *SMALL, f"norm={kinds}", "norm.affine=false,true", "seed=0",
                     "norm.momentum=0.1", "norm.groups=1")  # fmt: skip
    runs = normexp.read(answer["directory"])

    assert len(runs) == 14
    for affine, run in zip(runs["norm.affine"], runs["trajectory_id"], strict=True):
        weights = load_file(Path("runs/bn_regression/trajectories", run, "weights.safetensors"))
        assert any(".norm." in name for name in weights) == affine


@pytest.mark.parametrize(
    ("norm", "trajectories"), [("batch", 1), ("ghost", 1), ("batch_renorm", 4), ("ema_train", 4)]
)
def test_momenta_share_a_trajectory_unless_they_enter_training(
    norm: str, trajectories: int
) -> None:
    """Whether momentum is observed is the norm's own; the plan knows only its role."""
    plan = normexp.plan(f"norm={norm}", "norm.momentum=0.01,0.1,0.5,null", "seed=0")

    assert plan.to_train == trajectories


def test_ghost_norm_updates_its_statistics_once_a_virtual_batch(as_json: AsJson) -> None:
    """Batches of 16, 16 and 10 in parts of 4: four, four and three updates, numbered."""
    as_json("sweep", *SMALL, "norm=ghost", "norm.size=4", "norm.momentum=0.1", "seed=0",
            "train.epochs=1", "train.drop_last=false", "data.train_size=42")  # fmt: skip
    (path,) = Path("runs/bn_regression/trajectories").glob("*/batch_stats.parquet")
    table = pd.read_parquet(path)
    of_a_channel = table[(table["layer"] == "hidden1") & (table["channel"] == 0)]

    assert of_a_channel["step"].to_list() == [1] * 4 + [2] * 4 + [3] * 3
    assert of_a_channel["part"].to_list() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2]


def test_a_ghosts_half_life_is_in_steps(as_json: AsJson) -> None:
    """Four updates a step forget four times as fast."""
    study = [*SMALL, "norm.momentum=0.1", "seed=0", "data.train_size=32"]
    batch = as_json("sweep", *study, "norm=batch")["arms"][0]["half_life_steps"]
    ghost = as_json("sweep", *study, "norm=ghost", "norm.size=4")["arms"][0]["half_life_steps"]

    assert batch == pytest.approx(6.579, abs=1e-3)
    assert ghost == pytest.approx(batch / 4)


def test_renormalisation_warms_up_and_ramps() -> None:
    """Plain batch norm at first (r = 1, d = 0), then limits that grow to the published ones."""
    norm = BatchRenorm(r_max=3.0, d_max=5.0, warmup_steps=10, ramp_steps=4)

    assert [limits(norm, step) for step in (0, 9)] == [(1, 0), (1, 0)]
    assert [limits(norm, step) for step in (10, 11, 13, 99)] == [
        (1.5, 1.25), (2, 2.5), (3, 5), (3, 5)]  # fmt: skip
