"""Training: a stack against plain PyTorch, network by network."""

import pytest
import torch
from reference import NORMS, Batch, PlainMlp, PlainNetwork, loss_and_gradient, train_plainly
from scipy.stats import mannwhitneyu

import normexp
from normexp.config.network import Mlp
from normexp.config.schema import RunConfig
from normexp.engine.train import TrainingStack, train
from normexp.numerics import one_thread

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
ARMS = {
    "none": ["norm=none"],
    "batch": ["norm=batch"],
    "batch, raw input": ["norm=batch", "model.input_norm=false"],
}


def configs(*overrides: str) -> list[RunConfig]:
    """One configuration a trajectory of a study."""
    runs = normexp.load("~norm.momentum", *overrides).runs
    return [run.config for run in runs]


def plain(config: RunConfig, weights: dict[str, torch.Tensor]) -> PlainNetwork:
    """The oracle for one run, with these weights."""
    assert isinstance(config.model, Mlp)
    network = PlainMlp(
        config.model.depth,
        config.model.width,
        norm=NORMS[config.norm.kind],
        input_norm=bool(config.model.input_norm),
    ).to(getattr(torch, config.train.dtype))
    network.put(weights)
    return network


def batches_of(stack: TrainingStack, model: int, epochs: int) -> list[Batch]:
    """One network's batches, examples first as `torch.nn` wants them."""
    both = [batch for epoch in range(epochs) for batch in stack.batches(epoch)]
    return [(x[model].T.contiguous(), y[model].T.contiguous()) for x, y in both]


def of(model: int, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """One network's part of a stack's parameters, detached."""
    return {name: values[model].detach().clone() for name, values in weights.items()}


def in_float64(config: RunConfig, network: PlainNetwork, batch: Batch) -> dict[str, torch.Tensor]:
    """The oracle's gradient for these weights and this batch, without float32's rounding."""
    double = plain(config, of_plain(network)).double()
    double.put({name: values.double() for name, values in of_plain(network).items()})
    return loss_and_gradient(double, (batch[0].double(), batch[1].double()))[1]


def of_plain(network: PlainNetwork) -> dict[str, torch.Tensor]:
    """The weights of an oracle."""
    return {name: values.detach() for name, values in network.named().items()}


def shuffled(batch: Batch, draw: int) -> Batch:
    """The examples of a batch in another order: the same gradient, other roundings."""
    x, y = batch
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(draw))
    return x[order], y[order]


def assert_near(found: torch.Tensor, expected: torch.Tensor, dtype: str) -> None:
    """Equal to the tolerance of the dtype."""
    torch.testing.assert_close(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("arm", ARMS)
def test_each_step_of_a_stack_is_plain_pytorch_s(arm: str, dtype: str) -> None:
    """From identical weights the same loss and gradient; from these the same update."""
    settings = configs(*ARMS[arm], f"train.dtype={dtype}", "optim.lr=0.003,0.01,0.03", "seed=5",
                       "data.train_size=1000")  # fmt: skip
    stack = TrainingStack(settings)
    networks = [plain(config, of(m, stack.weights())) for m, config in enumerate(settings)]
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=config.optim.lr)
        for network, config in zip(networks, settings, strict=True)
    ]
    batches = [batches_of(stack, m, epochs=1) for m in range(3)]

    for step, (x, y) in enumerate(stack.batches(0)):
        before = stack.weights()
        left, flat = stack.gradient(x, y)
        gradient = stack.by_name(flat)
        stack.step(x, y)
        after = stack.weights()
        for m, (network, optimizer) in enumerate(zip(networks, optimizers, strict=True)):
            batch = batches[m][step]
            network.put(of(m, before))
            loss, expected = loss_and_gradient(network, batch)
            assert_near(left.train_loss[m], loss, dtype)
            exact = in_float64(settings[m], network, batch)
            largest = max(float(values.abs().max()) for values in exact.values())
            others = [loss_and_gradient(network, shuffled(batch, draw))[1] for draw in range(8)]
            for name, parameter in network.named().items():
                # Where a unit's variance is near 0 its gradient is ill-conditioned, and PyTorch's
                # own float32 is off; ours may be ten times as far off. How far is a matter of
                # luck, so of nine orders of the batch, whose gradients are equal, the worst counts.
                own_error = max(
                    float((each[name].double() - exact[name]).abs().max())
                    for each in (expected, *others)
                )
                error = float((gradient[name][m].double() - exact[name]).abs().max())
                assert error <= TOLERANCE[dtype] * largest + 10 * own_error
                # The same gradient to both: Adam takes its sign where it is rounding noise.
                parameter.grad = gradient[name][m].clone()
            optimizer.step()
            for name, parameter in network.named().items():
                assert_near(after[name][m], parameter.detach(), dtype)


def test_whole_trainings_end_where_plain_pytorch_s_end() -> None:
    """Beyond chaos, by distribution: final training losses of 10 seeds are of one population."""
    settings = configs("norm=batch", "seed=range(10)", "data.train_size=1000", "train.epochs=6")
    stack = TrainingStack(settings)
    ours = train(settings).train_loss[:, -16:].mean(1)
    theirs = []
    with one_thread():
        for m, config in enumerate(settings):
            network = plain(config, of(m, stack.weights()))
            losses = train_plainly(network, batches_of(stack, m, epochs=6), config.optim.lr)
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
    sizes = [
        [x.shape[-1] for x, _ in TrainingStack([each]).batches(0)] for each in (ragged, dropped)
    ]

    assert sizes == [[64] * 31 + [16], [64] * 31]
    assert train([dropped]).train_loss.shape == (1, 31)


def test_the_same_seed_means_common_random_numbers() -> None:
    """Arms with one seed share data, batch order and initial linear weights; seeds differ."""
    settings = configs("norm=none,batch", "seed=7") + configs("norm=none", "seed=8")
    stacks = [TrainingStack([config]) for config in settings]
    (x, y), (x_batch, y_batch), (x_other, _) = (next(stack.batches(3)) for stack in stacks)
    none, batch, other = (stack.weights()["hidden3.weight"] for stack in stacks)

    assert torch.equal(x, x_batch)
    assert torch.equal(y, y_batch)
    assert not torch.equal(x, x_other)
    assert torch.equal(none, batch)
    assert not torch.equal(none, other)
