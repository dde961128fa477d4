"""What a configuration leaves open is filled in here, so that it names one run."""

from dataclasses import replace
from typing import Any, TypeVar

from normexp.config.batches import steps_per_epoch
from normexp.config.data import Arrays, Cifar10, Data
from normexp.config.field import specs
from normexp.config.model import Lenet, Mlp, Model
from normexp.config.norm import (
    AveragedKind,
    BatchKind,
    EmaTrain,
    InstanceNorm,
    LayerNorm,
    Norm,
)
from normexp.config.norm_fields import REFERENCES, WITHOUT_MOMENTUM
from normexp.config.schema import RunConfig

Section = TypeVar("Section", Model, Norm)

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
    model = config.model
    settled = {name: v for name, v in _follows(config).items() if getattr(model, name) is None}
    if model.weight_init != "normal":
        kind: type = model.__class__
        settled["weight_std"] = specs(kind)["weight_std"].default
    return replace(config, model=_with(model, settled), norm=_with(config.norm, _idle(config)))


def _with(section: Section, values: dict[str, Any]) -> Section:
    """The section with these values, the very same if it has them."""
    if all(getattr(section, name) == value for name, value in values.items()):
        return section
    return replace(section, **values)


def _idle(config: RunConfig) -> dict[str, Any]:
    """The norm's fields that change nothing here, at their defaults, so that they name no run."""
    norm = config.norm
    if isinstance(norm, LayerNorm) and (not norm.affine or isinstance(config.model, Mlp)):
        return {"affine_per": "element"}
    if isinstance(norm, EmaTrain) and norm.momentum is None:
        return {"copy_first": True}
    if isinstance(norm, AveragedKind):
        return _settled_estimator(norm, steps_per_epoch(config))
    return {}


def _settled_estimator(norm: AveragedKind, epoch: int) -> dict[str, Any]:
    """An estimator in the one way that names its run, the fields that it does not read aside.

    Args:
        norm: as typed.
        epoch: batches of an epoch, which is what `precise` pools unless it is told otherwise.
    """
    steady = norm.momentum_schedule == "constant" or norm.final_momentum == norm.momentum
    estimator, momentum = _plainest(norm, steady=steady)
    settled = {"estimator": estimator, "momentum": momentum}
    if momentum is None or steady:
        settled |= _defaults(norm, "momentum_schedule", "final_momentum")
    for reader, field in (("window", "window"), ("mixed", "mix")):
        if estimator != reader:
            settled |= _defaults(norm, field)
    if estimator != "precise" or norm.precise_batches == epoch:
        settled |= _defaults(norm, "precise_batches")
    if estimator in REFERENCES:
        settled |= _defaults(norm, "initial_mean", "initial_var", "running_variance")
    return settled


def _plainest(norm: AveragedKind, *, steady: bool) -> tuple[str, float | None]:
    """The estimator that gives the same with the least said, and its momentum."""
    estimator, momentum = norm.estimator, norm.momentum
    if estimator == "mixed" and norm.mix in (0, 1):
        estimator = "test_batch" if norm.mix else "ema"
    if estimator == "window" and norm.window == 1:
        return "ema", 1.0
    if estimator == "cumulative":
        return "ema", None
    if estimator in WITHOUT_MOMENTUM:
        return estimator, None
    if estimator in ("debiased", "divided", "warmup"):
        limit = momentum == 0 and steady and estimator != "divided"
        if momentum is None or limit:
            return "ema", None
        if momentum == 1 and steady:
            return "ema", momentum
    return estimator, momentum


def _defaults(norm: AveragedKind, *fields: str) -> dict[str, Any]:
    kind: type = norm.__class__
    return {field: specs(kind)[field].default for field in fields}


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
