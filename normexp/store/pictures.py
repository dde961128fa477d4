"""The tables that a report draws: histograms of layers, and the fitted curve."""

from typing import Any

import numpy as np
import pyarrow as pa

from normexp.record import Curve, Histogram, Pictures
from normexp.store.arrays import numbers, texts

Columns = dict[str, Any]
Ints = np.ndarray[Any, Any]


def picture_tables(steps: Ints, pictures: Pictures) -> dict[str, Columns]:
    """The columns of `histograms` and, where there is a curve, of `curves`.

    Args:
        steps: of the evaluation points.
        pictures: of one run.
    """
    tables = {"histograms": _histograms(steps, pictures.histograms)}
    if pictures.curve is not None:
        tables["curves"] = _curves(steps, pictures.curve)
    return tables


def _histograms(steps: Ints, histograms: dict[tuple[str, str], Histogram]) -> Columns:
    """Points outermost, then layers, then values, bins innermost."""
    counts = np.stack([each.counts.numpy() for each in histograms.values()], 1)
    points, kinds, bins = counts.shape
    edges = [np.linspace(each.low, each.high, bins + 1) for each in histograms.values()]
    layers, values = zip(*histograms, strict=True)
    return {
        "step": np.repeat(steps, kinds * bins),
        "layer": _texts(layers, bins, points),
        "values": _texts(values, bins, points),
        "bin": np.tile(np.arange(bins, dtype=np.int32), points * kinds),
        "low": np.tile(np.concatenate([each[:-1] for each in edges]), points),
        "high": np.tile(np.concatenate([each[1:] for each in edges]), points),
        "count": counts.ravel(),
    }


def _curves(steps: Ints, curve: Curve) -> Columns:
    points, tests = curve.prediction.shape
    return {
        "step": np.repeat(steps, tests),
        "example": np.tile(np.arange(tests, dtype=np.int32), points),
        "x": curve.x.numpy().ravel(),
        "y": np.tile(curve.y.numpy(), points),
        "prediction": curve.prediction.numpy().ravel(),
    }


def _texts(names: tuple[str, ...], each: int, times: int) -> pa.Array:
    """Names, each repeated, the whole repeated, as a dictionary column."""
    distinct = list(dict.fromkeys(names))
    codes = np.array([distinct.index(name) for name in names], dtype=np.int32)
    indices = numbers(np.tile(np.repeat(codes, each), times))
    return pa.DictionaryArray.from_arrays(indices, texts(distinct))
