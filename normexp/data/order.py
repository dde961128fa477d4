"""The order in which a training sees its examples."""

from collections.abc import Sequence

import torch

from normexp.config.batches import train_size
from normexp.config.schema import RunConfig
from normexp.rng import stream


def orders(configs: Sequence[RunConfig], epoch: int) -> list[torch.Tensor]:
    """Every network's order of an epoch, counted from 0: by its seed, or as the examples stand."""
    size = train_size(configs[0])
    if not configs[0].train.shuffle:
        return [torch.arange(size)] * len(configs)
    return [torch.randperm(size, generator=stream(each.seed, "order", epoch)) for each in configs]
