"""The batch norms of a checkpoint or a module, as `normexp lint` looks at them."""

import math
import re
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normexp.errors import UsageError
from normexp.own.checkpoint import State, load
from normexp.own.layers import bare, shortened

BUFFERS = ("running_mean", "running_var", "num_batches_tracked")

NAMED_SO = re.compile(r"(^|[._])(bn|batch_?norm)\d*$", re.IGNORECASE)
"""Names of batch norms, where no statistics tell."""

Given = nn.Module | Mapping[str, torch.Tensor] | str | Path
"""A module, its state dict, or the path of a checkpoint."""


class Layer(NamedTuple):
    """A batch norm, or what else keeps running statistics."""

    name: str
    parts: State  # float64 [channels], by the names that PyTorch gives buffers and parameters
    dtype: torch.dtype | None  # of the running statistics
    module: nn.Module | None  # None in a checkpoint

    @property
    def statistics(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Running mean and variance, [channels]; None if it lacks one."""
        found = [self.parts[name] for name in BUFFERS[:2] if name in self.parts]
        return (found[0], found[1]) if len(found) > 1 else None

    @property
    def batches(self) -> float:
        """Batches that they have seen; NaN: not counted."""
        counted = self.parts.get("num_batches_tracked")
        return math.nan if counted is None else counted.max().item()

    @property
    def is_untouched(self) -> bool:
        """Its statistics are those of a new layer."""
        found = self.statistics
        return found is not None and bool((found[0] == 0).all() and (found[1] == 1).all())

    @property
    def is_trained(self) -> bool:
        """Its shift is none that an initialisation gives, or its scale, where it has no shift.

        A shift that differs between channels tells. A scale that does may be drawn, as in DCGAN.
        """
        told = self.parts.get("bias", self.parts.get("weight"))
        if told is None:
            return False
        return varies(told) or (len(told) == 1 and told.item() not in (0, 1))


class Source(NamedTuple):
    """Something to be judged."""

    name: str
    layers: list[Layer]
    weights: State  # all but the buffers of batch norms, by name
    model: nn.Module | None = None


def source(given: Given) -> Source:
    """Return the batch norms and weights of a module, a state dict, or a checkpoint file.

    Raises:
        UsageError: a file cannot be read, or a tensor has no numbers.
    """
    if isinstance(given, nn.Module):
        return _of_module(bare(given))
    if isinstance(given, Mapping):
        name, states = "state dict", {"": dict(given)}
    else:
        name, states = str(given), load(Path(given))
    groups = {keys: found for keys, state in states.items() if (found := _grouped(state))}
    result = Source(name, [], {})
    for keys, found in groups.items():
        prefix = f"{keys}." if len(groups) > 1 else ""  # where only one holds batch norms
        short = shortened(found)
        result.layers.extend(_layer(prefix + short[each], parts) for each, parts in found.items())
        result.weights.update(_weights(states[keys], prefix))
    return result


def varies(values: torch.Tensor) -> bool:
    """Return whether there are two different ones."""
    return bool((values != values[0]).any())


def _of_module(model: nn.Module) -> Source:
    found = {}
    for name, module in model.named_modules():
        own = (module.named_parameters(recurse=False), module.named_buffers(recurse=False))
        parts = dict(chain(*own))
        if isinstance(module, _BatchNorm) or "running_mean" in parts:
            found[name] = parts, module
    layers = [_layer(short, *found[name]) for name, short in shortened(found).items()]
    return Source(type(model).__name__, layers, _weights(model.state_dict()), model)


def _weights(state: State, prefix: str = "") -> State:
    short = shortened(state)
    return {
        prefix + short[name]: value.detach().cpu()
        for name, value in state.items()
        if name.rpartition(".")[2] not in BUFFERS and _is_whole(value)
    }


def _grouped(state: State) -> dict[str, State]:
    """The tensors of every batch norm, by its name."""
    groups: dict[str, State] = {}
    for name, value in state.items():
        layer, _, part = name.rpartition(".")
        groups.setdefault(layer, {})[part] = value
    return {
        name: parts
        for name, parts in groups.items()
        if parts.keys() & set(BUFFERS[:2]) or ("weight" in parts and NAMED_SO.search(name))
    }


def _layer(name: str, parts: State, module: nn.Module | None = None) -> Layer:
    kept = {each: parts[each] for each in (*BUFFERS, "weight", "bias") if each in parts}
    for each, value in kept.items():
        if not _is_whole(value):
            raise UsageError(
                f"{name}.{each} has no plain numbers", "load weights, or pass a batch, first"
            )
    dtypes = [kept[each].dtype for each in BUFFERS[:2] if each in kept]
    if len({kept[each].shape for each in BUFFERS[:2] if each in kept}) > 1:
        raise UsageError(f"{name} has a running mean and variance of different sizes")
    read = {each: value.detach().cpu().double().flatten() for each, value in kept.items()}
    return Layer(name, read, dtypes[0] if dtypes else None, module)


def _is_whole(value: object) -> bool:
    """Return whether all numbers are there: a small file may claim to hold many."""
    if not isinstance(value, torch.Tensor) or nn.parameter.is_lazy(value):
        return False
    if value.layout != torch.strided or value.is_quantized or value.is_meta or not value.numel():
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()
