"""The batch norms of any module: found, read, set, and put back.

A layer is a `_BatchNorm` of PyTorch with running statistics: `BatchNorm1d` to `3d`, `SyncBatchNorm`
and their subclasses. The channels of all layers stand side by side in one row, layers in the order
of `named_modules`, a shared layer once, at its first name.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normexp.errors import UsageError
from normexp.nets.layout import Statistics

Forward = Callable[[nn.Module, Any], object]
"""Calls a model with a batch of a loader."""

WRAPPERS = ("_orig_mod", "module")
"""Attributes that hold the user's module: of `torch.compile`, and of data parallel and averaged."""


@dataclass(frozen=True)
class Layers:
    """The batch norms of a module that have running statistics.

    Attributes:
        modules: by name, without the prefixes of `torch.compile` and of DDP.
    """

    modules: Mapping[str, _BatchNorm]

    @property
    def sites(self) -> dict[str, int]:
        """Channels by layer: `sites` of `normexp.trained.Record`."""
        return {name: layer.num_features for name, layer in self.modules.items()}

    @property
    def spans(self) -> dict[str, slice]:
        """The place of every layer in the row of channels."""
        found, start = {}, 0
        for name, width in self.sites.items():
            found[name] = slice(start, start + width)
            start += width
        return found

    def read(self) -> Statistics:
        """Return a copy of the running statistics, two rows of [channels], float64 on the CPU."""
        return Statistics(self._row("running_mean"), self._row("running_var"))

    def write(self, statistics: Statistics) -> None:
        """Set the running statistics in place, each layer's in its own dtype and on its device."""
        with torch.no_grad():
            for name, span in self.spans.items():
                layer = self.modules[name]
                for buffer, row in zip(("running_mean", "running_var"), statistics, strict=True):
                    getattr(layer, buffer).copy_(row[span])

    def _row(self, buffer: str) -> torch.Tensor:
        parts = [getattr(layer, buffer).detach() for layer in self.modules.values()]
        return torch.cat([part.to("cpu", torch.float64) for part in parts])


def bare(model: nn.Module) -> nn.Module:
    """Return the user's module inside of `torch.compile` and data parallel wrappers."""
    wrapped = (nn.parallel.DistributedDataParallel, nn.DataParallel)
    while True:
        inner = model.module if isinstance(model, wrapped) else getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def batch_norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """Return all batch norms of a module by name, those without running statistics too."""
    found = {name: each for name, each in model.named_modules() if isinstance(each, _BatchNorm)}
    return {short: found[name] for name, short in shortened(found).items()}


def tracked(model: nn.Module) -> Layers:
    """Return the batch norms that have running statistics.

    Raises:
        UsageError: there is none, or it has yet to see its first batch (a lazy one).
    """
    norms = batch_norms(model)
    lazy = [
        name
        for name, each in norms.items()
        if isinstance(each.running_mean, nn.UninitializedBuffer)
    ]
    if lazy:
        raise UsageError(
            f"{lazy[0]} is a lazy batch norm that has not seen a batch yet",
            "call the model once, then try again",
        )
    layers = Layers({name: each for name, each in norms.items() if each.running_mean is not None})
    if not layers.modules:
        without = f"; {len(norms)} have track_running_stats=False" if norms else ""
        raise UsageError(
            f"{type(bare(model)).__name__} has no batch norm with running statistics{without}",
            "without them evaluation takes each batch's own, and no momentum matters",
        )
    return layers


def plain(name: str) -> str:
    """A module's name without the parts that wrappers add in front, or in between."""
    parts = name.split(".")
    while parts and parts[0] in WRAPPERS:
        del parts[0]
    return ".".join(part for part in parts if part != "_orig_mod")


def shortened(names: Iterable[str]) -> dict[str, str]:
    """Return plain names by whole ones; those that would be alike stay whole."""
    found = {name: plain(name) for name in names}
    alike = Counter(found.values())
    return {name: name if alike[short] > 1 else short for name, short in found.items()}


class TooFewError(Exception):
    """A batch has one value per channel, and so no variance."""


def require_two(norm: _BatchNorm, given: tuple[torch.Tensor, ...]) -> None:
    """Refuse a batch without variance: a hook of layers that take the batch's own."""
    takes_own = norm.training or norm.running_mean is None
    if takes_own and given[0].numel() == given[0].shape[1]:
        raise TooFewError


@contextmanager
def unchanged(model: nn.Module, loader: object = None) -> Iterator[None]:
    """Leave a model exactly as it was, to the bit, whatever is done with it inside.

    Put back are the mode of every module, all buffers, the momentum of batch norms, and the random
    numbers of PyTorch (CPU and the model's devices), NumPy, Python, and of the loader's own
    generators. Gradients are off inside; parameters are left to whoever changes them.
    """
    modes = [(each, each.training) for each in model.modules()]
    buffers = [(each, each.detach().clone()) for each in model.buffers()]
    momenta = [(each, each.momentum) for each in batch_norms(model).values()]
    generators = [(each, each.get_state()) for each in _generators(loader)]
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  the user's
    with _forked(model), torch.no_grad():
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
            for buffer, values in buffers:
                buffer.copy_(values)
            for norm, momentum in momenta:
                norm.momentum = momentum
            for generator, state in generators:
                generator.set_state(state)
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def _forked(model: nn.Module) -> Iterator[None]:
    """Put PyTorch's random numbers back, of the CPU and of the model's devices."""
    places = {each.device for each in (*model.parameters(), *model.buffers())}
    others = [place for place in places if place.type not in ("cpu", "meta")]
    kind = others[0].type if others else "cuda"
    with torch.random.fork_rng([place.index or 0 for place in others], device_type=kind):
        yield


def _generators(loader: object) -> list[torch.Generator]:
    """A data loader's own generators: an epoch drawn from them would move the training's."""
    batches = getattr(loader, "batch_sampler", None)
    holders = (loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None))
    found = {getattr(each, "generator", None) for each in holders}
    return [each for each in found if isinstance(each, torch.Generator)]


def call(model: nn.Module, batch: object) -> object:
    """Call a model with a batch as loaders give it, moved to the model's device.

    A tensor is the input; of a tuple or list the first entry is, the rest are targets; a mapping
    holds keyword arguments, as Hugging Face's models take them.
    """
    place = next((each.device for each in model.parameters()), torch.device("cpu"))

    def moved(value: object) -> object:
        return value.to(place) if isinstance(value, torch.Tensor) else value

    if isinstance(batch, Mapping):
        return model(**{name: moved(value) for name, value in batch.items()})
    return model(moved(batch[0] if isinstance(batch, (tuple, list)) else batch))
