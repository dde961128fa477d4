"""Observation: each run's running statistics, and the losses of the weights under them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from normexp.config.schema import RunConfig, batch_sizes, steps_per_epoch
from normexp.data.draw import Examples
from normexp.engine.estimators import RunningStatistics, mask_of
from normexp.engine.predict import passes_of, predict
from normexp.engine.recompute import RECOMPUTED, Snapshot
from normexp.engine.step import scores
from normexp.nets.layout import Statistics
from normexp.nets.models import stands_alone
from normexp.nets.network import BySite, Listener, Network
from normexp.trained import Observation, Record

if TYPE_CHECKING:
    from normexp.nets.compiled import CompiledPasses

OBSERVED_BYTES = 2**28
"""Memory for the running statistics of the runs observed at a time."""

DOUBLE = 8
"""Bytes of a float64."""

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
    size = _chunk(record, configs)
    for start in range(0, len(configs), size):
        chunk = slice(start, start + size)
        yield from _observe_chunk(record, configs[chunk], model_of[chunk])


def _chunk(record: Record, configs: Sequence[RunConfig]) -> int:
    """Runs observed at a time: as many as pay, and as fit into memory."""
    config = configs[0]
    _, updates, channels = record.batch_mean.shape
    rows = record.train_loss.shape[1] // config.log.every + config.train.epochs + 1
    window = max(getattr(each.norm, "window", 0) for each in configs)
    held = rows * record.batch_mean.element_size() + min(window, updates) * DOUBLE
    bytes_per_run = 2 * channels * held
    return max(1, min(MOST_RUNS, OBSERVED_BYTES // max(1, bytes_per_run)))


def _observe_chunk(
    record: Record, configs: Sequence[RunConfig], model_of: Sequence[int]
) -> list[Observation]:
    watch = Watch(record, configs, model_of)
    every, per_epoch = configs[0].log.every, steps_per_epoch(configs[0])
    rows, means, variances, points = [], [], [], []
    for step in range(record.train_loss.shape[1] + 1):
        if step:
            watch.take(step)
        point, rest = divmod(step, per_epoch)
        if not rest:
            points.append(watch.scores(point))
        if not step % every or not rest:
            rows.append(step)
            mean, var = watch.now()
            means.append(mean)
            variances.append(var)
    logged = torch.tensor(rows)
    running_mean, running_var = (torch.stack(each, 1) for each in (means, variances))
    found = {name: torch.stack([point[name] for point in points], 1) for name in points[0]}
    return [
        Observation(
            logged,
            running_mean[run],
            running_var[run],
            {name: values[run] for name, values in found.items()},
        )
        for run in range(len(configs))
    ]


class Watch:
    """Runs side by side on their trajectories, as far as they have been observed.

    Made as `observe` is called.
    """

    def __init__(
        self, record: Record, configs: Sequence[RunConfig], model_of: Sequence[int]
    ) -> None:
        self._configs, self._index = configs, torch.tensor(model_of)
        self._record, self._network = record, Network(configs[0])
        together = 1 if stands_alone(configs[0]) else len(configs)
        starts = range(0, len(configs), together)
        self.groups = [range(start, start + together) for start in starts]
        norms = [config.norm for config in configs]
        _, updates, channels = record.batch_mean.shape
        self._averages = RunningStatistics(norms, channels, updates)
        self._recomputed = {
            name: mask
            for name in (*RECOMPUTED, "population")
            if (mask := mask_of(norms, "estimator", name)) is not None
        }
        self.examples = Examples(self._configs, tests_only=not self._recomputed.keys() & RECOMPUTED)
        self._average: Statistics | None = None  # as of the last update, if asked for
        self._recent = self._averages.current()  # as of the last evaluation point
        self._sizes, self._updates = batch_sizes(configs[0]), 0
        self._counts = {size: self._network.counts(size) for size in set(self._sizes)}

    def take(self, step: int) -> None:
        """Take in the batch statistics of a step, counted from 1."""
        size = self._sizes[(step - 1) % len(self._sizes)]
        for count_of_part in self._counts[size]:
            mean = self._record.batch_mean[:, self._updates].double()
            var = self._record.batch_var[:, self._updates].double()
            self._averages.update(mean[self._index], var[self._index], count_of_part)
            self._updates += 1
        self._average = None

    def reach(self, point: int) -> None:
        """Compute the references among the runs' estimators for an evaluation point's weights."""
        found = self._averaged()
        for name, mask in self._recomputed.items():
            found = _where(mask, self._reference(name, mask, point), found)
        self._recent = found

    def now(self) -> Statistics:
        """Return the runs' statistics for evaluation, [runs, channels], in the training's dtype."""
        found = self._averaged()
        for mask in self._recomputed.values():
            found = _where(mask, self._recent, found)
        # A copy in float64 too, or it would change with the next update.
        return Statistics(*(each.to(self._dtype, copy=True) for each in found))

    def scores(self, point: int) -> dict[str, torch.Tensor]:
        """Return the runs' scores on the test set at an evaluation point, each [runs]."""
        self.reach(point)
        parts = [scores(*self.predict(point, runs)) for runs in self.groups]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def predict(
        self, point: int, runs: range, listener: Listener | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return predictions [runs, outputs, tests] at the point just reached, and y."""
        weights, statistics = self._weights(point, runs), self._by_site(self._recent, runs)
        step = point * len(self._sizes)

        def give(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.examples.test(runs, chosen, step)

        def forward(x: torch.Tensor) -> torch.Tensor:
            if listener is not None:
                return self._network.by_statistics(weights, statistics, x, listener)
            return self._passes.by_statistics(weights, statistics, x)

        return predict(self._configs[0], forward, give, self.examples.tests)

    def _reference(self, name: str, mask: torch.Tensor, point: int) -> Statistics:
        """One estimator's statistics; zeros for groups in which no run has it."""
        if name == "population":
            of_all = self._record.population_mean, self._record.population_var
            return Statistics(*(each[self._index, point].double() for each in of_all))
        found = Statistics(*(torch.zeros_like(each) for each in self._averaged()))
        known: dict[object, Statistics] = {}
        for runs in self.groups:
            some = slice(runs.start, runs.stop)
            if not mask[some].any():
                continue
            configs = self._configs[some]
            batches = (getattr(config.norm, "precise_batches", None) for config in configs)
            models = tuple(zip(self._index[some].tolist(), batches, strict=True))
            if models not in known or name == "mixed":  # which has the runs' averages in it
                parameters = self._weights(point, runs)
                running = self._by_site(self._averaged(), runs)
                own = self._network, self._passes, parameters, self.examples
                snapshot = Snapshot(configs, *own, runs, point, running)
                by_site = RECOMPUTED[name](snapshot)
                known[models] = self._network.join(by_site, like=self._record.train_loss[:0])
            for all_runs, part in zip(found, known[models], strict=True):
                all_runs[some] = part.double()
        return found

    def _averaged(self) -> Statistics:
        if self._average is None:
            self._average = self._averages.current()
        return self._average

    def _weights(self, point: int, runs: range) -> dict[str, torch.Tensor]:
        index = self._index[runs.start : runs.stop]
        return {name: values[index, point] for name, values in self._record.weights.items()}

    def _by_site(self, statistics: Statistics, runs: range) -> BySite:
        """Statistics of some runs by site, in the training's dtype."""
        # Not of all runs: where each is a group of its own that would be quadratic.
        found = (each[runs.start : runs.stop].to(self._dtype, copy=True) for each in statistics)
        return self._network.split(Statistics(*found))

    @cached_property
    def _passes(self) -> "Network | CompiledPasses":
        """What evaluates the weights: made when it is asked, since loading it takes long."""
        return passes_of(self._network, self._index.device)

    @property
    def _dtype(self) -> torch.dtype:
        return self._record.train_loss.dtype


def _where(mask: torch.Tensor, chosen: Statistics, others: Statistics) -> Statistics:
    pairs = zip(chosen, others, strict=True)
    return Statistics(*(torch.where(mask, one, other) for one, other in pairs))
