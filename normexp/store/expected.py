"""What a configuration says of the files that it leaves: their rows, shapes and texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm
from typing import Any

from normexp.config.batches import last_batch, steps_per_epoch, total_steps
from normexp.config.field import Role, specs
from normexp.config.norm import BatchKind, GhostNorm
from normexp.config.schema import KINDS, OUTSIDE, PLACES, SECTIONS, RunConfig
from normexp.config.tree import field_specs, flatten, flatten_section, from_tree, nest
from normexp.errors import NormexpError
from normexp.nets.structure import parameter_shapes, structure
from normexp.store.texts import config_yaml

DEEPEST = 10_000
"""Layers of a model that anyone has trained; a stranger's number may be without end."""


@dataclass(frozen=True)
class Expected:
    """What the files of a run or of its trajectory have.

    Attributes:
        rows: of every table, by name.
        weights: shapes by name, evaluation points leading.
        has_parts: whether a batch is normalised in parts.
    """

    rows: dict[str, int]
    weights: dict[str, tuple[int, ...]]
    has_parts: bool


def understood(tree: Mapping[str, Any]) -> RunConfig:
    """The configuration of a stored tree, in which any plain values may stand.

    Raises:
        NormexpError: it is none, or not one of a run.
    """
    if not all(isinstance(tree.get(name, {}), Mapping) for name in (*KINDS, *SECTIONS)):
        raise NormexpError("its configuration is not one of a run")
    config = from_tree(tree)
    sizes = (config.data.train_size, getattr(config.data, "test_size", 0))
    if None in sizes or getattr(config.model, "depth", 0) > DEEPEST:
        raise NormexpError("its configuration is not one of a run")
    return config


def expected(config: RunConfig, log_every: int = 1) -> Expected:
    """What a run of this configuration, and its trajectory, have on disk.

    Raises:
        NormexpError: there is no such run.
    """
    try:
        return _expected(config, log_every)
    except (ArithmeticError, AssertionError, LookupError, ValueError, MemoryError) as error:
        raise NormexpError("its configuration is not one of a run") from error


def kept(config: RunConfig) -> dict[str, Any]:
    """What a run keeps of its configuration, by dotted names: what it is, not where."""
    flat: dict[str, Any] = {}
    for name in (*KINDS, *SECTIONS):
        if name not in OUTSIDE:
            flat |= flatten_section(name, getattr(config, name))
    flat |= {name: getattr(config, name) for name in specs(RunConfig)}
    return {path: value for path, value in flat.items() if path not in PLACES}


def weights_yaml(config: RunConfig, of_its_time: Mapping[str, Any] | None = None) -> bytes:
    """Only what the weights depend on: it is the same whichever run came first.

    Args:
        config: of a run.
        of_its_time: the tree that it was read from; neutral fields that this lacks are left out.
    """
    flat = flatten(config)
    rules = {path: spec.rule for path, spec in field_specs(nest(flat)).items()}
    weights = {p: v for p, v in flat.items() if rules[p].role in (Role.STRUCTURAL, Role.STACKABLE)}
    if of_its_time is not None:
        for path in [p for p, value in weights.items() if value == rules[p].neutral]:
            section, _, field = path.rpartition(".")
            if field not in of_its_time.get(section, {}):
                del weights[path]
    return config_yaml(nest(weights))


def _expected(config: RunConfig, log_every: int) -> Expected:
    found = structure(config)
    points, steps = config.train.epochs + 1, total_steps(config)
    tracked = found.sites if isinstance(config.norm, BatchKind) else {}
    channels = sum(site.channels for site in tracked.values())
    updates, has_parts = _updates(config)
    rows = {
        "metrics": points,
        "stats": _logged(config, log_every) * channels,
        "layers": points * len(tracked),
        "batch_stats": updates * channels,
        "steps": steps,
        "points": points,
        "population": points * channels,
    }
    weights = {name: (points, *shape) for name, shape in parameter_shapes(config).items()}
    return Expected(rows, weights, has_parts and channels > 0)


def _updates(config: RunConfig) -> tuple[int, bool]:
    """Updates of the running statistics, and whether a step has more than one."""
    full, last = config.train.batch_size, last_batch(config)
    size = config.norm.size if isinstance(config.norm, GhostNorm) else max(full, last)
    parts = [-(-batch // size) for batch in (full, last)]
    whole = steps_per_epoch(config) - 1
    return (whole * parts[0] + parts[1]) * config.train.epochs, max(parts[bool(not whole) :]) > 1


def _logged(config: RunConfig, every: int) -> int:
    """Steps from 0 that are multiples of `every` or end an epoch."""
    steps, per_epoch = total_steps(config), steps_per_epoch(config)
    both = steps // lcm(every, per_epoch)
    return steps // every + steps // per_epoch - both + 1
