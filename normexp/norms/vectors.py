"""Batch normalisation of a stack's vectors by long operations.

Of rows as short as a batch PyTorch's kernel takes the variance one number after the other, which
is three times as slow.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from normexp.norms.layout import to_kernel
from normexp.norms.statistics import Affine, Statistics

Gradient = Callable[[torch.Tensor], list[torch.Tensor]]
"""From the gradient by y those by x and, if there are any, by weight and bias, [channels]."""


def normalize_vectors(
    x: torch.Tensor, affine: Affine, eps: float
) -> tuple[torch.Tensor, Statistics]:
    """X in units of its own batch, and its mean and biased variance.

    y = (x − mean) / √(variance + eps) · weight + bias as `torch.nn.BatchNorm1d`, for autograd too.

    Args:
        x: [models, channels, batch].
        affine: of channels.
        eps: added to the variance.
    """
    y, mean, var = _VectorNorm.apply(x, *affine, eps)  # type: ignore[no-untyped-call]
    return y, Statistics(mean, var)


def calls_to_normalize(  # noqa: PLR0913, PLR0917
    x: torch.Tensor,
    affine: Affine,
    eps: float,
    moments: Statistics,
    centred: torch.Tensor,
    y: torch.Tensor,
) -> list[Callable[[], object]]:
    """The same as calls, in order, that fill arrays.

    Args:
        x: [models, channels, batch].
        affine: of channels.
        eps: added to the variance.
        moments: to be filled with mean and biased variance, [models, channels].
        centred: to be filled with x less its mean; may be x.
        y: to be filled with the result; may be the centred x if no gradient is wanted.
    """
    count, (mean, var), nothing = x.shape[-1], moments, torch.empty(2, 0, dtype=x.dtype)
    return [
        partial(torch.mean, x, -1, out=mean),
        partial(torch.sub, x, mean.unsqueeze(-1), out=centred),
        partial(torch.linalg.vector_norm, centred, dim=-1, out=var),
        var.square_,
        partial(var.div_, count),
        partial(
            torch.native_batch_norm,
            to_kernel(centred),
            *flat(affine),
            torch.zeros_like(var).view(-1),
            var.view(-1),
            training=False,  # by the given statistics
            momentum=0.0,
            eps=eps,
            out=(to_kernel(y), *nothing),
        ),
    ]


def gradient_of_vectors(centred: torch.Tensor, scale: torch.Tensor, affine: Affine) -> Gradient:
    """From the gradient by y, [models, channels, batch], that by x, weight and bias.

    Args:
        centred: x less its mean.
        scale: 1 / √(variance + eps), [models, channels].
        affine: of channels.
    """
    (weight, _), kernel, nowhere = flat(affine), to_kernel(centred), torch.zeros_like(scale)
    learns = weight is not None

    def gradient(by_y: torch.Tensor) -> list[torch.Tensor]:
        found: list[torch.Tensor] = torch.ops.aten.native_batch_norm_backward(
            to_kernel(by_y),
            kernel,
            weight,
            *(None, None, nowhere.view(-1), scale.view(-1)),
            train=True,
            eps=0.0,  # in the scale already
            output_mask=[True, learns, learns],
        )
        by_x, *by_affine = found
        return [by_x.view(by_y.shape), *(by_affine if learns else ())]

    return gradient


class _VectorNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,  # noqa: ANN401
        x: torch.Tensor,
        weight: torch.Tensor | None,
        bias: torch.Tensor | None,
        eps: float,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = x.contiguous()
        centred = torch.empty_like(x)
        y = torch.empty_like(x) if any(context.needs_input_grad) else centred
        moments = Statistics(*x.new_empty(2, *x.shape[:2]))
        for call in calls_to_normalize(x, Affine(weight, bias), eps, moments, centred, y):
            call()
        context.save_for_backward(centred, moments.var, weight, bias)
        context.eps = eps
        context.mark_non_differentiable(*moments)
        return y, *moments

    @staticmethod
    def backward(
        context: Any,  # noqa: ANN401
        by_y: torch.Tensor,
        *_: torch.Tensor,
    ) -> tuple[torch.Tensor | None, ...]:
        centred, var, *affine = context.saved_tensors
        scale = (var + context.eps).sqrt_().reciprocal_()
        gradient = gradient_of_vectors(centred, scale, Affine(*affine))
        by_x, *by_affine = gradient(by_y.contiguous())
        shaped = (each.view(scale.shape) for each in by_affine)
        return by_x, *(shaped if by_affine else (None, None)), None


def flat(affine: Affine) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Weight and bias as PyTorch's kernels want them, [models · channels]."""
    weight, bias = affine
    return (
        None if weight is None else weight.reshape(-1),
        None if bias is None else bias.reshape(-1),
    )
