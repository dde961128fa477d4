"""The schema: one dataclass a thing, defaults here, every field with its role.

The files in `configs/` hold the same defaults for people to read; a test keeps them equal.
Published defaults may change, identities do not: they are made of the full configuration.
"""

from dataclasses import dataclass
from typing import Literal

from normexp.config.field import Role, declare

STRUCTURAL, STACKABLE, OBSERVED, RUNTIME = Role


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """y = x² − 5 + N(0, noise_std), x evenly spaced from low to high (S1)."""

    kind: Literal["quadratic"] = declare(STRUCTURAL, "quadratic", "which data")
    train_size: int = declare(STRUCTURAL, 2000, "training points", short="n", minimum=2)
    test_size: int = declare(STRUCTURAL, 200, "test points", short="test", minimum=2)
    low: float = declare(STACKABLE, -7.0, "smallest x", short="low")
    high: float = declare(STACKABLE, 10.0, "largest x", short="high")
    noise_std: float = declare(STACKABLE, 2.0, "std of y's noise", short="noise", minimum=0)


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """Hidden layers of one width, norm before the activation, and a linear output layer."""

    kind: Literal["mlp"] = declare(STRUCTURAL, "mlp", "which model")
    depth: int = declare(STRUCTURAL, 8, "hidden layers", short="d", minimum=1)
    width: int = declare(STRUCTURAL, 10, "units of a hidden layer", short="w", minimum=1)
    activation: Literal["tanh", "relu", "gelu", "silu", "sigmoid"] = declare(
        STRUCTURAL, "tanh", "after every hidden layer", short=""
    )
    weight_std: float = declare(
        STACKABLE, 0.1, "std of the initial weights N(0, std)", short="std", minimum=0
    )
    bias_init: float = declare(STACKABLE, -0.2, "initial value of every bias", short="bias")
    input_norm: bool | None = declare(
        STRUCTURAL,
        None,
        "normalise the input too. null: if the norm is batch; "
        "true without batch norm: standardised by the training set's mean and std",
        short="in-",
    )


@dataclass(frozen=True, kw_only=True)
class NoNorm:
    """No normalisation."""

    kind: Literal["none"] = declare(STRUCTURAL, "none", "which norm")


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    """Batch normalisation (Ioffe & Szegedy 2015, algorithm 1) as in `torch.nn.BatchNorm1d`."""

    kind: Literal["batch"] = declare(STRUCTURAL, "batch", "which norm")
    momentum: float | None = declare(
        OBSERVED,
        0.1,
        "weight of the newest batch in the running statistics; null: their cumulative mean",
        short="m",
        minimum=0,
        maximum=1,
    )
    eps: float = declare(STRUCTURAL, 1e-5, "added to the variance", short="eps", minimum=1e-12)
    convention: Literal["torch", "keras"] = declare(
        RUNTIME,
        "torch",
        "how momentum is typed: weight of the new batch (torch) or of the old value (keras)",
    )


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam (Kingma & Ba 2015) as in `torch.optim.Adam`."""

    kind: Literal["adam"] = declare(STRUCTURAL, "adam", "which optimizer")
    lr: float = declare(STACKABLE, 0.03, "learning rate", short="lr", minimum=0, exclusive=True)
    beta1: float = declare(
        STRUCTURAL, 0.9, "decay of the first moment", short="beta1-", minimum=0, maximum=0.99999
    )
    beta2: float = declare(
        STRUCTURAL, 0.999, "decay of the second moment", short="beta2-", minimum=0, maximum=0.999999
    )
    eps: float = declare(STRUCTURAL, 1e-8, "added to the root", short="adam-eps", minimum=0)


@dataclass(frozen=True, kw_only=True)
class Train:
    """Mini-batch training on a reshuffled training set."""

    epochs: int = declare(STRUCTURAL, 12, "passes over the training set", short="e", minimum=1)
    batch_size: int = declare(STRUCTURAL, 64, "examples of a batch", short="b", minimum=1)
    drop_last: bool = declare(STRUCTURAL, default=False, doc="leave out a smaller last batch",
                              short="drop")  # fmt: skip
    dtype: Literal["float32", "float64"] = declare(
        STRUCTURAL, "float32", "arithmetic of training and evaluation", short=""
    )


@dataclass(frozen=True, kw_only=True)
class Log:
    """What the tables hold beyond the evaluation points."""

    every: int = declare(RUNTIME, 8, "steps between two rows of running statistics", minimum=1)


@dataclass(frozen=True, kw_only=True)
class Store:
    """Where results are kept."""

    dir: str = declare(RUNTIME, "runs", "the directory of all studies")


@dataclass(frozen=True, kw_only=True)
class Local:
    """This process, one thread a stack."""

    kind: Literal["local"] = declare(RUNTIME, "local", "which executor")
    workers: int | None = declare(RUNTIME, None, "threads; null: one a core", minimum=1)
    stack_size: int | None = declare(
        RUNTIME, None, "most networks of a stack; null: chosen by the plan", minimum=1
    )


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run whole: the unit of identity, directory and result row."""

    data: Quadratic
    model: Mlp
    norm: NoNorm | BatchNorm
    optim: Adam
    train: Train
    log: Log
    store: Store
    executor: Local
    seed: int = declare(
        STACKABLE, 0, "of data, initial weights and batch order", short="s", minimum=0
    )


KINDS: dict[str, dict[str, type]] = {
    "data": {"quadratic": Quadratic},
    "model": {"mlp": Mlp},
    "norm": {"none": NoNorm, "batch": BatchNorm},
    "optim": {"adam": Adam},
    "executor": {"local": Local},
}
"""The groups, each with its kinds; `kind` in a section names the class it is read as."""

SECTIONS: dict[str, type] = {"train": Train, "log": Log, "store": Store}
"""The sections of one kind only."""

IDENTITY_GROUPS = ("data", "model", "norm", "optim")
"""The groups whose choice is part of what a run is."""

OUTSIDE = ("store", "executor")
"""The sections that say where and how a run is computed, not what it is."""
