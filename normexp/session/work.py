"""The work on one stack: train or read, store, observe, store. Any executor can call it."""

import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from normexp.analysis import half_life
from normexp.config.identity import SCHEMA_VERSION
from normexp.engine.observe import observe
from normexp.engine.train import train
from normexp.planning.label import label
from normexp.planning.plan import Plan, Stack
from normexp.record import Record, diverged_step, join
from normexp.store.layout import StudyDirectory
from normexp.store.run import Provenance, write_run
from normexp.store.trajectory import read_trajectory, write_trajectory
from normexp.study.run import Run


@dataclass(frozen=True)
class Worker:
    """What the work on any stack of a plan needs to know.

    Args:
        plan: whose stacks these are.
        directory: of the study.
        environment: for the manifests.
        hydra_version: that composed the configurations.
    """

    plan: Plan
    directory: StudyDirectory
    environment: dict[str, Any]
    hydra_version: str

    def work(self, stack: Stack, report: Callable[[int], None]) -> None:
        """Leave the stack's trajectories and runs in the store."""
        torch.set_num_threads(1)
        record = self._read(stack) if stack.stored else self._train(stack, report)
        self._observe(stack, record)

    def _read(self, stack: Stack) -> Record:
        places = (self.directory.trajectory(trajectory.id) for trajectory in stack.trajectories)
        return join([read_trajectory(place) for place in places])

    def _train(self, stack: Stack, report: Callable[[int], None]) -> Record:
        start = time.perf_counter()
        record = train([trajectory.config for trajectory in stack.trajectories], report)
        seconds = time.perf_counter() - start
        for model, trajectory in enumerate(stack.trajectories):
            one = record.select(torch.tensor([model]))
            manifest = self._head("trajectory") | {
                "trajectory_id": trajectory.id,
                "diverged_step": diverged_step(one.train_loss[0]),
                "seconds": {"stack": seconds, "networks": len(stack.trajectories)},
            }
            place = self.directory.trajectory(trajectory.id)
            write_trajectory(place, trajectory.config, one, manifest)
        return record

    def _observe(self, stack: Stack, record: Record) -> None:
        pairs = [(m, run) for m, each in enumerate(stack.trajectories) for run in each.runs]
        configs = [run.config for _, run in pairs]
        diverged = [diverged_step(loss) for loss in record.train_loss]
        there = self.directory.runs()
        single = [record.select(torch.tensor([m])) for m in range(len(stack.trajectories))]
        observations = observe(record, configs, [model for model, _ in pairs])
        for (model, run), observation in zip(pairs, observations, strict=True):
            name = label(run, self.plan.differing)
            place = there.get(run.id) or self.directory.run(name, run.id)
            write_run(
                place,
                run.config,
                single[model],
                observation,
                self._provenance(run, name, diverged[model]),
            )

    def _provenance(self, run: Run, name: str, diverged: int | None) -> Provenance:
        overrides = self.plan.study.command(run)
        momentum = getattr(run.config.norm, "momentum", None)
        return Provenance(
            overrides=overrides,
            choices=run.base.choices,
            hydra_version=self.hydra_version,
            manifest=self._head("run")
            | {
                "run_id": run.id,
                "trajectory_id": run.trajectory_id,
                "study": self.plan.study.name,
                "label": name,
                "status": "complete" if diverged is None else "diverged",
                "diverged_step": diverged,
                "half_life_steps": half_life(momentum),
                "log_every": run.config.log.every,
                "command": command(overrides, self.plan.study.config_dir),
            },
        )

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "kind": kind,
            "schema": SCHEMA_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": self.environment,
        }


def command(overrides: list[str], config_dir: Path | None) -> str:
    """A command line for a shell."""
    options = [] if config_dir is None else ["--config-dir", str(config_dir)]
    return shlex.join(["normexp", "sweep", *options, *overrides])
