"""The response of a network to wrong statistics: how far its predictions move, without any labels.

Of targets the mean squared change of the prediction, of labels the Kullback-Leibler divergence
from the prediction under the population's statistics: what the loss on data that the network fits
well would rise by.
"""

import torch
from torch.nn import functional

from normexp.config.batches import train_size
from normexp.config.schema import RunConfig
from normexp.data.examples import Examples
from normexp.engine.losses import is_labels
from normexp.engine.predict import as_one_batch
from normexp.models.network import Network
from normexp.norms.statistics import Statistics
from normexp.record import Record

SMALL = 1e-3
"""Of an error, that the response to it is linear."""


class Response:
    """One trajectory's network at an evaluation point, on its training inputs, in float64.

    Args:
        record: of the trajectory, one model.
        config: of any of its runs.
        point: the evaluation point, the last by default.
    """

    def __init__(self, record: Record, config: RunConfig, point: int = -1) -> None:
        self._network = Network(config)
        self._weights = {n: v[0, point].double() for n, v in record.weights.items()}
        self._widths = self._network.tracked
        points, steps = record.population_mean.shape[1], record.train_loss.shape[1]
        step = steps // (points - 1) * range(points)[point]
        chosen = as_one_batch(config, train_size(config))
        x, y = Examples([config]).train(range(1), chosen, step)
        self._x, self._labels = x.double(), is_labels(y)
        self.population = Statistics(
            record.population_mean[0, point].double(), record.population_var[0, point].double()
        )
        self._truth = self._predict(self.population)

    def to(self, statistics: Statistics) -> torch.Tensor:
        """How far predictions are from those under the population's statistics.

        Args:
            statistics: [runs, channels].

        Returns:
            In units of the loss, [runs].
        """
        moved = [self._moved(Statistics(*each)) for each in zip(*statistics, strict=True)]
        return torch.stack(moved)

    def to_error(self, error: Statistics) -> torch.Tensor:
        """The same to first order in an error of the statistics, [runs, channels]: its square."""
        pairs = zip(self.population, error, strict=True)
        return self.to(Statistics(*(truth + SMALL * each for truth, each in pairs))) / SMALL**2

    @torch.no_grad()
    def _moved(self, statistics: Statistics) -> torch.Tensor:
        """The response to one set of statistics, [channels]."""
        prediction = self._predict(statistics)
        if not self._labels:
            return (prediction - self._truth).square().mean()
        known = functional.log_softmax(self._truth, 1)
        moved = functional.log_softmax(prediction, 1)
        return functional.kl_div(moved, known, reduction="none", log_target=True).sum(1).mean()

    @torch.no_grad()
    def _predict(self, statistics: Statistics) -> torch.Tensor:
        widths = list(self._widths.values())
        parts = (torch.split(each.clamp(min=floor), widths) for each, floor in
                 zip(statistics, (-torch.inf, 0.0), strict=True))  # fmt: skip
        by_site = {
            site: Statistics(mean[None], var[None])
            for site, mean, var in zip(self._widths, *parts, strict=True)
        }
        weights = {name: values[None] for name, values in self._weights.items()}
        return self._network.by_statistics(weights, by_site, self._x)
