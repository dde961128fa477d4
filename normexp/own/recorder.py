"""Records the batch statistics of any network in any loop, and says what its momentum costs.

recorder = normexp.record(model, optimizer)
...                                             # the loop stays as it is
table = recorder.evaluate(fn, train=loader)     # fn(model) -> float or dict
print(recorder.verdict())
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from torch import nn

from normexp.config.norm import BatchNorm
from normexp.errors import UsageError
from normexp.own.budget import budgets
from normexp.own.evaluate import MOMENTA, Evaluated, Kept, Question, Score, evaluated
from normexp.own.layers import Forward, bare, tracked
from normexp.own.population import population
from normexp.own.recording import Applied, Recording
from normexp.own.verdict import Verdict, judge

if TYPE_CHECKING:
    import pandas as pd


def record(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    per_forward: bool = False,
    checkpointed: bool = False,
    memory_mb: float = 256,
) -> "Recorder":
    """Record a training's batch statistics: after each step of the optimizer, from the buffers.

    Args:
        model: in training; on any device, compiled, data parallel or plain.
        optimizer: whose steps are counted, by `register_step_post_hook`; accelerate's too.
        per_forward: read after each forward pass of a norm layer, by hooks: where a step has
            several different passes (gradient accumulation, a GAN), or a momentum is 0. Call this
            before `torch.compile`.
        checkpointed: passes of a step are equal, as gradient checkpointing makes them.
        memory_mb: megabytes, above which updates of long ago are pooled (`normexp.own.history`);
            one takes 8 bytes a channel.

    Returns:
        A recorder, which is also a context manager that closes itself.

    Raises:
        UsageError: the model has no batch norm with running statistics, or one has momentum 0, or
            the optimizer does not call hooks. At the third step, out of `optimizer.step`: steps
            have several updates, and it was not said whether they are equal; or a layer does not
            count its batches.
    """
    most = memory_mb * 1e6
    recording = Recording(model, most, per_forward=per_forward, checkpointed=checkpointed)
    return Recorder(recording, optimizer)


class Recorder:
    """The batch statistics of a training so far, and what can be made of them: see `record`."""

    def __init__(self, recording: Recording, optimizer: torch.optim.Optimizer) -> None:
        self.recording = recording
        self.evaluations: dict[int, Kept] = {}  # of the recorded model, by updates until then
        optimizer = getattr(optimizer, "optimizer", optimizer)  # in accelerate's, without hooks
        if not hasattr(optimizer, "_optimizer_step_post_hooks"):
            raise UsageError(
                f"{type(optimizer).__name__} does not call hooks, as wrappers do not",
                "give the optimizer inside",
            )
        settings = optimizer.param_groups[0]  # as recording begins
        self.optimizer = {
            "optim.name": type(optimizer).__name__,
            "optim.lr": float(settings.get("initial_lr", settings.get("lr")) or 0.0),
            "optim.weight_decay": float(settings.get("weight_decay") or 0.0),
        }
        self.train: object = None  # of the last of these
        self.saved: dict[Path, Path] = {}  # sweeps by the directories of their studies
        self._last: Evaluated | None = None
        self._writes = 0  # into its model until then
        self._handle = optimizer.register_step_post_hook(lambda *_: self.step())

    def __repr__(self) -> str:
        return f"<Recorder after {self.recording.steps} steps>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Record no more, and remove all hooks; what has been recorded stays."""
        self._handle.remove()
        self.recording.close()

    def step(self) -> None:
        """Record a step: called by the optimizer, or by a loop that has none of PyTorch's."""
        try:
            self.recording.step()
        except UsageError:
            self.close()
            raise

    def evaluate(  # noqa: PLR0913
        self,
        fn: Score,
        train: Iterable[object] | None = None,
        *,
        forward_fn: Forward | None = None,
        data: Mapping[str, Iterable[object]] | None = None,
        model: nn.Module | None = None,
        momenta: Sequence[float] = MOMENTA,
        higher_is_better: bool | None = None,
    ) -> "pd.DataFrame":
        """Return scores of the weights of now under every momentum, and under the references.

        The model is left exactly as it was: modes, buffers, momenta, random numbers.

        Args:
            fn: takes the model, in evaluation mode, and returns a number, a tensor of one loss an
                example (then there are intervals), or a mapping of these, whose first is judged.
                Intervals hold if `fn` keeps the order of the examples. Loaders of its own that draw
                from generators of their own go on from where they are.
            train: batches of the training set, for `normexp.own.population`. With them, up to 136
                bytes a channel are kept for `save`.
            forward_fn: how the model is called with a batch; default: `normexp.own.layers.call`.
            data: batches of other data sets, whose statistics are mixed with the population's (of
                `train`, else with the model's own): the curve of Schneider et al. (2020).
            model: another with the same layers, such as an average of the weights: `own` are its
                buffers, averages are the recorded ones, the population is that of its weights.
                Default: the recorded one, without the wrappers of data parallel and compilation.
            momenta: of the averages.
            higher_is_better: for accuracies; default: only if the first is called `accuracy`.

        Returns:
            A row an estimator: `own`, what the model has; `ema` at every momentum; `debiased` (at
            the model's momentum), `cumulative`, `window` (of the last 16 batches),
            `population`, `batch` (each evaluation batch's own), `mix`. Columns: the scores;
            `excess` of the first over the population's, and half of its 95 % `interval` over
            examples; `relative` and `l1`, the error of pooled updates: `normexp.own.history.Error`.

        Raises:
            UsageError: no step was recorded of a loop that has trained, the model is another one,
                or `fn` returned what is no score, or of other names than before.
        """
        model = bare(self.recording.model) if model is None else model
        question = Question(
            fn, train, forward_fn, data or {}, model, _checked(momenta), higher_is_better
        )
        return self._asked(question).frame()

    def verdict(self, *, blame: bool = True) -> Verdict:
        """Return what the last evaluation says: print it, or take its `as_dict`.

        It is made again where the training has gone on since, or the model was changed.

        Args:
            blame: evaluate each layer with its statistics alone set right: one call of `fn` each.

        Raises:
            UsageError: nothing was evaluated yet, or without `train`.
        """
        found = self._judged()
        model = found.question.model
        if (found.step, self._writes) != (self.recording.steps, _writes_into(model)):
            found = self._asked(found.question)
        is_own = self._records(model)
        mend = 'recorder.apply("population")'
        mend += "" if is_own else " for the recorded model; the other one needs its own population"
        with self.recording.untouched():
            judged = judge(
                found,
                mend,
                blame=blame,
                frozen=self.recording.still,
                budget=budgets(self.recording, self.evaluations) if is_own else (),
                notes=self.remarks(),
            )
        self._writes = _writes_into(model)
        return judged

    def apply(
        self, estimator: Literal["population"] | None = None, *, momentum: float | None = None
    ) -> Applied:
        """Put other running statistics into the model, until `undo`.

        Momenta stay as they are, and training may go on.

        Args:
            estimator: `population`, over the last evaluation's `train`, for the weights of now.
            momentum: of an average of the recorded batches.

        Raises:
            UsageError: not one of both was given, or there was no evaluation with `train`.
        """
        if (estimator is None) == (momentum is None) or estimator not in (None, "population"):
            raise UsageError(
                f"apply({estimator!r}, momentum={momentum}) does not name one estimator",
                'type apply("population") or apply(momentum=0.03)',
            )
        if momentum is not None:
            self.recording.flush()
            norm = BatchNorm(momentum=_checked([momentum])[0])
            return self.recording.put(self.recording.statistics(norm))
        question, model = self._judged().question, bare(self.recording.model)
        self.recording.flush()
        with self.recording.untouched():
            train: Any = question.train
            found = population(model, train, question.forward_fn, self.recording.still)
        return self.recording.put(found)

    def save(
        self,
        directory: str | Path,
        *,
        model: str | None = None,
        data: str | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
    ) -> Path:
        """Keep the training as runs of a study, for every command of normexp; return its directory.

        Every average that was evaluated, with `train=`, is a run; as evaluation points stand those
        that are equally far apart. Where updates were pooled, or layers had different updates,
        error budgets cannot be made of it; weights are not kept. The score `loss` is the loss,
        `accuracy` the accuracy; of others the first is the loss, or with `higher_is_better` the
        accuracy.

        A later call with the same directory takes the place of the earlier one, so that a loop may
        save after every epoch.

        Args:
            directory: of a study, such as `runs/mine`, new or with other trainings.
            model: what it is called; default: its class. Trainings that differ in what a recorder
                cannot see, such as their augmentation, need names of their own.
            data: what they are called: losses on data of other names are not compared.
            seed: of the training; default: six digits that follow from what was recorded.
            batch_size: examples of an update; default: that of `train=`, a loader or a list.

        Raises:
            UsageError: there was no evaluation with `train=`; the directory is a store of studies;
                or it has another training of the same settings and seed.
            OSError: it cannot be written.
        """
        from normexp.own.keep import keep  # Hydra, which a loop need not wait for

        named = {"model.name": model, "data.name": data, "train.batch_size": batch_size}
        return keep(self, Path(directory), named, seed)

    def remarks(self) -> list[str]:
        """Return what the record lacks, in a sentence each."""
        return self.recording.remarks()

    def _asked(self, question: Question) -> Evaluated:
        self.recording.flush()
        layers, own = tracked(question.model), bare(self.recording.model)
        if layers.sites != self.recording.layers.sites:
            raise UsageError(
                f"model= has other batch norms than the recorded {type(own).__name__}",
                "give a copy of it with other weights, such as an average",
            )
        with self.recording.untouched():
            self._last = found = evaluated(self.recording, question, layers)
        self._writes = _writes_into(question.model)
        if self._records(question.model) and question.train is not None:
            self.evaluations[self.recording.updates] = found.kept()
            self.train = question.train
        return found

    def _records(self, model: nn.Module) -> bool:
        return bare(model) is bare(self.recording.model)

    def _judged(self) -> Evaluated:
        """The last evaluation.

        Raises:
            UsageError: there was none, or without training data.
        """
        if self._last is None or self._last.question.train is None:
            raise UsageError(
                "there is nothing to judge by",
                "call recorder.evaluate(fn, train=loader) first, with batches of the training set",
            )
        return self._last


def _writes_into(model: nn.Module) -> int:
    """Return how often parameters and buffers were written to, as far as PyTorch counts it."""
    tensors = (*model.parameters(), *model.buffers())
    return sum(each._version for each in tensors if not each.is_inference())  # noqa: SLF001


def _checked(momenta: Sequence[float]) -> list[float]:
    for each in momenta:
        if not 0 < each <= 1:
            raise UsageError(
                f"momentum {each} is not above 0 and at most 1",
                "momentum is the weight of the newest batch, as in PyTorch",
            )
    return list(momenta)
