"""Losses and accuracies, one a network."""

import torch
from torch.nn import functional


def loss(prediction: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss of each network, [models]: cross entropy of labels, mean squared error of targets.

    Args:
        prediction: [models, outputs, batch].
        y: labels [models, batch], whole numbers; or targets [models, outputs, batch].
    """
    if is_labels(y):
        return functional.cross_entropy(prediction, y, reduction="none").mean(-1)
    return (prediction - y).square().mean((-2, -1))


def scores(prediction: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
    """What is reported of predictions, each [models]: the loss, and the accuracy where y is labels.

    Predictions that are not finite are right by no count.
    """
    found = {"loss": loss(prediction, y)}
    if is_labels(y):
        right = (prediction.argmax(1) == y) & prediction.isfinite().all(1)
        found["accuracy"] = right.to(prediction.dtype).mean(-1)
    return found


def is_labels(y: torch.Tensor) -> bool:
    """Whether y is classes."""
    return not y.is_floating_point()
