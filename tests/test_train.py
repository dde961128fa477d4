"""Training of multi-layer perceptrons: against plain PyTorch, network by network."""

import pytest
import torch
from reference import (
    ACTIVATIONS,
    NORMS,
    Norm,
    PlainMlp,
    PlainNetwork,
    loss_and_gradient,
    train_plainly,
)
from replay import batches
from scipy.stats import mannwhitneyu
from torch import nn

import normexp
from normexp.config.network import Mlp
from normexp.config.schema import RunConfig
from normexp.engine.train import train
from normexp.nets.network import Network
from normexp.numerics import one_thread

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
EPOCH = ["data.train_size=64", "train.epochs=5", "optim=sgd", "optim.lr=0.01,0.003", "seed=5",
         "model.depth=3", "model.width=7"]  # fmt: skip
"""An epoch is a batch, so that the weights after every step are kept."""


class ByUnbiased(nn.BatchNorm1d):
    """A batch norm that divides by the root of the unbiased variance, as S4's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """In training mode."""
        y = (x - x.mean(0)) / (x.var(0) + self.eps).sqrt()
        return y * self.weight + self.bias


ARMS: dict[str, tuple[list[str], Norm]] = {
    "none": (["norm=none"], NORMS["none"]),
    "batch": (["norm=batch"], NORMS["batch"]),
    "raw input": (["norm=batch", "model.input_norm=false"], NORMS["batch"]),
    "after": (["norm=batch", "norm.placement=after"], NORMS["batch"]),
    "no affine": (
        ["norm=batch", "norm.affine=false"],
        lambda n, _: nn.BatchNorm1d(n, affine=False),
    ),
    "unbiased": (["norm=batch", "norm.normalizing_variance=unbiased"], lambda n, _: ByUnbiased(n)),
    "drift": (["norm=batch", "data=drift", "data.features=13"], NORMS["batch"]),
    "labels": (["norm=batch", "data=random_labels"], NORMS["batch"]),
    "layer": (["norm=layer"], NORMS["layer"]),
    "rms": (["norm=rms"], NORMS["rms"]),
}


def configs(*overrides: str) -> list[RunConfig]:
    """One configuration a trajectory of a study."""
    runs = normexp.load("~norm.momentum", *overrides).runs
    return [run.config for run in runs]


def plain(config: RunConfig, norm: Norm) -> PlainNetwork:
    """The oracle for one run."""
    model = config.model
    assert isinstance(model, Mlp)
    sizes = model.depth, model.width, config.data.shape[0], config.data.outputs
    after = getattr(config.norm, "placement", "before") == "after"
    network = PlainMlp(*sizes, norm=norm, input_norm=bool(model.input_norm), after=after)
    network.activation = ACTIVATIONS[model.activation]
    return network.to(getattr(torch, config.train.dtype))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("arm", "activation"),
    [
        *((arm, "tanh") for arm in ARMS),
        *((arm, a) for a in ACTIVATIONS for arm in ("none", "after")),
    ],
)
def test_each_step_is_plain_pytorch_s(arm: str, activation: str, dtype: str) -> None:
    """From identical weights the same loss, and the gradient that the next weights show."""
    typed, norm = ARMS[arm]
    settings = configs(*typed, *EPOCH, f"train.dtype={dtype}", f"model.activation={activation}")
    record = train(settings)

    for m, config in enumerate(settings):
        network, exact = plain(config, norm), plain(config, norm).double()
        for step, (x, y) in enumerate(batches(config)):
            before, after = (
                {name: values[m, step + i] for name, values in record.weights.items()}
                for i in range(2)
            )
            network.put(before)
            exact.put(before)
            loss, own = loss_and_gradient(network, (x, y))
            wide = x.double(), y.double() if y.is_floating_point() else y
            _, gradient = loss_and_gradient(exact, wide)
            largest = max(float(values.abs().max()) for values in gradient.values())
            assert own.keys() == before.keys()
            torch.testing.assert_close(
                record.train_loss[m, step], loss, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype]
            )
            for name, values in gradient.items():
                # What PyTorch's own rounding, and that of the weights, leave of a gradient.
                noise = float((own[name] - values).abs().max())
                step_size = 4 * torch.finfo(before[name].dtype).eps / config.optim.lr
                noise = 10 * noise + step_size * float(before[name].abs().max())
                found = (before[name].double() - after[name].double()) / config.optim.lr
                error = float((found - values).abs().max())
                assert error <= TOLERANCE[dtype] * largest + noise, name


def test_whole_trainings_end_where_plain_pytorch_s_end() -> None:
    """Beyond chaos, by distribution: final training losses of 10 seeds are of one population."""
    settings = configs("norm=batch", "seed=range(10)", "data.train_size=1000", "train.epochs=6")
    ours = train(settings).train_loss[:, -16:].mean(1)
    theirs = []
    with one_thread():
        for config in settings:
            network = plain(config, NORMS["batch"])
            network.put(Network(config).initial(config))
            losses = train_plainly(network, batches(config), config.optim.lr)
            theirs.append(float(torch.stack(losses[-16:]).mean()))

    assert mannwhitneyu(ours.numpy(), theirs).pvalue > 0.001


def test_weights_are_bitwise_equal_for_all_momenta() -> None:
    """Momentum never touches training: every momentum's configuration trains to the same bits."""
    settings = configs("norm=batch", "norm.momentum=0,0.1,0.9,1,null", "seed=0", "train.epochs=2")
    record, alone = train(settings), train(settings[-1:])

    assert len(settings) == 5
    for name, values in record.weights.items():
        for m in range(5):
            assert torch.equal(alone.weights[name][0], values[m])


def test_the_ragged_batch_is_kept_or_dropped() -> None:
    """2,000 examples in batches of 64: 32 steps an epoch with the last of 16, or 31 without."""
    ragged, dropped = configs("norm=none", "seed=0", "train.epochs=1", "train.drop_last=false,true")

    assert [len(x) for x, _ in batches(ragged)] == [64] * 31 + [16]
    assert train([ragged]).train_loss.shape == (1, 32)
    assert train([dropped]).train_loss.shape == (1, 31)


def test_the_same_seed_means_common_random_numbers() -> None:
    """Arms with one seed share data, batch order and initial linear weights; seeds differ."""
    settings = configs("norm=none,batch", "seed=7") + configs("norm=none", "seed=8")
    (x, y), (x_batch, y_batch), (x_other, _) = (batches(config)[96] for config in settings)
    none, batch, other = (Network(config).initial(config)["hidden3.weight"] for config in settings)

    assert torch.equal(x, x_batch)
    assert torch.equal(y, y_batch)
    assert not torch.equal(x, x_other)
    assert torch.equal(none, batch)
    assert not torch.equal(none, other)
