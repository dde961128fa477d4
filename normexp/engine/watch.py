"""Some runs on their trajectories, as far as they have been observed."""

from collections.abc import Mapping, Sequence

import torch

from normexp.config.schema import RunConfig, steps_per_epoch
from normexp.data.examples import Examples
from normexp.engine.estimates import Estimates
from normexp.engine.losses import scores
from normexp.engine.predict import predict
from normexp.nets.network import Network
from normexp.nets.structure import lanes
from normexp.record import Record


class Watch:
    """Observes runs side by side.

    Args:
        record: of their trajectories.
        configs: one a run, all of one structure.
        index: which model of the record each run is observed from.
    """

    def __init__(self, record: Record, configs: Sequence[RunConfig], index: torch.Tensor) -> None:
        self._record, self._index, self._config = record, index, configs[0]
        self._network = Network(configs[0])
        self._examples = Examples(configs, tests_only=True)
        together = 1 if lanes(configs[0]) == 1 else len(configs)
        starts = range(0, len(configs), together)
        self._groups = [range(start, start + together) for start in starts]
        self.estimates = Estimates(record, configs, index, self._network, self._groups)
        self._points: list[dict[str, torch.Tensor]] = []

    def evaluate(self, point: int) -> None:
        """Test the weights of an evaluation point under each run's statistics."""
        self.estimates.reach(point)
        self._points.append(_joined([self._evaluate(point, runs) for runs in self._groups]))

    def scores(self) -> dict[str, torch.Tensor]:
        """The runs' scores at all points so far, each [runs, points]."""
        names = self._points[0]
        return {name: torch.stack([each[name] for each in self._points], 1) for name in names}

    def _evaluate(self, point: int, runs: range) -> dict[str, torch.Tensor]:
        """Scores of some runs, each [runs]."""
        index = self._index[runs.start : runs.stop]
        weights = {name: part[index, point] for name, part in self._record.weights.items()}
        statistics = self.estimates.by_site(runs)

        def give(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self._examples.test(runs, chosen, point * steps_per_epoch(self._config))

        def forward(x: torch.Tensor) -> torch.Tensor:
            return self._network.by_statistics(weights, statistics, x)

        prediction, y = predict(self._config, forward, give, self._examples.tests)
        return scores(prediction, y)


def _joined(parts: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Scores of some groups of runs, one group after the other."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
