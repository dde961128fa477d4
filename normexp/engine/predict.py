"""Predictions in evaluation mode, some examples at a time, and what they come to."""

from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, NamedTuple

import torch

from normexp.config.norm import BatchKind
from normexp.config.schema import RunConfig, train_size
from normexp.data.draw import Examples
from normexp.engine.step import loss, scores
from normexp.nets.layout import Parameters, Statistics
from normexp.nets.models import evaluated_at_once, is_compiled, is_convolutional, structure
from normexp.nets.network import Network
from normexp.trained import Record

if TYPE_CHECKING:
    from normexp.nets.compiled import CompiledPasses

CACHEFUL = 2**22
"""Bytes of the largest layer of the images that are worked on at a time.

ResNet-20 on 32×32 images, one core: 1.0 ms an image by 64, 3.1 by 2,048.
"""

LAYER_BYTES = 2**28
"""Memory for the largest layer of what is worked on as one batch."""

FEWEST_EXAMPLES = 1024
"""Examples that are taken as one batch whatever their memory."""

CACHED_SETS = 8
"""Sets of statistics that weights are evaluated under at a time: the layers stay in the cache.

The default study's layers are 160 kB in float64; all 25 momenta of a forecast at once take 1.4
times as long.
"""

Give = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Gives the x and y of the examples with these numbers."""


def predict(
    config: RunConfig, forward: Callable[[torch.Tensor], torch.Tensor], give: Give, examples: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions [models, outputs, examples] of so many examples, and y.

    The configuration alone decides how many go at a time; none may depend on another.
    """
    predictions, answers = [], []
    for chosen in pieces(config, examples):
        x, y = give(chosen)
        predictions.append(forward(x))
        answers.append(y)
    return torch.cat(predictions, -1), torch.cat(answers, -1)


def pieces(config: RunConfig, examples: int) -> Iterator[torch.Tensor]:
    """Yield the numbers of all examples, as many at a time as suit memory and cache."""
    limit = CACHEFUL if is_convolutional(config) else LAYER_BYTES
    yield from torch.split(torch.arange(examples), max(1, limit // _bytes(config)))


def as_one_batch(config: RunConfig, there: int) -> torch.Tensor:
    """Return the numbers of the examples that are taken as one batch: all, or what memory allows.

    Evenly spaced, and never fewer than 1,024; Wu & Johnson (2021), "Rethinking Batch in BatchNorm",
    find 1,000 to 10,000 enough for population statistics.
    """
    fits = max(FEWEST_EXAMPLES, LAYER_BYTES // _bytes(config))
    return torch.arange(there) if there <= fits else torch.arange(fits) * there // fits


def population_examples(config: RunConfig) -> int:
    """Return how many training examples are behind the population statistics and their losses."""
    there = train_size(config)
    return len(as_one_batch(config, there)) if isinstance(config.norm, BatchKind) else there


def _bytes(config: RunConfig) -> int:
    """Bytes of one example at its largest layer, or at the input, for a cacheful of networks."""
    dtype: torch.dtype = getattr(torch, config.train.dtype)
    layers = structure(config).layers.values()
    numbers = (layer.channels * layer.positions for layer in layers)
    return max(prod(config.data.shape), *numbers) * dtype.itemsize * evaluated_at_once(config)


class Point(NamedTuple):
    """Results at one evaluation point that depend on no momentum."""

    population_mean: torch.Tensor  # [models, channels], of the training set as one batch
    population_var: torch.Tensor  # [models, channels], unbiased
    references: dict[str, torch.Tensor]  # each [models]; see `normexp.store.columns`


@torch.no_grad()
def evaluate(network: Network, parameters: Parameters, examples: Examples, step: int) -> Point:
    """Return the references of a stack, worked out for a cacheful of networks at a time.

    The population statistics are those of the training set as one batch in training mode: each
    layer's are taken where the layers below are normalised by the set's own mean and variance over
    N. Evaluation has the variance over N − 1 there; `recompute.recalibrated` takes that in.
    """
    parts = []
    models = len(next(iter(parameters.values())))
    few = evaluated_at_once(network.config)
    passes = passes_of(network, next(iter(parameters.values())).device)
    for start in range(0, models, few):
        some = range(start, min(start + few, models))
        weights = {name: values[some.start : some.stop] for name, values in parameters.items()}
        parts.append(_evaluate(network, passes, weights, examples, some, step))
    means, variances, references = zip(*parts, strict=True)
    return Point(
        torch.cat(means),
        torch.cat(variances),
        {name: torch.cat([each[name] for each in references]) for name in references[0]},
    )


def passes_of(network: Network, device: torch.device) -> "Network | CompiledPasses":
    """Return what evaluates the networks: compiled functions if they are here, else PyTorch."""
    if not is_compiled(network.config) or device.type != "cpu":
        return network
    from normexp.nets.compiled import CompiledPasses

    return CompiledPasses(network)


def _evaluate(  # noqa: PLR0913, PLR0917
    network: Network,
    passes: "Network | CompiledPasses",
    weights: Parameters,
    examples: Examples,
    models: range,
    step: int,
) -> Point:
    config, tests = network.config, examples.tests
    there = train_size(config)
    population: dict[str, Statistics] = {}

    def train(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return examples.train(models, chosen, step)

    def test(chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return examples.test(models, chosen, step)

    def forward(x: torch.Tensor) -> torch.Tensor:
        return passes.by_statistics(weights, population, x)

    if network.tracked:
        x, y = train(as_one_batch(config, there))
        prediction, population = passes.by_itself(weights, x)
        fitted = scores(prediction, y)
        x, y = test(as_one_batch(config, tests))
        by_test_batch = scores(passes.by_itself(weights, x)[0], y)
        by_population = scores(*predict(config, forward, test, tests))
    else:
        fitted = scores(*predict(config, forward, train, there))
        by_population = by_test_batch = scores(*predict(config, forward, test, tests))
    found = {f"train_{name}_population": values for name, values in fitted.items()}
    found |= {f"test_{name}_population": values for name, values in by_population.items()}
    found |= {f"test_{name}_test_batch": values for name, values in by_test_batch.items()}
    return Point(*network.join(population, like=fitted["loss"]), found)


@torch.no_grad()
def training_losses(record: Record, config: RunConfig, statistics: Statistics) -> torch.Tensor:
    """Return the losses [runs] of a trajectory's last weights under each set of statistics.

    They are of training data in evaluation mode, and so judge statistics without a test label. The
    examples are those behind the population statistics; the arithmetic is in float64. Statistics
    are [runs, channels]; negative variances count as 0.
    """
    network = Network(config)
    weights = {name: values[:1, -1].double() for name, values in record.weights.items()}
    chosen = as_one_batch(config, train_size(config))
    x, y = Examples([config]).train(range(1), chosen, record.train_loss.shape[1])
    x, y = x.double(), y.double() if y.is_floating_point() else y

    def losses(mean: torch.Tensor, var: torch.Tensor) -> torch.Tensor:
        def of_all(values: torch.Tensor) -> torch.Tensor:
            return values.expand(len(mean), *values.shape[1:])

        by_site = network.split(Statistics(mean, var))
        of_runs = {name: of_all(values) for name, values in weights.items()}
        return loss(network.by_statistics(of_runs, by_site, of_all(x)), of_all(y))

    few = min(CACHED_SETS, evaluated_at_once(config))
    means, variances = (
        torch.split(each, few) for each in (statistics.mean, statistics.var.clamp(min=0))
    )
    return torch.cat([losses(*each) for each in zip(means, variances, strict=True)])
