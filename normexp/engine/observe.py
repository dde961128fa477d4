"""Observation: what each run's estimator makes of a trajectory, and what that does to its loss."""

from collections.abc import Iterator, Sequence

import torch

from normexp.config.batches import batch_sizes, steps_per_epoch
from normexp.config.schema import RunConfig
from normexp.data.dataset import stacked
from normexp.data.draw import draw
from normexp.engine.estimators import RunningStatistics
from normexp.engine.histograms import count, limits
from normexp.engine.losses import is_labels, scores
from normexp.models.network import Network
from normexp.norms.statistics import Statistics
from normexp.planning.plan import lanes, padded
from normexp.record import Curve, Histogram, Observation, Pictures, Record

MOST_BYTES = 2**28
"""Memory for the running statistics of the runs observed at a time."""

MOST_RUNS = 256
"""Runs observed at a time: enough to pay for the calls, few enough for the cache."""


def observe(
    record: Record, configs: Sequence[RunConfig], model_of: Sequence[int]
) -> Iterator[Observation]:
    """Observe runs on their trajectories, in order.

    Args:
        record: of the trajectories.
        configs: one a run, all of one structure and one way of logging.
        model_of: which model of the record each run is observed from.
    """
    size = _chunk(record, configs[0])
    for start in range(0, len(configs), size):
        chunk = slice(start, start + size)
        yield from _observe_chunk(record, configs[chunk], model_of[chunk])


def _chunk(record: Record, config: RunConfig) -> int:
    """How many runs are observed at a time: as many as pay, and as fit into memory."""
    few = lanes(config)
    if few == 1:
        return 1
    steps, channels = record.train_loss.shape[1], record.batch_mean.shape[2]
    rows = steps // config.log.every + config.train.epochs + 1
    bytes_per_run = 2 * rows * channels * record.batch_mean.element_size()
    return max(few, min(MOST_RUNS, MOST_BYTES // max(1, bytes_per_run)) // few * few)


def _observe_chunk(
    record: Record, configs: Sequence[RunConfig], model_of: Sequence[int]
) -> list[Observation]:
    runs = len(configs)
    filler = padded(configs[0], runs) - runs
    configs = [*configs, *[configs[-1]] * filler]
    index = torch.tensor([*model_of, *[model_of[-1]] * filler])
    watch = _Watch(record, configs, index)
    every, per_epoch = configs[0].log.every, steps_per_epoch(configs[0])
    rows, means, variances = [], [], []
    for step in range(record.train_loss.shape[1] + 1):
        if step:
            watch.take(step)
        point, rest = divmod(step, per_epoch)
        if not rest:
            watch.evaluate(point)
        if not step % every or not rest:
            rows.append(step)
            means.append(watch.running.mean.to(watch.dtype))
            variances.append(watch.running.var.to(watch.dtype))
    logged, running_mean, running_var = torch.tensor(rows), *map(torch.stack, (means, variances))
    return [
        Observation(
            logged,
            running_mean[:, run],
            running_var[:, run],
            watch.scores(run),
            watch.pictures(run),
        )
        for run in range(runs)
    ]


class _Watch:
    """The runs of one chunk, as far as they have been observed."""

    def __init__(self, record: Record, configs: Sequence[RunConfig], index: torch.Tensor) -> None:
        drawn = {int(model): draw(config) for model, config in zip(index, configs, strict=True)}
        self._data = stacked([drawn[int(model)] for model in index])
        self._record, self._index, self._config = record, index, configs[0]
        self._network = Network(configs[0])
        self.dtype = record.train_loss.dtype
        self.running = RunningStatistics([c.norm for c in configs], record.batch_mean.shape[2])
        sizes = batch_sizes(configs[0])
        self._counts = {size: self._network.counts(size) for size in set(sizes)}
        self._sizes = sizes
        self._update = 0
        self._scores: list[dict[str, torch.Tensor]] = []
        self._histograms: list[dict[tuple[str, str], torch.Tensor]] = []
        self._curves: list[tuple[torch.Tensor, torch.Tensor]] = []

    def take(self, step: int) -> None:
        """The batch statistics that step `step`, counted from 1, has left."""
        size = self._sizes[(step - 1) % len(self._sizes)]
        for count_of_part in self._counts[size]:
            self.running.update(
                self._record.batch_mean[self._index, self._update],
                self._record.batch_var[self._index, self._update],
                count_of_part,
            )
            self._update += 1

    def evaluate(self, point: int) -> None:
        """Test the weights of an evaluation point under the running statistics."""
        weights = {name: part[self._index, point] for name, part in self._record.weights.items()}
        tracked = self._network.tracked
        widths = list(tracked.values())
        means = torch.split(self.running.mean.to(self.dtype), widths, 1)
        variances = torch.split(self.running.var.to(self.dtype), widths, 1)
        statistics = {
            site: Statistics(mean, var)
            for site, mean, var in zip(tracked, means, variances, strict=True)
        }
        data = self._data.at(point * len(self._sizes))
        found: dict[tuple[str, str], torch.Tensor] = {}

        def watch(layer: str, values: str, x: torch.Tensor) -> None:
            if self._config.log.pictures:
                found[layer, values] = count(x, *limits(self._config, layer, values))

        prediction = self._network.by_statistics(weights, statistics, data.test_x, watch)
        self._scores.append(scores(prediction, data.test_y))
        self._histograms.append(found)
        if self._config.data.shape == (1,) and not is_labels(data.test_y):
            self._curves.append((data.test_x, prediction))

    def scores(self, run: int) -> dict[str, torch.Tensor]:
        """One run's scores at all points so far."""
        return {name: torch.stack([s[name][run] for s in self._scores]) for name in self._scores[0]}

    def pictures(self, run: int) -> Pictures | None:
        """One run's pictures at all points so far, if they are asked for."""
        if not self._config.log.pictures:
            return None
        histograms = {
            key: Histogram(
                *limits(self._config, *key),
                torch.stack([point[key][run] for point in self._histograms]),
            )
            for key in self._histograms[0]
        }
        if not self._curves:
            return Pictures(histograms, None)
        x, predictions = zip(*self._curves, strict=True)
        y = self._data.test_y[run, 0]
        curve = Curve(
            torch.stack([each[run, 0] for each in x]),
            y,
            torch.stack([each[run, 0] for each in predictions]),
        )
        return Pictures(histograms, curve)
