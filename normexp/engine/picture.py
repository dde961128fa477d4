"""A picture of a run, without PyTorch: what `normexp.engine.pictures` makes and reports draw."""

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Histogram(NamedTuple):
    """Counts of values in bins of equal width; what lies outside is not counted."""

    low: float
    high: float
    counts: Array  # [bins]
    total: int  # of all values, inside and outside


class Curve(NamedTuple):
    """Predictions of one number from one, over the test points."""

    x: Array  # [tests]
    y: Array  # [tests]
    prediction: Array  # [tests]


class Picture(NamedTuple):
    """Histograms and curve of one run at one evaluation point, under its running statistics."""

    histograms: dict[tuple[str, str], Histogram]  # by layer and `pre_activation` or `activation`
    curve: Curve | None  # where one number is predicted from one
