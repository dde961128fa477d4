"""Some runs on their trajectories, as far as they have been observed."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

import torch

from normexp.config.batches import steps_per_epoch
from normexp.config.schema import RunConfig
from normexp.data.examples import Examples
from normexp.engine.estimates import Estimates
from normexp.engine.histograms import count, limits
from normexp.engine.losses import is_labels, scores
from normexp.engine.predict import predict
from normexp.models.network import Network
from normexp.models.structure import ENTRANCE, lanes
from normexp.record import Curve, Histogram, Pictures, Record


class _Seen(NamedTuple):
    """What an evaluation point has shown."""

    scores: dict[str, torch.Tensor]  # each [runs]
    histograms: dict[tuple[str, str], torch.Tensor]  # each [runs, bins]
    x: torch.Tensor  # [runs, tests], or no tests where there is no curve
    y: torch.Tensor  # the same
    prediction: torch.Tensor  # the same


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
        self._points: list[_Seen] = []

    def evaluate(self, point: int) -> None:
        """Test the weights of an evaluation point under each run's statistics."""
        self.estimates.reach(point)
        parts = [self._evaluate(point, runs) for runs in self._groups]
        self._points.append(
            _Seen(
                _joined([part.scores for part in parts]),
                _joined([part.histograms for part in parts]),
                torch.cat([part.x for part in parts]),
                torch.cat([part.y for part in parts]),
                torch.cat([part.prediction for part in parts]),
            )
        )

    def scores(self) -> dict[str, torch.Tensor]:
        """The runs' scores at all points so far, each [runs, points]."""
        names = self._points[0].scores
        return {
            name: torch.stack([seen.scores[name] for seen in self._points], 1) for name in names
        }

    def pictures(self, run: int) -> Pictures | None:
        """One run's pictures at all points so far, if they are asked for."""
        if not self._config.log.pictures:
            return None
        histograms = {
            key: Histogram(
                *limits(self._config, *key),
                torch.stack([seen.histograms[key][run] for seen in self._points]),
            )
            for key in self._points[0].histograms
        }
        x = torch.stack([seen.x[run] for seen in self._points])
        if not x.numel():
            return Pictures(histograms, None)
        prediction = torch.stack([seen.prediction[run] for seen in self._points])
        y = self._points[0].y[run]
        return Pictures(histograms, Curve(x, y, prediction))

    def _evaluate(self, point: int, runs: range) -> _Seen:
        index = self._index[runs.start : runs.stop]
        weights = {name: part[index, point] for name, part in self._record.weights.items()}
        seen: dict[tuple[str, str], torch.Tensor] = {}
        inputs = []

        def give(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            x, y = self._examples.test(runs, chosen, point * steps_per_epoch(self._config))
            if self._config.log.pictures:
                inputs.append(self._examples.raw(runs, x))
            return x, y

        def watch(layer: str, values: str, x: torch.Tensor) -> None:
            if self._config.log.pictures:
                if (layer, values) == (ENTRANCE, "pre_activation"):
                    x = inputs[-1]
                counts = count(x, *limits(self._config, layer, values))
                before = seen.get((layer, values))
                seen[layer, values] = counts if before is None else before + counts

        statistics = self.estimates.by_site(runs)

        def forward(x: torch.Tensor) -> torch.Tensor:
            return self._network.by_statistics(weights, statistics, x, watch)

        prediction, y = predict(self._config, forward, give, self._examples.tests)
        nothing = prediction.new_empty(len(runs), 0)
        has_curve = inputs and self._has_curve(y)
        return _Seen(
            scores(prediction, y),
            seen,
            torch.cat(inputs, -1).flatten(1) if has_curve else nothing,
            y.flatten(1) if has_curve else nothing,
            prediction.flatten(1) if has_curve else nothing,
        )

    def _has_curve(self, y: torch.Tensor) -> bool:
        """Whether one number is predicted from one."""
        data = self._config.data
        return (data.shape, data.outputs) == ((1,), 1) and not is_labels(y)


Key = TypeVar("Key")


def _joined(parts: Sequence[Mapping[Key, torch.Tensor]]) -> dict[Key, torch.Tensor]:
    """What some groups of runs have by name, one group after the other."""
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
