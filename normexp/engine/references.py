"""The references: what weights predict when the statistics are right, whatever the momentum."""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from normexp.config.batches import train_size
from normexp.config.schema import RunConfig
from normexp.data.dataset import Dataset
from normexp.engine.losses import scores
from normexp.engine.predict import predict
from normexp.models.network import Network, Parameters
from normexp.models.structure import largest_layer
from normexp.norms.layout import batch_axis
from normexp.norms.statistics import Statistics
from normexp.planning.plan import lanes


class Point(NamedTuple):
    """What is known at one evaluation point, before any momentum is."""

    population_mean: torch.Tensor  # [models, channels], of the training set as one batch
    population_var: torch.Tensor  # [models, channels], unbiased
    references: dict[str, torch.Tensor]  # each [models]; see `normexp.store.columns`


MOST_BYTES = 2**28
"""Memory for the largest layer of the training set as one batch, for a cacheful of networks."""


FEWEST_EXAMPLES = 1024
"""Examples that are taken whatever their memory."""


@torch.no_grad()
def evaluate(network: Network, parameters: Parameters, data: Dataset) -> Point:
    """The references of a stack, a cacheful of networks at a time.

    The population statistics are those of the training set as one batch, so each layer's are
    taken where the layers below are normalised by theirs: what evaluation will see.
    """
    parts = []
    few = lanes(network.config)
    data = _within_memory(network.config, data)
    for start in range(0, data.x.shape[0], few):
        models = slice(start, start + few)
        weights = {name: values[models] for name, values in parameters.items()}
        parts.append(_evaluate(network, weights, data.select(models)))
    means, variances, references = zip(*parts, strict=True)
    return Point(
        torch.cat(means),
        torch.cat(variances),
        {name: torch.cat([each[name] for each in references]) for name in references[0]},
    )


def population_size(config: RunConfig) -> int:
    """Training examples behind the population statistics: all, or as many as memory allows.

    Wu & Johnson (2021), "Rethinking Batch in BatchNorm", find 1,000 to 10,000 enough.
    """
    dtype: torch.dtype = getattr(torch, config.train.dtype)
    fits = MOST_BYTES // (largest_layer(config) * dtype.itemsize * lanes(config))
    return min(train_size(config), max(fits, FEWEST_EXAMPLES))


def _within_memory(config: RunConfig, data: Dataset) -> Dataset:
    """The data with evenly spaced examples of a training set that is too large for one batch."""
    there, examples = train_size(config), population_size(config)
    if examples == there:
        return data
    chosen = torch.arange(examples) * there // examples
    return data._replace(
        x=data.x.index_select(batch_axis(data.x), chosen),
        y=data.y.index_select(data.y.dim() - 1, chosen),
    )


def _evaluate(network: Network, parameters: Parameters, data: Dataset) -> Point:
    fitted, population = network.by_itself(parameters, data.x)
    by_population = predict(network, parameters, population, data.test_x)
    by_test_batch, _ = network.by_itself(parameters, data.test_x)
    references = {
        "train_{}_population": scores(fitted, data.y),
        "test_{}_population": scores(by_population, data.test_y),
        "test_{}_test_batch": scores(by_test_batch, data.test_y),
    }
    found = {
        column.format(name): values
        for column, each in references.items()
        for name, values in each.items()
    }
    return Point(*channels(network, population, len(fitted), fitted.dtype), found)


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
