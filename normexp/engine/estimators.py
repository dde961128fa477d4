"""Estimators: from a trajectory's batch statistics to running statistics.

Many runs at once, one row each, in float64 and with one rounded operation at a time, so that a
run's numbers do not depend on the others'.
"""

from collections.abc import Sequence

import torch


class RunningStatistics:
    """Exponential moving averages and cumulative means of batch statistics.

    r_t = (1 − a)·r_(t−1) + a·s_t from mean 0 and variance 1, the rule of `torch.nn.BatchNorm1d`,
    whose `momentum=None` is the cumulative mean, a = 1/t. PyTorch rounds r to the buffers' float32
    at every step; here it is rounded when it is used.

    Args:
        momenta: a of each run; None for the cumulative mean.
        channels: of the batch statistics.
    """

    def __init__(self, momenta: Sequence[float | None], channels: int) -> None:
        given = [float("nan") if momentum is None else momentum for momentum in momenta]
        self._momentum = torch.tensor(given, dtype=torch.float64)[:, None]
        self._cumulative = self._momentum.isnan()
        self._steps = 0
        self.mean = torch.zeros(len(momenta), channels, dtype=torch.float64)  # [runs, channels]
        self.var = torch.ones(len(momenta), channels, dtype=torch.float64)  # [runs, channels]

    def update(self, batch_mean: torch.Tensor, batch_var: torch.Tensor) -> None:
        """Take in the statistics of the next batch, both [runs, channels]."""
        self._steps += 1
        newest = torch.where(self._cumulative, 1 / self._steps, self._momentum)
        oldest = 1 - newest
        self.mean.mul_(oldest).add_(batch_mean.double() * newest)
        self.var.mul_(oldest).add_(batch_var.double() * newest)
