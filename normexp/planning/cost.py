"""What a stack will cost: a rough prediction in seconds and bytes, before anything runs."""

from math import prod

from normexp.config.batches import part_sizes, total_steps, train_size
from normexp.config.norm import BatchKind
from normexp.config.schema import RunConfig
from normexp.models.structure import structure

SECONDS_PER_LAYER_STEP = 130e-6
"""Calling the operations of one layer forward and back, whatever the number of networks."""

SECONDS_PER_ELEMENT_STEP = 10e-9
"""One activation of one network through one training step."""

SECONDS_PER_ELEMENT_POINT = 6e-9
"""One activation of one network over one training example at an evaluation point."""

SECONDS_PER_RUN = 4e-3
"""Observing one run at its evaluation points and writing its directory."""

PRODUCTS_OF_AN_ELEMENT = 60
"""Multiplications behind an activation beyond which they outweigh element-wise operations."""

SHARE_OF_A_WORKER = 0.7
"""What a worker does beside another of what it does alone: they share the interpreter."""


def training_seconds(config: RunConfig, networks: int) -> float:
    """About how long one thread trains a stack of so many networks and evaluates it.

    Within a factor of 1.5 of what six studies of widths 10 to 300 took on an AMD EPYC.
    """
    parts, steps = structure(config), total_steps(config)
    elements = max(1, parts.activations)
    arithmetic = elements + parts.multiplications / PRODUCTS_OF_AN_ELEMENT
    a_step = config.train.batch_size * arithmetic * SECONDS_PER_ELEMENT_STEP
    a_point = train_size(config) * arithmetic * SECONDS_PER_ELEMENT_POINT
    calls = steps * len(parts.layers) * SECONDS_PER_LAYER_STEP
    return calls + networks * (steps * a_step + (config.train.epochs + 1) * a_point)


def record_bytes(config: RunConfig) -> int:
    """How much one trajectory holds in memory: batch statistics and weights."""
    parts, steps = structure(config), total_steps(config)
    parameters = sum(prod(shape) for shape in parts.parameters.values())
    channels = sum(site.channels for site in parts.sites.values())
    updates = steps * len(part_sizes(config, config.train.batch_size))
    statistics = 2 * channels * updates if isinstance(config.norm, BatchKind) else 0
    points = (config.train.epochs + 1) * (parameters + 4 * channels)
    return (steps + statistics + points) * (8 if config.train.dtype == "float64" else 4)
