"""What is computed anew for fixed weights, against plain networks of PyTorch and fvcore's rule."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from conftest import SMALL
from reference import PlainMlp, batch_norm, evaluate
from torch import nn

import normexp
from normexp.config.schema import RunConfig
from normexp.data.draw import draw
from normexp.data.examples import orders
from normexp.engine.observe import observe
from normexp.engine.train import train

AsJson = Callable[..., Any]

STUDY = [*SMALL, "norm=batch", "seed=0", "log.every=1", "train.epochs=3", "train.dtype=float64"]
PRECISE = ["norm.momentum=0.1", "norm.estimator=precise"]


def config_of(*overrides: str) -> RunConfig:
    """The one configuration of these overrides."""
    (run,) = normexp.load(*STUDY, *overrides).runs
    return run.config


def plain(config: RunConfig) -> tuple[PlainMlp, torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """A plain network with the weights that a training ends with, its data, its test set."""
    record = train([config])
    network = PlainMlp(2, 4, norm=batch_norm(None), input_norm=True).double()
    network.put({name: values[0, -1] for name, values in record.weights.items()})
    data = draw(config)
    return network, data.x.T, (data.test_x.T, data.test_y.T)


def observed_loss(config: RunConfig) -> torch.Tensor:
    """What normexp sees at the end."""
    (observation,) = observe(train([config]), [config], [0])
    return observation.scores["loss"][-1]


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
        (["norm.precise_batches=2"], 2),
        (["norm.precise_batches=1"], 1),
        (["norm.precise_batches=8"], 8),
        (["data.train_size=90", "norm.precise_batches=5"], 5),
        (["data.train_size=90", "train.drop_last=true", "norm.precise_batches=7"], 7),
        (["data.train_size=90"], 6),
    ],
)
def test_precise_statistics_are_those_of_update_bn_stats(typed: list[str], number: int) -> None:
    """The mean is fvcore's; the variance N/(N − 1) times its, and without that factor another."""
    config = config_of(*PRECISE, *typed)
    network, x, test = plain(config)
    total = update_bn_stats(network, coming(config, x, number))

    assert not torch.isclose(observed_loss(config), evaluate(network, test), rtol=1e-6)
    for norm in sites(network):
        assert norm.running_var is not None
        norm.running_var *= total / (total - 1)
    torch.testing.assert_close(observed_loss(config), evaluate(network, test))


def test_a_number_of_batches_is_a_runs_own(as_json: AsJson) -> None:
    """Side by side as alone; an epoch's number is no number, and other estimators have none."""
    study = [*SMALL, "norm=batch", "norm.momentum=0.1", "seed=0,1", "train.epochs=2"]
    numbers = "norm.precise_batches=null,1,2,3,7"
    swept = as_json("sweep", *study, "norm.estimator=ema,precise", numbers)
    frame = normexp.read(swept["directory"])

    assert swept["runs"] == 2 * (1 + 4)
    losses = frame[frame["norm.estimator"] == "precise"].groupby("norm.precise_batches",
                                                                 dropna=False)  # fmt: skip
    assert len({round(value, 6) for value in losses["test_loss"].mean()}) == 4
    for row in frame[frame["norm.estimator"] == "precise"].to_dict("records"):
        own = row["norm.precise_batches"]
        typed = "null" if own != own else f"{own:g}"  # noqa: PLR0124  NaN of null
        alone = as_json("sweep", *study, f"seed={row['seed']}", "norm.estimator=precise",
                        f"norm.precise_batches={typed}", f"store.dir=alone{typed}")  # fmt: skip
        (found,) = normexp.read(alone["directory"])["test_loss"]

        assert found == row["test_loss"]


def test_without_a_number_of_batches_ids_are_those_of_before(as_json: AsJson) -> None:
    """The field has come later: null is no part of a name; a number is, of precise alone."""
    plain, typed, vain = (
        {run.id for run in normexp.load(*STUDY, *PRECISE, *more).runs}
        for more in ([], ["norm.precise_batches=2"], ["norm.precise_batches=3"])
    )
    refused = as_json("plan", *STUDY, "norm.momentum=0.1", "norm.precise_batches=2")["notes"]

    assert plain == vain == {"59bd134fbc67"}
    assert typed != plain
    assert any("norm.precise_batches=2 has no effect here" in note for note in refused)


def test_recalibration_goes_layer_by_layer_in_evaluation_mode() -> None:
    """Each norm of a plain network gets the statistics of what comes to it, the first one first."""
    config = config_of("norm.momentum=0.1", "norm.estimator=recalibrated")
    network, x, test = plain(config)
    for norm in sites(network):
        seen: list[torch.Tensor] = []
        hook = norm.register_forward_pre_hook(lambda _, x, seen=seen: seen.append(x[0]))
        network.eval()
        with torch.no_grad():
            network(x)
        hook.remove()
        norm.running_var, norm.running_mean = torch.var_mean(seen[0], 0)

    torch.testing.assert_close(observed_loss(config), evaluate(network, test))


def test_the_population_is_of_training_mode_and_recalibration_of_evaluation(
    as_json: AsJson,
) -> None:
    """One batch of all N: what comes to the first hidden norm varies by (N − 1)/N of training's."""
    study = [*STUDY, "data.train_size=12", "train.batch_size=12", "norm.momentum=0.1"]
    found = as_json("sweep", *study, "norm.estimator=population,precise,recalibrated")
    stats = normexp.read(found["directory"], table="stats")
    stats = stats[stats["step"] == stats["step"].max()].merge(
        normexp.read(found["directory"])[["run_id", "norm.estimator"]], on="run_id"
    )
    by_layer = stats.pivot_table(
        "running_var", ["layer", "channel"], "norm.estimator", observed=True, sort=False
    )
    first, second = (
        by_layer.loc[layer] for layer in by_layer.index.get_level_values(0).unique()[:2]
    )

    assert by_layer["precise"].to_numpy() == pytest.approx(by_layer["population"].to_numpy())
    assert (first["recalibrated"] / first["population"]).to_numpy() == pytest.approx(1)
    ratios = (second["recalibrated"] / second["population"]).to_numpy()
    assert ratios == pytest.approx(11 / 12, rel=1e-3)
