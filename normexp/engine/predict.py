"""Predictions in evaluation mode, as many examples at a time as memory and cache like."""

from collections.abc import Callable, Iterator

import torch

from normexp.config.batches import train_size
from normexp.config.norm import BatchKind
from normexp.config.schema import RunConfig
from normexp.models.structure import is_convolutional, lanes, widest

CACHEFUL = 2**22
"""Bytes of the largest layer of the images that are worked on at a time.

ResNet-20 on 32×32 images, one core: 1.0 ms an image by 64, 3.1 by 2,048.
"""

MOST_BYTES = 2**28
"""Memory for the largest layer of what is worked on as one batch."""

FEWEST_EXAMPLES = 1024
"""Examples that are taken as one batch whatever their memory."""

Give = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Gives the x and y of the examples with these numbers."""

Forward = Callable[[torch.Tensor], torch.Tensor]
"""Predictions for x."""


def predict(
    config: RunConfig, forward: Forward, give: Give, examples: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions [models, outputs, examples], and y.

    Examples go some at a time. How many depends on the configuration alone, and so do the bits.

    Args:
        config: of any of the networks.
        forward: to predictions; no example's may depend on another.
        give: the examples.
        examples: how many there are.
    """
    predictions, answers = [], []
    for chosen in pieces(config, examples):
        x, y = give(chosen)
        predictions.append(forward(x))
        answers.append(y)
    return torch.cat(predictions, -1), torch.cat(answers, -1)


def pieces(config: RunConfig, examples: int) -> Iterator[torch.Tensor]:
    """The numbers of all examples, as many at a time as memory and cache like."""
    size = _together(config)
    for start in range(0, examples, size):
        yield torch.arange(start, min(start + size, examples))


def as_one_batch(config: RunConfig, there: int) -> torch.Tensor:
    """The numbers of the examples that are taken as one batch: all, or as many as memory allows.

    Evenly spaced, and never fewer than 1,024; Wu & Johnson (2021), "Rethinking Batch in BatchNorm",
    find 1,000 to 10,000 enough for population statistics.
    """
    fits = max(FEWEST_EXAMPLES, MOST_BYTES // _bytes(config))
    return torch.arange(there) if there <= fits else torch.arange(fits) * there // fits


def population_examples(config: RunConfig) -> int:
    """Training examples behind the population statistics, and the losses that go with them."""
    there = train_size(config)
    return len(as_one_batch(config, there)) if isinstance(config.norm, BatchKind) else there


def _together(config: RunConfig) -> int:
    """Examples of a piece."""
    return max(1, (CACHEFUL if is_convolutional(config) else MOST_BYTES) // _bytes(config))


def _bytes(config: RunConfig) -> int:
    """Of one example at the input or the layer where it is largest, for a cacheful of networks."""
    dtype: torch.dtype = getattr(torch, config.train.dtype)
    return widest(config) * dtype.itemsize * lanes(config)
