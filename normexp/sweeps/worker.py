"""The work on one stack: lock, train or read, store, observe, store. Any executor can call it.

What needs PyTorch is imported where it is used: who sends a worker elsewhere does without.
"""

import math
import shlex
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normexp.config.identity import SCHEMA_VERSION
from normexp.config.schema import (
    KINDS,
    PLACES,
    SOURCE,
    Log,
    RunConfig,
    number_of_parts,
    packaged_configs,
    steps_per_epoch,
)
from normexp.errors import NormexpError
from normexp.store.layout import ID_LENGTH, StudyDirectory
from normexp.store.locks import GRACE_SECONDS, Locks, Stop, StoppedError
from normexp.store.manifest import read_manifest
from normexp.store.sweep import SweepDirectory
from normexp.study.study import Study, label
from normexp.sweeps.environment import deciding, torch_environment
from normexp.sweeps.events import Done, Event, Listener
from normexp.sweeps.plan import Inventory, Stack, Standard, Trajectory, take_inventory
from normexp.theory.memory import half_life

if TYPE_CHECKING:
    from normexp.store.tables import Provenance
    from normexp.study.run import Run
    from normexp.trained import Kept, Record

EXECUTOR = {"executor": next(iter(KINDS["executor"]))}
"""The executor of every run's choices, wherever it was computed: that is no part of what it is."""

SHARE = 50
"""A checkpoint is written when so many times what the last one took has passed: 2 % of the time."""


@dataclass(frozen=True)
class Worker:
    """Works on any stack of a plan.

    Args:
        directory: of the study.
        locks: of the sweep.
        study: of the runs; its runs are not needed.
        differing: names of the fields that tell the study's runs apart.
        standard: what counts as done, with the environment in which all is made.
        stop: whether to stop early.
        known: names of the directories that runs to be made had when the plan was made, by id.
        earlier: sweeps of the study that had ended when the plan was made.
    """

    directory: StudyDirectory
    locks: Locks
    study: Study
    differing: tuple[str, ...]
    standard: Standard
    stop: Stop
    known: Mapping[str, str] = field(default_factory=dict)
    earlier: frozenset[str] = frozenset()

    @property
    def place(self) -> SweepDirectory:
        """The directory of the sweep."""
        return SweepDirectory(self.directory.sweeps / self.locks.sweep)

    def work(self, stack: Stack, listen: Listener) -> Done:
        """Leave the stack's trajectories and runs in the store.

        What is stored is whole, whatever error there was; `StoppedError` if the sweep is to stop.
        """
        if self.stop.seconds_left() is not None:
            return Done(error=StoppedError())
        import torch

        torch.set_num_threads(1)
        names = [trajectory.id for trajectory in stack.trajectories]
        mine: list[str] = []
        try:
            mine = self.locks.take(names)
            locked = [each for each in stack.trajectories if each.id in mine]
            done = self._work(locked, listen) if locked else Done()
        except Exception as error:  # noqa: BLE001  passed on, whatever it is
            error.add_note(traceback.format_exc())  # which another process would not hear of
            done = Done(error=error)
        finally:
            if mine:
                self.locks.release(mine)
        return done._replace(held=tuple(name for name in names if name not in mine))

    def _work(self, locked: Sequence[Trajectory], listen: Listener) -> Done:
        """Look again at what is there, since another sweep may have been faster; make the rest."""
        from normexp.engine.train import prepare
        from normexp.trained import join

        prepare(locked[0].config, lambda: listen(Event("compiling")))
        runs = {run.id: trajectory.id for trajectory in locked for run in trajectory.runs}
        names, known = [trajectory.id for trajectory in locked], self._directories(locked)
        there = take_inventory(self.directory, runs, self.standard, more=names, names=known)
        todo = [replace(t, runs=tuple(r for r in t.runs if r.id not in there.cached))
                for t in locked]  # fmt: skip
        records, missing = self._read([t for t in todo if t.id in there.stored and t.runs])
        missing += [trajectory for trajectory in todo if trajectory.id not in there.stored]
        if records:
            read = join([record for _, record in records])
            self._observe([each for each, _ in records], read, there, listen)
        for some, start in self._starts(missing):
            self._observe(some, self._train(some, start, listen), there, listen)
        return Done(len(missing), sum(len(trajectory.runs) for trajectory in todo))

    def _directories(self, locked: Sequence[Trajectory]) -> dict[str, str]:
        """The names of the directories that runs of these trajectories have already.

        The study's directory, of a million names perhaps, is read again only where another sweep
        may have left a run there since; this sweep's own are found by their names.
        """
        ids = {run.id for each in locked for run in each.runs}
        sweeps = {path.name for path in self.directory.sweep_directories()}
        if not sweeps <= {*self.earlier, self.locks.sweep}:
            return self.directory.names(ids)
        begun = [each for each in locked if self.directory.trajectory(each.id).exists()]
        own = {run.id: self._place(run) for each in begun for run in each.runs}
        there = {run: place.name for run, place in own.items() if place.exists()}
        return there | {run: self.known[run] for run in ids & self.known.keys()}

    def _place(self, run: "Run") -> Path:
        """The directory of a new run."""
        return self.directory.run(label(run, self.differing), run.id)

    def _read(
        self, stored: Sequence[Trajectory]
    ) -> tuple["list[tuple[Trajectory, Record]]", list[Trajectory]]:
        """The records of stored trajectories; those that turn out to be damaged."""
        from normexp.store.tables import read_trajectory

        records, damaged = [], []
        for trajectory in stored:
            self.stop.raise_if_over()
            place = self.directory.trajectory(trajectory.id)
            try:
                records.append((trajectory, read_trajectory(place)))
            except NormexpError:
                damaged.append(trajectory)
        return records, damaged

    def _starts(
        self, missing: Sequence[Trajectory]
    ) -> "Iterator[tuple[list[Trajectory], Kept | None]]":
        """Trajectories that train together: from the start, or from checkpoints of one epoch."""
        from normexp.store.tables import read_checkpoint
        from normexp.trained import join_kept

        by_epoch: dict[int, list[tuple[Trajectory, Kept | None]]] = {}
        for trajectory in missing:
            path = self.directory.checkpoint(trajectory.id)
            kept = read_checkpoint(path, trajectory.id, deciding(self.made_in))
            by_epoch.setdefault(kept.record.epochs if kept else 0, []).append((trajectory, kept))
        for group in by_epoch.values():
            several = [kept for _, kept in group if kept is not None]
            yield [each for each, _ in group], join_kept(several) if several else None

    def _train(
        self, some: Sequence[Trajectory], start: "Kept | None", listen: Listener
    ) -> "Record":
        from normexp.engine.predict import population_examples
        from normexp.engine.train import train
        from normexp.store.tables import write_trajectory
        from normexp.trained import diverged_step

        configs = [trajectory.config for trajectory in some]
        resumed = start.record.epochs if start else 0
        listen(Event("resumed", len(some) * resumed * steps_per_epoch(configs[0])))

        def step(steps: int) -> None:
            self.stop.raise_if_over()
            listen(Event("stepped", steps))

        epochs = range(resumed, configs[0].train.epochs)
        after = configs[0].store.checkpoint_after
        decide = checkpoints(partial(self._keep, some), epochs, after, self.stop)
        began = time.perf_counter()
        record = train(configs, step, decide, start)
        seconds = time.perf_counter() - began
        for model, trajectory in enumerate(some):
            manifest = self.head("trajectory") | {
                "trajectory_id": trajectory.id,
                "diverged_step": diverged_step(record, model),
                "population_examples": population_examples(trajectory.config),
                "resumed_after_epochs": resumed,
                "seconds": {"stack": seconds, "networks": len(some)},
            }
            place = self.directory.trajectory(trajectory.id)
            write_trajectory(place, trajectory.config, record.select([model]), manifest)
            self.directory.checkpoint(trajectory.id).unlink(missing_ok=True)
        return record

    def _keep(self, some: Sequence[Trajectory], kept: "Kept") -> None:
        """Write the checkpoints of trajectories that train together."""
        from normexp.store.tables import write_checkpoint

        for model, trajectory in enumerate(some):
            path = self.directory.checkpoint(trajectory.id)
            write_checkpoint(path, trajectory.id, kept.select([model]), deciding(self.made_in))

    def _observe(
        self,
        some: Sequence[Trajectory],
        record: "Record",
        there: Inventory,
        listen: Listener,
    ) -> None:
        """Store the runs, a group at a time: those that log equally densely."""
        from normexp.engine.observe import observe
        from normexp.store.tables import RunWriter

        groups: dict[Log, list[tuple[int, Run]]] = {}
        for model, trajectory in enumerate(some):
            for run in trajectory.runs:
                log = run.config.log
                if run.id in there.log_every:  # its tables lack something; keep what they have
                    log = Log(every=math.gcd(log.every, there.log_every[run.id]))
                groups.setdefault(log, []).append((model, run))
        trainings = [self._training(each) for each in some]
        for log, pairs in groups.items():
            configs = [replace(run.config, log=log) for _, run in pairs]
            observations = observe(record, configs, [model for model, _ in pairs])
            writer: RunWriter | None = None
            for (model, run), config, seen in zip(pairs, configs, observations, strict=True):
                self.stop.raise_if_over()
                old = there.names.get(run.id)
                place = self._place(run) if old is None else self.directory.path / old
                origin = self.origin(run, config, place, trainings[model])
                writer = writer or RunWriter(config, record, seen.rows)
                writer.write(place, config, model, seen, origin)
                complete = trainings[model]["diverged_step"] is None
                losses = seen.scores["loss"].tolist() if complete else []
                listen(Event("observed", name=run.id, losses=tuple(losses)))

    def _training(self, trajectory: Trajectory) -> dict[str, Any]:
        """Entries of the manifests of a trajectory's runs about its training."""
        manifest = read_manifest(self.directory.trajectory(trajectory.id))
        return {
            "status": "complete" if manifest["diverged_step"] is None else "diverged",
            **{name: manifest[name] for name in ("diverged_step", "seconds")},
            "training_environment": deciding(manifest["environment"]),
        }

    def head(self, kind: str) -> dict[str, Any]:
        """The beginning of every manifest."""
        return {
            "kind": kind,
            "schema": SCHEMA_VERSION,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "environment": self.made_in,
            **({} if self.standard.rerun_by is None else {"sweep": self.standard.rerun_by}),
        }

    @cached_property
    def made_in(self) -> dict[str, Any]:
        """The whole environment, PyTorch's entries too."""
        return {**self.standard.environment, **torch_environment()}

    def origin(
        self, run: "Run", config: RunConfig, place: Path, training: Mapping[str, Any]
    ) -> "Provenance":
        """The provenance of one run, logged as `config` says; `training` are entries about that."""
        from normexp.store.tables import Provenance

        overrides = self.study.command(config, run.base.choices)
        return Provenance(
            overrides=[each for each in overrides if not each.startswith((*PLACES, SOURCE))],
            choices={**run.base.choices, **EXECUTOR},
            hydra_version=str(self.made_in["hydra-core"]),
            manifest=self.head("run")
            | {
                "run_id": run.id,
                "trajectory_id": run.trajectory_id,
                "study": self.study.name,
                "label": place.name[: -ID_LENGTH - 1],
                "half_life_steps": _half_life(config),
                "log_every": config.log.every,
                "command": f"{self._command} {shlex.join(overrides)}",
                **training,
            },
        )

    @cached_property
    def _command(self) -> str:
        """The beginning of a command line for a shell, from any directory.

        Every field is in what follows; a study may be in no other place than it is.
        """
        study, own = self.study, self.study.config_dir
        packaged = (packaged_configs() / "study" / f"{study.base or study.name}.yaml").is_file()
        place = [] if packaged or own is None else ["--config-dir", str(own.resolve())]
        return shlex.join(["normexp", "sweep", *place, *study.filed])


def _half_life(config: RunConfig) -> float | None:
    """In steps, if momentum stays; of ghost norm, with several updates a step, a part of one."""
    stays = getattr(config.norm, "momentum_schedule", "constant") == "constant"
    updates = half_life(getattr(config.norm, "momentum", None)) if stays else None
    return None if updates is None else updates / number_of_parts(config, config.train.batch_size)


def checkpoints(
    write: "Callable[[Kept], None]", epochs: range, after: float | None, stop: Stop
) -> "Callable[[int, Callable[[], Kept]], None]":
    """Return what decides at an evaluation point whether to write a checkpoint, and to stop.

    It is told how many of the epochs are done, and raises `StoppedError` where the sweep is to stop
    and the rest would take too long. Checkpoints begin `after` so many seconds; None: never.
    """
    began = last = time.perf_counter()
    cost = 0.0

    def decide(done: int, kept: "Callable[[], Kept]") -> None:
        nonlocal last, cost
        now, left = time.perf_counter(), stop.seconds_left()
        leaves = False
        if left is not None:
            each = (now - began) / (done - epochs.start)
            soon = math.inf if after is None else GRACE_SECONDS  # else its work were lost
            leaves = each * (epochs.stop - done) > min(left, soon)
        if after is not None:
            lasts = left is not None or now - began >= after
            if leaves or (lasts and now - last >= SHARE * cost):
                with suppress(OSError):  # no room: the training may end all the same
                    write(kept())
                last = time.perf_counter()
                cost = last - now
        if leaves:
            raise StoppedError

    return decide
