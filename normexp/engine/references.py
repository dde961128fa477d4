"""The references: what weights predict when the statistics are right, whatever the momentum."""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from normexp.data.dataset import Dataset
from normexp.models.network import Network, Parameters
from normexp.norms.batch import Statistics
from normexp.planning.plan import LANES


class Point(NamedTuple):
    """What is known at one evaluation point, before any momentum is."""

    population_mean: torch.Tensor  # [models, channels], of the training set as one batch
    population_var: torch.Tensor  # [models, channels], unbiased
    train_loss_population: torch.Tensor  # [models], of the training set as one batch
    test_loss_population: torch.Tensor  # [models]
    test_loss_test_batch: torch.Tensor  # [models], the test set as one batch


@torch.no_grad()
def evaluate(network: Network, parameters: Parameters, data: Dataset) -> Point:
    """The references of a stack, a cacheful of networks at a time.

    The population statistics are those of the whole training set as one batch, so each layer's are
    taken where the layers below are normalised by theirs: what evaluation will see.
    """
    parts = []
    for start in range(0, data.x.shape[0], LANES):
        few = slice(start, start + LANES)
        weights = {name: values[few] for name, values in parameters.items()}
        parts.append(_evaluate(network, weights, Dataset(*(part[few] for part in data))))
    return Point(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _evaluate(network: Network, parameters: Parameters, data: Dataset) -> Point:
    fitted, population = network.forward_in_training(parameters, data.x)
    train_loss = squared_error(fitted, data.y)
    by_population = network.forward_in_evaluation(parameters, population, data.test_x)
    by_test_batch, _ = network.forward_in_training(parameters, data.test_x)
    return Point(
        *channels(network, population, train_loss),
        train_loss,
        squared_error(by_population, data.test_y),
        squared_error(by_test_batch, data.test_y),
    )


def channels(
    network: Network, statistics: Mapping[str, Statistics], like: torch.Tensor
) -> Statistics:
    """The statistics of all norm sites side by side, [models, channels].

    Args:
        network: gives the order of the sites; without any there are no channels.
        statistics: by site.
        like: any tensor [models], for models and dtype.
    """
    none = like.detach().new_empty(len(like), 0)
    found = [statistics[site] for site in network.sites]
    return Statistics(
        torch.cat([none, *(each.mean for each in found)], 1),
        torch.cat([none, *(each.var for each in found)], 1),
    )


def squared_error(prediction: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each network, [models]."""
    return (prediction - y).square().mean((-2, -1))
