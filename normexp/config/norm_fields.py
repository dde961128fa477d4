"""The fields that several norms have, each declared once."""

from typing import Any, Literal

from normexp.config.field import Role, declare

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
"""What evaluation is normalised by; `normexp.engine.estimators` and `recompute` say how.

`cumulative` is another way to type `ema` with momentum null, and settled to it.
"""

REFERENCES = ("test_batch", "population", "precise", "recalibrated")
"""Estimators that know the weights only, and nothing of the batches that led to them."""

OF_ESTIMATORS = tuple(
    f"norm.{field}"
    for field in ("momentum", "window", "mix", "precise_batches", "momentum_schedule",
                  "final_momentum", "initial_mean", "initial_var", "running_variance")
)  # fmt: skip
"""The fields that some estimators read and others do not."""

WITHOUT_MOMENTUM = ("window", *REFERENCES)
"""Estimators in which no batch is weighed by a momentum."""


def momentum(role: Role, default: float) -> Any:  # noqa: ANN401
    """Weight of the newest batch."""
    doc = "weight of the newest batch in the running statistics; null: their cumulative mean"
    return declare(role, default, doc, short="m", minimum=0, maximum=1)


def eps(**rule: Any) -> Any:  # noqa: ANN401
    """Added to the variance."""
    return declare(STRUCTURAL, 1e-5, "added to the variance", short="eps", minimum=1e-12, **rule)


def affine(**rule: Any) -> Any:  # noqa: ANN401
    """Whether scale and shift are learned."""
    return declare(
        STRUCTURAL, default=True, doc="learn a scale and a shift", short="affine-", **rule
    )


def placement(**rule: Any) -> Any:  # noqa: ANN401
    """Before or after the activation."""
    doc = "where the norm stands: before or after the activation"
    return declare(STRUCTURAL, "before", doc, short="", **rule)


def normalizing_variance(**rule: Any) -> Any:  # noqa: ANN401
    """Which variance x is divided by."""
    return declare(
        STRUCTURAL,
        "biased",
        "variance that x is divided by, of n (biased) or n − 1 (unbiased, as hand-written by S4)",
        short="by-",
        **rule,
    )


def running_variance(role: Role, default: Variance, **rule: Any) -> Any:  # noqa: ANN401
    """Which variance is averaged."""
    return declare(
        role,
        default,
        "batch variance that is averaged: unbiased (PyTorch) or biased (Keras, Flax, S2, Ioffe)",
        short="avg-",
        **rule,
    )


def estimator() -> Any:  # noqa: ANN401
    """What evaluation is normalised by."""
    doc = "what evaluation is normalised by: an average of the batches, or a reference"
    return declare(OBSERVED, "ema", doc, neutral="ema")


def window() -> Any:  # noqa: ANN401
    """Length of the sliding window."""
    doc = "newest batches that are averaged by estimator=window"
    return declare(OBSERVED, 16, doc, short="k", minimum=1, neutral=16)


def mix() -> Any:  # noqa: ANN401
    """Share of the test batch."""
    doc = "share of the test batch's statistics in estimator=mixed"
    return declare(OBSERVED, 0.5, doc, short="mix", minimum=0, maximum=1, neutral=0.5)


def precise_batches() -> Any:  # noqa: ANN401
    """Number of batches that PreciseBN pools."""
    doc = "batches that estimator=precise pools, 200 in fvcore; null: those of an epoch"
    return declare(OBSERVED, None, doc, short="pool", minimum=1, neutral=None)


def momentum_schedule() -> Any:  # noqa: ANN401
    """How the momentum goes to the final one."""
    doc = "how momentum goes to final_momentum over the updates; exponential: evenly in its log"
    return declare(OBSERVED, "constant", doc, neutral="constant")


def final_momentum() -> Any:  # noqa: ANN401
    """Momentum of the last update."""
    doc = "momentum of the last update, if momentum_schedule is not constant"
    rule = {"short": "to", "minimum": 0, "maximum": 1, "neutral": 0.01}
    return declare(OBSERVED, 0.01, doc, **rule)


def initial_mean() -> Any:  # noqa: ANN401
    """Running mean before the first batch."""
    return declare(OBSERVED, 0.0, "running mean before the first batch", short="mean", neutral=0.0)


def initial_var() -> Any:  # noqa: ANN401
    """Running variance before the first batch."""
    doc = "running variance before the first batch"
    return declare(OBSERVED, 1.0, doc, short="var", minimum=0, neutral=1.0)


def convention() -> Any:  # noqa: ANN401
    """How momentum is typed."""
    return declare(
        RUNTIME,
        "torch",
        "how momentum is typed: weight of the new batch (torch) or of the old value (keras)",
    )
