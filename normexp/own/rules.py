"""The rules of `normexp lint`: on one batch norm, and on where batch norms stand in a model."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from normexp.own.norms import BUFFERS, Layer, varies

Severity = Literal["fault", "note"]

Found = tuple[Severity, str, float, str]
"""A rule's word on a layer: its name, the number that it looks at, and the same in words."""

EPS, EPS_OF_PORTS = 1e-5, 1e-3
"""PyTorch's default, which is taken where a checkpoint does not say; Keras's and TensorFlow's."""

FAR = 100
"""Times that eps has to be larger than a variance."""

LARGE, OTHER_CONVENTION = 0.5, 0.9
"""Momenta above which one batch is most of the average, and from which on nearly all."""

ANEW = "normexp.recalibrate(model, train_loader)"


ADVICE: dict[str, tuple[str, str]] = {
    "untouched": (
        "in evaluation mode the layer does not normalise",
        f"load buffers too: strict=False and averages of parameters lose them; or {ANEW}",
    ),
    "fresh": ("nothing if it is new; else its statistics are lost", f"train it, or {ANEW}"),
    "folded": (
        "nothing if statistics went into scale and shift, as in Detectron2; else as `untouched`",
        "nothing, or as for `untouched`",
    ),
    "uncounted": (
        "the next batch in training mode replaces them if momentum=None, nothing otherwise",
        "layer.num_batches_tracked.fill_(N); leave it as it is after a conversion",
    ),
    "weights_still": (
        "batches have passed in training mode, but no step has changed a scale or shift",
        "look whether the optimizer has them, and whether this is the file of the training",
    ),
    "not_finite": (
        "predictions in evaluation mode are NaN",
        f"go back to an earlier checkpoint, or if the weights are finite {ANEW}",
    ),
    "negative_variance": ("its root is NaN in evaluation mode", ANEW),
    "no_variance": (
        "all that comes to the layer is constant, and a change would be blown up by 1/√eps",
        "look at the layer before it: dead, or never fed; then " + ANEW,
    ),
    "below_eps": (
        "eps outweighs the variance: outputs are far below 1, in training too",
        "scale what comes in, or take a smaller eps",
    ),
    "dead_channels": (
        "their input is constant: they carry nothing",
        "nothing, as trained networks have some; many at once come from a lost activation",
    ),
    "half_precision": (
        "in training the average stalls where a step is below its last digit; else nothing",
        "train with batch norms in float32, as torch.autocast does",
    ),
    "one_missing": (
        "load_state_dict refuses it, or with strict=False leaves the initial value",
        "save the whole model.state_dict()",
    ),
    "no_statistics": (
        "evaluation takes each batch's own: a prediction depends on its company",
        f"nothing if it is meant; else track_running_stats=True and {ANEW}",
    ),
    "momentum_zero": (
        "running statistics never move",
        "layer.momentum = 0.1; layer.eval() freezes it as well",
    ),
    "momentum_none": (
        "all batches weigh alike, those of long ago too",
        "right for recalibration; for training a number: normexp predict --steps N names one",
    ),
    "momentum_large": (
        "evaluation rests on the last batches alone",
        "layer.momentum = {rest:.6g} if the number is Keras's, the weight of the old value",
    ),
    "momentum_range": (
        "averages run away, or are NaN",
        "layer.momentum = 0.1, or another from 0 to 1",
    ),
    "eps_port": (
        "nothing where weights were trained with it, as in ports from TensorFlow",
        "eps=1e-5 if they were trained with PyTorch's",
    ),
    "frozen": ("training does not move its statistics", "nothing if it is meant"),
    "frozen_new": (
        "frozen before it has seen a batch: it will never normalise",
        "load weights, then freeze",
    ),
    "left_training": (
        "a prediction depends on its batch, and moves the statistics",
        "model.eval()",
    ),
    "shared": (
        "its statistics are a mixture of what comes to all places, right at none",
        "give each place a batch norm of its own",
    ),
    "shared_part": (
        "a mixture of both inputs, if it is called with two kinds of them",
        "nothing if it is called once, or they are of one kind",
    ),
    "before_softmax": (
        "an error of its statistics is in the output undamped",
        "nothing if it is meant; else end with a linear layer",
    ),
    "after_bias": ("the mean takes out the bias before it", "bias=False there"),
    "stuck": (
        "batches were counted, but the average did not move",
        "look at momentum (0?) and at the buffers' dtype (half precision?)",
    ),
    "left_behind": (
        "statistics are of the first file's weights",
        f"nothing if batch norms were frozen; else {ANEW}",
    ),
    "recomputed": (
        "batches have passed in training mode without a step",
        "nothing after a recalibration; else evaluate in model.eval()",
    ),
    "gone": ("the second file lacks its running statistics", "save model.state_dict()"),
}
"""Why a rule matters, and what to type or to look at; `{rest}` is 1 − the number."""


def statistics(layer: Layer) -> Iterator[Found]:
    """Judge running statistics by themselves."""
    if layer.statistics is None:
        lacking = [name for name in ("running_mean", "running_var") if name not in layer.parts]
        if len(lacking) == 1:
            yield "fault", "one_missing", 0, f"no {lacking[0]}"
        else:
            yield "note", "no_statistics", 0, "no running statistics"
        return
    mean, var = layer.statistics
    yield from _start(layer, mean, var)
    if wrong := int((~mean.isfinite()).sum() + (~var.isfinite()).sum()):
        yield "fault", "not_finite", wrong, f"NaN or inf, {_of(wrong, var)}"
    if below := int((var < 0).sum()):
        words = f"variance to {var.nan_to_num().min():.3g}, {_of(below, var)}"
        yield "fault", "negative_variance", below, words
    eps = getattr(layer.module, "eps", EPS)
    small = int(((var >= 0) & (var < eps / FAR)).sum())
    words = f"variance to {var.min():.2g}, eps {eps:g}, {_of(small, var)}"
    if not var.any():
        yield "fault", "no_variance", small, words
    elif small:
        yield "note", "below_eps" if small == len(var) else "dead_channels", small, words
    if layer.dtype in (torch.float16, torch.bfloat16):
        momentum = getattr(layer.module, "momentum", None) or 0.1
        short = torch.finfo(layer.dtype).eps / 2 / momentum
        words = f"{str(layer.dtype)[6:]}: at momentum {momentum:g} it stops {short:.1%} short"
        trains = layer.module is not None and layer.module.training
        yield "fault" if trains else "note", "half_precision", short, words


def _start(layer: Layer, mean: torch.Tensor, var: torch.Tensor) -> Iterator[Found]:
    """Judge what is left of a new layer's mean 0, variance 1, and count 0."""
    is_zero, is_one = bool((mean == 0).all()), bool((var == 1).all())
    if layer.is_untouched and not (layer.batches > 0 or layer.is_trained):
        yield "note", "fresh", 0, "mean 0 and variance 1, as in a new layer"
    elif layer.is_untouched and math.isnan(layer.batches):
        yield "note", "folded", 0, "mean 0 and variance 1 beside a trained shift, and no count"
    elif layer.is_untouched:
        after = (
            f"after {layer.batches:,.0f} batches" if layer.batches > 0 else "beside a trained shift"
        )
        yield "fault", "untouched", 0, f"mean 0 and variance 1 {after}"
    elif (is_zero and varies(var)) or (is_one and varies(mean)):
        still = "mean 0" if is_zero else "variance 1"
        yield "fault", "untouched", 0, f"{still}, as in a new layer, though the other moved"
    elif layer.batches == 0:
        is_cumulative = getattr(layer.module, "momentum", 0) is None
        words = "num_batches_tracked 0, though statistics moved"
        yield "fault" if is_cumulative else "note", "uncounted", 0, words


def _of(number: int, channels: torch.Tensor) -> str:
    return f"{number:,} of {len(channels):,} channels"


def settings(layer: Layer, model: nn.Module) -> Iterator[Found]:
    """Judge a module's momentum and eps, and its mode by that of the model that it is in."""
    norm = layer.module
    if not isinstance(norm, _BatchNorm) or layer.statistics is None:
        return
    momentum, words = norm.momentum, f"momentum {norm.momentum}"
    if momentum is None:
        yield "note", "momentum_none", 0, words
    elif not 0 <= momentum <= 1:
        yield "fault", "momentum_range", momentum, words
    elif momentum == 0:
        yield "fault" if layer.is_untouched else "note", "momentum_zero", 0, words
    elif momentum > LARGE:
        words += f": the newest batch weighs {momentum:.6g}"
        is_other = momentum >= OTHER_CONVENTION
        yield "fault" if is_other else "note", "momentum_large", momentum, words
    if math.isclose(norm.eps, EPS_OF_PORTS):
        yield "note", "eps_port", norm.eps, f"eps {norm.eps:g}"
    if model.training and not norm.training:
        words = "in evaluation mode, the model in training mode"
        yield "note", "frozen", 0, words
        if layer.is_untouched:
            yield "fault", "frozen_new", 0, words
    elif norm.training and not model.training:
        yield "fault", "left_training", 0, "in training mode, the model in evaluation mode"


def places(model: nn.Module) -> Iterator[tuple[nn.Module, Found]]:
    """Judge where batch norms stand: under several names, after a bias, at the end."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, _BatchNorm):
            names.setdefault(module, []).append(name)
    for norm, found in names.items():
        if found[1:]:
            words = f"also {', '.join(found[1:])}"
            if any(_row(each).count(norm) > 1 for each in model.modules()):
                yield norm, ("fault", "shared", len(found), words)
            else:
                yield norm, ("note", "shared_part", len(found), words)
    leaves = [each for each in model.modules() if not [*each.children()]]
    for norm, after in zip(leaves, [*leaves[1:], nn.Softmax()], strict=True):
        if isinstance(norm, _BatchNorm) and isinstance(after, (nn.Softmax, nn.LogSoftmax)):
            yield norm, ("note", "before_softmax", 0, "the last layer, or before a softmax")
    for before, norm in pairwise(leaves):
        bias = before.bias if isinstance(before, (nn.Linear, _ConvNd)) else None
        if isinstance(norm, _BatchNorm) and bias is not None and len(bias) == norm.num_features:
            yield norm, ("note", "after_bias", 0, "after a bias")


def _row(module: nn.Module) -> list[nn.Module]:
    """Return what a sequence calls, one after the other; of any other module, itself."""
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        return [each for part in module for each in _row(part)]
    return [module]


def all_still(layers: Sequence[Layer]) -> Iterator[Found]:
    """Judge statistics that have moved in all layers, where no scale or shift has."""
    affine = [each for each in layers if {"weight", *BUFFERS} <= each.parts.keys()]
    batches = min((each.batches for each in affine), default=0)
    moved = (e.is_untouched or e.is_trained or varies(e.parts["weight"]) for e in affine)
    if batches > 0 and not any(moved):
        words = f"{batches:,.0f} batches counted, scale and shift as in new layers"
        yield "note", "weights_still", batches, words
