"""Predictions in evaluation mode, as many examples at a time as the cache likes."""

from collections.abc import Mapping

import torch

from normexp.config.schema import RunConfig
from normexp.models.network import Network, Parameters
from normexp.models.structure import is_convolutional, largest_layer
from normexp.models.tensors import Watch, nobody
from normexp.norms.layout import batch_axis
from normexp.norms.statistics import Statistics

CACHEFUL = 2**22
"""Bytes of the largest layer of the images that are worked on at a time.

ResNet-20 on 32×32 images, one core: 1.0 ms an image by 64, 3.1 by 2,048.
"""


def predict(
    network: Network,
    parameters: Parameters,
    statistics: Mapping[str, Statistics],
    x: torch.Tensor,
    watch: Watch = nobody,
) -> torch.Tensor:
    """Predictions [models, outputs, examples] for x normalised by the given statistics.

    Images go a few at a time, so `watch` may be told of a layer more than once. The number depends
    on the configuration alone, and so do the bits.
    """
    parts = torch.split(x, _together(network.config, x), batch_axis(x))
    return torch.cat(
        [network.by_statistics(parameters, statistics, part, watch) for part in parts], -1
    )


def _together(config: RunConfig, x: torch.Tensor) -> int:
    """Examples of a piece."""
    if not is_convolutional(config):
        return x.shape[batch_axis(x)]
    return max(1, CACHEFUL // (largest_layer(config) * x.element_size()))
