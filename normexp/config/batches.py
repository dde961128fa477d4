"""How a training is divided: epochs into steps, batches into the parts that are normalised."""

from normexp.config.norm import GhostNorm
from normexp.config.schema import RunConfig


def last_batch(config: RunConfig) -> int:
    """The size of an epoch's last batch."""
    rest = train_size(config) % config.train.batch_size
    return rest if rest and not config.train.drop_last else config.train.batch_size


def steps_per_epoch(config: RunConfig) -> int:
    """Batches of an epoch."""
    full, rest = divmod(train_size(config), config.train.batch_size)
    return full + bool(rest and not config.train.drop_last)


def total_steps(config: RunConfig) -> int:
    """Optimizer steps of a training."""
    return config.train.epochs * steps_per_epoch(config)


def batch_sizes(config: RunConfig) -> list[int]:
    """The sizes of an epoch's batches, in order."""
    return [config.train.batch_size] * (steps_per_epoch(config) - 1) + [last_batch(config)]


def kinds_of_batch(config: RunConfig) -> set[int]:
    """The different sizes of an epoch's batches, however many there are."""
    full = {config.train.batch_size} if steps_per_epoch(config) > 1 else set()
    return full | {last_batch(config)}


def number_of_parts(config: RunConfig, batch: int) -> int:
    """How many parts of a batch are normalised, each by itself."""
    return -(-batch // config.norm.size) if isinstance(config.norm, GhostNorm) else 1


def smallest_part(config: RunConfig) -> int:
    """The fewest examples of the training that are normalised together."""
    kinds = kinds_of_batch(config)
    if not isinstance(config.norm, GhostNorm):
        return min(kinds)
    return min(batch % config.norm.size or config.norm.size for batch in kinds)


def part_sizes(config: RunConfig, batch: int) -> list[int]:
    """The examples of a batch that are normalised together: virtual batches, or all of it."""
    if not isinstance(config.norm, GhostNorm):
        return [batch]
    full, rest = divmod(batch, config.norm.size)
    return [config.norm.size] * full + [rest] * bool(rest)


def train_size(config: RunConfig) -> int:
    """Training examples."""
    size = config.data.train_size
    assert size is not None, "data=arrays is settled from its file before it is used"  # noqa: S101
    return size
