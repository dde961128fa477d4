"""The schema: one dataclass a thing, defaults here, every field with its role.

The files in `configs/` hold the same defaults for people to read; a test keeps them equal.
Published defaults may change, identities do not: they are made of the full configuration.
"""

from dataclasses import dataclass
from typing import Literal

from normexp.config.data import Arrays, Cifar10, Data, Digits, Drift, Quadratic, RandomLabels
from normexp.config.executor import Executor, Local, Ray, Slurm
from normexp.config.field import Role, declare
from normexp.config.model import Lenet, Mlp, Model, Resnet
from normexp.config.norm import (
    BatchNorm,
    BatchRenorm,
    EmaTrain,
    GhostNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    NoNorm,
    Norm,
    RmsNorm,
)
from normexp.config.optim import Adam, AdamW, Optimizer, Sgd

STRUCTURAL, STACKABLE, OBSERVED, RUNTIME = Role


@dataclass(frozen=True, kw_only=True)
class Train:
    """Mini-batch training."""

    epochs: int = declare(STRUCTURAL, 12, "passes over the training set", short="e", minimum=1)
    batch_size: int = declare(STRUCTURAL, 64, "examples of a batch", short="b", minimum=1)
    drop_last: bool = declare(STRUCTURAL, default=False, doc="leave out a smaller last batch",
                              short="drop")  # fmt: skip
    shuffle: bool = declare(STRUCTURAL, default=True, doc="a new order of examples every epoch; "
                            "false: one for all, see data.order",
                            short="shuffle-", neutral=True)  # fmt: skip
    schedule: Literal["constant", "cosine"] = declare(
        STRUCTURAL,
        "constant",
        "of the learning rate: constant, or cosine to 0 over the steps (Loshchilov & Hutter 2017)",
        short="",
        neutral="constant",
    )
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
    checkpoint_after: float | None = declare(
        RUNTIME,
        10.0,
        "seconds of training from which on evaluation points are checkpoints; null: never",
        minimum=0,
    )


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run whole: the unit of identity, directory and result row."""

    data: Data
    model: Model
    norm: Norm
    optim: Optimizer
    train: Train
    log: Log
    store: Store
    executor: Executor
    seed: int = declare(
        STACKABLE, 0, "of data, initial weights and batch order", short="s", minimum=0
    )


KINDS: dict[str, dict[str, type]] = {
    "data": {
        "quadratic": Quadratic,
        "random_labels": RandomLabels,
        "digits": Digits,
        "drift": Drift,
        "cifar10": Cifar10,
        "arrays": Arrays,
    },
    "model": {"mlp": Mlp, "lenet": Lenet, "resnet": Resnet},
    "norm": {
        "none": NoNorm,
        "batch": BatchNorm,
        "ghost": GhostNorm,
        "batch_renorm": BatchRenorm,
        "ema_train": EmaTrain,
        "layer": LayerNorm,
        "instance": InstanceNorm,
        "group": GroupNorm,
        "rms": RmsNorm,
    },
    "optim": {"adam": Adam, "adamw": AdamW, "sgd": Sgd},
    "executor": {"local": Local, "slurm": Slurm, "ray": Ray},
}
"""The groups, each with its kinds; `kind` in a section names the class it is read as."""

SECTIONS: dict[str, type] = {"train": Train, "log": Log, "store": Store}
"""The sections of one kind only."""

IDENTITY_GROUPS = ("data", "model", "norm", "optim")
"""The groups whose choice is part of what a run is."""

FRAMEWORK = "norm/framework"
"""A group whose choices set fields of the norm, and are no part of what a run is."""

OUTSIDE = ("store", "executor")
"""The sections that say where and how a run is computed, not what it is."""

PLACES = ("data.path", "data.verify")
"""The fields that say where data stand, not what they are."""

GONE: dict[str, type] = {"log.pictures": bool}
"""Fields that older stores have, with their types; they are dropped when a run is read."""
