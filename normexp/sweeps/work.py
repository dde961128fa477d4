"""The work on one stack: claim, train or read, store, observe, store. Any executor can call it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from normexp.config.batches import steps_per_epoch
from normexp.engine.observe import observe
from normexp.engine.predict import population_examples
from normexp.engine.train import train
from normexp.errors import NormexpError
from normexp.record import Kept, Record, diverged_step, join, join_kept
from normexp.store.checkpoint import read_checkpoint, write_checkpoint
from normexp.store.claims import Claims
from normexp.store.files import read_manifest
from normexp.store.layout import StudyDirectory, merged
from normexp.store.run import RunWriter
from normexp.store.trajectory import read_trajectory, write_trajectory
from normexp.sweeps import inventory
from normexp.sweeps.environment import deciding
from normexp.sweeps.inventory import Standard
from normexp.sweeps.keep import Keeper
from normexp.sweeps.label import label
from normexp.sweeps.origin import Origin
from normexp.sweeps.plan import Stack, Trajectory
from normexp.sweeps.progress import Listener
from normexp.sweeps.stop import Stop, StoppedError

if TYPE_CHECKING:
    from normexp.config.schema import Log
    from normexp.study.run import Run


class Done(NamedTuple):
    """What came of a stack."""

    trained: int = 0  # trajectories
    observed: int = 0  # runs
    held: tuple[str, ...] = ()  # trajectories that another sweep works on
    error: Exception | None = None  # what ended the work early


@dataclass(frozen=True)
class Worker:
    """What the work on any stack of a plan needs to know.

    Args:
        directory: of the study.
        claims: of the sweep.
        origin: of all that it makes.
        differing: names of the fields that tell the study's runs apart.
        standard: what counts as done.
        stop: whether to stop early.
        earlier: sweeps that had ended when the plan was made, which found no directory of a run
            that is to be made; None: there may be some.
    """

    directory: StudyDirectory
    claims: Claims
    origin: Origin
    differing: tuple[str, ...]
    standard: Standard
    stop: Stop
    earlier: frozenset[str] | None = None

    def work(self, stack: Stack, listener: Listener) -> Done:
        """Leave the stack's trajectories and runs in the store; `listener` hears how it goes.

        What is stored is whole, whatever error there was; `StoppedError` if the sweep is to stop.
        """
        if self.stop.seconds_left() is not None:
            return Done(error=StoppedError())
        torch.set_num_threads(1)
        names = [trajectory.id for trajectory in stack.trajectories]
        mine: list[str] = []
        try:
            mine = self.claims.take(names)
            done = self._work([each for each in stack.trajectories if each.id in mine], listener)
        except Exception as error:  # noqa: BLE001  whatever it is, the caller is told
            done = Done(error=error)
        finally:
            if mine:
                self.claims.release(mine)
        return done._replace(held=tuple(name for name in names if name not in mine))

    def _work(self, claimed: Sequence[Trajectory], listener: Listener) -> Done:
        """Look again at what is there, since another sweep may have been faster."""
        if not claimed:
            return Done()
        runs = {run.id: trajectory.id for trajectory in claimed for run in trajectory.runs}
        names, log = [trajectory.id for trajectory in claimed], claimed[0].config.log
        known = self._directories(claimed)
        there = inventory.take(
            self.directory, runs, log, self.standard, more=names, directories=known
        )
        todo = [replace(t, runs=tuple(r for r in t.runs if r.id not in there.cached))
                for t in claimed]  # fmt: skip
        records, missing = self._read([t for t in todo if t.id in there.stored and t.runs])
        missing += [trajectory for trajectory in todo if trajectory.id not in there.stored]
        if records:
            read = join([record for _, record in records])
            self._observe([each for each, _ in records], read, known, listener)
        for some, start in self._starts(missing):
            self._observe(some, self._train(some, start, listener), known, listener)
        return Done(len(missing), sum(len(trajectory.runs) for trajectory in todo))

    def _directories(self, claimed: Sequence[Trajectory]) -> dict[str, str]:
        """The names of the directories that runs of these trajectories have already.

        The study's directory, of a million names perhaps, is read only where others may have left
        a run there, under another label: this sweep's own are found by their names.
        """
        if self.earlier is None or not self._is_alone(self.earlier):
            return self.directory.names({run.id for each in claimed for run in each.runs})
        begun = [each for each in claimed if self.directory.trajectory(each.id).exists()]
        own = {run.id: self._place(run) for each in begun for run in each.runs}
        return {run: place.name for run, place in own.items() if place.exists()}

    def _is_alone(self, earlier: frozenset[str]) -> bool:
        """Whether no other sweep has worked on the study since the plan was made."""
        there = {path.name for path in self.directory.sweep_directories()}
        return there <= {*earlier, self.claims.sweep}

    def _place(self, run: "Run") -> Path:
        """Where a new run goes."""
        return self.directory.run(label(run, self.differing), run.id)

    def _read(
        self, stored: Sequence[Trajectory]
    ) -> tuple[list[tuple[Trajectory, Record]], list[Trajectory]]:
        """The records of stored trajectories; those that turn out to be damaged."""
        records, damaged = [], []
        for trajectory in stored:
            self.stop.breathe()
            try:
                record = read_trajectory(self.directory.trajectory(trajectory.id))
            except NormexpError:
                damaged.append(trajectory)
            else:
                records.append((trajectory, record))
        return records, damaged

    def _starts(
        self, missing: Sequence[Trajectory]
    ) -> Iterator[tuple[list[Trajectory], Kept | None]]:
        """Trajectories that train together: from the start, or from checkpoints of one epoch."""
        by_epoch: dict[int, list[tuple[Trajectory, Kept | None]]] = {}
        for trajectory in missing:
            path = self.directory.checkpoint(trajectory.id)
            kept = read_checkpoint(path, trajectory.id, deciding(self.origin.environment))
            by_epoch.setdefault(kept.record.epochs if kept else 0, []).append((trajectory, kept))
        for group in by_epoch.values():
            several = [kept for _, kept in group if kept is not None]
            yield [each for each, _ in group], join_kept(several) if several else None

    def _train(self, some: Sequence[Trajectory], start: Kept | None, listener: Listener) -> Record:
        configs = [trajectory.config for trajectory in some]
        resumed = start.record.epochs if start else 0
        epochs = range(resumed, configs[0].train.epochs)
        listener.resumed(len(some) * resumed * steps_per_epoch(configs[0]))
        after = configs[0].store.checkpoint_after
        keeper = Keeper(partial(self._keep, some), epochs, after, self.stop)
        began = time.perf_counter()
        record = train(configs, lambda networks: self._hear(listener, networks), keeper, start)
        seconds = time.perf_counter() - began
        for model, trajectory in enumerate(some):
            manifest = self.origin.head("trajectory") | {
                "trajectory_id": trajectory.id,
                "diverged_step": diverged_step(record, model),
                "population_examples": population_examples(trajectory.config),
                "resumed_after_epochs": resumed,
                "seconds": {"stack": seconds, "networks": len(some)},
            }
            one = record.select(torch.tensor([model]))
            place = self.directory.trajectory(trajectory.id)
            write_trajectory(place, trajectory.config, one, manifest)
            self.directory.checkpoint(trajectory.id).unlink(missing_ok=True)
        return record

    def _hear(self, listener: Listener, networks: int) -> None:
        self.stop.breathe()
        listener.stepped(networks)

    def _keep(self, some: Sequence[Trajectory], kept: Kept) -> None:
        made_by = deciding(self.origin.environment)
        for model, trajectory in enumerate(some):
            one = kept.select(torch.tensor([model]))
            path = self.directory.checkpoint(trajectory.id)
            write_checkpoint(path, trajectory.id, one, made_by)

    def _observe(
        self,
        some: Sequence[Trajectory],
        record: Record,
        known: Mapping[str, str],
        listener: Listener,
    ) -> None:
        """Store the runs, a group at a time: those that log equally densely."""
        wanted = [run.id for trajectory in some for run in trajectory.runs]
        found = self.directory.intact_runs(wanted, known)
        there = {name: manifest for name, _, manifest in found}
        groups: dict[Log, list[tuple[int, Run]]] = {}
        for model, trajectory in enumerate(some):
            for run in trajectory.runs:
                log = run.config.log
                if run.id in there:  # its tables may lack something; keep what they have
                    log = merged(log, there[run.id])
                groups.setdefault(log, []).append((model, run))
        trainings = [self._training(each, record, m) for m, each in enumerate(some)]
        for log, pairs in groups.items():
            configs = [replace(run.config, log=log) for _, run in pairs]
            observations = observe(record, configs, [model for model, _ in pairs])
            writers: dict[int, RunWriter] = {}
            for (model, run), config, seen in zip(pairs, configs, observations, strict=True):
                self.stop.breathe()
                old = known.get(run.id)
                place = self._place(run) if old is None else self.directory.path / old
                origin = self.origin.of(run, config, place, trainings[model])
                if model not in writers:
                    writers[model] = RunWriter(config, record, model, seen.rows)
                writers[model].write(place, config, seen, origin)
                complete = trainings[model]["diverged_step"] is None
                listener.observed(run.id, seen.scores["loss"].tolist() if complete else [])

    def _training(self, trajectory: Trajectory, record: Record, model: int) -> dict[str, Any]:
        """What the runs of a trajectory say of its training."""
        diverged = diverged_step(record, model)
        manifest = read_manifest(self.directory.trajectory(trajectory.id))
        return {
            "status": "complete" if diverged is None else "diverged",
            "diverged_step": diverged,
            "seconds": manifest["seconds"],
            "training_environment": deciding(manifest["environment"]),
        }
