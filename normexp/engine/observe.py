"""Observation: what each run's estimator makes of a trajectory, and what that does to its loss."""

from collections.abc import Iterator, Sequence

import torch

from normexp.config.rules import steps_per_epoch
from normexp.config.schema import RunConfig
from normexp.data.dataset import draw
from normexp.engine.estimators import RunningStatistics
from normexp.engine.references import squared_error
from normexp.models.network import Network
from normexp.norms.batch import Statistics
from normexp.planning.plan import LANES, padded
from normexp.record import Observation, Record

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
        configs: one a run, all of one structure.
        model_of: which model of the record each run is observed from.
    """
    size = _chunk(record, configs[0])
    for start in range(0, len(configs), size):
        chunk = slice(start, start + size)
        yield from _observe_chunk(record, configs[chunk], model_of[chunk])


def _chunk(record: Record, config: RunConfig) -> int:
    """How many runs are observed at a time: as many as pay, and as fit into memory."""
    _, steps, channels = record.batch_mean.shape
    rows = steps // config.log.every + config.train.epochs + 1
    bytes_per_run = 2 * rows * channels * record.batch_mean.element_size()
    return max(LANES, min(MOST_RUNS, MOST_BYTES // max(1, bytes_per_run)) // LANES * LANES)


def _observe_chunk(
    record: Record, configs: Sequence[RunConfig], model_of: Sequence[int]
) -> list[Observation]:
    runs = len(configs)
    filler = padded(runs) - runs
    configs = [*configs, *[configs[-1]] * filler]
    index = torch.tensor([*model_of, *[model_of[-1]] * filler])
    watch = _Watch(record, configs, index)
    every = configs[0].log.every
    rows, means, variances, losses = [], [], [], [watch.test_loss(0)]
    for step in range(record.train_loss.shape[1] + 1):
        if step:
            watch.take(step)
        point, rest = divmod(step, watch.steps_per_epoch)
        if step and not rest:
            losses.append(watch.test_loss(point))
        if not step % every or not rest:
            rows.append(step)
            means.append(watch.running.mean.to(watch.dtype))
            variances.append(watch.running.var.to(watch.dtype))
    columns = [torch.stack(column, 1) for column in (means, variances, losses)]
    return [
        Observation(torch.tensor(rows), *(column[run] for column in columns)) for run in range(runs)
    ]


class _Watch:
    """The runs of one chunk, as far as they have been observed."""

    def __init__(self, record: Record, configs: Sequence[RunConfig], index: torch.Tensor) -> None:
        drawn = {int(model): draw(config) for model, config in zip(index, configs, strict=True)}
        data = [drawn[int(model)] for model in index]
        self._test_x = torch.stack([each.test_x for each in data])  # [runs, features, tests]
        self._test_y = torch.stack([each.test_y for each in data])  # [runs, outputs, tests]
        self._record, self._index = record, index
        self._network = Network(configs[0], self._test_x.shape[1], self._test_y.shape[1])
        self.dtype = record.train_loss.dtype
        self.steps_per_epoch = steps_per_epoch(configs[0])
        momenta = [getattr(config.norm, "momentum", None) for config in configs]
        self.running = RunningStatistics(momenta, record.batch_mean.shape[2])

    def take(self, step: int) -> None:
        """The batch statistics that step `step`, counted from 1, has left."""
        self.running.update(
            self._record.batch_mean[self._index, step - 1],
            self._record.batch_var[self._index, step - 1],
        )

    def test_loss(self, point: int) -> torch.Tensor:
        """The loss of the weights of an evaluation point under the running statistics, [runs]."""
        weights = {name: part[self._index, point] for name, part in self._record.weights.items()}
        widths = list(self._network.sites.values())
        means = torch.split(self.running.mean.to(self.dtype), widths, 1)
        variances = torch.split(self.running.var.to(self.dtype), widths, 1)
        statistics = {
            site: Statistics(mean, var)
            for site, mean, var in zip(self._network.sites, means, variances, strict=True)
        }
        prediction = self._network.forward_in_evaluation(weights, statistics, self._test_x)
        return squared_error(prediction, self._test_y)
