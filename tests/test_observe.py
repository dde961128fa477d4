"""Observation against plain networks of PyTorch, and fvcore's rule for precise statistics."""

from collections.abc import Iterable

import pytest
import torch
from conftest import SMALL, AsJson
from reference import Batch, PlainMlp, batch_norm, evaluate
from torch import nn

import normexp
from normexp.config.schema import RunConfig
from normexp.data.draw import draw, orders
from normexp.engine import predict
from normexp.engine.observe import observe
from normexp.engine.train import train

DOUBLE = ["norm=batch", "seed=0", "train.dtype=float64"]
STUDY = [*SMALL, *DOUBLE, "norm.momentum=0.1", "train.epochs=3"]


def config_of(*overrides: str) -> RunConfig:
    """The one configuration of these overrides."""
    (run,) = normexp.load(*overrides).runs
    return run.config


def held_out(config: RunConfig) -> Batch:
    """A run's test set, examples first."""
    data = draw(config)
    return data.test_x.T, data.test_y.T


def test_population_statistics_are_a_full_batch_in_training_mode() -> None:
    """With momentum 1, one pass over the whole training set leaves them in torch's buffers."""
    config = config_of(*DOUBLE, "norm.momentum=0.1", "train.epochs=1")
    record = train([config])
    network = PlainMlp(8, 10, norm=batch_norm(1.0), input_norm=True).double()
    network.put({name: values[0, -1] for name, values in record.weights.items()})
    data = draw(config)
    network.train()
    fitted = (network(data.x.T) - data.y.T).square().mean().detach()
    found = {name: values[0, -1] for name, values in record.references.items()}
    x, y = held_out(config)

    torch.testing.assert_close(record.population_mean[0, -1], network.channels("running_mean"))
    torch.testing.assert_close(record.population_var[0, -1], network.channels("running_var"))
    torch.testing.assert_close(found["train_loss_population"], fitted)
    torch.testing.assert_close(found["test_loss_population"], evaluate(network, (x, y)))
    network.train()
    by_itself = (network(x) - y).square().mean().detach()
    torch.testing.assert_close(found["test_loss_test_batch"], by_itself)


def test_population_statistics_of_large_data_are_those_of_evenly_spaced_examples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many as memory allows, 1,024 at least: here 1,024 of 2,000."""
    monkeypatch.setattr(predict, "LAYER_BYTES", 10**6)
    config = config_of("norm=batch", "norm.momentum=0.1", "seed=0", "train.epochs=1")
    record = train([config])
    x = draw(config).x[0, torch.arange(1024) * 2000 // 1024]

    torch.testing.assert_close(record.population_mean[0, 0, 0], x.mean())
    torch.testing.assert_close(record.population_var[0, 0, 0], x.var())


@pytest.mark.parametrize(
    ("study", "there", "examples"),
    [
        ([], 2000, 2000),
        (["data=digits", "model=resnet"], 1440, 1440),
        ([], 1_000_000, 209_715),
    ],
)
def test_population_statistics_are_of_the_whole_training_set_if_it_fits(
    study: list[str], there: int, examples: int
) -> None:
    """256 MB for the largest layer of 32 networks of ten units, or of one ResNet."""
    config = config_of(*study, "norm=batch", "norm.momentum=0.1", "seed=0")

    assert len(predict.as_one_batch(config, there)) == examples


def test_a_network_without_norm_has_no_excess(as_json: AsJson) -> None:
    """Its three test losses are one number, and its statistics tables are empty."""
    directory = as_json("sweep", *SMALL, "norm=none", "seed=0")["directory"]
    (row,) = normexp.read(directory).to_dict("records")

    assert row["test_loss"] == row["test_loss_population"] == row["test_loss_test_batch"]
    assert row["excess_loss"] == 0
    assert normexp.read(directory, table="stats").empty


def plain(config: RunConfig) -> tuple[PlainMlp, torch.Tensor, torch.Tensor]:
    """A plain network with a training's last weights, the data, and the loss that is observed."""
    record = train([config])
    (observation,) = observe(record, [config], [0])
    network = PlainMlp(2, 4, norm=batch_norm(None), input_norm=True).double()
    network.put({name: values[0, -1] for name, values in record.weights.items()})
    return network, draw(config).x.T, observation.scores["loss"][-1]


def sites(network: PlainMlp) -> list[nn.BatchNorm1d]:
    """The norms of a plain network in the order of the forward pass."""
    found: list[nn.BatchNorm1d] = []
    hooks = [
        module.register_forward_pre_hook(lambda m, _: found.append(m))
        for module in network.modules()
        if isinstance(module, nn.BatchNorm1d)
    ]
    network.eval()
    with torch.no_grad():
        network(torch.zeros(2, 1, dtype=torch.float64))
    for hook in hooks:
        hook.remove()
    return found


def update_bn_stats(network: PlainMlp, batches: Iterable[torch.Tensor]) -> int:
    """Fvcore's function of this name, `fvcore/nn/precise_bn.py` of 0.1.5, and the values it saw.

    At momentum 1 PyTorch leaves each batch's unbiased variance; its population estimator makes it
    biased, averages it with the squared mean by the sizes, and never goes back to unbiased.
    """
    norms, total = sites(network), 0
    for norm in norms:
        norm.momentum = 1.0
    pooled = [(torch.zeros(()), torch.zeros(()))] * len(norms)
    network.train()
    for batch in batches:
        with torch.no_grad():
            network(batch)
        total += len(batch)
        share, bessel = len(batch) / total, (len(batch) - 1) / len(batch)
        for place, norm in enumerate(norms):
            mean, var = norm.running_mean, norm.running_var
            assert mean is not None
            assert var is not None
            old, squares = pooled[place]
            pooled[place] = (
                old + (mean - old) * share,
                squares + (mean**2 + var * bessel - squares) * share,
            )
    for norm, (mean, squares) in zip(norms, pooled, strict=True):
        norm.running_mean, norm.running_var = mean, squares - mean**2
    return total


def coming(config: RunConfig, x: torch.Tensor, number: int) -> list[torch.Tensor]:
    """The batches that a training would go on with, of as many epochs as it takes."""
    found: list[torch.Tensor] = []
    epoch = config.train.epochs
    while len(found) < number:
        (order,) = orders([config], epoch)
        parts = list(torch.split(x[order], config.train.batch_size))
        if config.train.drop_last and len(parts[-1]) < config.train.batch_size:
            parts.pop()
        found += parts
        epoch += 1
    return found[:number]


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ([], 3),
        (["norm.precise_batches=1"], 1),
        (["norm.precise_batches=8"], 8),
        (["data.train_size=90", "norm.precise_batches=5"], 5),
        (["data.train_size=90", "train.drop_last=true", "norm.precise_batches=7"], 7),
        (["data.train_size=90"], 6),
    ],
)
def test_precise_statistics_are_those_of_update_bn_stats(typed: list[str], number: int) -> None:
    """The mean is fvcore's; the variance N/(N − 1) times its, and without that factor another."""
    config = config_of(*STUDY, "norm.estimator=precise", *typed)
    network, x, observed = plain(config)
    total = update_bn_stats(network, coming(config, x, number))

    assert not torch.isclose(observed, evaluate(network, held_out(config)), rtol=1e-6)
    for norm in sites(network):
        assert norm.running_var is not None
        norm.running_var *= total / (total - 1)
    torch.testing.assert_close(observed, evaluate(network, held_out(config)))


def test_recalibration_goes_layer_by_layer_in_evaluation_mode() -> None:
    """Each norm of a plain network gets the statistics of what comes to it, the first one first."""
    config = config_of(*STUDY, "norm.estimator=recalibrated")
    network, x, observed = plain(config)
    for norm in sites(network):
        seen: list[torch.Tensor] = []
        hook = norm.register_forward_pre_hook(lambda _, x, seen=seen: seen.append(x[0]))
        network.eval()
        with torch.no_grad():
            network(x)
        hook.remove()
        norm.running_var, norm.running_mean = torch.var_mean(seen[0], 0)

    torch.testing.assert_close(observed, evaluate(network, held_out(config)))


def test_the_population_is_of_training_mode_and_recalibration_of_evaluation() -> None:
    """One batch of all N: what comes to the first hidden norm varies by (N − 1)/N of training's."""
    study = [*STUDY, "data.train_size=12", "train.batch_size=12"]
    configs = [
        config_of(*study, f"norm.estimator={name}")
        for name in ("population", "precise", "recalibrated")
    ]
    population, precise, recalibrated = (
        each.running_var[-1] for each in observe(train(configs[:1]), configs, [0, 0, 0])
    )

    torch.testing.assert_close(precise, population)
    torch.testing.assert_close(recalibrated[:1], population[:1])  # of the input
    ratios = recalibrated[1:5] / population[1:5]
    torch.testing.assert_close(ratios, torch.full_like(ratios, 11 / 12), rtol=1e-3, atol=0)


def test_a_number_of_batches_is_a_runs_own() -> None:
    """Side by side as alone; an epoch's number is no number."""
    numbers = ["null", "1", "2", "3", "7"]
    configs = [
        config_of(*STUDY, "norm.estimator=precise", f"norm.precise_batches={number}")
        for number in numbers
    ]
    record = train(configs[:1])
    losses = [float(each.scores["loss"][-1]) for each in observe(record, configs, [0] * 5)]

    assert losses[0] == losses[3]  # three batches an epoch
    assert len(set(losses)) == 4
    for config, loss in zip(configs, losses, strict=True):
        (alone,) = observe(record, [config], [0])
        assert float(alone.scores["loss"][-1]) == loss


def test_without_a_number_of_batches_ids_are_those_of_before(as_json: AsJson) -> None:
    """The field has come later: null is no part of a name; a number is, of precise alone."""
    precise = [*STUDY, "log.every=1", "norm.estimator=precise"]
    plain_ids, typed = (
        {run.id for run in normexp.load(*precise, *more).runs}
        for more in ([], ["norm.precise_batches=2"])
    )
    vain = as_json("plan", *STUDY, "norm.precise_batches=2")["notes"]

    assert plain_ids == {"59bd134fbc67"}
    assert typed != plain_ids
    assert any("norm.precise_batches=2 has no effect here" in note for note in vain)
