"""Parity where a framework is not installed: its update rule by hand, from its source.

In float64, so that the tolerance is 1e-10: rules differ by a thousandth and more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from replay import CASES, Tensors, Wrapped, assert_same, draws, largest_error, replay, stored
from torch import nn

TOLERANCE = 1e-10
LEARNING_RATE = 0.05


@dataclass(frozen=True)
class State:
    """What a framework keeps of a layer; `count` is its counter or scale factor."""

    mean: torch.Tensor
    var: torch.Tensor
    count: float = 0.0


Take = Callable[[State, torch.Tensor, torch.Tensor, int], State]
"""The state after a batch's mean, its variance over n, and n."""

Read = Callable[[State], tuple[torch.Tensor, torch.Tensor]]


def as_kept(state: State) -> tuple[torch.Tensor, torch.Tensor]:
    """What is kept is what is used."""
    return state.mean, state.var


def torch_kernel(state: State, mean: torch.Tensor, var: torch.Tensor, n: int) -> State:
    """`momentum * mean + (1 - momentum) * running_mean`, of `var_sum / (n - 1)`.

    pytorch/pytorch aten/src/ATen/native/Normalization.cpp@000e068, and timm's tf_* models.
    """
    unbiased = var * n / (n - 1)
    return State(0.1 * mean + 0.9 * state.mean, 0.1 * unbiased + 0.9 * state.var)


def keras(state: State, mean: torch.Tensor, var: torch.Tensor, _n: int) -> State:
    """`moving * momentum + value * (1 - momentum)`, of `ops.moments`.

    keras-team/keras keras/src/layers/normalization/batch_normalization.py@3422977; tf-keras
    (batch_normalization.py@dd0a723) on vectors takes `tf.nn.moments`, biased too. Flax:
    google/flax flax/linen/normalization.py@18f8f31.
    """
    return State(state.mean * 0.99 + mean * (1 - 0.99), state.var * 0.99 + var * (1 - 0.99))


def fused(state: State, mean: torch.Tensor, var: torch.Tensor, n: int) -> State:
    """The same, of `variance * rest_size_adjust`, n / max(n - 1, 1): Bessel's correction.

    tensorflow/tensorflow tensorflow/core/kernels/fused_batch_norm_op.cc@057091d.
    """
    adjusted = var * (n / max(n - 1, 1))
    return State(state.mean * 0.99 + mean * 0.01, state.var * 0.99 + adjusted * 0.01)


def haiku(state: State, mean: torch.Tensor, var: torch.Tensor, _n: int) -> State:
    """`hidden * decay + value * (1 - decay)`, counted.

    google-deepmind/dm-haiku haiku/_src/moving_averages.py@f4d858a, with decay_rate=0.9.
    """
    return State(state.mean * 0.9 + mean * 0.1, state.var * 0.9 + var * 0.1, state.count + 1)


def haiku_average(state: State) -> tuple[torch.Tensor, torch.Tensor]:
    """`hidden / (1 - decay ** counter)`, zero-debiased."""
    weight = 1 - 0.9**state.count
    return state.mean / weight, state.var / weight


def equinox_ema(state: State, mean: torch.Tensor, var: torch.Tensor, _n: int) -> State:
    """The first batch copied, then `(1 - momentum) * batch + momentum * running`.

    patrick-kidger/equinox equinox/nn/_batch_norm.py@9336d82, mode="ema".
    """
    if not state.count:
        return State(mean, var, 1)
    return State(0.01 * mean + 0.99 * state.mean, 0.01 * var + 0.99 * state.var, 1)


def equinox_batch(state: State, mean: torch.Tensor, var: torch.Tensor, _n: int) -> State:
    """The same file, mode="batch": `hidden` from 0 and 1, and a counter."""
    return State(0.01 * mean + 0.99 * state.mean, 0.01 * var + 0.99 * state.var, state.count + 1)


def equinox_inference(state: State) -> tuple[torch.Tensor, torch.Tensor]:
    """Both `/ (1 - momentum ** counter)`, the initial variance of 1 and all."""
    weight = 1 - 0.99**state.count
    return state.mean / weight, state.var / weight


def nine_tenths(state: State, mean: torch.Tensor, var: torch.Tensor, _n: int) -> State:
    """`running * momentum + batch * (1 - momentum)` of the biased variance, momentum 0.9.

    apache/mxnet src/operator/nn/batch_norm.cc@b84609d (in the backward pass), PaddlePaddle
    paddle/phi/kernels/cpu/batch_norm_kernel.cc@0b3b64e, pytorch/pytorch
    caffe2/operators/spatial_batch_norm_op.h@00a1092, onnx/onnx
    onnx/reference/ops/op_batch_normalization.py@f754691 ("population size N").
    """
    return State(state.mean * 0.9 + mean * (1 - 0.9), state.var * 0.9 + var * (1 - 0.9))


def chainer(state: State, mean: torch.Tensor, var: torch.Tensor, n: int) -> State:
    """`running *= decay`, then `+= (1 - decay) * m / max(m - 1, 1) * var`.

    chainer/chainer chainer/functions/normalization/batch_normalization.py@a8e15cb.
    """
    adjusted = n / max(n - 1, 1) * var
    return State(state.mean * 0.9 + (1 - 0.9) * mean, state.var * 0.9 + (1 - 0.9) * adjusted)


def caffe(state: State, mean: torch.Tensor, var: torch.Tensor, n: int) -> State:
    """Three blobs: sums `blob = blob * fraction + value`, and their weight.

    BVLC/caffe src/caffe/layers/batch_norm_layer.cpp@9b89154; bias_correction_factor is m/(m - 1),
    1 for m = 1.
    """
    factor = n / (n - 1) if n > 1 else 1
    return State(
        mean + 0.999 * state.mean, factor * var + 0.999 * state.var, state.count * 0.999 + 1
    )


def caffe_global(state: State) -> tuple[torch.Tensor, torch.Tensor]:
    """`blob / scale_factor`."""
    return state.mean / state.count, state.var / state.count


@dataclass(frozen=True)
class Rule:
    """A framework's rule, its eps and where its running variance starts."""

    take: Take
    read: Read = as_kept
    eps: float = 1e-5
    initial_var: float = 1.0
    trains_by_average: bool = False


RULES = {
    "torch": Rule(torch_kernel),
    "timm_tf": Rule(torch_kernel, eps=1e-3),
    "keras": Rule(keras, eps=1e-3),
    "tf_keras": Rule(keras, eps=1e-3),
    "tf_keras_fused": Rule(fused, eps=1e-3),
    "flax": Rule(keras),
    "haiku": Rule(haiku, haiku_average, initial_var=0.0),
    "equinox_ema": Rule(equinox_ema, trains_by_average=True),
    "equinox_batch": Rule(equinox_batch, equinox_inference),
    "mxnet": Rule(nine_tenths, eps=1e-3),
    "gluon": Rule(nine_tenths),
    "paddle": Rule(nine_tenths),
    "caffe": Rule(caffe, caffe_global, initial_var=0.0),
    "caffe2": Rule(nine_tenths, initial_var=0.0),
    "chainer": Rule(chainer, eps=2e-5),
    "onnx": Rule(nine_tenths),
}


def by_hand(rule: Rule, channels: int) -> nn.Module:
    """A norm that normalises by the batch in training, and keeps what the rule keeps."""
    zeros = torch.zeros(channels, dtype=torch.float64)
    states = [State(zeros, zeros + rule.initial_var)]

    def normalize(x: torch.Tensor, training: bool) -> torch.Tensor:  # noqa: FBT001
        if not training:
            mean, var = statistics()
        else:
            axes = [0, *range(2, x.dim())]
            mean, var = x.mean(axes), x.var(axes, unbiased=False)
            state = rule.take(states.pop(), mean, var, x.numel() // channels)
            if rule.trains_by_average:  # the gradient goes through the batch's part alone
                mean, var = state.mean, state.var
            states.append(State(state.mean.detach(), state.var.detach(), state.count))
        wide = (1, -1, *[1] * (x.dim() - 2))
        return (x - mean.view(wide)) / (var.view(wide) + rule.eps).sqrt()

    def statistics() -> tuple[torch.Tensor, torch.Tensor]:
        return rule.read(states[0])

    return Wrapped(channels, normalize, statistics)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> str:
    """Vectors or images."""
    return str(request.param)


@pytest.fixture(scope="module")
def kept(case: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensors]:
    """A run of every preset."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("parity"))
        return stored(case, list(RULES), f"optim.lr={LEARNING_RATE}", "train.dtype=float64")


@pytest.fixture(scope="module")
def drawn(case: str) -> Tensors:
    """The draws behind them."""
    return draws(case, "norm/framework=null", "norm.momentum=0.1", "train.dtype=float64")


@pytest.mark.parametrize("framework", RULES)
def test_a_preset_is_the_rule_of_the_source(
    framework: str, case: str, kept: dict[str, Tensors], drawn: Tensors
) -> None:
    """Running statistics of every step, the loss of every batch, the loss of the tests after."""
    rule = RULES[framework]
    expected = replay(case, drawn, lambda channels, _: by_hand(rule, channels), LEARNING_RATE)

    assert_same(kept[framework], expected, TOLERANCE)


def test_every_preset_has_a_rule() -> None:
    """And the file that Hydra reads."""
    folder = Path(__file__).parents[1] / "configs/norm/framework"

    assert set(RULES) == {path.stem for path in folder.glob("*.yaml")}


def test_rules_that_differ_give_runs_that_differ(kept: dict[str, Tensors]) -> None:
    """In the statistics that they end with, or, of eps alone, in the loss."""
    for one, rule in RULES.items():
        for other, another in RULES.items():
            if rule != another:
                assert largest_error(kept[one], kept[other]) > 1e4 * TOLERANCE, (one, other)
