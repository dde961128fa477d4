"""Ghost batch normalisation: virtual batches, each normalised by itself (Hoffer et al. 2017)."""

import torch

from normexp.norms.batch import normalize_batch
from normexp.norms.layout import batch_axis
from normexp.norms.statistics import Affine, Statistics


def normalize_parts(
    x: torch.Tensor, affine: Affine, eps: float, variance: str, sizes: list[int]
) -> tuple[torch.Tensor, Statistics]:
    """X with every part in units of itself, and the statistics of all parts, in order.

    Algorithm 1 of "Train longer, generalize better". Parts are consecutive examples of the batch,
    which is drawn in random order.
    """
    axis = batch_axis(x)
    parts = [normalize_batch(part, affine, eps, variance) for part in torch.split(x, sizes, axis)]
    y = torch.cat([part for part, _ in parts], axis)
    means, variances = zip(*(statistics for _, statistics in parts), strict=True)
    return y, Statistics(torch.stack(means, 1), torch.stack(variances, 1))
