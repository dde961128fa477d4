"""Optimizers as configured."""

from dataclasses import dataclass
from typing import Any, Literal

from normexp.config.field import Role, declare

STRUCTURAL, STACKABLE, OBSERVED, RUNTIME = Role


def _lr(default: float) -> Any:  # noqa: ANN401
    return declare(STACKABLE, default, "learning rate", short="lr", minimum=0, exclusive=True)


def _beta1() -> Any:  # noqa: ANN401
    doc = "decay of the first moment"
    return declare(STRUCTURAL, 0.9, doc, short="beta1-", minimum=0, maximum=0.99999)


def _beta2() -> Any:  # noqa: ANN401
    doc = "decay of the second moment"
    return declare(STRUCTURAL, 0.999, doc, short="beta2-", minimum=0, maximum=0.999999)


def _eps() -> Any:  # noqa: ANN401
    return declare(STRUCTURAL, 1e-8, "added to the root", short="adam-eps", minimum=0)


def _weight_decay(default: float, doc: str, **rule: Any) -> Any:  # noqa: ANN401
    return declare(STACKABLE, default, doc, short="wd", minimum=0, **rule)


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam (Kingma & Ba 2015) as in `torch.optim.Adam`."""

    kind: Literal["adam"] = declare(STRUCTURAL, "adam", "which optimizer")
    lr: float = _lr(0.03)
    beta1: float = _beta1()
    beta2: float = _beta2()
    eps: float = _eps()
    weight_decay: float = _weight_decay(0.0, "times the weights, added to the gradient", neutral=0)


@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019) as in `torch.optim.AdamW`."""

    kind: Literal["adamw"] = declare(STRUCTURAL, "adamw", "which optimizer")
    lr: float = _lr(0.001)
    beta1: float = _beta1()
    beta2: float = _beta2()
    eps: float = _eps()
    weight_decay: float = _weight_decay(0.01, "times lr, the share of the weights lost in a step")


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """Stochastic gradient descent as in `torch.optim.SGD`."""

    kind: Literal["sgd"] = declare(STRUCTURAL, "sgd", "which optimizer")
    lr: float = _lr(0.1)
    momentum: float = declare(
        STRUCTURAL, 0.0, "share of the last step's direction that is kept; not the norm's momentum",
        short="mu", minimum=0, maximum=0.99999,
    )  # fmt: skip
    nesterov: bool = declare(
        STRUCTURAL, default=False, doc="look ahead (Sutskever et al. 2013); needs momentum",
        short="nesterov-",
    )  # fmt: skip
    weight_decay: float = _weight_decay(0.0, "times the weights, added to the gradient")


Optimizer = Adam | AdamW | Sgd
