"""Each framework's batch norm as data, from its source.

What has not been read there is `not verified` or empty.
"""

from dataclasses import dataclass
from typing import Literal

from normexp.errors import pick

Weighs = Literal["new", "old", "time constant", "nothing"]
"""The parameter is the weight of the new batch, of the old value, or a time of remembering."""

Variance = Literal["biased", "unbiased", "depends on version", "not verified"]
"""Over n, over n − 1, one in some versions, or a source that has not been read."""

Normalises = Literal["batch", "running average", "instance"]
"""Whose statistics x is normalised by in training."""

Debiasing = Literal["none", "debiased", "divided"]
"""Treatment of the initial value when the average is used.

debiased: (r_t − w_t r_0) / (1 − w_t), with w_t the weight left on the initial value r_0.
divided: r_t / (1 − w_t), the initial value and all.
"""

CALLER = "the caller's"
BOTH = "both"
FIRST_BATCH = "the first batch"


@dataclass(frozen=True, kw_only=True)
class Framework:
    """The conventions of one framework's batch norm, read in its source; most do as by default.

    Attributes:
        name: as typed.
        title: as printed.
        parameter: what the momentum is called; None where there is none to choose.
        weighs: what it is the weight of.
        default: of the parameter; None where there is none.
        eps: default; None where the caller gives it.
        normalises: whose statistics training normalises by.
        normalises_by: the variance that x is divided by in training.
        averages: the batch variance that enters the running variance.
        debiasing: of the average when it is used.
        initial_mean: of the running mean; None where the caller gives it.
        initial_var: of the running variance; None where the caller gives it.
        copies_first: the first batch is copied, no initial value enters.
        none_is: the number that None stands for; None where it is none.
        cumulative: the value that gives the cumulative mean, as typed; empty where none does.
        at_zero: what the value 0 does; empty where nobody has looked.
        at_one: what the value 1 does.
        one_value: what becomes of one value a channel in training.
        affine: which of scale and shift are trained by default.
        remarks: what else a porter should know.
        source: repository, path and commit.
        no_preset: why there is no `norm/framework=NAME`; empty where there is.
    """

    name: str
    title: str
    parameter: str | None = "momentum"
    weighs: Weighs = "old"
    default: float | None
    eps: float | None = 1e-5
    normalises: Normalises = "batch"
    normalises_by: Variance = "biased"
    averages: Variance
    debiasing: Debiasing = "none"
    initial_mean: float | None = 0.0
    initial_var: float | None = 1.0
    copies_first: bool = False
    none_is: float | None = None
    cumulative: str = ""
    at_zero: str = ""
    at_one: str = ""
    one_value: str = ""
    affine: str = BOTH
    remarks: str = ""
    source: str
    no_preset: str = ""

    @property
    def starts_at(self) -> str:
        """The initial mean and variance in words: `0, 1`, `FIRST_BATCH` or `CALLER`."""
        if self.copies_first:
            return FIRST_BATCH
        if self.initial_mean is None or self.initial_var is None:
            return CALLER
        return f"{self.initial_mean:g}, {self.initial_var:g}"


LAST = "the last batch alone"
FROZEN = "frozen"
NO_VARIANCE = "no error, variance 0"

ALIASES = {"pytorch": "torch", "tensorflow": "tf_keras", "tf": "tf_keras", "keras3": "keras",
           "linen": "flax", "nnx": "flax", "equinox": "equinox_ema", "caffe1": "caffe"}  # fmt: skip
"""Other names by which people call them."""

_PYTORCH = (
    Framework(
        name="torch", title="PyTorch", weighs="new", default=0.1,
        averages="unbiased", cumulative="None", at_zero=FROZEN, at_one=LAST,
        one_value="ValueError",
        remarks="Frozen by momentum=0, it still counts its batches. -0.1, 1.5 and nan are accepted "
        "in silence (torch 2.13).",
        source="pytorch/pytorch aten/src/ATen/native/Normalization.cpp@000e068, "
        "torch/nn/modules/batchnorm.py",
    ),
    Framework(
        name="torch_sync", title="PyTorch SyncBatchNorm", weighs="new",
        default=0.1, averages="unbiased", cumulative="None", at_zero=FROZEN,
        at_one=LAST, one_value="ValueError, unless there are several processes",
        remarks="The batch is that of all processes, and input must be on a GPU. Without a process "
        "group it is PyTorch's BatchNorm, on any device.",
        source="pytorch/pytorch torch/nn/modules/batchnorm.py, torch/nn/modules/_functions.py, "
        "aten/src/ATen/native/cuda/Normalization.cuh",
        no_preset="on one device it is norm/framework=torch",
    ),
    Framework(
        name="torch_instance", title="PyTorch InstanceNorm", weighs="new",
        default=0.1, normalises="instance", averages="unbiased", none_is=0,
        at_zero=FROZEN, at_one=LAST, affine="neither, affine=False",
        one_value="ValueError, in evaluation only without running statistics",
        remarks="Running statistics only with track_running_stats=True; the default is False. None "
        "is 0 (torch 2.13). The running variance is a mean of instances' variances: how instances "
        "differ is lost.",
        source="pytorch/pytorch aten/src/ATen/native/Normalization.cpp@000e068, instance_norm, "
        "torch/nn/modules/instancenorm.py",
        no_preset="it is no batch norm: norm=instance, without running statistics",
    ),
    Framework(
        name="timm_tf", title="timm tf_* models", parameter="bn_momentum", weighs="new",
        default=0.1, eps=1e-3, averages="unbiased", cumulative="None", at_zero=FROZEN, at_one=LAST,
        one_value="ValueError",
        remarks="PyTorch's layer. The tf_* models set eps alone; BN_MOMENTUM_TF_DEFAULT = 1 - 0.99 "
        "counts only where bn_momentum is passed. --dist-bn reduce averages running "
        "statistics over processes once an epoch: how their means differ is lost.",
        source="timm timm/models/_efficientnet_builder.py@aa4b585",
    ),
    Framework(
        name="fvcore", title="fvcore update_bn_stats", parameter=None, weighs="nothing",
        default=None, eps=None, averages="biased", initial_mean=None, initial_var=None,
        remarks="PreciseBN: mean over num_iters=200 batches at fixed weights, weighted by n; by "
        "default the variance of all of them pooled, over all N of their values.",
        source="fvcore fvcore/nn/precise_bn.py@3378afe",
        no_preset="it is an estimator: norm.estimator=precise norm.precise_batches=200, whose "
        "variance is over N - 1",
    ),
    Framework(
        name="update_bn", title="torch.optim.swa_utils.update_bn", parameter=None,
        weighs="nothing", default=None, eps=None, averages="unbiased",
        remarks="Resets the statistics, sets momentum=None and goes over the data once: every "
        "batch counts the same, a smaller last one too.",
        source="torch 2.13 torch/optim/swa_utils.py",
        no_preset="it recomputes statistics after a training; norm.estimator=precise is like it",
    ),
)  # fmt: skip

_TENSORFLOW = (
    Framework(
        name="keras", title="Keras 3", default=0.99, eps=1e-3,
        averages="biased", at_zero=LAST, at_one=FROZEN, one_value=NO_VARIANCE,
        remarks="None raises. Its torch backend never calls torch's batch norm. renorm=True "
        "averages σ (moving_stddev), with a renorm_momentum for its correction; norm=batch_renorm "
        "averages the variance.",
        source="keras-team/keras keras/src/layers/normalization/batch_normalization.py@3422977",
    ),
    Framework(
        name="tf_keras", title="tf-keras 2, vectors",
        default=0.99, eps=1e-3, averages="biased", at_zero=LAST, at_one=FROZEN,
        one_value=NO_VARIANCE,
        remarks="Input of rank 2 or 3, or masked, synchronised or renormalised.",
        source="keras-team/tf-keras tf_keras/layers/normalization/batch_normalization.py@dd0a723",
    ),
    Framework(
        name="tf_keras_fused", title="tf-keras 2, images",
        default=0.99, eps=1e-3, averages="unbiased", at_zero=LAST, at_one=FROZEN,
        one_value="no error, divides by max(n - 1, 1)",
        remarks="Input of rank 4 or 5, which takes TensorFlow's fused kernel.",
        source="tensorflow/tensorflow tensorflow/core/kernels/fused_batch_norm_op.cc@057091d",
    ),
    Framework(
        name="tensorpack", title="tensorpack", default=0.9,
        normalises_by="not verified", averages="not verified",
        remarks="A layer of tf.layers; virtual_batch_size is ghost batch norm.",
        source="tensorpack/tensorpack tensorpack/models/batch_norm.py@1547a54",
        no_preset="which variance tf.layers averages under it is not verified",
    ),
)  # fmt: skip

_JAX = (
    Framework(
        name="flax", title="Flax linen and nnx", default=0.99,
        averages="biased", one_value=NO_VARIANCE,
        remarks="The variance is E[x²] - E[x]², not below 0. linen's init updates nothing.",
        source="google/flax flax/linen/normalization.py@18f8f31, flax/nnx/nn/normalization.py",
    ),
    Framework(
        name="haiku", title="Haiku", parameter="decay_rate", default=None,
        averages="biased", debiasing="debiased", initial_var=0.0, one_value=NO_VARIANCE,
        affine=CALLER,
        remarks="decay_rate has no default; norm/framework=haiku takes 0.9.",
        source="google-deepmind/dm-haiku haiku/_src/batch_norm.py, moving_averages.py@f4d858a",
    ),
    Framework(
        name="equinox_ema", title='Equinox mode="ema"',
        default=0.99, normalises="running average", averages="biased",
        copies_first=True, one_value=NO_VARIANCE,
        remarks="What one gets without mode=, with a warning: the running average normalises "
        "training too, so that momentum changes the weights. Its docstring says unbiased; the "
        "code is biased.",
        source="patrick-kidger/equinox equinox/nn/_batch_norm.py@9336d82",
    ),
    Framework(
        name="equinox_batch", title='Equinox mode="batch"',
        default=0.99, averages="biased", debiasing="divided", one_value=NO_VARIANCE,
        remarks="Starts at variance 1 and divides by 1 - m^t: m^t / (1 - m^t) too much, 99 at the "
        "first step and 0.58 at the hundredth of m = 0.99.",
        source="patrick-kidger/equinox equinox/nn/_batch_norm.py@9336d82",
    ),
)  # fmt: skip

_OTHERS = (
    Framework(
        name="mxnet", title="MXNet operator", default=0.9,
        eps=1e-3, averages="biased", one_value=NO_VARIANCE,
        affine="shift alone, fix_gamma=True",
        remarks="fix_gamma=True, the default, holds the scale at 1. Updates in the backward pass: "
        "without gradients there is no update. CPU and native GPU; with cuDNN not verified.",
        source="apache/mxnet src/operator/nn/batch_norm.cc, batch_norm-inl.h@b84609d",
    ),
    Framework(
        name="gluon", title="MXNet Gluon", default=0.9,
        averages="biased", one_value=NO_VARIANCE,
        remarks="Updates in the backward pass: without gradients there is no update. CPU and "
        "native GPU; with cuDNN not verified.",
        source="apache/mxnet python/mxnet/gluon/nn/basic_layers.py@b84609d",
    ),
    Framework(
        name="paddle", title="PaddlePaddle", default=0.9,
        averages="biased", one_value="y = x, the layer is skipped, no update (CPU)",
        remarks="The GPU kernel's exponentialAverageFactor multiplies the old value as well.",
        source="PaddlePaddle python/paddle/nn/layer/norm.py@03f0c63, "
        "paddle/phi/kernels/cpu/batch_norm_kernel.cc@0b3b64e",
    ),
    Framework(
        name="mindspore", title="MindSpore nn", default=0.9,
        averages="not verified",
        remarks="Values outside of 0 to 1 are refused.",
        source="mindspore mindspore/python/mindspore/nn/layer/normalization.py@0696750",
        no_preset="which variance it averages depends on the device and is not verified",
    ),
    Framework(
        name="mindspore_ops", title="MindSpore P.BatchNorm", weighs="new",
        default=0.1, averages="not verified",
        remarks="nn hands it 1 - momentum: the same word, the other direction.",
        source="mindspore mindspore/python/mindspore/nn/layer/normalization.py@0696750",
        no_preset="which variance it averages depends on the device and is not verified",
    ),
    Framework(
        name="caffe", title="Caffe", parameter="moving_average_fraction",
        default=0.999, averages="unbiased", debiasing="debiased", initial_var=0.0,
        cumulative="1", at_one="the cumulative mean, not frozen",
        one_value="no error, factor 1 for n / (n - 1)", affine="neither, a Scale layer has them",
        remarks="Stores sums and their weight, the scale factor: the blobs are no statistics.",
        source="BVLC/caffe src/caffe/layers/batch_norm_layer.cpp@9b89154",
    ),
    Framework(
        name="caffe2", title="Caffe2 SpatialBN", default=0.9,
        averages="depends on version", initial_var=0.0,
        remarks="The running variance is over n in older versions, over n - 1 in later ones. "
        "Values outside of 0 to 1 are refused. Starts at 0 where it allocates itself.",
        source="pytorch/pytorch caffe2/operators/spatial_batch_norm_op.h@b89ea1f (over n), "
        "spatial_batch_norm_op_impl.cuh@68d7b9f (over n - 1)",
    ),
    Framework(
        name="chainer", title="Chainer", parameter="decay", default=0.9, eps=2e-5,
        averages="unbiased", cumulative="1 - 1/t, or finetune=True",
        one_value="no error, factor 1 for n / (n - 1)",
        remarks="Before version 5 the running variance began at 0.",
        source="chainer/chainer chainer/links/normalization/batch_normalization.py@a8e15cb",
    ),
    Framework(
        name="onnx", title="ONNX BatchNormalization-15",
        default=0.9, averages="biased", initial_mean=None, initial_var=None,
        remarks="Trains only with training_mode=1. Initial statistics are inputs; the preset takes "
        "0 and 1.",
        source="onnx/onnx onnx/defs/nn/defs.cc, onnx/reference/ops/op_batch_normalization.py"
        "@f754691",
    ),
    Framework(
        name="cudnn", title="cuDNN", parameter="exponentialAverageFactor", weighs="new",
        default=None, eps=None, averages="unbiased", initial_mean=None, initial_var=None,
        cumulative="1/t",
        one_value="running variance NaN, as Flux.jl reports",
        remarks="eps is at least CUDNN_BN_MIN_EPSILON.",
        source="pytorch/pytorch aten/src/ATen/native/cudnn/BatchNorm.cpp@015d4ca; header comment",
        no_preset="it has no defaults: its caller gives them",
    ),
    Framework(
        name="cntk", title="CNTK", parameter="normalizationTimeConstant", weighs="time constant",
        default=0.0, averages="not verified", copies_first=True, initial_var=None,
        cumulative="-1", at_zero=LAST,
        remarks="In samples: the newest batch weighs 1 - exp(-B / T), so the same T means the same "
        "for every batch size. inf: frozen. Below 0: the mean of all samples. "
        "blendTimeConstant, 0 by default, mixes running statistics into training.",
        source="microsoft/CNTK Source/ComputationNetworkLib/TrainingNodes.h@498a4c4",
        no_preset="a time constant is no weight, and which variance it averages is not verified",
    ),
)  # fmt: skip

FRAMEWORKS: dict[str, Framework] = {
    framework.name: framework for framework in (*_PYTORCH, *_TENSORFLOW, *_JAX, *_OTHERS)
}
"""By name, as typed."""


def named(name: str, what: str) -> Framework:
    """The framework of this name.

    Args:
        name: as typed; capitals and hyphens make no difference.
        what: asks for it, for the message.

    Raises:
        UsageError: there is none.
    """
    plain = name.lower().replace("-", "_").replace(" ", "_")
    return pick(ALIASES.get(plain, plain), FRAMEWORKS, what)
