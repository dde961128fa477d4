"""What single fields cannot say: combinations that make no sense, each refused with its reason."""

from normexp.config.schema import RunConfig
from normexp.errors import UsageError

NORMS_OVER_THE_BATCH = ("batch",)


def check(config: RunConfig) -> None:
    """Refuse a configuration that could not train.

    Raises:
        UsageError: the fields that do not go together, and what to type instead.
    """
    size, batch = config.data.train_size, config.train.batch_size
    if config.data.low >= config.data.high:
        raise UsageError(
            f"data.low={config.data.low:g} is not below data.high={config.data.high:g}",
            "type data.low=-7 data.high=10",
        )
    if config.train.drop_last and batch > size:
        raise UsageError(
            f"train.drop_last=true leaves no batch: train.batch_size={batch} is larger than "
            f"data.train_size={size}",
            f"type train.batch_size={size}",
        )
    if config.norm.kind in NORMS_OVER_THE_BATCH and 1 in (batch, last_batch(config)):
        raise UsageError(
            f"norm={config.norm.kind} cannot normalise a batch of one: data.train_size={size} in "
            f"batches of train.batch_size={batch} leaves such a batch",
            "type train.drop_last=true or another train.batch_size"
            if batch > 1
            else "type train.batch_size=2 or more",
        )


def last_batch(config: RunConfig) -> int:
    """The size of an epoch's last batch."""
    rest = config.data.train_size % config.train.batch_size
    return rest if rest and not config.train.drop_last else config.train.batch_size


def steps_per_epoch(config: RunConfig) -> int:
    """Batches of an epoch."""
    full, rest = divmod(config.data.train_size, config.train.batch_size)
    return full + bool(rest and not config.train.drop_last)


def batch_sizes(config: RunConfig) -> list[int]:
    """The sizes of an epoch's batches, in order."""
    return [config.train.batch_size] * (steps_per_epoch(config) - 1) + [last_batch(config)]
