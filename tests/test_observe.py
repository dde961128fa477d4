"""Observation: running statistics and their losses against `torch.nn.BatchNorm1d`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import SMALL
from reference import PlainMlp, PlainNetwork, batch_norm, evaluate
from torch import nn

import normexp
from normexp.config.norm import BatchNorm
from normexp.config.schema import RunConfig
from normexp.data.draw import draw
from normexp.engine import predict
from normexp.engine.estimators import RunningStatistics
from normexp.engine.observe import observe
from normexp.engine.train import TrainingStack, train

MOMENTA = [0.0, 0.01, 0.1, 0.5, 0.99, 1.0, None]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_row_of_the_statistics_is_of_its_own_step(dtype: str) -> None:
    """Not of the last one: each follows from the one before and the batch of its step."""
    made = normexp.sweep(
        *SMALL, "norm=batch", "norm.momentum=0.1", "seed=0", "log.every=1", f"train.dtype={dtype}"
    )
    (run,) = made.rows
    stats = normexp.read(run["directory"], "stats")
    study = made.directory.parents[1]
    batches = pd.read_parquet(study / "trajectories" / run["trajectory_id"] / "batch_stats.parquet")

    for name, start in (("mean", 0.0), ("var", 1.0)):
        rows = _by_channel(stats, f"running_{name}")
        new = _by_channel(batches, f"batch_{name}")
        assert (rows.loc[0] == start).all()
        expected = 0.9 * rows.to_numpy()[:-1] + 0.1 * new.to_numpy()
        np.testing.assert_allclose(rows.to_numpy()[1:], expected, rtol=1e-5, atol=1e-6)


def _by_channel(table: pd.DataFrame, values: str) -> pd.DataFrame:
    """A row a step, a column a channel of a layer."""
    return table.pivot_table(values, "step", ["layer", "channel"], observed=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_running_statistics_are_those_of_torch(dtype: torch.dtype) -> None:
    """For every momentum, 0, 1 and None included, after each of 50 batches."""
    channels = 6
    norms = [nn.BatchNorm1d(channels, momentum=momentum).to(dtype) for momentum in MOMENTA]
    running = RunningStatistics([BatchNorm(momentum=momentum) for momentum in MOMENTA], channels)
    rng = torch.Generator().manual_seed(0)
    for _ in range(50):
        x = 3 + 2 * torch.randn(16, channels, generator=rng, dtype=dtype)
        var, mean = torch.var_mean(x, 0)
        each = (len(MOMENTA), channels)
        running.update(mean.expand(each), var.expand(each), torch.full((channels,), len(x)))

        for row, norm in enumerate(norms):
            norm(x)
            torch.testing.assert_close(running.mean[row].to(dtype), norm.running_mean)
            torch.testing.assert_close(running.var[row].to(dtype), norm.running_var)


@pytest.mark.parametrize("momentum", MOMENTA)
def test_a_run_is_what_a_plain_network_with_this_momentum_sees(momentum: float | None) -> None:
    """The oracle takes each batch in training mode with our weights, then evaluates."""
    typed = "null" if momentum is None else str(momentum)
    (run,) = normexp.load(
        "norm=batch", f"norm.momentum={typed}", "seed=3", "train.epochs=2", "train.dtype=float64"
    ).runs
    record = train([run.config])
    (observation,) = observe(record, [run.config], [0])
    network = PlainMlp(8, 10, norm=batch_norm(momentum), input_norm=True).double()
    stack = TrainingStack([run.config])
    data = examples_of_test(run.config)

    losses = [plain_test_loss(network, stack, data)]
    for epoch in range(2):
        for x, y in stack.batches(epoch):
            network.put({name: values[0] for name, values in stack.weights().items()})
            network.train()
            network(x[0].T)
            stack.step(x, y)
        losses.append(plain_test_loss(network, stack, data))

    torch.testing.assert_close(observation.scores["loss"], torch.stack(losses))
    torch.testing.assert_close(observation.running_mean[-1], network.channels("running_mean"))
    torch.testing.assert_close(observation.running_var[-1], network.channels("running_var"))


def plain_test_loss(
    network: PlainNetwork, stack: TrainingStack, data: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """The oracle's loss in evaluation mode, with the stack's weights of now."""
    network.put({name: values[0] for name, values in stack.weights().items()})
    return evaluate(network, data)


def examples_of_test(config: RunConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """A run's test set, examples first."""
    data = draw(config)
    return data.test_x.T, data.test_y.T


def test_population_statistics_are_a_full_batch_in_training_mode() -> None:
    """With momentum 1, one pass over the whole training set leaves them in torch's buffers."""
    (run,) = normexp.load(
        "norm=batch", "norm.momentum=0.1", "seed=0", "train.epochs=1", "train.dtype=float64"
    ).runs
    record = train([run.config])
    stack = TrainingStack([run.config])
    network = PlainMlp(8, 10, norm=batch_norm(1.0), input_norm=True).double()
    network.put({name: values[0, -1] for name, values in record.weights.items()})
    whole = [torch.cat(part, -1)[0].T for part in zip(*stack.batches(0), strict=True)]
    network.train()
    fitted = network(whole[0])
    x, y = examples_of_test(run.config)

    torch.testing.assert_close(record.population_mean[0, -1], network.channels("running_mean"))
    torch.testing.assert_close(record.population_var[0, -1], network.channels("running_var"))
    torch.testing.assert_close(
        record.references["train_loss_population"][0, -1],
        (fitted - whole[1]).square().mean().detach(),
    )
    torch.testing.assert_close(
        record.references["test_loss_population"][0, -1], evaluate(network, (x, y))
    )
    network.train()
    by_itself = (network(x) - y).square().mean().detach()
    torch.testing.assert_close(record.references["test_loss_test_batch"][0, -1], by_itself)


def test_population_statistics_of_large_data_are_those_of_evenly_spaced_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many as memory allows, 1,024 at least: here 1,024 of 2,000."""
    monkeypatch.setattr(predict, "MOST_BYTES", 10**6)
    (run,) = normexp.load("norm=batch", "norm.momentum=0.1", "seed=0", "train.epochs=1").runs
    record = train([run.config])
    x = draw(run.config).x[0, torch.arange(1024) * 2000 // 1024]

    torch.testing.assert_close(record.population_mean[0, 0, 0], x.mean())
    torch.testing.assert_close(record.population_var[0, 0, 0], x.var())


@pytest.mark.parametrize(
    ("study", "there", "examples"),
    [
        (["norm=batch"], 2000, 2000),
        (["data=digits", "model=resnet", "norm=batch"], 1440, 1440),
        (["norm=batch"], 1_000_000, 209_715),
    ],
)
def test_population_statistics_are_of_the_whole_training_set_if_it_fits(
    study: list[str], there: int, examples: int
) -> None:
    """256 MB for the largest layer of 32 networks of ten units, or of one ResNet."""
    (run,) = normexp.load(*study, "norm.momentum=0.1", "seed=0").runs

    assert len(predict.as_one_batch(run.config, there)) == examples


def test_a_network_without_norm_has_no_excess(as_json: Callable[..., Any]) -> None:
    """Its three test losses are one number, and its statistics tables are empty."""
    directory = as_json("sweep", "norm=none", "seed=0", "train.epochs=1")["directory"]
    (row,) = normexp.read(directory).to_dict("records")

    assert row["test_loss"] == row["test_loss_population"] == row["test_loss_test_batch"]
    assert row["excess_loss"] == 0
    assert normexp.read(directory, table="stats").empty
