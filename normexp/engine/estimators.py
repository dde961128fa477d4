"""Estimators: from a trajectory's batch statistics to running statistics.

Many runs at once, one row each, in float64 and with one rounded operation at a time, so that a
run's numbers do not depend on the others'.
"""

from collections.abc import Sequence

import torch

from normexp.config.norm import BatchKind, Norm


class RunningStatistics:
    """Exponential moving averages and cumulative means of batch statistics.

    r_t = (1 − a)·r_(t−1) + a·s_t from mean 0 and variance 1, the rule of `torch.nn.BatchNorm1d`,
    whose `momentum=None` is the cumulative mean, a = 1/t. PyTorch rounds r to the buffers' float32
    at every step; here it is rounded when it is used. With `norm.running_variance=biased` s is the
    variance over n, (n − 1)/n of what PyTorch averages; with `norm.copy_first` the first a is 1.

    Args:
        norms: of the runs; without running statistics there are no channels.
        channels: of the batch statistics.
    """

    def __init__(self, norms: Sequence[Norm], channels: int) -> None:
        tracked = [norm if isinstance(norm, BatchKind) else None for norm in norms]
        momenta = [getattr(norm, "momentum", None) for norm in tracked]
        given = [float("nan") if momentum is None else momentum for momentum in momenta]
        self._momentum = torch.tensor(given, dtype=torch.float64)[:, None]
        self._cumulative = self._momentum.isnan()
        biased = [norm is not None and norm.running_variance == "biased" for norm in tracked]
        self._biased = torch.tensor(biased)[:, None]
        self._copies_first = any(getattr(norm, "copy_first", False) for norm in tracked)
        self._updates = 0
        self.mean = torch.zeros(len(norms), channels, dtype=torch.float64)  # [runs, channels]
        self.var = torch.ones(len(norms), channels, dtype=torch.float64)  # [runs, channels]

    def newest(self) -> torch.Tensor:
        """The weight that the next batch gets, [runs, 1]."""
        if self._copies_first and not self._updates:
            return torch.ones_like(self._momentum)
        return torch.where(self._cumulative, 1 / (self._updates + 1), self._momentum)

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
        share = torch.where(self._biased, (count - 1) / count.double(), 1.0)
        self.mean.mul_(oldest).add_(batch_mean.double() * newest)
        self.var.mul_(oldest).add_(batch_var.double() * share * newest)
