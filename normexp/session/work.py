"""The work on one stack: train or read, store, observe, store. Any executor can call it."""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from normexp.analysis import half_life
from normexp.config.batches import part_sizes
from normexp.config.identity import SCHEMA_VERSION
from normexp.config.schema import PLACES, Log, RunConfig
from normexp.engine.observe import observe
from normexp.engine.predict import population_examples
from normexp.engine.train import train
from normexp.planning.label import label
from normexp.planning.plan import Stack, Trajectory
from normexp.record import Record, diverged_step, join
from normexp.store.files import intact, read_manifest
from normexp.store.layout import ID_LENGTH, StudyDirectory, merged
from normexp.store.run import Provenance, write_run
from normexp.store.trajectory import read_trajectory, write_trajectory
from normexp.study.compose import packaged_configs
from normexp.study.run import Run
from normexp.study.study import Study


def _nobody(networks: int) -> None:
    """Hears no report."""


@dataclass(frozen=True)
class Worker:
    """What the work on any stack of a plan needs to know.

    Args:
        study: whose stacks these are; its runs are not needed.
        differing: names of the fields that tell its runs apart.
        directory: of the study.
        environment: for the manifests.
        hydra_version: that composed the configurations.
    """

    study: Study
    differing: tuple[str, ...]
    directory: StudyDirectory
    environment: dict[str, Any]
    hydra_version: str

    def work(self, stack: Stack, report: Callable[[int], None] = _nobody) -> None:
        """Leave the stack's trajectories and runs in the store; `report` steps, or 0 to breathe."""
        torch.set_num_threads(1)
        record = self._read(stack, report) if stack.stored else self._train(stack, report)
        self._observe(stack, record, report)

    def _read(self, stack: Stack, report: Callable[[int], None]) -> Record:
        records = []
        for trajectory in stack.trajectories:
            records.append(read_trajectory(self.directory.trajectory(trajectory.id)))
            report(0)
        return join(records)

    def _train(self, stack: Stack, report: Callable[[int], None]) -> Record:
        start = time.perf_counter()
        record = train([trajectory.config for trajectory in stack.trajectories], report)
        seconds = time.perf_counter() - start
        for model, trajectory in enumerate(stack.trajectories):
            one = record.select(torch.tensor([model]))
            manifest = self._head("trajectory") | {
                "trajectory_id": trajectory.id,
                "diverged_step": diverged_step(one, 0),
                "population_examples": population_examples(trajectory.config),
                "seconds": {"stack": seconds, "networks": len(stack.trajectories)},
            }
            place = self.directory.trajectory(trajectory.id)
            write_trajectory(place, trajectory.config, one, manifest)
        return record

    def _observe(self, stack: Stack, record: Record, report: Callable[[int], None]) -> None:
        """Store the runs, a group at a time: those that log equally densely."""
        there = self.directory.runs()
        groups: dict[Log, list[tuple[int, Run]]] = {}
        for model, trajectory in enumerate(stack.trajectories):
            for run in trajectory.runs:
                log = run.config.log
                manifest = intact(there[run.id]) if run.id in there else None
                if manifest is not None:  # its tables lack something; keep what they have
                    log = merged(log, manifest)
                groups.setdefault(log, []).append((model, run))
        trainings = [self._training(each, record, m) for m, each in enumerate(stack.trajectories)]
        singles = [record.select(torch.tensor([m])) for m in range(len(stack.trajectories))]
        for log, pairs in groups.items():
            configs = [replace(run.config, log=log) for _, run in pairs]
            observations = observe(record, configs, [model for model, _ in pairs])
            for (model, run), config, seen in zip(pairs, configs, observations, strict=True):
                name = label(run, self.differing)
                place = there.get(run.id) or self.directory.run(name, run.id)
                origin = self._provenance(run, config, place, trainings[model])
                write_run(place, config, singles[model], seen, origin, replace=run.id in there)
                report(0)

    def _training(self, trajectory: Trajectory, record: Record, model: int) -> dict[str, Any]:
        """What the runs of a trajectory say of its training."""
        diverged = diverged_step(record, model)
        return {
            "status": "complete" if diverged is None else "diverged",
            "diverged_step": diverged,
            "seconds": read_manifest(self.directory.trajectory(trajectory.id))["seconds"],
        }

    def _provenance(
        self, run: Run, config: RunConfig, place: Path, training: dict[str, Any]
    ) -> Provenance:
        overrides = self.study.command(config)
        return Provenance(
            overrides=[each for each in overrides if not each.startswith(PLACES)],
            choices=run.base.choices,
            hydra_version=self.hydra_version,
            manifest=self._head("run")
            | {
                "run_id": run.id,
                "trajectory_id": run.trajectory_id,
                "study": self.study.name,
                "label": place.name[: -ID_LENGTH - 1],
                "half_life_steps": _half_life(config),
                "log_every": config.log.every,
                "command": command(overrides, self.study),
                **training,
            },
        )

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "schema": SCHEMA_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": self.environment,
        }


def _half_life(config: RunConfig) -> float | None:
    """In steps; of ghost norm, which has several updates a step, a part of one."""
    updates = half_life(getattr(config.norm, "momentum", None))
    return None if updates is None else updates / len(part_sizes(config, config.train.batch_size))


def command(overrides: list[str], study: Study) -> str:
    """A command line for a shell, from any directory: every field is in it, a study may not be."""
    packaged = (packaged_configs() / "study" / f"{study.name}.yaml").is_file()
    own = [] if packaged or study.config_dir is None else [str(study.config_dir.resolve())]
    options = ["--config-dir", *own] if own else []
    return shlex.join(["normexp", "sweep", *options, *overrides])
