"""The batch norms of a checkpoint or a module, as `normexp lint` looks at them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normexp.errors import UsageError
from normexp.nets.layout import Statistics
from normexp.own.checkpoint import State, load
from normexp.own.layers import bare, plain

STATISTICS = ("running_mean", "running_var")
BUFFERS = (*STATISTICS, "num_batches_tracked")

NAMED_SO = re.compile(r"(^|[._])(bn|batch_?norm)\d*$", re.IGNORECASE)
"""Names of batch norms, where no statistics tell."""


@dataclass(frozen=True)
class Layer:
    """A batch norm.

    Attributes:
        name: in the model.
        statistics: running mean and variance, float64 [channels]; None: it lacks one, or both.
        lacking: the names of buffers that it lacks.
        dtype: of the running statistics.
        count: batches that they have seen; None: not kept.
        weight: scale, float64 [channels]; None: it has none.
        bias: shift, float64 [channels]; None: it has none.
        module: None in a checkpoint.
    """

    name: str
    statistics: Statistics | None
    lacking: tuple[str, ...]
    dtype: torch.dtype | None
    count: float | None
    weight: torch.Tensor | None
    bias: torch.Tensor | None
    module: nn.Module | None = None

    @property
    def is_untouched(self) -> bool:
        """Its statistics are those of a new layer."""
        found = self.statistics
        return found is not None and bool((found.mean == 0).all() and (found.var == 1).all())

    @property
    def is_trained(self) -> bool:
        """Its scale and shift are none that an initialisation gives.

        A shift that differs between channels tells. A scale that does may be drawn, as in DCGAN.
        """
        start, told = (1, self.weight) if self.bias is None else (0, self.bias)
        if told is None:
            return False
        return bool((told != told[0]).any() if len(told) > 1 else told != start)


class Source(NamedTuple):
    """Something to be judged, and what it is called."""

    name: str
    layers: list[Layer]
    weights: State  # all but the buffers of batch norms, by name
    model: nn.Module | None = None


def source(given: nn.Module | Mapping[str, torch.Tensor] | str | Path) -> Source:
    """Return the batch norms and weights of a module, a state dict, or a checkpoint file."""
    if isinstance(given, nn.Module):
        model = bare(given)
        weights = _weights("", model.state_dict())
        return Source(type(model).__name__, _of_module(model), weights, model)
    if isinstance(given, Mapping):
        name, states = "state dict", {"": dict(given)}
    else:
        name, states = str(given), load(Path(given))
    groups = {keys: found for keys, state in states.items() if (found := _grouped(state))}
    layers, weights = [], {}
    for keys, found in groups.items():
        prefix = f"{keys}." if len(groups) > 1 else ""  # where only one holds batch norms
        layers += [_layer(prefix + plain(each), parts) for each, parts in found.items()]
        weights |= _weights(prefix, states[keys])
    return Source(name, layers, weights)


def _weights(prefix: str, state: State) -> State:
    return {
        prefix + plain(name): value
        for name, value in state.items()
        if _is_plain(value) and name.rpartition(".")[2] not in BUFFERS
    }


def _of_module(model: nn.Module) -> list[Layer]:
    """All batch norms, and whatever else keeps running statistics."""
    found = []
    for name, module in model.named_modules():
        parts = {
            each: value
            for each in (*BUFFERS, "weight", "bias")
            if isinstance(value := getattr(module, each, None), torch.Tensor)
        }
        if isinstance(module, _BatchNorm) or "running_mean" in parts:
            found.append(_layer(plain(name), parts, module))
    return found


def _grouped(state: State) -> dict[str, State]:
    """The tensors of every batch norm, by its name."""
    groups: dict[str, State] = {}
    for name, value in state.items():
        layer, _, part = name.rpartition(".")
        groups.setdefault(layer, {})[part] = value
    return {
        name: parts
        for name, parts in groups.items()
        if parts.keys() & set(STATISTICS) or ("weight" in parts and NAMED_SO.search(name))
    }


def _layer(name: str, parts: State, module: nn.Module | None = None) -> Layer:
    read = {each: _read(f"{name}.{each}", value) for each, value in parts.items()}
    sizes = {each: len(read[each]) for each in (*STATISTICS, "weight", "bias") if each in read}
    if len(set(sizes.values())) > 1:
        spelled = ", ".join(f"{size:,} of {each}" for each, size in sizes.items())
        raise UsageError(f"{name} is no batch norm, or damaged: it has {spelled}")
    lacking = tuple(each for each in STATISTICS if each not in read)
    statistics = None if lacking else Statistics(*(read[each] for each in STATISTICS))
    dtype = next((parts[each].dtype for each in STATISTICS if each in parts), None)
    count = read["num_batches_tracked"].max().item() if "num_batches_tracked" in read else None
    weight, bias = read.get("weight"), read.get("bias")
    return Layer(name, statistics, lacking, dtype, count, weight, bias, module)


def _read(name: str, value: torch.Tensor) -> torch.Tensor:
    """The numbers of a tensor, float64 in one row."""
    if nn.parameter.is_lazy(value):
        raise UsageError(f"{name} has not seen a batch yet", "call the model once, then try again")
    if not _is_plain(value):
        raise UsageError(f"{name} holds no plain numbers", "load the weights first, or dequantize")
    return value.detach().to("cpu", torch.float64).reshape(-1)


def _is_plain(value: torch.Tensor) -> bool:
    """All of its numbers are there: a small file may claim to hold many."""
    strided = value.layout == torch.strided and not value.is_quantized and not value.is_complex()
    if not strided or value.device.type == "meta" or value.numel() == 0:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()
