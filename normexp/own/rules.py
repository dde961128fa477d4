"""The rules of `normexp lint`: on one batch norm, and on where batch norms stand in a model."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from normexp.own.norms import Layer

Severity = Literal["fault", "note"]

EPS, EPS_OF_PORTS = 1e-5, 1e-3
"""PyTorch's default, which is taken where a checkpoint does not say; Keras's and TensorFlow's."""

FAR = 100
"""Times that eps has to be larger than a variance."""

LARGE, OTHER_CONVENTION = 0.5, 0.9
"""Momenta above which one batch is most of the average, and from which on nearly all."""

ANEW = "normexp.recalibrate(model, train_loader)"


class Advice(NamedTuple):
    """Meaning of a rule: why it matters, and what to type or to look at."""

    costs: str
    to_do: str


class Found(NamedTuple):
    """One rule's word on a layer: the number that it looks at, and in words."""

    severity: Severity
    rule: str
    number: float
    words: str


ADVICE = {
    "untouched": Advice(
        "in evaluation mode the layer does not normalise",
        "load the buffers again (a wrong prefix with strict=False, adapters and averages of "
        f"parameters alone lose them), or {ANEW}",
    ),
    "fresh": Advice("nothing if it is new; else its statistics are lost", f"train it, or {ANEW}"),
    "uncounted": Advice(
        "the next batch in training mode replaces them if momentum=None, nothing otherwise",
        "layer.num_batches_tracked.fill_(N); leave it as it is after a conversion",
    ),
    "weights_still": Advice(
        "batches have passed in training mode, but no step has changed a scale or shift",
        "look whether the optimizer has them, and whether this is the file of the training",
    ),
    "not_finite": Advice(
        "predictions in evaluation mode are NaN",
        f"go back to an earlier checkpoint, or if the weights are finite {ANEW}",
    ),
    "negative_variance": Advice("its root is NaN in evaluation mode", ANEW),
    "no_variance": Advice(
        "all that comes to the layer is constant, and a change would be blown up by 1/√eps",
        "look at the layer before it: dead, or never fed; then " + ANEW,
    ),
    "below_eps": Advice(
        "eps outweighs the variance: outputs are far below 1, in training too",
        "scale what comes in, or take a smaller eps",
    ),
    "dead_channels": Advice(
        "their input is constant: they carry nothing",
        "nothing, as trained networks have some; many at once come from a lost activation",
    ),
    "half_precision": Advice(
        "in training the average stops where a step is below half its last digit; "
        "nothing in evaluation",
        "train with batch norms in float32, as torch.autocast does",
    ),
    "one_missing": Advice(
        "load_state_dict refuses it, or with strict=False leaves the initial value",
        "save the whole model.state_dict()",
    ),
    "no_statistics": Advice(
        "evaluation takes each batch's own: a prediction depends on its company",
        f"nothing if it is meant; else track_running_stats=True and {ANEW}",
    ),
    "momentum_zero": Advice(
        "running statistics never move", "layer.momentum = 0.1; layer.eval() freezes it as well"
    ),
    "momentum_none": Advice(
        "all batches weigh alike, those of long ago too",
        "right for recalibration; for training a number: normexp predict --steps N names one",
    ),
    "momentum_large": Advice(
        "evaluation rests on the last batches alone",
        "layer.momentum = {rest:.6g} if the number is Keras's or TensorFlow's, "
        "which weighs the old value",
    ),
    "momentum_range": Advice(
        "averages run away, or are NaN", "layer.momentum = 0.1, or another from 0 to 1"
    ),
    "eps_port": Advice(
        "nothing where weights were trained with it, as in ports from TensorFlow",
        "eps=1e-5 if they were trained with PyTorch's",
    ),
    "frozen": Advice("training does not move its statistics", "nothing if it is meant"),
    "frozen_new": Advice(
        "frozen before it has seen a batch: it will never normalise", "load weights, then freeze"
    ),
    "left_training": Advice(
        "a prediction depends on its batch, and moves the statistics", "model.eval()"
    ),
    "shared": Advice(
        "its statistics are a mixture of what comes to all places, right at none",
        "give each place a batch norm of its own",
    ),
    "shared_part": Advice(
        "a mixture of both inputs, if it is called with two kinds of them",
        "nothing if they are of one kind",
    ),
    "before_softmax": Advice(
        "an error of its statistics is in the output undamped",
        "nothing if it is meant; else end with a linear layer",
    ),
    "after_bias": Advice("the mean takes out the bias before it", "bias=False there"),
    "stuck": Advice(
        "batches were counted, but the average did not move",
        "look at momentum (0?) and at the buffers' dtype (half precision?)",
    ),
    "left_behind": Advice(
        "statistics are of the first file's weights",
        f"nothing if batch norms were frozen; else {ANEW}",
    ),
    "recomputed": Advice(
        "batches have passed in training mode without a step",
        "nothing after a recalibration; else evaluate in model.eval()",
    ),
    "gone": Advice("the second file lacks its running statistics", "save model.state_dict()"),
}
"""Meanings by rule; `{rest}` is 1 − the number."""


def statistics(layer: Layer) -> Iterator[Found]:
    """Judge running statistics by themselves."""
    if layer.statistics is None:
        if len(layer.lacking) == 1:
            yield Found("fault", "one_missing", 0, f"no {layer.lacking[0]}")
        else:
            is_module = layer.module is not None
            words = "track_running_stats=False" if is_module else "no running statistics"
            yield Found("note", "no_statistics", 0, words)
        return
    var = layer.statistics.var
    yield from _start(layer, *layer.statistics)
    if wrong := int((~torch.stack(layer.statistics).isfinite()).any(0).sum()):
        yield Found("fault", "not_finite", wrong, f"NaN or inf in {_of(wrong, var)}")
    if below := int((var < 0).sum()):
        words = f"variance to {var.nan_to_num().min():.3g} in {_of(below, var)}"
        yield Found("fault", "negative_variance", below, words)
    yield from _small(layer, var)
    if layer.dtype in (torch.float16, torch.bfloat16):
        momentum = getattr(layer.module, "momentum", None) or 0.1
        short = torch.finfo(layer.dtype).eps / 2 / momentum
        words = f"{str(layer.dtype)[6:]}: at momentum {momentum:g} it stops {short:.1%} short"
        trains = layer.module is not None and layer.module.training
        yield Found("fault" if trains else "note", "half_precision", short, words)


def _start(layer: Layer, mean: torch.Tensor, var: torch.Tensor) -> Iterator[Found]:
    """Judge what is left of a new layer's mean 0, variance 1, and count 0."""
    count = layer.count or 0
    still, other = ("mean 0", var) if bool((mean == 0).all()) else ("variance 1", mean)
    if layer.is_untouched and (count or layer.is_trained):
        beside = f"after {count:,.0f} batches" if count else "beside a trained scale and shift"
        yield Found("fault", "untouched", count, f"mean 0 and variance 1 {beside}")
    elif layer.is_untouched:
        yield Found("note", "fresh", 0, "mean 0 and variance 1, as in a new layer")
    elif (bool((mean == 0).all()) or bool((var == 1).all())) and bool((other != other[0]).any()):
        yield Found(
            "fault", "untouched", count, f"{still} as in a new layer, though the other moved"
        )
    elif layer.count == 0:
        is_cumulative = getattr(layer.module, "momentum", 0) is None
        words = "num_batches_tracked 0, though statistics moved"
        yield Found("fault" if is_cumulative else "note", "uncounted", 0, words)


def _small(layer: Layer, var: torch.Tensor) -> Iterator[Found]:
    """Judge variances that eps outweighs."""
    eps = getattr(layer.module, "eps", EPS)
    small = int(((var >= 0) & (var < eps / FAR)).sum())
    words = f"variance to {var.min():.2g}, eps {eps:g}, in {_of(small, var)}"
    if small == len(var):
        is_none = bool((var == 0).all())
        yield Found("fault", "no_variance" if is_none else "below_eps", small, words)
    elif small:
        yield Found("note", "dead_channels", small, words)


def _of(number: int, channels: torch.Tensor) -> str:
    return f"{number:,} of {len(channels):,} channels"


def setting(layer: Layer) -> Iterator[Found]:
    """Judge momentum and eps of a module."""
    if not isinstance(layer.module, _BatchNorm) or layer.statistics is None:
        return
    momentum, eps = layer.module.momentum, layer.module.eps
    words = f"momentum {momentum}"
    if momentum is None:
        yield Found("note", "momentum_none", 0, words)
    elif not 0 <= momentum <= 1:
        yield Found("fault", "momentum_range", momentum, words)
    elif momentum == 0:
        yield Found("fault" if layer.is_untouched else "note", "momentum_zero", 0, words)
    elif momentum > LARGE:
        words += f": the newest batch weighs {momentum:.6g}"
        severity: Severity = "fault" if momentum >= OTHER_CONVENTION else "note"
        yield Found(severity, "momentum_large", momentum, words)
    if math.isclose(eps, EPS_OF_PORTS):
        yield Found("note", "eps_port", eps, f"eps {eps:g}")


def mode(layer: Layer, model: nn.Module) -> Iterator[Found]:
    """Judge a module's mode by that of the model that it is in."""
    if not isinstance(layer.module, _BatchNorm) or layer.statistics is None:
        return
    if model.training and not layer.module.training:
        words = "in evaluation mode, the model in training mode"
        if layer.is_untouched:
            yield Found("fault", "frozen_new", 0, f"{words}, and untouched")
        else:
            yield Found("note", "frozen", 0, words)
    elif layer.module.training and not model.training:
        words = "in training mode, the model in evaluation mode"
        yield Found("fault", "left_training", 0, words)


def places(model: nn.Module) -> Iterator[tuple[nn.Module, Found]]:
    """Judge where batch norms stand: under several names, after a bias, at the end."""
    names: dict[nn.Module, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, _BatchNorm):
            names.setdefault(module, []).append(name)
    for norm, found in names.items():
        spots = {(model.get_submodule(n.rpartition(".")[0]), n.rpartition(".")[2]) for n in found}
        if len(spots) > 1:
            yield norm, Found("fault", "shared", len(found), f"also {', '.join(found[1:])}")
        elif found[1:]:
            yield norm, Found("note", "shared_part", len(found), f"also {', '.join(found[1:])}")
    leaves = [each for each in model.modules() if not any(True for _ in each.children())]
    for norm, before, after in zip(leaves, [None, *leaves], [*leaves[1:], None], strict=False):
        if not isinstance(norm, _BatchNorm):
            continue
        if after is None or isinstance(after, (nn.Softmax, nn.LogSoftmax, nn.Softmax2d)):
            words = "before a softmax" if after else "the model's last layer"
            yield norm, Found("note", "before_softmax", 0, words)
        bias = before.bias if isinstance(before, (nn.Linear, _ConvNd)) else None
        if bias is not None and len(bias) == norm.num_features:
            yield norm, Found("note", "after_bias", len(bias), f"after a bias of {len(bias):,}")


def all_still(layers: Sequence[Layer]) -> Iterator[Found]:
    """Judge statistics that have moved in all layers, where no scale or shift has."""
    affine = [(e, e.weight) for e in layers if e.statistics is not None and e.weight is not None]
    batches = min((each.count or 0 for each, _ in affine), default=0)
    if batches and not any(
        each.is_untouched or each.is_trained or bool((weight != weight[0]).any())
        for each, weight in affine
    ):
        words = f"{batches:,.0f} batches counted, scale and shift as in new layers"
        yield Found("note", "weights_still", batches, words)
