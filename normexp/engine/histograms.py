"""Histograms of what layers give, as S1 draws them."""

import torch

from normexp.config.data import Quadratic
from normexp.config.schema import RunConfig
from normexp.models.structure import ENTRANCE

BINS = 10
BOUNDED = ("tanh", "sigmoid")
"""Activations whose values lie between −1 and 1."""


def limits(config: RunConfig, layer: str, values: str) -> tuple[float, float]:
    """The edges of a layer's histogram: S1's where it says so, −4 to 4 elsewhere.

    The data's own range at the input, −4 to 4 for pre-activations, −1 to 1 for bounded activations.
    """
    if layer == ENTRANCE and isinstance(config.data, Quadratic):
        return config.data.low, config.data.high
    bounded = config.model.activation in BOUNDED
    return (-1.0, 1.0) if values == "activation" and bounded and layer != ENTRANCE else (-4.0, 4.0)


def count(x: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """How many values of each network fall into each bin, [models, BINS].

    Bins are of equal width, closed below, the last one above too, as `numpy.histogram`; what lies
    outside or is not a number is not counted.
    """
    values = x.reshape(len(x), -1)
    inside = (values >= low) & (values <= high)
    place = ((values - low) / (high - low) * BINS).nan_to_num(0).clamp(0, BINS - 1).long()
    counts = torch.zeros(len(values), BINS, dtype=torch.int64)
    return counts.scatter_add_(1, place, inside.long())
