"""Layouts of a stack's activations, activations, and batch normalisation with its gradient.

Vectors are features first, `[models, channels, batch]`: the networks of a stack are just more
features, and one call of PyTorch's kernel serves them all. Images are `[models, batch, channels,
height, width]`, so that a stack of one is what PyTorch's convolutions want, without a copy.

Activations and norms of vectors come as operations for autograd and as calls that fill arrays, for
`normexp.nets.written`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch.nn import functional

Parameters = Mapping[str, torch.Tensor]
"""Of a stack by name, each [models, *shape]."""

VECTOR = 3
"""Dimensions of a stack's vectors; images have five."""


class Statistics(NamedTuple):
    """Mean and variance of every channel.

    A training pass leaves one set for each part of the batch; other passes take or leave one set.
    """

    mean: torch.Tensor  # [models, channels] or [models, parts, channels]
    var: torch.Tensor  # the same shape, unbiased (divided by n - 1), as PyTorch's running_var


class Affine(NamedTuple):
    """Learned scale and shift of a norm, if it has them."""

    weight: torch.Tensor | None  # [models, *shape of the site's parameters]
    bias: torch.Tensor | None  # the same

    def flat(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Weight and bias as PyTorch's kernels want them, [models · channels]."""
        weight, bias = self
        return (
            None if weight is None else weight.reshape(-1),
            None if bias is None else bias.reshape(-1),
        )


class Memory(NamedTuple):
    """Running statistics at a site before a step, for norms that use them in training."""

    mean: torch.Tensor  # [models, channels]
    var: torch.Tensor  # [models, channels]
    momentum: torch.Tensor  # [models, 1], weight of this step's batch
    step: int  # steps taken


def batch_axis(x: torch.Tensor) -> int:
    """Return the axis of the examples."""
    return 2 if x.dim() == VECTOR else 1


def channel_axis(x: torch.Tensor) -> int:
    """Return the axis of the channels."""
    return 1 if x.dim() == VECTOR else 2


def to_kernel(x: torch.Tensor) -> torch.Tensor:
    """Return x as `torch.nn.functional` wants it, `[batch, models · channels, ...]`.

    The examples of vectors stand where pixels do, `[1, models · channels, batch]`: to statistics of
    a channel it is the same.
    """
    if x.dim() == VECTOR:
        return x.reshape(1, -1, x.shape[-1])
    return x.transpose(0, 1).flatten(1, 2)


def from_kernel(y: torch.Tensor, models: int) -> torch.Tensor:
    """Return a kernel's result, `[batch, models · channels, ...]`, in the layout of a stack."""
    if y.dim() == VECTOR:
        return y.view(models, -1, y.shape[-1])
    return y.view(len(y), models, -1, *y.shape[2:]).transpose(0, 1)


def spread(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return numbers of channels, [models, channels], in a shape that broadcasts over x."""
    if x.dim() == VECTOR:
        return values[:, :, None]
    return values[:, None, :, None, None]


def of_channels(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and biased variance of every channel, both [models, channels]."""
    axes = (2,) if x.dim() == VECTOR else (1, 3, 4)
    var, mean = torch.var_mean(x, axes, correction=0)
    return mean, var


def unbiased(biased: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the variance over n − 1 of the channels of x, given that over n."""
    count = x.numel() // (x.shape[0] * x.shape[channel_axis(x)])
    return biased * (count / (count - 1))


_aten = torch.ops.aten
_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


class Activation(NamedTuple):
    """An activation and its gradient."""

    forward: Callable[[torch.Tensor], torch.Tensor]
    """Of x, for autograd."""
    into: Callable[[torch.Tensor, torch.Tensor], object]
    """Of x, into an array; it may be x, unless the gradient needs x."""
    back: Callable[[torch.Tensor, torch.Tensor], object]
    """Turns the gradient by y into that by x, in place; given y, or x if that is what it needs."""
    needs_x: bool


def fast_tanh(x: torch.Tensor) -> torch.Tensor:
    """Return the hyperbolic tangent, by oneDNN in float32 where it is there.

    It is as accurate as `torch.tanh`, which takes twice as long: the relative error is at most
    8e-8. It works element by element, so a number's bits do not depend on its neighbours.
    """
    if x.dtype != torch.float32 or x.device.type != "cpu" or not _ONEDNN:
        return torch.tanh(x)
    return torch.tanh_(x.to_mkldnn()).to_dense()


class _Tanh(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        y = fast_tanh(x)
        context.save_for_backward(y)
        return y

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:  # noqa: ANN401
        (y,) = context.saved_tensors
        return _aten.tanh_backward(gradient, y)  # type: ignore[no-any-return]


ACTIVATIONS = {
    "tanh": Activation(
        _Tanh.apply,
        lambda x, y: y.copy_(fast_tanh(x)),
        lambda g, y: _aten.tanh_backward(g, y, grad_input=g),
        needs_x=False,
    ),
    "relu": Activation(
        torch.relu,
        lambda x, y: torch.clamp_min(x, 0, out=y),
        lambda g, y: _aten.threshold_backward(g, y, 0, grad_input=g),
        needs_x=False,
    ),
    "sigmoid": Activation(
        torch.sigmoid,
        lambda x, y: torch.sigmoid(x, out=y),
        lambda g, y: _aten.sigmoid_backward(g, y, grad_input=g),
        needs_x=False,
    ),
    "gelu": Activation(
        functional.gelu,
        lambda x, y: _aten.gelu(x, out=y),
        lambda g, x: _aten.gelu_backward(g, x, grad_input=g),
        needs_x=True,
    ),
    "silu": Activation(
        functional.silu,
        lambda x, y: _aten.silu(x, out=y),
        lambda g, x: _aten.silu_backward(g, x, grad_input=g),
        needs_x=True,
    ),
}


def normalize_vectors(
    x: torch.Tensor, affine: Affine, eps: float
) -> tuple[torch.Tensor, Statistics]:
    """Return x, [models, channels, batch], in units of its batch, and mean and biased variance.

    y = (x − mean) / √(variance + eps) · weight + bias as `torch.nn.BatchNorm1d`, for autograd too.
    PyTorch's kernel takes the variance of such short rows number after number, thrice as slowly.
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
    """Return the calls of `normalize_vectors`, in order, that fill arrays.

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
            *affine.flat(),
            torch.zeros_like(var).view(-1),
            var.view(-1),
            training=False,  # by the given statistics
            momentum=0.0,
            eps=eps,
            out=(to_kernel(y), *nothing),
        ),
    ]


def gradient_of_vectors(
    centred: torch.Tensor, scale: torch.Tensor, affine: Affine
) -> Callable[[torch.Tensor], list[torch.Tensor]]:
    """Return the map from the gradient by y to those by x and, where learned, by weight and bias.

    Args:
        centred: x less its mean, [models, channels, batch].
        scale: 1 / √(variance + eps), [models, channels].
        affine: of channels.
    """
    (weight, _), kernel, nowhere = affine.flat(), to_kernel(centred), torch.zeros_like(scale)
    learns = weight is not None

    def gradient(by_y: torch.Tensor) -> list[torch.Tensor]:
        found: list[torch.Tensor] = _aten.native_batch_norm_backward(
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
