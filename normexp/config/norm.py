"""Norms as configured, and which of their fields an estimator reads.

A norm with a field `momentum` has running statistics. Whether momentum is *observed* is the norm's
own: where running statistics enter training, momentum has another role.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from normexp.config.field import Role, Rule, Scalar, declare, specs, use

STRUCTURAL, STACKABLE, OBSERVED, RUNTIME = Role

Placement = Literal["before", "after"]
Variance = Literal["biased", "unbiased"]
Convention = Literal["torch", "keras"]
MomentumSchedule = Literal["constant", "linear", "cosine", "exponential"]
Estimator = Literal[
    "ema",
    "debiased",
    "divided",
    "warmup",
    "cumulative",
    "window",
    "mixed",
    "test_batch",
    "population",
    "precise",
    "recalibrated",
]
"""The statistics used in evaluation; `normexp.engine` computes them.

`cumulative` is another way to type `ema` with momentum null, and settled to it.
"""

MOMENTA = ("momentum", "momentum_schedule", "final_momentum")
START = ("initial_mean", "initial_var", "running_variance")

FIELDS_READ: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ema", "debiased", "divided", "warmup"), (*MOMENTA, *START)),
    "cumulative": START,
    "window": ("window", *START),
    "mixed": (*MOMENTA, "mix", *START),
    "test_batch": (),
    "population": (),
    "precise": ("precise_batches",),
    "recalibrated": (),
}
"""The fields of a norm that each estimator reads; `normexp.study.settle` resets the others."""

ESTIMATOR_FIELDS = tuple(
    dict.fromkeys(f"norm.{field}" for read in FIELDS_READ.values() for field in read)
)
"""The fields that some estimators read and others do not."""

REFERENCE_ESTIMATORS = tuple(name for name, read in FIELDS_READ.items() if START[0] not in read)
"""Estimators that use the weights only, not the batches of the training."""

WITHOUT_MOMENTUM = tuple(name for name, read in FIELDS_READ.items() if MOMENTA[0] not in read)
"""Estimators in which no batch is weighed by a momentum."""


def unread(flat: Mapping[str, Scalar]) -> set[str]:
    """Return the fields of a settled norm, by dotted names, that its estimator does not read."""
    estimator = flat.get("norm.estimator")  # only norms with an average have one
    read = set(FIELDS_READ[str(estimator)]) if estimator is not None else set[str]()
    if flat.get("norm.momentum") is None:
        read -= set(MOMENTA)
    elif flat.get("norm.momentum_schedule") == "constant":
        read.discard("final_momentum")
    return {path for path in ESTIMATOR_FIELDS if path.removeprefix("norm.") not in read}


# Rules of fields that several norms have.

MOMENTUM = Rule(OBSERVED, short="m", minimum=0, maximum=1)
ESTIMATOR = Rule(OBSERVED, neutral="ema")
WINDOW = Rule(OBSERVED, short="k", minimum=1, neutral=16, unit="batches")
MIX = Rule(OBSERVED, short="mix", minimum=0, maximum=1, neutral=0.5)
PRECISE_BATCHES = Rule(OBSERVED, short="pool", minimum=1, neutral=None, unit="batches")
MOMENTUM_SCHEDULE = Rule(OBSERVED, neutral="constant")
FINAL_MOMENTUM = Rule(OBSERVED, short="to", minimum=0, maximum=1, neutral=0.01)
INITIAL_MEAN = Rule(OBSERVED, short="mean", neutral=0.0)
INITIAL_VAR = Rule(OBSERVED, short="var", minimum=0, neutral=1.0)
EPS = Rule(STRUCTURAL, short="eps", minimum=1e-12)
AFFINE = Rule(STRUCTURAL, short="affine-")
NORMALIZING_VARIANCE = Rule(STRUCTURAL, short="by-")
RUNNING_VARIANCE = Rule(OBSERVED, short="avg-")


@dataclass(frozen=True, kw_only=True)
class NoNorm:
    """No normalisation."""

    kind: Literal["none"] = declare(STRUCTURAL, "none")


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    """Batch normalisation (Ioffe & Szegedy 2015, algorithm 1) as in `torch.nn.BatchNorm1d`."""

    kind: Literal["batch"] = declare(STRUCTURAL, "batch")
    momentum: float | None = use(MOMENTUM, 0.1)
    estimator: Estimator = use(ESTIMATOR, "ema")
    window: int = use(WINDOW, 16)
    mix: float = use(MIX, 0.5)
    precise_batches: int | None = use(PRECISE_BATCHES, None)
    momentum_schedule: MomentumSchedule = use(MOMENTUM_SCHEDULE, "constant")
    final_momentum: float = use(FINAL_MOMENTUM, 0.01)
    eps: float = use(EPS, 1e-5)
    affine: bool = use(AFFINE, default=True, neutral=True)
    placement: Placement = declare(STRUCTURAL, "before", neutral="before")
    normalizing_variance: Variance = use(NORMALIZING_VARIANCE, "biased", neutral="biased")
    running_variance: Variance = use(RUNNING_VARIANCE, "unbiased", neutral="unbiased")
    initial_mean: float = use(INITIAL_MEAN, 0.0)
    initial_var: float = use(INITIAL_VAR, 1.0)
    convention: Convention = declare(RUNTIME, "torch")


@dataclass(frozen=True, kw_only=True)
class GhostNorm:
    """Ghost batch norm (Hoffer et al. 2017, algorithm 1): virtual batches, normalised apart.

    The running statistics take in every virtual batch, one after the other.
    """

    kind: Literal["ghost"] = declare(STRUCTURAL, "ghost")
    momentum: float | None = use(MOMENTUM, 0.1)
    estimator: Estimator = use(ESTIMATOR, "ema")
    window: int = use(WINDOW, 16)
    mix: float = use(MIX, 0.5)
    precise_batches: int | None = use(PRECISE_BATCHES, None)
    momentum_schedule: MomentumSchedule = use(MOMENTUM_SCHEDULE, "constant")
    final_momentum: float = use(FINAL_MOMENTUM, 0.01)
    size: int = declare(STRUCTURAL, 16, short="v", minimum=1, unit="examples")
    eps: float = use(EPS, 1e-5)
    affine: bool = use(AFFINE, default=True)
    placement: Placement = declare(STRUCTURAL, "before")
    normalizing_variance: Variance = use(NORMALIZING_VARIANCE, "biased")
    running_variance: Variance = use(RUNNING_VARIANCE, "unbiased")
    initial_mean: float = use(INITIAL_MEAN, 0.0)
    initial_var: float = use(INITIAL_VAR, 1.0)
    convention: Convention = declare(RUNTIME, "torch")


@dataclass(frozen=True, kw_only=True)
class BatchRenorm:
    """Batch renormalisation (Ioffe 2017): corrected by the running statistics, even in training.

    So momentum changes the weights: every momentum is a training of its own.
    """

    kind: Literal["batch_renorm"] = declare(STRUCTURAL, "batch_renorm")
    momentum: float | None = use(MOMENTUM, 0.01, role=STACKABLE)
    r_max: float = declare(STRUCTURAL, 3.0, short="r", minimum=1)
    d_max: float = declare(STRUCTURAL, 5.0, short="dmax", minimum=0)
    warmup_steps: int = declare(STRUCTURAL, 50, short="warm", minimum=0, unit="steps")
    ramp_steps: int = declare(STRUCTURAL, 100, short="ramp", minimum=0, unit="steps")
    eps: float = use(EPS, 1e-5)
    affine: bool = use(AFFINE, default=True)
    placement: Placement = declare(STRUCTURAL, "before")
    running_variance: Variance = use(RUNNING_VARIANCE, "biased", role=STRUCTURAL)
    convention: Convention = declare(RUNTIME, "torch")


@dataclass(frozen=True, kw_only=True)
class EmaTrain:
    """Normalising with the running statistics in training too, as Equinox does by default.

    The warning example: `equinox.nn.BatchNorm(mode="ema")` copies the first batch in, then takes
    (1 − a)·running + a·batch and divides by that, the gradient going through the batch's part only.
    """

    kind: Literal["ema_train"] = declare(STRUCTURAL, "ema_train")
    momentum: float | None = use(MOMENTUM, 0.01, role=STACKABLE)
    copy_first: bool = declare(STRUCTURAL, short="copy-", default=True)
    eps: float = use(EPS, 1e-5)
    affine: bool = use(AFFINE, default=True)
    placement: Placement = declare(STRUCTURAL, "before")
    running_variance: Variance = use(RUNNING_VARIANCE, "biased", role=STRUCTURAL)
    convention: Convention = declare(RUNTIME, "torch")


@dataclass(frozen=True, kw_only=True)
class LayerNorm:
    """Layer normalisation (Ba et al. 2016) over all of an example, as in `torch.nn.LayerNorm`."""

    kind: Literal["layer"] = declare(STRUCTURAL, "layer")
    eps: float = use(EPS, 1e-5)
    affine: bool = use(AFFINE, default=True)
    affine_per: Literal["element", "channel"] = declare(STRUCTURAL, "element", short="per-")
    placement: Placement = declare(STRUCTURAL, "before")
    normalizing_variance: Variance = use(NORMALIZING_VARIANCE, "biased")


@dataclass(frozen=True, kw_only=True)
class InstanceNorm:
    """Instance normalisation (Ulyanov et al. 2016): each channel of each image by itself.

    As `torch.nn.InstanceNorm2d(affine=True)`, without running statistics.
    """

    kind: Literal["instance"] = declare(STRUCTURAL, "instance")
    eps: float = use(EPS, 1e-5)
    affine: bool = use(AFFINE, default=True)
    placement: Placement = declare(STRUCTURAL, "before")
    normalizing_variance: Variance = use(NORMALIZING_VARIANCE, "biased")


@dataclass(frozen=True, kw_only=True)
class GroupNorm:
    """Group normalisation (Wu & He 2018) as in `torch.nn.GroupNorm`."""

    kind: Literal["group"] = declare(STRUCTURAL, "group")
    groups: int = declare(STRUCTURAL, 2, short="g", minimum=1)
    eps: float = use(EPS, 1e-5)
    affine: bool = use(AFFINE, default=True)
    placement: Placement = declare(STRUCTURAL, "before")
    normalizing_variance: Variance = use(NORMALIZING_VARIANCE, "biased")


@dataclass(frozen=True, kw_only=True)
class RmsNorm:
    """Division by the root mean square (Zhang & Sennrich 2019) as in `torch.nn.RMSNorm`.

    Over all of an example; PyTorch's eps is the dtype's smallest step unless it is given.
    """

    kind: Literal["rms"] = declare(STRUCTURAL, "rms")
    eps: float = use(EPS, 1e-5)
    affine: bool = use(AFFINE, default=True)
    placement: Placement = declare(STRUCTURAL, "before")


BatchKind = BatchNorm | GhostNorm | BatchRenorm | EmaTrain
"""Those with running statistics."""

ExampleKind = LayerNorm | InstanceNorm | GroupNorm | RmsNorm
"""Those that normalise every example by itself."""

Norm = NoNorm | BatchKind | ExampleKind

AveragedKind = BatchNorm | GhostNorm
"""Those whose running statistics are for evaluation only, by an estimator."""


def looks_back(config: Norm) -> bool:
    """Return whether the running statistics enter training."""
    kind: type = config.__class__
    momentum = specs(kind).get("momentum")
    return momentum is not None and momentum.rule.role is not Role.OBSERVED


def limits(config: BatchRenorm, step: int) -> tuple[float, float]:
    """Return r_max and d_max after so many steps: 1 and 0 in the warm-up, then growing evenly."""
    since = step - config.warmup_steps
    if since < 0:
        share = 0.0
    else:
        share = min(1.0, (since + 1) / config.ramp_steps) if config.ramp_steps else 1.0
    return 1 + share * (config.r_max - 1), share * config.d_max
