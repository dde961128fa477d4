"""Where stacks are worked on and what is kept: no part of what a run is."""

import os
from dataclasses import dataclass
from typing import Literal

from normexp.config.field import Role, Rule, declare, use

RUNTIME = Role.RUNTIME

ADDRESS = "RAY_ADDRESS"
"""Variable by which Ray itself names a cluster."""

IN_A_CLUSTER = 64
"""Stacks at a time of a cluster whose size the plan does not know."""

Device = Literal["cpu", "cuda"]

STACK_SIZE = Rule(RUNTIME, minimum=1)


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
    time: int = declare(RUNTIME, 60, minimum=5)  # the warning comes 90 seconds before the end
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
    """Rows of the tables beyond the evaluation points."""

    every: int = declare(RUNTIME, 8, minimum=1)


@dataclass(frozen=True, kw_only=True)
class Store:
    """Where results are kept."""

    dir: str = declare(RUNTIME, "runs")
    checkpoint_after: float | None = declare(RUNTIME, 10.0, minimum=0)
