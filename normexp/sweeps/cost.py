"""The cost of a stack in seconds and bytes, roughly, before anything runs, and so its size."""

import math
import os
from collections.abc import Sequence
from math import prod
from pathlib import Path

from normexp.config.network import Sgd
from normexp.config.norm import BatchKind
from normexp.config.schema import (
    Executor,
    Local,
    RunConfig,
    number_of_parts,
    total_steps,
    train_size,
)
from normexp.errors import UsageError
from normexp.nets.models import is_compiled, is_convolutional, stands_alone, structure

SECONDS_PER_LAYER_STEP = {True: 1.2e-6, False: 380e-6}
"""One layer of one network forward and back, whatever its size.

Of compiled networks, and of others.
"""

SECONDS_PER_ELEMENT_STEP = {True: 2.3e-9, False: 10e-9}
"""One activation of one network through one training step."""

SECONDS_PER_PARAMETER_STEP = 9e-9
"""One parameter of one network moved by the optimizer, and drawn and kept beside it."""

SECONDS_PER_ELEMENT_POINT = {True: 1.2e-9, False: 6e-9}
"""One activation of one network over one training example at an evaluation point."""

SECONDS_PER_RUN = 4e-3
"""Observing one run at its evaluation points and writing its directory."""

SECONDS_PER_STEP_OBSERVED = 7e-5
"""One step of all running statistics of a stack together, of small networks."""

PRODUCTS_OF_AN_ELEMENT = {True: 8, False: 120}
"""Multiplications behind an activation that take as long as its element-wise operations."""

SHARE_OF_A_WORKER = {False: 0.7, True: 0.95}
"""Speed of a worker beside others, relative to one alone: threads share the interpreter.

Of threads, and of processes.
"""

MOST_NETWORKS = 512
"""Networks of a stack unless the user says otherwise."""

WORTH_SECONDS = 0.5
"""Of training, for which another worker gets a stack of its own."""

MOST_RECORD_BYTES = 2**29
"""Memory for the trajectories of one stack."""

BYTES_OF_A_RUN, BYTES_OF_A_CHANNEL = 22_000, 10
"""On disk: of its files, and of one channel in a row of running statistics, compressed."""

LARGEST_NODE = 2**44
"""Bytes; for machines that the plan does not know."""

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Linux files with the memory of a container."""


def training_seconds(config: RunConfig, networks: int) -> float:
    """About how long one thread trains a stack of so many networks and evaluates it.

    Within a factor of 2 of what perceptrons of widths 10 to 1000 took on an AMD EPYC, and LeNet and
    ResNet-20 on digits at batch sizes from 2 to 256.
    """
    compiled, steps, points = is_compiled(config), total_steps(config), config.train.epochs + 1
    a_step = config.train.batch_size * _arithmetic(config) * SECONDS_PER_ELEMENT_STEP[compiled]
    examples = train_size(config) + 2 * (getattr(config.data, "test_size", None) or 0)
    a_point = examples * _arithmetic(config) * SECONDS_PER_ELEMENT_POINT[compiled]
    parts = structure(config)
    a_step += len(parts.layers) * SECONDS_PER_LAYER_STEP[compiled]
    a_step += sum(map(prod, parts.parameters.values())) * SECONDS_PER_PARAMETER_STEP
    return networks * (steps * a_step + points * a_point)


def observing_seconds(config: RunConfig, runs: int) -> float:
    """About how long the runs of a stack take to be observed and stored."""
    steps = total_steps(config) if isinstance(config.norm, BatchKind) else 0
    return steps * SECONDS_PER_STEP_OBSERVED + runs * _run_seconds(config)


def _run_seconds(config: RunConfig) -> float:
    """Networks with convolutions are tested one by one, so their evaluation counts."""
    if not is_convolutional(config):
        return SECONDS_PER_RUN
    compiled = is_compiled(config)
    calls = len(structure(config).layers) * SECONDS_PER_LAYER_STEP[compiled]
    tests = getattr(config.data, "test_size", None) or train_size(config)
    a_point = calls + tests * _arithmetic(config) * SECONDS_PER_ELEMENT_POINT[compiled]
    return SECONDS_PER_RUN + (config.train.epochs + 1) * a_point


def _arithmetic(config: RunConfig) -> float:
    """Work of one example's way through a network, in element-wise operations."""
    parts = structure(config)
    products = PRODUCTS_OF_AN_ELEMENT[is_compiled(config)]
    return parts.activations + parts.multiplications / products


def record_bytes(config: RunConfig) -> int:
    """Bytes of one trajectory in memory: batch statistics and weights."""
    parts, steps = structure(config), total_steps(config)
    parameters = sum(prod(shape) for shape in parts.parameters.values())
    channels = sum(site.channels for site in parts.sites.values())
    updates = steps * number_of_parts(config, config.train.batch_size)
    statistics = 2 * channels * updates if isinstance(config.norm, BatchKind) else 0
    points = (config.train.epochs + 1) * (parameters + 4 * channels)
    return (steps + statistics + points) * (8 if config.train.dtype == "float64" else 4)


def observing_bytes(config: RunConfig) -> int:
    """About the bytes of one run's directory."""
    channels = sum(site.channels for site in structure(config).sites.values())
    rows = config.train.epochs + 1 + total_steps(config) // config.log.every
    has_statistics = isinstance(config.norm, BatchKind)
    return BYTES_OF_A_RUN + BYTES_OF_A_CHANNEL * channels * rows * has_statistics


def stack_bytes(configs: Sequence[RunConfig]) -> int:
    """About the memory that a stack of these needs."""
    return sum(_needed(configs).values())


def stack_size(config: RunConfig, members: int, executor: Executor, workers: int) -> int:
    """Networks of a stack: as many in each, in as few stacks as memory and workers allow."""
    if stands_alone(config):
        return 1
    fits = MOST_RECORD_BYTES // record_bytes(config)
    most = min(executor.stack_size or MOST_NETWORKS, max(1, fits))
    needed = math.ceil(members / most)
    even = math.ceil(needed / workers) * workers
    worth = int(training_seconds(config, members) / WORTH_SECONDS)
    return math.ceil(members / max(needed, min(even, members, worth)))


def refuse_too_large(configs: Sequence[RunConfig]) -> None:
    """Refuse a stack of one network a configuration that cannot fit, whatever is done.

    Raises:
        UsageError: with what is needed, what there is, and what to make smaller.
    """
    there, where = _there(configs[0])
    needed = _needed(configs)
    if (total := sum(needed.values())) <= there:
        return
    count = range(len(configs) - 1, 0, -1)
    fits = (number for number in count if stack_bytes(configs[:number]) <= there)
    fewer = next(fits, None)
    largest = max(needed, key=lambda part: needed[part])
    smaller = next((part for part, size in needed.items() if size > there), largest)
    several = f"{len(configs)} trainings side by side need" if configs[1:] else "a training needs"
    raise UsageError(
        f"{several} at least {_gigabytes(total)} of memory; {where} {_gigabytes(there)}",
        f"type executor.stack_size={fewer}" if fewer else f"type {smaller}",
    )


def _needed(configs: Sequence[RunConfig]) -> dict[str, int]:
    """Bytes that are held at one time, by what to type to have fewer."""
    config, parts = configs[0], structure(configs[0])
    number = 8 if config.train.dtype == "float64" else 4
    parameters = sum(prod(shape) for shape in parts.parameters.values())
    vectors = 5 if isinstance(config.optim, Sgd) else 6  # weights, gradient, rates, moments, room
    batch = min(config.train.batch_size, train_size(config))
    examples = train_size(config) + (getattr(config.data, "test_size", None) or 0)
    sets = len({(one.data, one.seed) for one in configs})
    fields = {"lenet": "model.units1", "own": "network in model.source"}
    size = fields.get(config.model.kind, "model.width")
    steps = "fewer train.epochs, a larger train.batch_size or a smaller data.train_size"
    return {
        f"a smaller {size}": len(configs) * parameters * vectors * number,
        "a smaller train.batch_size": len(configs) * batch * parts.activations * number,
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
