"""Running statistics of a finished model, taken anew from its data."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from torch import distributed, nn

from normexp.nets.layout import Statistics
from normexp.own.layers import Forward, Layers, bare, tracked, unchanged
from normexp.own.population import pooled, together


@dataclass(frozen=True)
class Recalibrated:
    """Running statistics that were put into a model, and those that they replaced.

    Attributes:
        layers: of the model.
        before: two rows of [channels].
        after: two rows of [channels].
    """

    layers: Layers
    before: Statistics
    after: Statistics

    def undo(self) -> None:
        """Put the statistics back that were there before, to the bit."""
        self.layers.write(self.before)


def recalibrate(
    model: nn.Module,
    loader: Iterable[object],
    *,
    forward_fn: Forward | None = None,
    batches: int | None = None,
) -> Recalibrated:
    """Take the running statistics of a model anew from data, at fixed weights.

    PreciseBN: batches pass in training mode, and each layer gets the mean and the unbiased variance
    of all values that have come to it, pooled exactly (`normexp.own.population`). fvcore's
    `update_bn_stats` gives the same mean, and (N − 1)/N of the variance. Under `torch.distributed`
    every process gives its own batches, all must call, and all end with the same statistics. Modes,
    momenta, counts of batches and random numbers are left as they were.

    Args:
        model: compiled, data parallel or plain; `forward_fn` gets the module inside. Layers that
            are frozen, in evaluation mode of a model in training mode, keep theirs.
        loader: of tensors, of tuples whose first is the input, or of mappings of arguments.
        forward_fn: how the model is called with a batch, if otherwise.
        batches: as many at most; default: all.

    Returns:
        A handle: `undo()` puts the old statistics back.

    Raises:
        UsageError: no batch norm has running statistics, or there was no batch.
    """
    inner = bare(model)
    layers = tracked(inner)
    with unchanged(inner, loader):
        parts = [pooled(inner, islice(loader, batches), forward_fn)]
    if distributed.is_available() and distributed.is_initialized():
        own, parts = parts[0], parts * distributed.get_world_size()
        distributed.all_gather_object(parts, own)
    before, found = layers.read(), together(layers, parts)
    layers.write(found)
    return Recalibrated(layers, before, found)
