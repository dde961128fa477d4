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


def loss_and_gradient(
    prediction: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """`loss` and its gradient by the prediction, written out: autograd is slow on so little.

    That of cross entropy is (softmax − one at the label) / examples, that of the mean squared error
    2 (prediction − target) / (outputs · examples).
    """
    if is_labels(y):
        logarithms, own = functional.log_softmax(prediction, 1), y[:, None]
        losses = -logarithms.gather(1, own)[:, 0].mean(-1)
        gradient = logarithms.exp_().scatter_add_(
            1, own, prediction.new_full((), -1).expand_as(own)
        )
        return losses, gradient.div_(y.shape[-1])
    gradient = prediction - y
    losses = gradient.square().mean((-2, -1))
    return losses, gradient.mul_(2 / y[0].numel())


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
