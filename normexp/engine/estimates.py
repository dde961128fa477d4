"""What the evaluation of some runs is normalised by, while their trajectories go on."""

from collections.abc import Sequence

import torch

from normexp.config.schema import RunConfig, batch_sizes
from normexp.data.examples import Examples
from normexp.engine.estimators import RunningStatistics, mask_of
from normexp.engine.recompute import RECOMPUTED, Weights
from normexp.nets.layout import Statistics
from normexp.nets.network import BySite, Network
from normexp.record import Record


class Estimates:
    """The estimators of runs observed side by side: averages, and what is computed anew at a point.

    Args:
        record: of their trajectories.
        configs: one a run, all of one structure.
        index: which model of the record each run is observed from.
        network: of all.
        groups: the runs that are worked on at a time.
    """

    def __init__(
        self,
        record: Record,
        configs: Sequence[RunConfig],
        index: torch.Tensor,
        network: Network,
        groups: Sequence[range],
    ) -> None:
        self._record, self._configs, self._index = record, configs, index
        self._network, self._groups = network, groups
        norms = [config.norm for config in configs]
        _, updates, channels = record.batch_mean.shape
        self._running = RunningStatistics(norms, channels, updates)
        self._recomputed = [
            (mask, name)
            for name in (*RECOMPUTED, "population")
            if (mask := mask_of(norms, "estimator", name)) is not None
        ]
        asks = any(name in RECOMPUTED for _, name in self._recomputed)
        self._examples = Examples(configs) if asks else None
        self._recent = self._running.current()  # as of the last evaluation point
        self._sizes, self._updates = batch_sizes(configs[0]), 0
        self._counts = {size: network.counts(size) for size in set(self._sizes)}

    def take(self, step: int) -> None:
        """The batch statistics that step `step`, counted from 1, has left."""
        size = self._sizes[(step - 1) % len(self._sizes)]
        for count_of_part in self._counts[size]:
            mean = self._record.batch_mean[:, self._updates].double()
            var = self._record.batch_var[:, self._updates].double()
            self._running.update(mean[self._index], var[self._index], count_of_part)
            self._updates += 1

    def reach(self, point: int) -> None:
        """Compute anew, for the weights of an evaluation point, what such estimators ask for."""
        found = self._running.current()
        for mask, name in self._recomputed:
            anew = (
                self._population(point) if name == "population" else self._anew(name, mask, point)
            )
            found = _where(mask, anew, found)
        self._recent = found

    def now(self) -> Statistics:
        """What evaluation is normalised by, [runs, channels], in the training's dtype."""
        found = self._running.current()
        for mask, _ in self._recomputed:
            found = _where(mask, self._recent, found)
        dtype = self._record.train_loss.dtype
        # A copy in float64 too, or it would be what the last update leaves.
        return Statistics(*(each.to(dtype, copy=True) for each in found))

    def by_site(self, runs: range) -> BySite:
        """The same of some runs at the evaluation point just reached, by site."""
        # Not of all runs: where each is a group of its own that would be quadratic.
        dtype = self._record.train_loss.dtype
        found = (each[runs.start : runs.stop].to(dtype, copy=True) for each in self._recent)
        return self._network.split(Statistics(*found))

    def _population(self, point: int) -> Statistics:
        of_all = self._record.population_mean, self._record.population_var
        return Statistics(*(each[self._index, point].double() for each in of_all))

    def _anew(self, name: str, mask: torch.Tensor, point: int) -> Statistics:
        """One estimator's statistics; zeros for groups in which no run has it."""
        found = Statistics(*(torch.zeros_like(each) for each in self._running.current()))
        known: dict[tuple[tuple[int, int | None], ...], list[torch.Tensor]] = {}
        batches = [getattr(config.norm, "precise_batches", None) for config in self._configs]
        for runs in self._groups:
            some = slice(runs.start, runs.stop)
            if not mask[some].any():
                continue
            models = tuple(zip(self._index[some].tolist(), batches[some], strict=True))
            if models not in known or name == "mixed":  # which has the runs' averages in it
                known[models] = self._of_group(name, runs, point)
            for all_runs, part in zip(found, known[models], strict=True):
                all_runs[some] = part.double()
        return found

    def _of_group(self, name: str, runs: range, point: int) -> list[torch.Tensor]:
        """One estimator's means and variances of some runs, [runs, channels]."""
        assert self._examples is not None  # noqa: S101
        chosen = self._index[runs.start : runs.stop]
        weights = Weights(
            self._configs[runs.start : runs.stop],
            self._network,
            {key: values[chosen, point] for key, values in self._record.weights.items()},
            self._examples,
            runs,
            point,
            self._network.split(self._rounded(runs)),
        )
        by_site = RECOMPUTED[name](weights)
        return [torch.cat([each[i] for each in by_site.values()], 1) for i in (0, 1)]

    def _rounded(self, runs: range) -> Statistics:
        """The averages of some runs in the training's dtype."""
        dtype, averages = self._record.train_loss.dtype, self._running.current()
        return Statistics(*(each[runs.start : runs.stop].to(dtype) for each in averages))


def _where(mask: torch.Tensor, chosen: Statistics, others: Statistics) -> Statistics:
    pairs = zip(chosen, others, strict=True)
    return Statistics(*(torch.where(mask, one, other) for one, other in pairs))
