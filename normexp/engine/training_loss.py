"""Losses on training data in evaluation mode: they judge any statistics without a test label."""

import torch

from normexp.config.batches import train_size
from normexp.config.schema import RunConfig
from normexp.data.examples import Examples
from normexp.engine.losses import loss
from normexp.engine.predict import as_one_batch
from normexp.models.network import Network
from normexp.norms.statistics import Statistics
from normexp.record import Record


@torch.no_grad()
def training_losses(record: Record, config: RunConfig, statistics: Statistics) -> torch.Tensor:
    """Return the losses of a trajectory's last weights under each set of statistics, in float64.

    The examples are those behind the population statistics: all, or as many as memory allows.

    Args:
        record: of the trajectory, one model.
        config: of any of its runs.
        statistics: [runs, channels]; negative variances count as 0.

    Returns:
        [runs].
    """
    network = Network(config)
    weights = {name: values[:1, -1].double() for name, values in record.weights.items()}
    chosen = as_one_batch(config, train_size(config))
    x, y = Examples([config]).train(range(1), chosen, record.train_loss.shape[1])
    x, y = x.double(), y.double() if y.is_floating_point() else y
    widths = list(network.tracked.values())
    found = []
    for mean, var in zip(statistics.mean, statistics.var.clamp(min=0), strict=True):
        parts = zip(torch.split(mean[None], widths, 1), torch.split(var[None], widths, 1),
                    strict=True)  # fmt: skip
        by_site = {
            site: Statistics(*part) for site, part in zip(network.tracked, parts, strict=True)
        }
        found.append(loss(network.by_statistics(weights, by_site, x), y))
    return torch.cat(found)
