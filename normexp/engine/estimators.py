"""Estimators: from a trajectory's batch statistics to running statistics.

Many runs at once, one row each, in float64 and with one rounded operation at a time, so that a
run's numbers do not depend on the others'.
"""

import math
from collections import deque
from collections.abc import Sequence

import torch

from normexp.config.norm import BatchKind, Norm
from normexp.nets.layout import Statistics

SCHEDULES = ("linear", "cosine", "exponential")

INITIAL = {"initial_mean": 0.0, "initial_var": 1.0}
"""The values from which averages start, where a norm does not say."""


class Momenta:
    """The weight that each run's estimator gives to the next batch.

    Null is 1/t, the cumulative mean; `estimator=warmup` is max(a, 1/t); a schedule goes from the
    momentum at the first update to the final one at the last; with `copy_first` the first is 1.

    Args:
        norms: of the runs; a norm without running statistics has no weights.
        updates: in all, over which schedules extend.
    """

    def __init__(self, norms: Sequence[Norm], updates: int) -> None:
        self._updates = updates
        self._momentum = column(norms, "momentum", math.nan)
        self._final = column(norms, "final_momentum", math.nan)
        self._cumulative = self._momentum.isnan()
        self._warms_up = mask_of(norms, "estimator", "warmup")
        self._schedules = {name: mask_of(norms, "momentum_schedule", name) for name in SCHEDULES}
        self._copies_first = any(getattr(norm, "copy_first", False) for norm in norms)

    def weight(self, update: int) -> torch.Tensor:
        """Return the weight of an update's batch, counted from 0, [runs, 1]."""
        if self._copies_first and not update:
            return torch.ones_like(self._momentum)
        weight = self._momentum
        for name, mask in self._schedules.items():
            if mask is not None:
                weight = torch.where(mask, self._scheduled(name, update), weight)
        if self._warms_up is not None:
            weight = torch.where(self._warms_up, weight.clamp(min=1 / (update + 1)), weight)
        return torch.where(self._cumulative, 1 / (update + 1), weight)

    def weights(self) -> torch.Tensor:
        """Return the weights of all updates' batches when they were the newest, [runs, updates]."""
        return torch.cat([self.weight(update) for update in range(self._updates)], 1)

    def _scheduled(self, name: str, update: int) -> torch.Tensor:
        done = update / max(1, self._updates - 1)
        if name == "exponential":
            return self._momentum * (self._final / self._momentum) ** done
        if name == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return self._momentum + done * (self._final - self._momentum)


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
        self._initial_weight = torch.ones(len(norms), 1, dtype=torch.float64)
        self._momenta = Momenta(norms, updates)
        self._biased = mask_of(norms, "running_variance", "biased")
        self._debiased = mask_of(norms, "estimator", "debiased")
        self._divided = mask_of(norms, "estimator", "divided")
        windowed = mask_of(norms, "estimator", "window")
        self._windowed = [] if windowed is None else windowed[:, 0].nonzero()[:, 0].tolist()
        self._window = column(norms, "window", 1)[self._windowed]
        longest = int(self._window.max()) if self._windowed else 0
        self._window_batches: deque[Statistics] = deque(maxlen=longest)
        self.updates = 0  # taken in

    def next_weight(self) -> torch.Tensor:
        """Return the weight that the next batch gets, [runs, 1]."""
        return self._momenta.weight(self.updates)

    def update(
        self, batch_mean: torch.Tensor, batch_var: torch.Tensor, count: torch.Tensor
    ) -> None:
        """Take in the statistics of the next batch.

        Args:
            batch_mean: [runs, channels].
            batch_var: [runs, channels], unbiased.
            count: values behind them, [channels].
        """
        weight = self.next_weight()
        kept = 1 - weight
        self.updates += 1
        mean, var = batch_mean.double(), batch_var.double()
        if self._biased is not None:
            var = var * torch.where(self._biased, (count - 1) / count.double(), 1.0)
        self.mean.mul_(kept).add_(mean * weight)
        self.var.mul_(kept).add_(var * weight)
        self._initial_weight = self._initial_weight * kept
        if self._windowed:
            self._window_batches.append(Statistics(mean[self._windowed], var[self._windowed]))

    def current(self) -> Statistics:
        """Return each run's running statistics, [runs, channels]."""
        parts = zip((self.mean, self.var), self._start, self._totals(), strict=True)
        return Statistics(*(self._estimated(*part) for part in parts))

    def _estimated(
        self, average: torch.Tensor, start: torch.Tensor, total: torch.Tensor | None
    ) -> torch.Tensor:
        """Apply the runs' estimators to an average."""
        found, counted = average, self._initial_weight < 1  # by a batch at least
        weight = torch.where(counted, 1 - self._initial_weight, 1.0)
        if self._debiased is not None:
            debiased = (average - self._initial_weight * start) / weight
            found = torch.where(self._debiased & counted, debiased, found)
        if self._divided is not None:
            found = torch.where(self._divided & counted, average / weight, found)
        if total is not None:
            found = found.clone()
            found[self._windowed] = total / self._window.clamp(max=self.updates)
        return found

    def _totals(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Sums over the runs' windows, each from its oldest batch to its newest."""
        if not self._window_batches:
            return None, None
        totals = [torch.zeros_like(each) for each in self._window_batches[0]]
        for age, batch in zip(
            range(len(self._window_batches), 0, -1), self._window_batches, strict=True
        ):
            inside = self._window >= age
            for total, values in zip(totals, batch, strict=True):
                total.add_(torch.where(inside, values, 0.0))
        return totals[0], totals[1]


def column(norms: Sequence[Norm], field: str, default: float) -> torch.Tensor:
    """Return a field of all runs' norms, [runs, 1], with NaN for null."""
    values = [
        getattr(norm, field, default) if isinstance(norm, BatchKind) else default for norm in norms
    ]
    numbers = [math.nan if value is None else value for value in values]
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def mask_of(norms: Sequence[Norm], field: str, value: str) -> torch.Tensor | None:
    """Return which runs' norms have this value, [runs, 1]; None if there are none."""
    found = [isinstance(norm, BatchKind) and getattr(norm, field, None) == value for norm in norms]
    return torch.tensor(found)[:, None] if any(found) else None
