"""A stack's parameters as one flat vector, for an optimizer of few and long operations."""

from collections.abc import Mapping, Sequence
from math import prod

import torch


class Packing:
    """Where each parameter of each network stands in the flat vector.

    One block a parameter, all networks in it, so that the view of a block is contiguous.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], models: int) -> None:
        self._shapes = dict(shapes)
        self._models = models
        self._lengths = [models * prod(shape) for shape in self._shapes.values()]

    def pack(self, networks: Sequence[Mapping[str, torch.Tensor]]) -> torch.Tensor:
        """The flat vector [numbers] of one parameter mapping a network."""
        blocks = [torch.stack([network[name] for network in networks]) for name in self._shapes]
        return torch.cat([block.reshape(-1) for block in blocks])

    def spread(self, values: torch.Tensor) -> torch.Tensor:
        """One value a network [models], repeated for each of its numbers [numbers]."""
        repeats = [length // self._models for length in self._lengths]
        return torch.cat([values.repeat_interleave(count) for count in repeats])

    def views(self, flat: torch.Tensor) -> dict[str, torch.Tensor]:
        """The parameters by name, each [models, *shape], sharing memory with the vector."""
        blocks = torch.split(flat, self._lengths)
        return {
            name: block.view(self._models, *shape)
            for (name, shape), block in zip(self._shapes.items(), blocks, strict=True)
        }
