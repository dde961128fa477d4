"""Statistics computed anew for the weights of an evaluation point: the references among estimators.

Each function takes some networks side by side, one a run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from normexp.config.norm import BatchKind
from normexp.config.schema import RunConfig, batch_sizes, part_sizes, steps_per_epoch, train_size
from normexp.data.draw import Examples, orders
from normexp.engine.predict import as_one_batch, pieces
from normexp.nets.layout import Affine, Parameters, Statistics, of_channels
from normexp.nets.network import BySite, Network
from normexp.nets.norms import normalize_with

if TYPE_CHECKING:
    from normexp.nets.compiled import CompiledPasses


@dataclass(frozen=True)
class Snapshot:
    """Some networks at an evaluation point."""

    configs: Sequence[RunConfig]  # one a run
    network: Network  # of all
    passes: "Network | CompiledPasses"  # that evaluate them
    parameters: Parameters  # by name, each [runs, ...]
    examples: Examples  # of these networks and perhaps others
    runs: range  # which of the examples' networks these are
    epoch: int  # epochs done
    running: BySite  # averages, in the training's dtype

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.epoch * steps_per_epoch(self.configs[0])


def precise(at: Snapshot) -> BySite:
    """PreciseBN: batch statistics in training mode, pooled over batches at fixed weights.

    Wu & Johnson (2021), "Rethinking Batch in BatchNorm", section 3, and `update_bn_stats` of
    fvcore: every site below is normalised by its batch too. The batches are those of the epochs
    that would come next: of one, or `norm.precise_batches`, fvcore's `num_iters`. The variance is
    unbiased, N/(N − 1) of fvcore's, with N the values of a channel in all of the batches.
    """
    config, network = at.configs[0], at.network
    epoch = batch_sizes(config)
    wanted = [getattr(each.norm, "precise_batches", None) or len(epoch) for each in at.configs]
    sizes = [epoch[i % len(epoch)] for i in range(max(wanted))]
    order = _next_examples(at, sum(epoch), sum(sizes))
    batches = at.examples.batches(at.runs, order, sizes, at.step, still=True)
    pools = {site: Pool() for site in network.tracked}
    found: dict[str, Statistics] = {}
    for done, (size, (x, _)) in enumerate(zip(sizes, batches, strict=True), start=1):
        with network.drawing(at.step + done):
            _, left = at.passes.in_training(at.parameters, x, {})
        for site, each in left.items():
            for part, examples in enumerate(part_sizes(config, size)):
                count = examples * network.sites[site].positions
                pools[site].add(each.mean[:, part], each.var[:, part] * (count - 1), count)
        if done in wanted:  # a run's own number of batches, whatever the others ask for
            due = torch.tensor(wanted)[:, None] == done
            for site, pool in pools.items():
                now = pool.statistics()
                pairs = zip(now, found.get(site, now), strict=True)
                found[site] = Statistics(*(torch.where(due, new, old) for new, old in pairs))
    return found


def _next_examples(at: Snapshot, epoch: int, examples: int) -> list[torch.Tensor]:
    """Every network's next examples, of so many epochs as it takes, `epoch` of each."""
    number = -(-examples // epoch)
    epochs = [orders(at.configs, at.epoch + later) for later in range(number)]
    return [torch.cat([order[:epoch] for order in each]) for each in zip(*epochs, strict=True)]


def recalibrated(at: Snapshot) -> BySite:
    """Layer by layer in evaluation mode, over the whole training set.

    A site's statistics are taken where all sites below are normalised by theirs already, so that
    they are exactly those of the training set in evaluation mode. `population` and `precise` are
    those of training mode, where the sites below are divided by the root of the biased variance,
    of the whole set or of a batch; evaluation divides by the unbiased one, and what comes to a site
    is smaller by √((N − 1)/N) for each site below, N being the values of a channel.
    """
    config, network = at.configs[0], at.network
    found: dict[str, Statistics] = {}
    if at.passes is not network:  # each network's whole training set fits into memory
        x, _ = at.examples.train(at.runs, torch.arange(train_size(config)), at.step)
        return at.passes.by_itself(at.parameters, x, "unbiased")[1]
    for site in network.tracked:
        pool = Pool()
        for chosen in pieces(config, train_size(config)):
            x, _ = at.examples.train(at.runs, chosen, at.step)
            mean, var = _moments_at(site, at, found, x)
            count = len(chosen) * network.sites[site].positions
            pool.add(mean, var * count, count)
        found[site] = pool.statistics()
    return found


def _moments_at(
    wanted: str, at: Snapshot, known: BySite, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and biased variance of what comes to a site, where all sites below are known."""
    found = []

    def normalize(norm: BatchKind, site: str, x: torch.Tensor, affine: Affine) -> torch.Tensor:
        if site == wanted:
            found.append(of_channels(x))
        return normalize_with(known[site], x, affine, norm.eps) if site in known else x

    at.network.forward(at.parameters, x, normalize)
    return found[0]


def mixed(at: Snapshot) -> BySite:
    """Averages mixed with the test batch's statistics, site by site in one pass.

    (1 − m)·running + m·test batch for mean and variance, as Schneider et al. (2020), "Improving
    robustness against common corruptions by covariate shift adaptation", equation 2. The test
    batch's variance is the one that training mode divides by.
    """
    mixes = [[getattr(config.norm, "mix", 1.0)] for config in at.configs]
    return _with_test_batch(at, torch.tensor(mixes, dtype=torch.float64))


def test_batch(at: Snapshot) -> BySite:
    """The test set's own statistics, as training mode would take them."""
    return _with_test_batch(at, torch.ones(len(at.configs), 1))


def _with_test_batch(at: Snapshot, shares: torch.Tensor) -> BySite:
    """Averages of which such shares, [models, 1], are the test batch's."""
    config, tests = at.configs[0], at.examples.tests
    x, _ = at.examples.test(at.runs, as_one_batch(config, tests), at.step)
    return at.passes.mixed(at.parameters, at.running, shares.to(x.dtype), x)


RECOMPUTED: dict[str, Callable[[Snapshot], BySite]] = {
    "precise": precise,
    "recalibrated": recalibrated,
    "mixed": mixed,
    "test_batch": test_batch,
}
"""Functions by estimator; `population` is in the record."""


class Pool:
    """Mean and variance of values that come in parts, in float64.

    Chan, Golub & LeVeque (1983), "Algorithms for computing the sample variance", equation 1.5.
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros((), dtype=torch.float64)
        self._dtype = torch.float64

    def add(self, mean: torch.Tensor, squares: torch.Tensor, count: int) -> None:
        """Take in so many values: their mean and the sum of squares about it."""
        total = self.count + count
        apart = mean.double() - self.mean
        between = apart * apart * (self.count * count / total)
        self.squares = self.squares + squares.double() + between
        self.mean = self.mean + apart * (count / total)
        self.count, self._dtype = total, mean.dtype

    def statistics(self) -> Statistics:
        """Return mean and unbiased variance of all values, in the dtype of the parts."""
        var = self.squares / (self.count - 1)
        return Statistics(self.mean.to(self._dtype), var.to(self._dtype))
