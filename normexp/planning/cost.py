"""What a stack will cost: a rough prediction in seconds and bytes, before anything runs."""

from normexp.config.rules import steps_per_epoch
from normexp.config.schema import RunConfig

SECONDS_PER_LAYER_STEP = 130e-6
"""Calling the operations of one layer forward and back, whatever the number of networks."""

SECONDS_PER_ELEMENT_STEP = 10e-9
"""One activation of one network through one training step."""

SECONDS_PER_ELEMENT_POINT = 6e-9
"""One activation of one network over one training example at an evaluation point."""

SECONDS_PER_RUN = 4e-3
"""Observing one run at its evaluation points and writing its directory."""

WIDTH_OF_CACHED_ARITHMETIC = 60
"""Units beyond which a layer's matrix product outweighs its element-wise operations."""

SHARE_OF_A_WORKER = 0.7
"""What a worker does beside another of what it does alone: they share the interpreter."""


def steps(config: RunConfig) -> int:
    """Optimizer steps of one training."""
    return config.train.epochs * steps_per_epoch(config)


def training_seconds(config: RunConfig, networks: int) -> float:
    """About how long one thread trains a stack of so many networks and evaluates it.

    Within a factor of 1.5 of what six studies of widths 10 to 300 took on an AMD EPYC.
    """
    units = config.model.width * config.model.depth
    arithmetic = 1 + config.model.width / WIDTH_OF_CACHED_ARITHMETIC
    a_step = config.train.batch_size * units * SECONDS_PER_ELEMENT_STEP * arithmetic
    a_point = config.data.train_size * units * SECONDS_PER_ELEMENT_POINT * arithmetic
    calls = steps(config) * config.model.depth * SECONDS_PER_LAYER_STEP
    return calls + networks * (steps(config) * a_step + (config.train.epochs + 1) * a_point)


def record_bytes(config: RunConfig) -> int:
    """How much one trajectory holds in memory: batch statistics and weights."""
    width, depth = config.model.width, config.model.depth
    parameters = (width + 5) * width * depth
    statistics = 1 if config.norm.kind == "none" else 2 * (1 + width * depth)
    numbers = steps(config) * statistics + (config.train.epochs + 1) * parameters
    return numbers * (8 if config.train.dtype == "float64" else 4)
