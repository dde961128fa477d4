"""Where stacks are worked on: no part of what a run is."""

import os
from dataclasses import dataclass
from typing import Literal

from normexp.config.field import Role, declare

RUNTIME = Role.RUNTIME

ADDRESS = "RAY_ADDRESS"
"""Variable by which Ray itself names a cluster."""

Device = Literal["cpu", "cuda"]
DEVICE = "where networks train: cpu, or cuda, a GPU, whose last bits are its own"

IN_A_CLUSTER = 64
"""Stacks at a time of a cluster whose size the plan does not know."""


@dataclass(frozen=True, kw_only=True)
class Local:
    """This machine, one thread a stack, in this process or in several."""

    kind: Literal["local"] = declare(RUNTIME, "local", "which executor")
    workers: int | None = declare(RUNTIME, None, "stacks at a time; null: one a core", minimum=1)
    processes: bool | None = declare(
        RUNTIME,
        None,
        "workers are processes, not threads; null: for ten seconds of work or more",
    )
    stack_size: int | None = declare(
        RUNTIME, None, "most networks of a stack; null: chosen by the plan", minimum=1
    )
    device: Device = declare(RUNTIME, "cpu", DEVICE)

    @property
    def at_a_time(self) -> int:
        """Stacks worked on at the same time."""
        return self.workers or os.cpu_count() or 1


@dataclass(frozen=True, kw_only=True)
class Slurm:
    """One array of a Slurm cluster, whose nodes see the store and this Python environment."""

    kind: Literal["slurm"] = declare(RUNTIME, "slurm", "which executor")
    partition: str | None = declare(RUNTIME, None, "of the cluster; null: its default")
    account: str | None = declare(RUNTIME, None, "whom the work is charged to; null: the default")
    cpus_per_task: int = declare(
        RUNTIME, 1, "cores of an array task, each of which works on one stack", minimum=1
    )
    gpus: int = declare(
        RUNTIME,
        0,
        "GPUs of an array task, for device=cuda or where a node is given only so",
        minimum=0,
    )
    time: int = declare(
        RUNTIME,
        60,
        "minutes of an array task; what is not done by then goes on from an evaluation point",
        minimum=5,  # a task is told one and a half before, and Slurm may be one early
    )
    array_parallelism: int = declare(RUNTIME, 64, "array tasks at a time", minimum=1)
    setup: str | None = declare(RUNTIME, None, "shell commands before the work: 'module load x'")
    options: str | None = declare(RUNTIME, None, "more options of sbatch: 'mem=8G qos=long'")
    stack_size: int | None = declare(
        RUNTIME, None, "most networks of a stack; null: chosen by the plan", minimum=1
    )
    device: Device = declare(RUNTIME, "cpu", DEVICE)

    @property
    def at_a_time(self) -> int:
        """Stacks worked on at the same time."""
        return self.array_parallelism * self.cpus_per_task


@dataclass(frozen=True, kw_only=True)
class Ray:
    """A Ray cluster, whose nodes see the store and have the same normexp: one core a stack."""

    kind: Literal["ray"] = declare(RUNTIME, "ray", "which executor")
    address: str | None = declare(
        RUNTIME,
        None,
        "HOST:PORT of a cluster that runs, or local: one on this machine for the sweep; "
        f"null: {ADDRESS}, or local",
    )
    workers: int | None = declare(
        RUNTIME,
        None,
        f"stacks at a time; null: one a core here, {IN_A_CLUSTER} in a cluster with an address",
        minimum=1,
    )
    gpus: float = declare(
        RUNTIME,
        0.0,
        "GPUs of a stack, for device=cuda or where a node has no other place",
        minimum=0,
    )
    stack_size: int | None = declare(
        RUNTIME, None, "most networks of a stack; null: chosen by the plan", minimum=1
    )
    device: Device = declare(RUNTIME, "cpu", DEVICE)

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
