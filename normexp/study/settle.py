"""Fields that a configuration leaves open or that change nothing, set so that it names one run."""

from dataclasses import replace
from typing import Any, TypeVar

from normexp.config.data import Arrays, Cifar10, Data
from normexp.config.field import specs
from normexp.config.network import Lenet, Mlp, Model, Own
from normexp.config.norm import (
    ESTIMATOR_FIELDS,
    WITHOUT_MOMENTUM,
    AveragedKind,
    BatchKind,
    EmaTrain,
    InstanceNorm,
    LayerNorm,
    Norm,
    unread,
)
from normexp.config.schema import RunConfig, steps_per_epoch

Section = TypeVar("Section", Model | Own, Norm)

SMALL_IMAGE = 16
"""Pixels of a side below which LeNet's 5×5 kernels, unpadded, leave nothing."""


def settle(config: RunConfig, settled_before: dict[Data, Data]) -> RunConfig:
    """Return the configuration with open fields filled in and unread ones at their defaults.

    Args:
        config: as typed.
        settled_before: data in files, settled, by what was typed; these join them.

    Raises:
        UsageError: the data's file is missing, damaged, or not what the configuration says.
    """
    if isinstance(config.data, Arrays | Cifar10):  # the only ones that need NumPy
        from normexp.data.files import settled_data

        if config.data not in settled_before:
            settled_before[config.data] = settled_data(config.data)
        config = replace(config, data=settled_before[config.data])
    model = config.model
    settled = {name: v for name, v in _open(config).items() if getattr(model, name) is None}
    if not isinstance(model, Own) and model.weight_init != "normal":
        settled |= _defaults(model, "weight_std")
    return replace(config, model=_with(model, settled), norm=_with(config.norm, _idle(config)))


def _open(config: RunConfig) -> dict[str, Any]:
    """Return the model's fields that follow from the norm and the data, if they are null."""
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


def _idle(config: RunConfig) -> dict[str, Any]:
    """Return the norm's fields that change nothing here, at their defaults."""
    norm = config.norm
    if isinstance(norm, LayerNorm) and (not norm.affine or isinstance(config.model, Mlp)):
        return {"affine_per": "element"}
    if isinstance(norm, EmaTrain) and norm.momentum is None:
        return {"copy_first": True}
    if not isinstance(norm, AveragedKind):
        return {}
    steady = (
        norm.estimator in WITHOUT_MOMENTUM
        or norm.momentum_schedule == "constant"
        or norm.final_momentum == norm.momentum
    )
    estimator, momentum = _plainest(norm, steady=steady)
    schedule = "constant" if steady else norm.momentum_schedule
    settled = {"norm.estimator": estimator, "norm.momentum": momentum}
    idle = unread({**settled, "norm.momentum_schedule": schedule}) - {"norm.momentum"}
    if steady:
        idle |= {"norm.momentum_schedule"}
    if norm.precise_batches == steps_per_epoch(config):
        idle |= {"norm.precise_batches"}
    fields = [path.removeprefix("norm.") for path in ESTIMATOR_FIELDS if path in idle]
    return {"estimator": estimator, "momentum": momentum, **_defaults(norm, *fields)}


def _plainest(norm: AveragedKind, *, steady: bool) -> tuple[str, float | None]:
    """Return the estimator that gives the same with the fewest fields, and its momentum."""
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
        is_limit = momentum == 0 and steady and estimator != "divided"
        if momentum is None or is_limit:
            return "ema", None
        if momentum == 1 and steady:
            return "ema", momentum
    return estimator, momentum


def _defaults(section: Model | Own | Norm, *fields: str) -> dict[str, Any]:
    kind: type = section.__class__
    return {field: specs(kind)[field].default for field in fields}


def _with(section: Section, values: dict[str, Any]) -> Section:
    """Return the section with these values, the very same if it has them."""
    if all(getattr(section, name) == value for name, value in values.items()):
        return section
    return replace(section, **values)
