"""Parity where a framework is not installed: its update rule by hand, from its source.

In float64, so that the tolerance is 1e-10: rules differ by a thousandth and more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from replay import CASES, Tensors, Wrapped, assert_same, draws, kept, largest_error, replay
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


def average(decay: float, *, bessel: bool = False) -> Take:
    """`running * decay + batch * (1 - decay)`, counted; of n/(n − 1) of the variance, or of it."""

    def take(state: State, mean: torch.Tensor, var: torch.Tensor, n: int) -> State:
        adjusted = var * (n / max(n - 1, 1)) if bessel else var
        return State(
            state.mean * decay + mean * (1 - decay),
            state.var * decay + adjusted * (1 - decay),
            state.count + 1,
        )

    return take


def first_copied(state: State, mean: torch.Tensor, var: torch.Tensor, n: int) -> State:
    """The first batch, then `(1 - momentum) * batch + momentum * running`."""
    return average(0.99)(state, mean, var, n) if state.count else State(mean, var, 1)


def sums(state: State, mean: torch.Tensor, var: torch.Tensor, n: int) -> State:
    """Three blobs: sums `blob = blob * fraction + value`, and their weight."""
    factor = n / (n - 1) if n > 1 else 1  # bias_correction_factor
    return State(
        mean + 0.999 * state.mean, factor * var + 0.999 * state.var, state.count * 0.999 + 1
    )


def as_kept(state: State) -> tuple[torch.Tensor, torch.Tensor]:
    """What is kept is what is used."""
    return state.mean, state.var


def divided(decay: float) -> Read:
    """`hidden / (1 - decay ** counter)`, the initial value and all."""

    def read(state: State) -> tuple[torch.Tensor, torch.Tensor]:
        weight = 1 - decay**state.count
        return state.mean / weight, state.var / weight

    return read


def per_weight(state: State) -> tuple[torch.Tensor, torch.Tensor]:
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


TORCH = average(0.9, bessel=True)
KERAS = average(0.99)
NINE_TENTHS = average(0.9)

RULES = {
    # pytorch/pytorch aten/src/ATen/native/Normalization.cpp@000e068, of `var_sum / (n - 1)`
    "torch": Rule(TORCH),
    "timm_tf": Rule(TORCH, eps=1e-3),
    # keras-team/keras keras/src/layers/normalization/batch_normalization.py@3422977, `ops.moments`
    "keras": Rule(KERAS, eps=1e-3),
    # batch_normalization.py@dd0a723: `tf.nn.moments` on vectors, biased too
    "tf_keras": Rule(KERAS, eps=1e-3),
    # tensorflow/tensorflow tensorflow/core/kernels/fused_batch_norm_op.cc@057091d, Bessel's
    # correction: `variance * rest_size_adjust`, n / max(n - 1, 1)
    "tf_keras_fused": Rule(average(0.99, bessel=True), eps=1e-3),
    # google/flax flax/linen/normalization.py@18f8f31
    "flax": Rule(KERAS),
    # google-deepmind/dm-haiku haiku/_src/moving_averages.py@f4d858a, decay_rate=0.9, zero-debiased
    "haiku": Rule(NINE_TENTHS, divided(0.9), initial_var=0.0),
    # patrick-kidger/equinox equinox/nn/_batch_norm.py@9336d82, mode="ema" and mode="batch"
    "equinox_ema": Rule(first_copied, trains_by_average=True),
    "equinox_batch": Rule(KERAS, divided(0.99)),
    # apache/mxnet src/operator/nn/batch_norm.cc@b84609d (in the backward pass)
    "mxnet": Rule(NINE_TENTHS, eps=1e-3),
    "gluon": Rule(NINE_TENTHS),
    # PaddlePaddle paddle/phi/kernels/cpu/batch_norm_kernel.cc@0b3b64e
    "paddle": Rule(NINE_TENTHS),
    # BVLC/caffe src/caffe/layers/batch_norm_layer.cpp@9b89154
    "caffe": Rule(sums, per_weight, initial_var=0.0),
    # pytorch/pytorch caffe2/operators/spatial_batch_norm_op.h@00a1092
    "caffe2": Rule(NINE_TENTHS, initial_var=0.0),
    # chainer/chainer chainer/functions/normalization/batch_normalization.py@a8e15cb, `running *=
    # decay`, then `+= (1 - decay) * m / max(m - 1, 1) * var`
    "chainer": Rule(TORCH, eps=2e-5),
    # onnx/onnx onnx/reference/ops/op_batch_normalization.py@f754691 ("population size N")
    "onnx": Rule(NINE_TENTHS),
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
def presets(case: str) -> dict[str, Tensors]:
    """A run of every preset."""
    typed = [f"optim.lr={LEARNING_RATE}", "train.dtype=float64"]
    return {framework: kept(case, framework, *typed) for framework in RULES}


@pytest.fixture(scope="module")
def drawn(case: str) -> Tensors:
    """The draws behind them."""
    return draws(case, "norm/framework=null", "norm.momentum=0.1", "train.dtype=float64")


@pytest.mark.parametrize("framework", RULES)
def test_a_preset_is_the_rule_of_the_source(
    framework: str, case: str, presets: dict[str, Tensors], drawn: Tensors
) -> None:
    """Running statistics of every step, the loss of every batch, the loss of the tests after."""
    rule = RULES[framework]
    expected = replay(case, drawn, lambda channels, _: by_hand(rule, channels), LEARNING_RATE)

    assert_same(presets[framework], expected, TOLERANCE)


def test_every_preset_has_a_rule() -> None:
    """And the file that Hydra reads."""
    folder = Path(__file__).parents[1] / "configs/norm/framework"

    assert set(RULES) == {path.stem for path in folder.glob("*.yaml")}


def test_rules_that_differ_give_runs_that_differ(presets: dict[str, Tensors]) -> None:
    """In the statistics that they end with, or, of eps alone, in the loss."""
    for one, rule in RULES.items():
        for other, another in RULES.items():
            if rule != another:
                assert largest_error(presets[one], presets[other]) > 1e4 * TOLERANCE, (one, other)
