"""The plan: which runs are there, which are only to observe, and what trains together."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from normexp.config.identity import common
from normexp.config.schema import Executor, Local, Log, RunConfig, total_steps
from normexp.store.layout import StudyDirectory
from normexp.study.run import Run
from normexp.study.study import Study, differing, telling
from normexp.sweeps.cost import (
    SHARE_OF_A_WORKER,
    observing_bytes,
    observing_seconds,
    record_bytes,
    refuse_too_large,
    stack_bytes,
    stack_size,
    training_seconds,
)
from normexp.sweeps.environment import PROCESSOR, changed_since

MEMORY_OF_PYTORCH = 400_000_000
"""Bytes of a process that has imported it."""

SECONDS_WORTH_A_PROCESS = 10
"""Work that pays for starting processes, some four seconds."""

OnCodeChange = Literal["warn", "rerun", "ignore"]
"""The policies for runs that other code, or another machine, has made."""

POLICIES: tuple[OnCodeChange, ...] = get_args(OnCodeChange)


@dataclass(frozen=True)
class Standard:
    """The standard by which a stored run counts as done.

    Args:
        on_code_change: whether runs made otherwise are made again, or mentioned.
        environment: of now.
        log: what tables have to hold.
        any_processor: whether it does not matter which one makes a run, as in a cluster.
        rerun_by: the sweep that makes all of its runs again, empty before it has a name.
    """

    on_code_change: OnCodeChange
    environment: Mapping[str, Any]
    log: Log
    any_processor: bool = False
    rerun_by: str | None = None

    def differing(self, manifest: Mapping[str, Any]) -> tuple[str, ...]:
        """The entries of code and environment that are others now, if that matters here."""
        if self.rerun_by is not None and manifest.get("sweep") != self.rerun_by:
            return ("sweep",)
        if self.on_code_change == "ignore":
            return ()
        left_out = PROCESSOR if self.any_processor else ()
        return tuple(n for n in changed_since(manifest, self.environment) if n not in left_out)

    def accepts(self, manifest: Mapping[str, Any]) -> bool:
        """True if a run need not be made again for its tables, its code or its environment."""
        made_well = self.on_code_change != "rerun" or not self.differing(manifest)
        return made_well and holds(manifest, self.log)


def holds(manifest: Mapping[str, Any], log: Log) -> bool:
    """True if a run's tables hold at least what is asked."""
    return bool(log.every % manifest["log_every"] == 0)


@dataclass(frozen=True)
class Inventory:
    """Stored runs and trajectories among those of a study, by their ids.

    Attributes:
        cached: runs that are complete and hold what is asked.
        stored: trajectories that are complete.
        damaged: trajectories that are there and have to be made again.
        names: of the directories of runs, whole or not.
        log_every: of the runs that are whole and have to be made again.
        outdated: runs that other code or another machine has made or trained, and what differs.
        earlier: sweeps of the study that had ended before.
    """

    cached: Collection[str] = frozenset()
    stored: Collection[str] = frozenset()
    damaged: Collection[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)
    log_every: Mapping[str, int] = field(default_factory=dict)
    outdated: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    earlier: frozenset[str] = frozenset()


def take_inventory(
    directory: StudyDirectory,
    runs: Mapping[str, str],
    standard: Standard,
    *,
    more: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
) -> Inventory:
    """Look at what is there.

    Args:
        directory: of the study.
        runs: the trajectory of each run, by their ids.
        standard: what counts as done.
        more: trajectories to look at, whether any of these runs is theirs or not.
        names: of the runs' directories, where these are known.
    """
    begun = directory.begun({*runs.values(), *more})
    trained = directory.intact_trajectories(begun)
    differing = {name: standard.differing(manifest) for name, manifest in trained}
    outdated = {name: differing.get(of, ()) for name, of in runs.items()}
    again = standard.on_code_change == "rerun"
    cached, log_every = set(), dict[str, int]()
    names = directory.names(runs) if names is None else names
    for name, _, manifest in directory.intact_runs(runs, names):
        outdated[name] = standard.differing(manifest) or outdated[name]
        if holds(manifest, standard.log) and not (again and outdated[name]):
            cached.add(name)
        else:
            log_every[name] = manifest["log_every"]
    stored = {name for name, keys in differing.items() if not (again and keys)}
    if again:  # what is outdated is made again: nothing to mention
        outdated = {}
    return Inventory(
        cached=frozenset(cached),
        stored=frozenset(stored),
        damaged=frozenset(begun - stored),
        names=names,
        log_every=log_every,
        outdated={name: keys for name, keys in outdated.items() if keys},
    )


@dataclass(frozen=True)
class Trajectory:
    """One training and the runs that are observed from it, those already there left out.

    `config` is one whose weights are this trajectory's.
    """

    id: str
    config: RunConfig
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Stack:
    """Trajectories of one structure, worked on together.

    `stored` ones are read from the store and only observed.
    """

    key: str
    trajectories: tuple[Trajectory, ...]
    stored: bool

    @property
    def config(self) -> RunConfig:
        """A configuration with the structure of all of them."""
        return self.trajectories[0].config

    @property
    def runs(self) -> int:
        """Runs that this stack yields."""
        return sum(len(trajectory.runs) for trajectory in self.trajectories)


@dataclass(frozen=True)
class Plan:
    """The work that a sweep will do.

    Attributes:
        study: whose runs these are.
        there: what is in the store already.
        cached: ids of its runs that are complete and will not be touched.
        trajectories: trainings that the study's runs are observed from, cached or not.
        stacks: the work, in the order in which it starts.
        differing: dotted names of the fields that tell the runs apart.
        workers: stacks worked on at the same time.
    """

    study: Study
    there: Inventory
    cached: frozenset[str]
    trajectories: int
    stacks: tuple[Stack, ...]
    differing: tuple[str, ...]
    workers: int

    @property
    def executor(self) -> Executor:
        """The executor of the study."""
        return self.study.runs[0].config.executor

    @property
    def to_train(self) -> int:
        """Trajectories that are not stored yet."""
        return sum(len(stack.trajectories) for stack in self.stacks if not stack.stored)

    @property
    def to_observe(self) -> int:
        """Runs that are not complete yet."""
        return sum(stack.runs for stack in self.stacks)

    @property
    def estimate_seconds(self) -> float:
        """About how long the stacks take, start-up aside."""
        return self._seconds(processes=self.processes)

    @property
    def memory_bytes(self) -> int:
        """About how much memory the work needs at one time."""
        sizes = [stack_bytes([each.config for each in stack.trajectories]) for stack in self.stacks]
        busy = min(self.workers, len(sizes))
        imports = MEMORY_OF_PYTORCH * (busy if self.processes else 1)
        return sum(sorted(sizes)[-busy:]) + imports if sizes else 0

    @property
    def disk_bytes(self) -> int:
        """About how much the work adds to the store."""
        trained = [each for stack in self.stacks if not stack.stored for each in stack.trajectories]
        observed = sum(stack.runs * observing_bytes(stack.config) for stack in self.stacks)
        return observed + sum(record_bytes(each.config) for each in trained)

    @property
    def common(self) -> str:
        """What all runs share, as one types it, and their steps."""
        runs = self.study.runs
        steps = sorted({total_steps(run.config) for run in runs})
        shown = f"{steps[0]:,}" if len(steps) == 1 else f"{steps[0]:,} to {steps[-1]:,}"
        return f"{' '.join(common([*telling(runs)]))} = {shown} steps"

    @property
    def processes(self) -> bool:
        """True if workers are processes: where threads would wait for each other, if it pays."""
        if isinstance(self.executor, Local) and self.executor.processes is not None:
            return self.executor.processes
        several = min(self.workers, len(self.stacks)) > 1
        return several and self._seconds(processes=False) > SECONDS_WORTH_A_PROCESS

    @property
    def figures(self) -> dict[str, int]:
        """The plan in numbers."""
        return {
            "runs": len(self.study.runs),
            "cached": len(self.cached),
            "trajectories": self.trajectories,
            "to_train": self.to_train,
            "to_observe": self.to_observe,
            "stacks": len(self.stacks),
        }

    @property
    def warnings(self) -> list[str]:
        """A line about the runs whose numbers may be others today, if there are such."""
        what = ", ".join(sorted({key for keys in self.there.outdated.values() for key in keys}))
        line = (
            f"{len(self.there.outdated)} of these runs, or their trainings, were made with other "
            f"{what}: normexp why RUN says more, --on-code-change rerun makes them again, ignore "
            "keeps silent"
        )
        return [line] if what else []

    def as_dict(self) -> dict[str, Any]:
        """The plan as data."""
        return {
            "study": self.study.name,
            **self.figures,
            "workers": self.workers,
            "estimate_seconds": self.estimate_seconds,
            "memory_bytes": self.memory_bytes,
            "disk_bytes": self.disk_bytes,
            "common": self.common,
            "axes": {axis.key: list(axis.values) for axis in self.study.axes},
            "notes": [*self.study.notes, *self.warnings],
        }

    def _seconds(self, *, processes: bool) -> float:
        costs = [_stack_seconds(stack) for stack in self.stacks]
        busy = min(self.workers, len(costs)) or 1
        share = SHARE_OF_A_WORKER[processes] if busy > 1 else 1.0
        return max([*costs, sum(costs) / (busy * share)], default=0.0)


def build(study: Study, there: Inventory) -> Plan:
    """The plan of a study, whose runs are each there once, for what is in the store already.

    A damaged trajectory is trained again, though its runs be complete.

    Raises:
        UsageError: a stack needs more memory than there is.
    """
    executor = study.runs[0].config.executor
    workers = executor.at_a_time
    pending: dict[str, list[Run]] = {}
    first: dict[str, Run] = {}
    for run in study.runs:
        first.setdefault(run.trajectory_id, run)
        if run.id not in there.cached:
            pending.setdefault(run.trajectory_id, []).append(run)
        elif run.trajectory_id in there.damaged:
            pending.setdefault(run.trajectory_id, [])
    groups: dict[tuple[str, bool], list[Trajectory]] = {}
    for name, runs in pending.items():
        key = (first[name].stack_key, name in there.stored)
        trajectory = Trajectory(name, first[name].config, tuple(runs))
        groups.setdefault(key, []).append(trajectory)
    stacks = []
    for (structure, stored), members in groups.items():
        size = stack_size(members[0].config, len(members), executor, workers)
        parts = [tuple(members[start : start + size]) for start in range(0, len(members), size)]
        stacks += [Stack(structure, part, stored) for part in parts]
    for stack in stacks:
        if not stack.stored:
            configs = [trajectory.config for trajectory in stack.trajectories]
            refuse_too_large(configs)
    return Plan(
        study=study,
        there=there,
        cached=frozenset(run.id for run in study.runs if run.id in there.cached),
        trajectories=len(first),
        stacks=tuple(sorted(stacks, key=_stack_seconds, reverse=True)),  # the longest first
        differing=differing(study.runs),
        workers=workers,
    )


def _stack_seconds(stack: Stack) -> float:
    networks = 0 if stack.stored else len(stack.trajectories)
    training = training_seconds(stack.config, networks) if networks else 0.0
    return training + observing_seconds(stack.config, stack.runs)
