"""What a configuration leaves open is filled in here, so that it names one run."""

from dataclasses import replace
from typing import Any

from normexp.config.data import Arrays, Cifar10, Data
from normexp.config.model import Lenet, Mlp
from normexp.config.norm import BatchKind, InstanceNorm
from normexp.config.schema import RunConfig

SMALL_IMAGE = 16
"""Pixels of a side below which LeNet's 5×5 kernels, unpadded, leave nothing."""


def settle(config: RunConfig) -> RunConfig:
    """The configuration with every null that stands for something else replaced by it.

    Raises:
        UsageError: the data's file is missing, damaged, or not what the configuration says.
    """
    data = _settled_data(config.data)
    if data is not config.data:
        config = replace(config, data=data)
    model, follows = config.model, _follows(config)
    open_fields = {name: value for name, value in follows.items() if getattr(model, name) is None}
    return replace(config, model=replace(model, **open_fields)) if open_fields else config


def _follows(config: RunConfig) -> dict[str, Any]:
    """What the model's open fields are, by the norm and the data."""
    if isinstance(config.model, Mlp):
        return {"input_norm": isinstance(config.norm, BatchKind)}
    if isinstance(config.model, Lenet):
        small = min(config.data.shape[1:], default=0) < SMALL_IMAGE
        return {
            "kernel": 3 if small else 5,
            "padding": 1 if small else 0,
            "linear_norm": not isinstance(config.norm, InstanceNorm),
        }
    return {}


def _settled_data(data: Data) -> Data:
    """Data of files as their files are; NumPy is loaded for these only."""
    if not isinstance(data, Arrays | Cifar10):
        return data
    from normexp.data.files import settled_data

    return settled_data(data)
