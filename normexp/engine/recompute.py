"""Statistics computed anew for the weights of an evaluation point: the references among estimators.

Each is what one of these gives for some networks side by side, one a run; how many there are
changes no bits, as long as they fill the lanes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from normexp.config.batches import batch_sizes, part_sizes, train_size
from normexp.config.schema import RunConfig
from normexp.data.examples import Examples
from normexp.data.order import orders
from normexp.engine.predict import as_one_batch, pieces
from normexp.models.network import Network, Parameters
from normexp.norms.statistics import Statistics

BySite = Mapping[str, Statistics]


@dataclass(frozen=True)
class Weights:
    """Some networks at an evaluation point.

    Attributes:
        configs: of the networks, one a run.
        network: of all.
        parameters: by name, each [runs, ...].
        examples: of these networks and perhaps others.
        runs: which of the examples' networks these are.
        epoch: epochs done.
        running: by site, what averages there are, rounded to the training's dtype.
    """

    configs: Sequence[RunConfig]
    network: Network
    parameters: Parameters
    examples: Examples
    runs: range
    epoch: int
    running: BySite

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.epoch * len(batch_sizes(self.configs[0]))


def precise(weights: Weights) -> BySite:
    """PreciseBN: batch statistics in training mode, pooled over an epoch at fixed weights.

    Wu & Johnson (2021), "Rethinking Batch in BatchNorm", section 3, and `update_bn_stats` of
    fvcore: every site below is normalised by its batch too. The batches are those of the epoch
    that would come next.
    """
    config, network = weights.configs[0], weights.network
    order, sizes = orders(weights.configs, weights.epoch), batch_sizes(config)
    batches = weights.examples.batches(weights.runs, order, sizes, weights.step, still=True)
    pools = {site: Pool() for site in network.tracked}
    for size, (x, _) in zip(sizes, batches, strict=True):
        _, left = network.in_training(weights.parameters, x, {})
        for site, each in left.items():
            for part, examples in enumerate(part_sizes(config, size)):
                count = examples * network.sites[site].positions
                pools[site].add(each.mean[:, part], each.var[:, part] * (count - 1), count)
    return {site: pool.statistics() for site, pool in pools.items()}


def recalibrated(weights: Weights) -> BySite:
    """Layer by layer in evaluation mode, over the whole training set.

    A site's statistics are taken where all sites below are normalised by theirs already, so they
    are the population's in evaluation mode itself, however large the training set.
    """
    config, network = weights.configs[0], weights.network
    found: dict[str, Statistics] = {}
    for site in network.tracked:
        pool = Pool()
        for chosen in pieces(config, train_size(config)):
            x, _ = weights.examples.train(weights.runs, chosen, weights.step)
            mean, var = network.mean_and_var_at(site, weights.parameters, found, x)
            count = len(chosen) * network.sites[site].positions
            pool.add(mean, var * count, count)
        found[site] = pool.statistics()
    return found


def mixed(weights: Weights) -> BySite:
    """Averages mixed with the test batch's statistics, site by site in one pass.

    (1 − m)·running + m·test batch for mean and variance, as Schneider et al. (2020), "Improving
    robustness against common corruptions by covariate shift adaptation", equation 2. The test
    batch's variance is the one that training mode divides by.
    """
    shares = torch.tensor([[getattr(config.norm, "mix", 1.0)] for config in weights.configs])
    return _with_test_batch(weights, shares)


def test_batch(weights: Weights) -> BySite:
    """The test set's own statistics, as training mode would take them."""
    return _with_test_batch(weights, torch.ones(len(weights.configs), 1))


RECOMPUTED: dict[str, Callable[[Weights], BySite]] = {
    "precise": precise,
    "recalibrated": recalibrated,
    "mixed": mixed,
    "test_batch": test_batch,
}
"""By the name of the estimator; `population` stands in the record."""


class Pool:
    """Mean and variance of values that come in parts, in float64.

    Chan, Golub & LeVeque (1983), "Algorithms for computing the sample variance", equation 1.5.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean = self._squares = torch.zeros((), dtype=torch.float64)
        self._dtype = torch.float64

    def add(self, mean: torch.Tensor, squares: torch.Tensor, count: int) -> None:
        """Take in so many values: their mean and the sum of squares about it."""
        total = self._count + count
        apart = mean.double() - self._mean
        between = apart * apart * (self._count * count / total)
        self._squares = self._squares + squares.double() + between
        self._mean = self._mean + apart * (count / total)
        self._count, self._dtype = total, mean.dtype

    def statistics(self) -> Statistics:
        """Of all values, the variance unbiased, in the dtype of the parts."""
        var = self._squares / (self._count - 1)
        return Statistics(self._mean.to(self._dtype), var.to(self._dtype))


def _with_test_batch(weights: Weights, shares: torch.Tensor) -> BySite:
    config, tests = weights.configs[0], weights.examples.tests
    x, _ = weights.examples.test(weights.runs, as_one_batch(config, tests), weights.step)
    return weights.network.mixture(weights.parameters, weights.running, shares.to(x.dtype), x)
