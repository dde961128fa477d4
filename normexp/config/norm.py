"""Norms as configured. A norm with a field `momentum` has running statistics.

Whether momentum is *observed* is the norm's own: where running statistics enter training, momentum
has another role, and nothing else in normexp needs to know.
"""

from dataclasses import dataclass
from typing import Literal

from normexp.config import norm_fields as its
from normexp.config.field import Role, declare

STRUCTURAL, STACKABLE, OBSERVED, RUNTIME = Role


@dataclass(frozen=True, kw_only=True)
class NoNorm:
    """No normalisation."""

    kind: Literal["none"] = declare(STRUCTURAL, "none", "which norm")


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    """Batch normalisation (Ioffe & Szegedy 2015, algorithm 1) as in `torch.nn.BatchNorm1d`."""

    kind: Literal["batch"] = declare(STRUCTURAL, "batch", "which norm")
    momentum: float | None = its.momentum(OBSERVED, 0.1)
    estimator: its.Estimator = its.estimator()
    window: int = its.window()
    mix: float = its.mix()
    precise_batches: int | None = its.precise_batches()
    momentum_schedule: its.MomentumSchedule = its.momentum_schedule()
    final_momentum: float = its.final_momentum()
    eps: float = its.eps()
    affine: bool = its.affine(neutral=True)
    placement: its.Placement = its.placement(neutral="before")
    normalizing_variance: its.Variance = its.normalizing_variance(neutral="biased")
    running_variance: its.Variance = its.running_variance(OBSERVED, "unbiased", neutral="unbiased")
    initial_mean: float = its.initial_mean()
    initial_var: float = its.initial_var()
    convention: its.Convention = its.convention()


@dataclass(frozen=True, kw_only=True)
class GhostNorm:
    """Ghost batch norm (Hoffer et al. 2017, algorithm 1): virtual batches, normalised apart.

    The running statistics take in every virtual batch, one after the other.
    """

    kind: Literal["ghost"] = declare(STRUCTURAL, "ghost", "which norm")
    momentum: float | None = its.momentum(OBSERVED, 0.1)
    estimator: its.Estimator = its.estimator()
    window: int = its.window()
    mix: float = its.mix()
    precise_batches: int | None = its.precise_batches()
    momentum_schedule: its.MomentumSchedule = its.momentum_schedule()
    final_momentum: float = its.final_momentum()
    size: int = declare(STRUCTURAL, 16, "examples of a virtual batch", short="v", minimum=1)
    eps: float = its.eps()
    affine: bool = its.affine()
    placement: its.Placement = its.placement()
    normalizing_variance: its.Variance = its.normalizing_variance()
    running_variance: its.Variance = its.running_variance(OBSERVED, "unbiased")
    initial_mean: float = its.initial_mean()
    initial_var: float = its.initial_var()
    convention: its.Convention = its.convention()


@dataclass(frozen=True, kw_only=True)
class BatchRenorm:
    """Batch renormalisation (Ioffe 2017): corrected by the running statistics, even in training.

    So momentum changes the weights: every momentum is a training of its own.
    """

    kind: Literal["batch_renorm"] = declare(STRUCTURAL, "batch_renorm", "which norm")
    momentum: float | None = its.momentum(STACKABLE, 0.01)
    r_max: float = declare(STRUCTURAL, 3.0, "largest r, and 1 / smallest", short="r", minimum=1)
    d_max: float = declare(STRUCTURAL, 5.0, "largest |d|", short="dmax", minimum=0)
    warmup_steps: int = declare(
        STRUCTURAL, 50, "steps of plain batch norm at first", short="warm", minimum=0
    )
    ramp_steps: int = declare(
        STRUCTURAL, 100, "steps over which r_max grows from 1 and d_max from 0", short="ramp",
        minimum=0,
    )  # fmt: skip
    eps: float = its.eps()
    affine: bool = its.affine()
    placement: its.Placement = its.placement()
    running_variance: its.Variance = its.running_variance(STRUCTURAL, "biased")
    convention: its.Convention = its.convention()


@dataclass(frozen=True, kw_only=True)
class EmaTrain:
    """Normalising with the running statistics in training too, as Equinox does by default.

    The warning example: `equinox.nn.BatchNorm(mode="ema")` copies the first batch in, then takes
    (1 − a)·running + a·batch and divides by that, the gradient going through the batch's part only.
    """

    kind: Literal["ema_train"] = declare(STRUCTURAL, "ema_train", "which norm")
    momentum: float | None = its.momentum(STACKABLE, 0.01)
    copy_first: bool = declare(
        STRUCTURAL, default=True, doc="start from the first batch, not from (0, 1)", short="copy-"
    )
    eps: float = its.eps()
    affine: bool = its.affine()
    placement: its.Placement = its.placement()
    running_variance: its.Variance = its.running_variance(STRUCTURAL, "biased")
    convention: its.Convention = its.convention()


@dataclass(frozen=True, kw_only=True)
class LayerNorm:
    """Layer normalisation (Ba et al. 2016) over all of an example, as in `torch.nn.LayerNorm`."""

    kind: Literal["layer"] = declare(STRUCTURAL, "layer", "which norm")
    eps: float = its.eps()
    affine: bool = its.affine()
    affine_per: Literal["element", "channel"] = declare(
        STRUCTURAL, "element", "one scale each: element (PyTorch) or channel (S4)", short="per-"
    )
    placement: its.Placement = its.placement()
    normalizing_variance: its.Variance = its.normalizing_variance()


@dataclass(frozen=True, kw_only=True)
class InstanceNorm:
    """Instance normalisation (Ulyanov et al. 2016): each channel of each image by itself.

    As `torch.nn.InstanceNorm2d(affine=True)`, without running statistics.
    """

    kind: Literal["instance"] = declare(STRUCTURAL, "instance", "which norm")
    eps: float = its.eps()
    affine: bool = its.affine()
    placement: its.Placement = its.placement()
    normalizing_variance: its.Variance = its.normalizing_variance()


@dataclass(frozen=True, kw_only=True)
class GroupNorm:
    """Group normalisation (Wu & He 2018) as in `torch.nn.GroupNorm`."""

    kind: Literal["group"] = declare(STRUCTURAL, "group", "which norm")
    groups: int = declare(STRUCTURAL, 2, "groups of channels", short="g", minimum=1)
    eps: float = its.eps()
    affine: bool = its.affine()
    placement: its.Placement = its.placement()
    normalizing_variance: its.Variance = its.normalizing_variance()


@dataclass(frozen=True, kw_only=True)
class RmsNorm:
    """Division by the root mean square (Zhang & Sennrich 2019) as in `torch.nn.RMSNorm`.

    Over all of an example; PyTorch's eps is the dtype's smallest step unless it is given.
    """

    kind: Literal["rms"] = declare(STRUCTURAL, "rms", "which norm")
    eps: float = its.eps()
    affine: bool = its.affine()
    placement: its.Placement = its.placement()


BatchKind = BatchNorm | GhostNorm | BatchRenorm | EmaTrain
"""Those with running statistics."""

ExampleKind = LayerNorm | InstanceNorm | GroupNorm | RmsNorm
"""Those that normalise every example by itself."""

Norm = NoNorm | BatchKind | ExampleKind

AveragedKind = BatchNorm | GhostNorm
"""Those whose running statistics are for evaluation only, by an estimator."""
