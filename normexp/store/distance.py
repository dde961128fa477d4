"""How far running statistics are from a trajectory's population statistics, layer by layer."""

import itertools
from collections.abc import Sequence

import numpy as np

from normexp.store.arrays import Array


class Population:
    """The population statistics of one trajectory, against which those of many runs are held.

    A channel that gives the same for every example has no σ, and is left out.

    Args:
        mean: [points, channels], in float64 as all here.
        var: the same.
        widths: channels of the layers, in order.
    """

    def __init__(self, mean: Array, var: Array, widths: Sequence[int]) -> None:
        self._mean, self._var, self._varies = mean, var, var > 0
        edges = itertools.accumulate(widths, initial=0)
        self._layers = [slice(*pair) for pair in itertools.pairwise(edges)]
        self._varying = self._sums(self._varies)
        with np.errstate(invalid="ignore"):  # of a diverged training
            self._std = np.sqrt(var)

    def mean_error(self, mean: Array) -> Array:
        """RMS of (running − population mean) / σ over a layer's channels, [points, layers]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            error = (mean - self._mean) / self._std
        return np.sqrt(self._averages(error**2))

    def log_var_ratio(self, var: Array) -> Array:
        """Mean of ln(running / population variance) over a layer's channels, [points, layers]."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.log(var / self._var)
        return self._averages(ratio)

    def _averages(self, values: Array) -> Array:
        """Means over the varying channels of every layer; not a number where there are none."""
        totals = self._sums(np.where(self._varies, values, 0.0))
        with np.errstate(invalid="ignore"):  # nothing varies, or a diverged training
            averages: Array = totals / self._varying
        return averages

    def _sums(self, values: Array) -> Array:
        """Over the channels of every layer, [points, layers]."""
        sums = np.empty((len(values), len(self._layers)))
        for layer, channels in enumerate(self._layers):
            values[:, channels].sum(1, out=sums[:, layer])
        return sums
