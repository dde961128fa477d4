"""The references: what weights predict when the statistics are right, whatever the momentum."""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from normexp.config.batches import train_size
from normexp.data.examples import Examples
from normexp.engine.losses import scores
from normexp.engine.predict import as_one_batch, predict
from normexp.models.network import Network, Parameters
from normexp.models.structure import lanes
from normexp.norms.statistics import Statistics


class Point(NamedTuple):
    """What is known at one evaluation point, before any momentum is."""

    population_mean: torch.Tensor  # [models, channels], of the training set as one batch
    population_var: torch.Tensor  # [models, channels], unbiased
    references: dict[str, torch.Tensor]  # each [models]; see `normexp.store.columns`


@torch.no_grad()
def evaluate(network: Network, parameters: Parameters, examples: Examples, step: int) -> Point:
    """The references of a stack, a cacheful of networks at a time.

    The population statistics are those of the training set as one batch in training mode: each
    layer's are taken where the layers below are normalised by the set's own mean and variance over
    N. Evaluation has the variance over N − 1 there; `recompute.recalibrated` takes that in.

    Args:
        network: of all.
        parameters: of the stack, by name.
        examples: of the stack.
        step: steps taken so far.
    """
    parts = []
    models = len(next(iter(parameters.values())))
    few = lanes(network.config)
    for start in range(0, models, few):
        some = range(start, min(start + few, models))
        weights = {name: values[some.start : some.stop] for name, values in parameters.items()}
        parts.append(_evaluate(network, weights, _Given(examples, some, step)))
    means, variances, references = zip(*parts, strict=True)
    return Point(
        torch.cat(means),
        torch.cat(variances),
        {name: torch.cat([each[name] for each in references]) for name in references[0]},
    )


class _Given(NamedTuple):
    """The examples of some networks after so many steps."""

    examples: Examples
    models: range
    step: int

    def train(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Training examples by number."""
        return self.examples.train(self.models, chosen, self.step)

    def test(self, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Test examples by number."""
        return self.examples.test(self.models, chosen, self.step)


def _evaluate(network: Network, weights: Parameters, given: _Given) -> Point:
    config, tests = network.config, given.examples.tests
    population: dict[str, Statistics] = {}

    def forward(x: torch.Tensor) -> torch.Tensor:
        return network.by_statistics(weights, population, x)

    if network.tracked:
        x, y = given.train(as_one_batch(config, train_size(config)))
        prediction, population = network.by_itself(weights, x)
        fitted = scores(prediction, y)
        x, y = given.test(as_one_batch(config, tests))
        by_test_batch = scores(network.by_itself(weights, x)[0], y)
        by_population = scores(*predict(config, forward, given.test, tests))
    else:
        fitted = scores(*predict(config, forward, given.train, train_size(config)))
        by_population = by_test_batch = scores(*predict(config, forward, given.test, tests))
    found = {
        column.format(name): values
        for column, each in (
            ("train_{}_population", fitted),
            ("test_{}_population", by_population),
            ("test_{}_test_batch", by_test_batch),
        )
        for name, values in each.items()
    }
    loss = fitted["loss"]
    return Point(*channels(network, population, len(loss), loss.dtype), found)


def channels(
    network: Network, statistics: Mapping[str, Statistics], models: int, dtype: torch.dtype
) -> Statistics:
    """The statistics of all tracked sites side by side, [models, (parts,) channels].

    Args:
        network: gives the order of the sites; without any there are no channels.
        statistics: by site.
        models: of the stack.
        dtype: of its training.
    """
    found = [statistics[site] for site in network.tracked]
    if not found:
        return Statistics(*torch.empty(2, models, 0, dtype=dtype))
    return Statistics(
        torch.cat([each.mean for each in found], -1), torch.cat([each.var for each in found], -1)
    )
