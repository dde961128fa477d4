"""Two states of one model: which running statistics moved between them, and which weights."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from normexp.errors import UsageError
from normexp.own.norms import Layer, Source
from normexp.own.rules import EPS, Found


@dataclass(frozen=True)
class Move:
    """The running statistics of a batch norm in two states."""

    layer: str
    mean: float  # RMS over channels of the means' difference, in standard deviations of the first
    variance: float  # the second by the first, median over channels
    batches: float  # counted in between; NaN: they were not
    is_moved: bool


@dataclass(frozen=True)
class Moves:
    """Batch norms and weights in two states."""

    layers: list[Move]
    weights: int  # tensors that both have
    weights_moved: int


def compare(first: Source, second: Source) -> tuple[Moves, list[tuple[str, Found]]]:
    """Return what has moved, and what that says of layers.

    Raises:
        UsageError: no layer has running statistics in both.
    """
    moved = {
        name: not _is_equal(value, second.weights[name])
        for name, value in first.weights.items()
        if name in second.weights and second.weights[name].shape == value.shape
    }
    moves: list[Move] = []
    found: list[tuple[str, Found]] = []
    later = {layer.name: layer for layer in second.layers}
    for old in first.layers:
        new = later.get(old.name)
        if old.statistics is None:
            continue
        if new is None or new.statistics is None:
            found.append((old.name, ("fault", "gone", 0, "none in the second file")))
        elif new.parts["running_var"].shape == old.parts["running_var"].shape:
            move, is_any = _move(old, new), any(moved.values())
            moves.append(move)
            if not new.is_untouched:
                is_own = moved.get(f"{old.name}.weight", is_any)
                found += [(old.name, each) for each in _told(move, is_own=is_own, is_any=is_any)]
    if not moves:
        raise UsageError(
            f"{first.name} and {second.name} have no batch norm of one name and size in common",
            "give two states of one model",
        )
    return Moves(moves, len(moved), sum(moved.values())), found


def _move(old: Layer, new: Layer) -> Move:
    (mean, var), (mean_now, var_now) = (
        (each.parts["running_mean"], each.parts["running_var"]) for each in (old, new)
    )
    dtype = new.dtype or torch.float64
    return Move(
        old.name,
        mean=((mean_now - mean) ** 2 / (var + EPS)).mean().sqrt().item(),
        variance=((var_now + EPS) / (var + EPS)).median().item(),
        batches=new.batches - old.batches,
        is_moved=not (_is_equal(mean, mean_now.to(dtype)) and _is_equal(var, var_now.to(dtype))),
    )


def _told(move: Move, *, is_own: bool, is_any: bool) -> Iterator[Found]:
    """Judge what has moved alone: statistics, counts, or the layer's own weights."""
    if move.is_moved and not is_any:
        yield "note", "recomputed", move.mean, f"mean moved by {move.mean:.2g} σ, no weight moved"
    elif not move.is_moved and move.batches > 0:
        words = f"{move.batches:,.0f} more batches, the very same statistics"
        yield "fault", "stuck", move.batches, words
    elif not move.is_moved and is_own:
        yield "note", "left_behind", 0, "weights moved, statistics did not"


def _is_equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether values are equal, once rounded to the second's precision."""
    return torch.equal(one.to(other.dtype), other)
