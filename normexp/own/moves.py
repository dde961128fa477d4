"""Two states of one model: which running statistics moved between them, and which weights."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from normexp.errors import UsageError
from normexp.nets.layout import Statistics
from normexp.own.checkpoint import State
from normexp.own.norms import Layer, Source
from normexp.own.rules import EPS, Found


@dataclass(frozen=True)
class Move:
    """A batch norm in two states, the second less the first.

    Attributes:
        layer: its name.
        mean: RMS over channels of the means' difference, in standard deviations of the first.
        variance: the median over channels of the second variance by the first.
        batches: more counted; None: not counted in both.
        is_affine_moved: its scale or shift differs; None: it has none.
        is_moved: its statistics differ.
    """

    layer: str
    mean: float
    variance: float
    batches: float | None
    is_affine_moved: bool | None
    is_moved: bool


def compare(
    first: Source, second: Source
) -> tuple[list[Move], list[tuple[str, Found]], tuple[int, int]]:
    """Return moves by layer, what they say, and the numbers of common and of moved weights.

    Raises:
        UsageError: no layer has running statistics in both.
    """
    new = {layer.name: layer for layer in second.layers}
    common = [name for name, value in first.weights.items() if _has(second.weights, name, value)]
    moved = {name for name in common if not _equal(first.weights[name], second.weights[name])}
    moves, found = [], []
    for old in first.layers:
        now = new[old.name].statistics if old.name in new else None
        if old.statistics is None:
            continue
        if now is None:
            words = f"{len(old.statistics.mean):,} channels in the first file only"
            found.append((old.name, Found("fault", "gone", len(old.statistics.mean), words)))
        elif now.mean.shape == old.statistics.mean.shape:
            own = {f"{old.name}.{part}" for part in ("weight", "bias")} & set(common)
            is_affine_moved = bool(own & moved) if own else None
            move = _move(old, new[old.name], old.statistics, now, is_affine_moved=is_affine_moved)
            moves.append(move)
            told = [] if new[old.name].is_untouched else _told(move, are_weights_moved=bool(moved))
            found += [(old.name, each) for each in told]
    if not moves:
        raise UsageError(
            f"{first.name} and {second.name} have no batch norm of one name and size in common",
            "give two states of one model",
        )
    return moves, found, (len(common), len(moved))


def _move(
    old: Layer, new: Layer, before: Statistics, now: Statistics, *, is_affine_moved: bool | None
) -> Move:
    dtype = new.dtype or torch.float64  # what is equal after rounding has not moved
    is_counted = old.count is not None and new.count is not None
    return Move(
        layer=old.name,
        mean=((now.mean - before.mean) ** 2 / (before.var + EPS)).mean().sqrt().item(),
        variance=((now.var + EPS) / (before.var + EPS)).median().item(),
        batches=(new.count or 0) - (old.count or 0) if is_counted else None,
        is_affine_moved=is_affine_moved,
        is_moved=any(
            not _equal(one.to(dtype), other.to(dtype))
            for one, other in zip(before, now, strict=True)
        ),
    )


def _told(move: Move, *, are_weights_moved: bool) -> Iterator[Found]:
    """Judge what has moved alone."""
    is_affine_moved = are_weights_moved if move.is_affine_moved is None else move.is_affine_moved
    if move.is_moved and not are_weights_moved:
        words = f"mean moved by {move.mean:.2g} σ, no weight moved"
        yield Found("note", "recomputed", move.mean, words)
    elif not move.is_moved and move.batches and move.batches > 0:
        words = f"{move.batches:,.0f} more batches, the very same statistics"
        yield Found("fault", "stuck", move.batches, words)
    elif not move.is_moved and is_affine_moved:
        yield Found("note", "left_behind", 0, "weights moved, statistics did not")


def _has(weights: State, name: str, value: torch.Tensor) -> bool:
    return name in weights and weights[name].shape == value.shape


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Return whether values are equal, once rounded to the second's precision."""
    return torch.equal(one.detach().cpu().to(other.dtype), other.detach().cpu())
