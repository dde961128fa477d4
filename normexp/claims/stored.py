"""Stored weights put to use: a run's configuration, its weights, and losses by test batches."""

from typing import TYPE_CHECKING

from normexp.analysis.arms import Row
from normexp.claims.evidence import Evidence

if TYPE_CHECKING:
    import torch

    from normexp.config.schema import RunConfig


def config_of(row: Row) -> "RunConfig":
    """The configuration behind a row."""
    from normexp.config.tree import from_tree, nest

    sections = {path: value for path, value in row.items() if "." in path}
    return from_tree({**nest(sections), "seed": row["seed"]})


def last_weights(evidence: Evidence, row: Row) -> "dict[str, torch.Tensor]":
    """The weights at the last evaluation point."""
    from safetensors.torch import load_file

    stored = load_file(evidence.trajectory(row) / "weights.safetensors")
    return {name: values[-1] for name, values in stored.items()}


def loss_in_batches(evidence: Evidence, row: Row, size: int, *, is_sorted: bool) -> float:
    """The test loss where every test batch is normalised by itself, mean over all examples.

    Args:
        evidence: tells where the weights are.
        row: of the run.
        size: examples of a test batch; what is left over makes some batches larger by one.
        is_sorted: by class, or by the first feature where y is no class; else in random order.
    """
    import torch

    from normexp.data.examples import Examples
    from normexp.engine.losses import is_labels, loss
    from normexp.models.network import Network

    config = config_of(row)
    examples, network, one = Examples([config], tests_only=True), Network(config), range(1)
    weights = {name: each[None] for name, each in last_weights(evidence, row).items()}
    x, y = examples.test(one, torch.arange(examples.tests), 0)
    if is_sorted:
        order = torch.argsort(y[0] if is_labels(y) else x[0, 0], stable=True)
    else:
        order = torch.randperm(examples.tests, generator=torch.Generator().manual_seed(config.seed))
    total = 0.0
    with torch.no_grad():
        for chosen in torch.tensor_split(order, max(1, examples.tests // size)):
            x, y = examples.test(one, chosen, 0)
            total += float(loss(network.by_itself(weights, x)[0], y)) * len(chosen)
    return total / examples.tests
