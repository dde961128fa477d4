"""Estimators: from a trajectory's batch statistics to running statistics.

Many runs at once, one row each, in float64 and with one rounded operation at a time, so that a
run's numbers do not depend on the others'.
"""

from collections import deque
from collections.abc import Sequence

import torch

from normexp.config.norm import Norm
from normexp.engine.momenta import Momenta, column, those
from normexp.norms.statistics import Statistics


class RunningStatistics:
    """Averages of batch statistics, each run's by its own estimator.

    `ema`: r_t = (1 − a)·r_(t−1) + a·s_t from the initial values, the rule of
    `torch.nn.BatchNorm1d`, whose `momentum=None` is the cumulative mean, a = 1/t. PyTorch rounds r
    to the buffers' float32 at every step; here it is rounded when it is used. `warmup` is the same
    with max(a, 1/t). With w_t the weight that is left on the initial value,

    - `debiased` is (r_t − w_t·r_0) / (1 − w_t): dm-haiku, Caffe, Adam (Kingma & Ba 2015);
    - `divided` is r_t / (1 − w_t), initial value and all: `equinox.nn.BatchNorm(mode="batch")`;
    - `window` is the mean of the last `norm.window` batches.

    With `norm.running_variance=biased` s is the variance over n, (n − 1)/n of PyTorch's.

    Args:
        norms: of the runs; without running statistics there are no channels.
        channels: of the batch statistics.
        updates: in all, over which momentum schedules extend.
    """

    def __init__(self, norms: Sequence[Norm], channels: int, updates: int = 1) -> None:
        zeros = torch.zeros(len(norms), channels, dtype=torch.float64)
        mean, var = (column(norms, name, value) for name, value in INITIAL.items())
        self._start = Statistics(zeros + mean, zeros + var)
        self.mean, self.var = (each.clone() for each in self._start)  # [runs, channels]
        self._left = torch.ones(len(norms), 1, dtype=torch.float64)
        self._momenta = Momenta(norms, updates)
        self._biased = those(norms, "running_variance", "biased")
        self._debiased = those(norms, "estimator", "debiased")
        self._divided = those(norms, "estimator", "divided")
        windowed = those(norms, "estimator", "window")
        self._windowed = [] if windowed is None else windowed[:, 0].nonzero()[:, 0].tolist()
        self._window = column(norms, "window", 1)[self._windowed]
        longest = int(self._window.max()) if self._windowed else 0
        self._newest: deque[Statistics] = deque(maxlen=longest)
        self._updates = 0

    def newest(self) -> torch.Tensor:
        """The weight that the next batch gets, [runs, 1]."""
        return self._momenta.weight(self._updates)

    def recall(self, mean: torch.Tensor, var: torch.Tensor, updates: int) -> None:
        """Be as after so many updates that have led to these."""
        self.mean, self.var, self._updates = mean, var, updates

    def update(
        self, batch_mean: torch.Tensor, batch_var: torch.Tensor, count: torch.Tensor
    ) -> None:
        """Take in the statistics of the next batch.

        Args:
            batch_mean: [runs, channels].
            batch_var: [runs, channels], unbiased.
            count: values behind them, [channels].
        """
        newest = self.newest()
        oldest = 1 - newest
        self._updates += 1
        mean, var = batch_mean.double(), batch_var.double()
        if self._biased is not None:
            var = var * torch.where(self._biased, (count - 1) / count.double(), 1.0)
        self.mean.mul_(oldest).add_(mean * newest)
        self.var.mul_(oldest).add_(var * newest)
        self._left = self._left * oldest
        if self._windowed:
            self._newest.append(Statistics(mean[self._windowed], var[self._windowed]))

    def current(self) -> Statistics:
        """What evaluation would be normalised by now, [runs, channels]."""
        parts = zip((self.mean, self.var), self._start, self._totals(), strict=True)
        return Statistics(*(self._estimated(*part) for part in parts))

    def _estimated(
        self, average: torch.Tensor, start: torch.Tensor, total: torch.Tensor | None
    ) -> torch.Tensor:
        """An average as the runs' estimators have it."""
        found, come = average, self._left < 1
        weight = torch.where(come, 1 - self._left, 1.0)
        if self._debiased is not None:
            debiased = (average - self._left * start) / weight
            found = torch.where(self._debiased & come, debiased, found)
        if self._divided is not None:
            found = torch.where(self._divided & come, average / weight, found)
        if total is not None:
            found = found.clone()
            found[self._windowed] = total / self._window.clamp(max=self._updates)
        return found

    def _totals(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Sums over the runs' windows, each from its oldest batch to its newest."""
        if not self._newest:
            return None, None
        totals = [torch.zeros_like(each) for each in self._newest[0]]
        for age, batch in zip(range(len(self._newest), 0, -1), self._newest, strict=True):
            inside = self._window >= age
            for total, values in zip(totals, batch, strict=True):
                total.add_(torch.where(inside, values, 0.0))
        return totals[0], totals[1]


INITIAL = {"initial_mean": 0.0, "initial_var": 1.0}
"""The values from which averages start, and what they are where a norm does not say."""
