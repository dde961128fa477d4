"""What a stack needs of memory at the very least, and what there is, before anything is drawn."""

import os
from collections.abc import Sequence
from math import prod
from pathlib import Path

from normexp.config.batches import train_size
from normexp.config.executor import Local
from normexp.config.model import Lenet
from normexp.config.optim import Sgd
from normexp.config.schema import RunConfig
from normexp.errors import UsageError
from normexp.models.structure import structure
from normexp.sweeps.cost import record_bytes

LARGEST_NODE = 2**44
"""Bytes; for machines that the plan does not know."""

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much of the machine a container has."""


def refuse_too_large(configs: Sequence[RunConfig], lanes: int) -> None:
    """Refuse a stack of one network a configuration that cannot fit, whatever is done.

    Args:
        configs: of one structure.
        lanes: what the number of networks is filled up to a multiple of.

    Raises:
        UsageError: with what is needed, what there is, and what to make smaller.
    """
    there, where = _there(configs[0])
    needed = _needed(configs, lanes)
    if (total := sum(needed.values())) <= there:
        return
    count = range(len(configs) - 1, 0, -1)
    fits = (number for number in count if sum(_needed(configs[:number], lanes).values()) <= there)
    fewer = next(fits, None)
    largest = max(needed, key=lambda part: needed[part])
    smaller = next((part for part, size in needed.items() if size > there), largest)
    several = f"{len(configs)} trainings side by side need" if configs[1:] else "a training needs"
    raise UsageError(
        f"{several} at least {_gigabytes(total)} of memory; {where} {_gigabytes(there)}",
        f"type executor.stack_size={fewer}" if fewer else f"type {smaller}",
    )


def _needed(configs: Sequence[RunConfig], lanes: int) -> dict[str, int]:
    """Bytes that are held at one time, by what to type to have fewer."""
    config, parts = configs[0], structure(configs[0])
    number = 8 if config.train.dtype == "float64" else 4
    networks = -(-len(configs) // lanes) * lanes
    parameters = sum(prod(shape) for shape in parts.parameters.values())
    vectors = 5 if isinstance(config.optim, Sgd) else 6  # weights, gradient, rates, moments, room
    batch = min(config.train.batch_size, train_size(config))
    examples = train_size(config) + (getattr(config.data, "test_size", None) or 0)
    sets = len({(one.data, one.seed) for one in configs})
    size = "units1" if isinstance(config.model, Lenet) else "width"
    steps = "fewer train.epochs, a larger train.batch_size or a smaller data.train_size"
    return {
        f"a smaller model.{size}": networks * parameters * vectors * number,
        "a smaller train.batch_size": networks * batch * parts.activations * number,
        "a smaller data.train_size or data.test_size": (
            sets * examples * prod(config.data.shape) * number
        ),
        steps: len(configs) * record_bytes(config),
    }


def _there(config: RunConfig) -> tuple[int, str]:
    """Bytes of memory, and the words before them."""
    if not isinstance(config.executor, Local) or config.executor.device != "cpu":
        return LARGEST_NODE, "no node has more than"
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [Path(limit).read_text().strip() for limit in LIMITS if Path(limit).is_file()]
    return min([machine, *(int(each) for each in limits if each.isdigit())]), "this machine has"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
