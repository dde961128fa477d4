"""The schema: one dataclass a thing, defaults here, every field with its role.

The files in `configs/` hold the same defaults for people to read; a test keeps them equal.
Published defaults may change, identities do not: they are made of the full configuration. Executors
and the store say where stacks are worked on and what is kept: no part of what a run is.
"""

import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal, get_args

from normexp.config.data import Data
from normexp.config.field import Role, Rule, declare, specs, use
from normexp.config.network import Model, Optimizer, Own
from normexp.config.norm import GhostNorm, Norm

RUNTIME = Role.RUNTIME

ADDRESS = "RAY_ADDRESS"
"""Variable by which Ray itself names a cluster."""

IN_A_CLUSTER = 64
"""Stacks at a time of a cluster whose size the plan does not know."""

Device = Literal["cpu", "cuda"]

STACK_SIZE = Rule(RUNTIME, minimum=1, unit="networks")


@dataclass(frozen=True, kw_only=True)
class Local:
    """This machine, one thread a stack, in this process or in several."""

    kind: Literal["local"] = declare(RUNTIME, "local")
    workers: int | None = declare(RUNTIME, None, minimum=1)
    processes: bool | None = declare(RUNTIME, None)
    stack_size: int | None = use(STACK_SIZE, None)
    device: Device = declare(RUNTIME, "cpu")

    @property
    def at_a_time(self) -> int:
        """Stacks worked on at the same time."""
        return self.workers or os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """One array of a Slurm cluster, whose nodes see the store and this Python environment."""

    kind: Literal["slurm"] = declare(RUNTIME, "slurm")
    partition: str | None = declare(RUNTIME, None)
    account: str | None = declare(RUNTIME, None)
    cpus_per_task: int = declare(RUNTIME, 1, minimum=1)
    gpus: int = declare(RUNTIME, 0, minimum=0)
    # the warning comes 90 seconds before the end
    time: int = declare(RUNTIME, 60, minimum=5, unit="minutes")
    array_parallelism: int = declare(RUNTIME, 64, minimum=1)
    setup: str | None = declare(RUNTIME, None)
    options: str | None = declare(RUNTIME, None)
    stack_size: int | None = use(STACK_SIZE, None)
    device: Device = declare(RUNTIME, "cpu")

    @property
    def at_a_time(self) -> int:
        """Stacks worked on at the same time."""
        return self.array_parallelism * self.cpus_per_task


@dataclass(frozen=True, kw_only=True)
class Ray:
    """A Ray cluster, whose nodes see the store and have the same normexp: one core a stack."""

    kind: Literal["ray"] = declare(RUNTIME, "ray")
    address: str | None = declare(RUNTIME, None)
    workers: int | None = declare(RUNTIME, None, minimum=1)
    gpus: float = declare(RUNTIME, 0.0, minimum=0)
    stack_size: int | None = use(STACK_SIZE, None)
    device: Device = declare(RUNTIME, "cpu")

    @property
    def cluster(self) -> str | None:
        """Address of a cluster that runs, typed or in the environment; None: the sweep's own."""
        address = self.address
        if address in {None, "auto"}:  # as `ray.init`
            address = os.environ.get(ADDRESS) or address
        return None if address == "local" else address

    @property
    def at_a_time(self) -> int:
        """Stacks worked on at the same time."""
        return self.workers or (IN_A_CLUSTER if self.cluster else os.cpu_count() or 1)


Executor = Local | Slurm | Ray


@dataclass(frozen=True, kw_only=True)
class Log:
    """Rows of the tables beyond the evaluation points, and the tool that gets runs meanwhile."""

    every: int = declare(RUNTIME, 8, minimum=1, unit="steps")
    to: Literal["csv", "parquet", "tensorboard", "wandb", "mlflow", "trackio"] | None = declare(
        RUNTIME, None
    )


@dataclass(frozen=True, kw_only=True)
class Store:
    """The place of results, and their checkpoints."""

    dir: str = declare(RUNTIME, "runs")
    checkpoint_after: float | None = declare(RUNTIME, 10.0, minimum=0, unit="seconds")


STRUCTURAL, STACKABLE, OBSERVED, RUNTIME = Role


@dataclass(frozen=True, kw_only=True)
class Train:
    """Mini-batch training."""

    epochs: int = declare(STRUCTURAL, 12, short="e", minimum=1, unit="epochs")
    steps: int | None = declare(STRUCTURAL, None, neutral=None, minimum=1, unit="steps")
    batch_size: int = declare(STRUCTURAL, 64, short="b", minimum=1, unit="examples")
    drop_last: bool = declare(STRUCTURAL, short="drop", default=False)
    shuffle: bool = declare(STRUCTURAL, short="shuffle-", default=True, neutral=True)
    schedule: Literal["constant", "cosine"] = declare(STRUCTURAL, "constant", neutral="constant")
    dtype: Literal["float32", "float64"] = declare(STRUCTURAL, "float32")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run whole: the unit of identity, directory and result row."""

    data: Data
    model: Model | Own
    norm: Norm
    optim: Optimizer
    train: Train
    log: Log
    store: Store
    executor: Executor
    seed: int = declare(STACKABLE, 0, short="s", minimum=0)


KINDS: dict[str, dict[str, type]] = {
    group: {specs(cls)["kind"].default: cls for cls in get_args(kinds)}
    for group, kinds in {
        "data": Data,
        "model": Model | Own,
        "norm": Norm,
        "optim": Optimizer,
        "executor": Executor,
    }.items()
}
"""The groups, each with its kinds; `kind` in a section names the class it is read as."""

RECORDED = {"data": "loop", "optim": "own"}
"""Kinds of what was recorded in a loop outside of normexp, which can be read and not trained."""

SOURCE = "model.source"
"""The field that names code of the user's, which is run only where it was typed."""

SECTIONS: dict[str, type] = {"train": Train, "log": Log, "store": Store}
"""The sections of one kind only."""

IDENTITY_GROUPS = ("data", "model", "norm", "optim")
"""The groups whose choice is part of what a run is."""

KIND_FIELDS = tuple(f"{group}.kind" for group in IDENTITY_GROUPS)

FRAMEWORK = "norm/framework"
"""A group whose choices set fields of the norm, and are no part of what a run is."""

OUTSIDE = ("store", "executor")
"""The sections that say where and how a run is computed, not what it is."""

INSIDE = tuple(name for name in (*KINDS, *SECTIONS) if name not in OUTSIDE)
"""Those that say what it is."""

PLACES = ("data.path", "data.verify")
"""The fields that say where data stand, not what they are."""

EXPORT = "log.to"
"""The field that names a tool, of which a run keeps nothing."""

GONE: dict[str, type] = {"log.pictures": bool}
"""Fields that older stores have, with their types; they are dropped when a run is read."""


def packaged_configs() -> Path:
    """Return `configs/`: inside the installed package, or at the top of the working tree."""
    installed = Path(str(files("normexp"))) / "configs"
    return installed if installed.is_dir() else installed.parents[1] / "configs"


def is_recorded(config: RunConfig) -> bool:
    """Return whether a run is of a loop outside of normexp, which only that loop can train."""
    return any(getattr(config, group).kind == kind for group, kind in RECORDED.items())


def built(config: RunConfig) -> Model:
    """Return the model of a run that normexp builds."""
    assert not isinstance(config.model, Own)  # noqa: S101
    return config.model


def train_size(config: RunConfig) -> int:
    """Return the number of training examples."""
    size = config.data.train_size
    assert size is not None, "data=arrays is settled from its file before it is used"  # noqa: S101
    return size


def steps_per_epoch(config: RunConfig) -> int:
    """Return the number of batches of an epoch."""
    full, rest = divmod(train_size(config), config.train.batch_size)
    return full + bool(rest and not config.train.drop_last)


def total_steps(config: RunConfig) -> int:
    """Return the number of optimizer steps of a training."""
    return config.train.epochs * steps_per_epoch(config)


def last_batch(config: RunConfig) -> int:
    """Return the size of an epoch's last batch."""
    rest = train_size(config) % config.train.batch_size
    return rest if rest and not config.train.drop_last else config.train.batch_size


def batch_sizes(config: RunConfig) -> list[int]:
    """Return the sizes of an epoch's batches, in order."""
    return [config.train.batch_size] * (steps_per_epoch(config) - 1) + [last_batch(config)]


def number_of_parts(config: RunConfig, batch: int) -> int:
    """Return how many parts of a batch are normalised, each by itself."""
    return -(-batch // config.norm.size) if isinstance(config.norm, GhostNorm) else 1


def part_sizes(config: RunConfig, batch: int) -> list[int]:
    """Return the sizes of a batch's parts that are normalised by themselves, in order."""
    if not isinstance(config.norm, GhostNorm):
        return [batch]
    full, rest = divmod(batch, config.norm.size)
    return [config.norm.size] * full + [rest] * bool(rest)
