"""A recorded training, kept: run directories like any other, which all commands read.

It has one trajectory, without weights, and one run for every average that was evaluated. Its time
is counted in updates of the running statistics, which are the steps of the store. Evaluation points
of a store are evenly spaced from step 0 on; what is not known at a point is NaN. All statistics are
in float32, as they were recovered.
"""

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from normexp.config.field import quoted
from normexp.config.identity import varying
from normexp.config.network import Own
from normexp.config.norm import BatchNorm
from normexp.config.schema import RECORDED, RunConfig
from normexp.config.tree import flatten, flatten_section, from_tree, nest
from normexp.errors import NormexpError, UsageError
from normexp.own.evaluate import Kept
from normexp.own.history import History
from normexp.own.layers import bare
from normexp.store.layout import StudyDirectory, studies
from normexp.store.locks import Locks, Stop
from normexp.store.manifest import intact
from normexp.store.removal import Removal, removal
from normexp.store.selection import select
from normexp.store.tables import RunWriter, encoded, write_trajectory
from normexp.study.run import Base, Run
from normexp.study.settle import settle
from normexp.study.study import Study, label
from normexp.sweeps.environment import deciding, environment, torch_environment
from normexp.sweeps.plan import Standard
from normexp.sweeps.sweep import sweep
from normexp.sweeps.worker import EXECUTOR, Worker
from normexp.trained import Observation, Record

if TYPE_CHECKING:
    from normexp.own.recorder import Recorder

SEEDS = 1_000_000
"""Seeds among which the content of a recording chooses one, where nobody names it."""


def keep(recorder: "Recorder", directory: Path, named: Mapping[str, Any], seed: int | None) -> Path:
    """Add a recorded training to a study's directory, and return that; see `Recorder.save`.

    Args:
        recorder: of the training.
        directory: of the study.
        named: what a recording cannot know, by the names of fields; None: a default.
        seed: of the training.
    """
    study = StudyDirectory(directory.absolute())
    others = [each.path.name for each in studies(study.path) if each.path != study.path]
    if others:
        raise UsageError(
            f"{directory} is a store, with the study {others[0]}",
            f"name a study in it, such as save({str(directory / 'mine')!r})",
        )
    study.refuse_links()
    loop = _Loop(recorder)
    tables = encoded(_config(loop, named, study, BatchNorm(), 0), loop.record)
    content = hashlib.sha256(b"".join(tables.values())).hexdigest()
    seed = int(content, 16) % SEEDS if seed is None else seed
    configs = {norm: _config(loop, named, study, norm, seed) for norm in loop.norms}
    choices = {**RECORDED, "model": Own.kind, "norm": BatchNorm.kind, **EXECUTOR}
    runs = {norm: Run(each, Base(choices, nest(flatten(each)))) for norm, each in configs.items()}
    first = next(iter(runs.values()))
    typed = ("data=loop", "model=own", f"model.name={quoted(first.flat['model.name'])}")
    whole = Study(study.path.name, "", (), tuple(runs.values()), (), typed, None)
    made_in = {**environment(), **torch_environment(), "device": loop.device}
    locks, differing = Locks(study, ""), tuple(varying(run.flat for run in runs.values()))
    standard = Standard(on_code_change="ignore", environment=made_in, log=first.config.log)
    worker = Worker(study, locks, whole, differing, standard, Stop())
    training: dict[str, Any] = {
        "diverged_step": loop.diverged_step,
        "seconds": {"stack": 0.0, "networks": 1},
    }
    final = study.trajectory(first.trajectory_id)
    if not _is_there(final, tables):
        about = worker.head("trajectory") | {"trajectory_id": final.name} | training
        write_trajectory(final, first.config, loop.record, about)
    training["status"] = "complete" if loop.diverged_step is None else "diverged"
    training["training_environment"] = deciding(made_in)
    writer = RunWriter(first.config, loop.record, loop.steps)
    for norm, run in runs.items():
        place = study.run(label(run, differing), run.id)
        provenance = worker.origin(run, run.config, place, training)
        writer.write(place, run.config, 0, loop.observed(norm), provenance)
    # All of it is there: the sweep says so, and has the summary.
    earlier, now = recorder.saved.get(study.path), sweep(whole, on_code_change="ignore").directory
    recorder.saved[study.path] = now
    if earlier not in (None, now):

        def look() -> Removal:
            return removal(select(study.path.parent, str(earlier)), narrowed=False)

        with suppress(NormexpError):  # it is gone already, or another process works there
            look().carry_out(look)
    return study.path


class _Loop:
    """A recorded training as a store has it.

    Args:
        recorder: of the training.
    """

    def __init__(self, recorder: "Recorder") -> None:
        self.recorder, recording = recorder, recorder.recording
        recording.flush()
        self._points, self.every = _points(recorder.evaluations)
        self.norms = [each for each in self._points[-1] if isinstance(each, BatchNorm)]
        self.epochs = len(self._points) - 1
        self.steps = torch.arange(self.epochs + 1) * self.every
        norms = recording.layers.modules
        moved = recording.history.rows.updates.any(0)  # what no batch has moved has no average
        names = [name for name, moves in zip(norms, moved.tolist(), strict=True) if moves]
        self.sites = {name: recording.layers.sites[name] for name in names}
        first = norms[names[0]]
        assert first.running_mean is not None  # noqa: S101  it has moved
        self.norm = {"norm.eps": first.eps, "norm.affine": first.affine}
        self.device = first.running_mean.device.type
        self._channels = moved[recording.layer_of.chunk(2)[0]]
        self._start = [each[self._channels].float() for each in recording.start.chunk(2)]
        self.record = self._record(recording.history, moved)
        is_lost = not self.record.population_var[0, -1].isfinite().all()
        self.diverged_step = int(self.steps[-1]) if is_lost else None

    def observed(self, key: BatchNorm | str) -> Observation:
        """Return an estimator's statistics and scores at all points, NaN where there are none.

        Before the first step an average has what it began from.
        """
        statistics, scores = [], []
        for step, point in zip(self.steps.tolist(), self._points, strict=True):
            found, score = point.get(key, (None, {}))
            begins = isinstance(key, BatchNorm) and not step and found is None
            parts = self._start if begins else [each[self._channels] for each in found or ()]
            statistics.append(torch.stack(parts or [torch.full_like(self._start[0], nan)] * 2))
            scores.append(score)
        mean, var = torch.stack(statistics, 1)
        by_name = {name: torch.tensor([each.get(name, nan) for each in scores], dtype=torch.float64)
                   for name in self._names}  # fmt: skip
        return Observation(self.steps, mean, var, by_name)

    @property
    def _names(self) -> list[str]:
        """The scores that a store has: losses, known or not, and accuracies if there are."""
        return ["loss", *(["accuracy"] if "accuracy" in self._points[-1]["batch"][1] else [])]

    def _record(self, history: History, moved: torch.Tensor) -> Record:
        population, batch = self.observed("population"), self.observed("batch")
        unknown = torch.full((1, len(self.steps)), nan, dtype=torch.float64)
        references = {}
        for name in self._names:
            references[f"train_{name}_population"] = unknown
            references[f"test_{name}_population"] = population.scores[name][None]
            references[f"test_{name}_test_batch"] = batch.scores[name][None]
        batches = torch.zeros(0, 2 * len(self._channels))
        updates = int(self.steps[-1])
        if bool((history.rows.updates[:, moved] == 1).all()):
            batches = history.rows.statistics[:updates]
        mean, var = (each[:, self._channels] for each in batches.chunk(2, 1))
        return Record(
            sites=self.sites,
            train_loss=torch.full((1, updates), nan),
            batch_mean=mean[None],
            batch_var=var[None],
            population_mean=population.running_mean[None],
            population_var=population.running_var[None],
            references=references,
            weights={},
            start=torch.stack(self._start)[None],
        )


def _points(there: Mapping[int, Kept]) -> tuple[list[Kept], int]:
    """Return as many evenly spaced evaluations, the last among them, as there are, and the step."""
    last = max(there, default=0)
    if not last:
        raise UsageError(
            "there is no evaluation with train= after a step, and without one nothing to keep",
            "call recorder.evaluate(fn, train=loader) first, at best after every epoch",
        )
    for number in range(len(there), 0, -1):
        every, rest = divmod(last, number)
        steps = [every * point for point in range(number + 1)]
        if not rest and all(step in there for step in steps[1:]):
            break
    if left := len(there.keys() - {*steps}):
        warnings.warn(
            f"{left} of {len(there)} evaluations are left out: a store has them at equal distances,"
            f" and these are every {every} updates",
            stacklevel=5,
        )
    points = [there.get(step, {}) for step in steps]
    if len({tuple(each["batch"][1]) for each in points if each}) > 1:
        warnings.warn(
            "the evaluations have scores of different names, which become one curve: save those of"
            " one fn alone",
            stacklevel=5,
        )
    return points, every


def _config(
    loop: _Loop, named: Mapping[str, Any], study: StudyDirectory, norm: BatchNorm, seed: int
) -> RunConfig:
    """Return the configuration of one run, as it is read again.

    Raises:
        UsageError: a value is not among those that its field takes, or is not known.
    """
    size = named["train.batch_size"] or _batch_size(loop.recorder.train)
    if size is None:
        raise UsageError(
            "the number of examples in a batch is not known",
            "type recorder.save(DIR, batch_size=NUMBER)",
        )
    flat = {
        **named,
        **loop.recorder.optimizer,
        **flatten_section("norm", norm),
        **loop.norm,
        "optim.kind": RECORDED["optim"],
        "data.kind": RECORDED["data"],
        "data.train_size": loop.every * size,
        "model.kind": Own.kind,
        "model.name": named["model.name"] or type(bare(loop.recorder.recording.model)).__name__,
        "model.layers": len(loop.sites),
        "model.channels": sum(loop.sites.values()),
        "train.epochs": loop.epochs,
        "train.batch_size": size,
        "log.every": loop.every,
        "store.dir": str(study.path.parent),
        "seed": seed,
    }
    return settle(from_tree(nest(flat)), {})


def _batch_size(train: object) -> int | None:
    """Return a loader's batch size, or the number of examples in the first of a list's batches."""
    size = getattr(train, "batch_size", None)
    if isinstance(train, Sequence) and train:
        batch = train[0]
        x = next(iter(batch.values())) if isinstance(batch, Mapping) else batch
        size = len(x[0] if isinstance(x, (tuple, list)) else x)
    return size if isinstance(size, int) else None


def _is_there(final: Path, tables: Mapping[str, bytes]) -> bool:
    """Return whether a trajectory is there, whole and with these tables.

    Raises:
        UsageError: it has others.
    """
    manifest = intact(final)
    if manifest is None:
        return False
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in tables.items()}
    if any(manifest["files"][name]["sha256"] != digest for name, digest in digests.items()):
        raise UsageError(
            f"{final.parents[1]} has another training of these settings and this seed",
            "name another seed=, or the model= otherwise, or another directory",
        )
    return True
