"""Records the batch statistics of any network in any loop, and says what its momentum costs.

recorder = normexp.record(model, optimizer)
...                                             # the loop stays as it is
table = recorder.evaluate(fn, train=loader)     # fn(model) -> float or dict
print(recorder.verdict())
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, get_args

import torch
from torch import nn

from normexp.config.norm import BatchNorm
from normexp.errors import UsageError
from normexp.nets.layout import Statistics
from normexp.own.bank import AVERAGES, RING, bank_momenta, certificate
from normexp.own.budget import budgets
from normexp.own.evaluate import MOMENTA, Evaluated, Question, Score, evaluated
from normexp.own.layers import Forward, bare, batch_norms, tracked
from normexp.own.population import population
from normexp.own.recording import Keep, Recording, Settings
from normexp.own.verdict import Verdict, judge

if TYPE_CHECKING:
    import pandas as pd


def record(  # noqa: PLR0913
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    per_forward: bool = False,
    checkpointed: bool = False,
    keep: Keep = "auto",
    memory_mb: float = 256,
    averages: int = AVERAGES,
    ring: int = RING,
) -> "Recorder":
    """Record a training's batch statistics: after each step of the optimizer, from the buffers.

    Args:
        model: in training; on any device, compiled, data parallel or plain.
        optimizer: whose steps are counted, by `register_step_post_hook`.
        per_forward: read after each forward pass of a norm layer, by hooks: where a step has
            several different passes (gradient accumulation, a GAN), or a momentum is 0. Call this
            before `torch.compile`.
        checkpointed: passes of a step are equal, as gradient checkpointing makes them.
        keep: `every` update; a `bank` of averages and the last updates (`normexp.own.bank`); or
            `auto`: every update while they take less than `memory_mb`, then a bank.
        memory_mb: megabytes; a step takes 8 bytes a channel.
        averages: of a bank, 3 to 12.
        ring: batches that a bank keeps as they are.

    Returns:
        A recorder, which is also a context manager that closes itself.

    Raises:
        UsageError: the model has no batch norm with running statistics, or one has momentum 0. At
            the third step, out of `optimizer.step`: steps have several updates, and it was not said
            whether they are equal. An argument is not one of those above.
    """
    if keep not in get_args(Keep):
        raise UsageError(f"keep={keep!r} is not known", 'type keep="auto", "every" or "bank"')
    if ring < 1:
        raise UsageError(f"ring={ring} keeps no batch", f"type ring={RING}, the default, or more")
    settings = Settings(per_forward, checkpointed, keep, memory_mb * 1e6, averages, ring)
    return Recorder(Recording(model, settings), optimizer)


@dataclass(frozen=True)
class Applied:
    """Statistics that were put into a model, and those that they replaced."""

    recording: Recording
    before: Statistics

    def undo(self) -> None:
        """Put the statistics back that were there before."""
        self.recording.put(self.before)


class Recorder:
    """The batch statistics of a training so far, and what can be made of them: see `record`."""

    def __init__(self, recording: Recording, optimizer: torch.optim.Optimizer) -> None:
        self.recording = recording
        self.points: list[tuple[int, Statistics]] = []  # updates so far, the population then
        self.evaluations: list[tuple[int, Evaluated]] = []  # updates so far, of these weights
        settings = {name: v for name, v in optimizer.param_groups[0].items() if name != "params"}
        self.optimizer = type(optimizer), settings  # as recording begins
        self._last: Evaluated | None = None
        self._writes = 0  # into its model until then
        self._handle = optimizer.register_step_post_hook(lambda *_: self.step())

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

    @property
    def evaluable(self) -> nn.Module:
        """The recorded model, inside of data parallel, whose forward waits for other processes."""
        model = self.recording.model
        inside = getattr(model, "_orig_mod", model)
        return bare(model) if isinstance(inside, nn.parallel.DistributedDataParallel) else model

    def records(self, model: nn.Module) -> bool:
        """Return whether this is the recorded model, in whatever wrapper."""
        return bare(model) is bare(self.recording.model)

    def certificate(self, momenta: Sequence[float] = MOMENTA) -> "pd.DataFrame":
        """Return the error of momenta that the bank gives, known before any training.

        Returns:
            A row a momentum: `relative`, the deviation of the error if batches are independent, as
            a share of that of the exact average; `l1`, the sum over the weights' differences. While
            every update is kept the error is 0, whatever stands here.
        """
        import pandas as pd

        bank, ring = bank_momenta(self.recording.settings.averages), self.recording.settings.ring
        found = [certificate(each, bank, ring) for each in _checked(momenta)]
        return pd.DataFrame(found, index=pd.Index(momenta, name="momentum"))

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
            train: batches of the training set, for `normexp.own.population`.
            forward_fn: how the model is called with a batch; default: `normexp.own.layers.call`.
            data: batches of other data sets, whose statistics are mixed with the population's (of
                `train`, else with the model's own): the curve of Schneider et al. (2020).
            model: another with the same layers, such as an average of the weights: `own` are its
                buffers, averages are the recorded ones, the population is that of its weights.
            momenta: of the averages.
            higher_is_better: for accuracies; default: only if the first is called `accuracy`.

        Returns:
            A row an estimator: `own`, what the model has; `ema` at every momentum; `debiased` (at
            the model's momentum), `cumulative`, `window` (of as many batches as the ring has),
            `population`, `batch` (each evaluation batch's own), `mix`. Columns: the scores;
            `excess` of the first over the population's, and half of its 95 % `interval` over
            examples; `relative` and `l1` of the bank's error, see `certificate`.

        Raises:
            UsageError: nothing was recorded, or the model is another one.
        """
        model = self.evaluable if model is None else model
        question = Question(
            fn, train, forward_fn, data or {}, model, _checked(momenta), higher_is_better
        )
        self._last = self._asked(question)
        return self._last.frame()

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
            found = self._last = self._asked(found.question)
        is_own = self.records(model)
        mend = 'recorder.apply("population")'
        mend += "" if is_own else " for the recorded model; the other one needs its own population"
        with self.recording.untouched():
            judged = judge(
                found,
                mend,
                blame=blame,
                frozen=self.recording.still,
                budget=budgets(self.recording, self.points) if is_own else (),
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
            norm = BatchNorm(momentum=_checked([momentum])[0])
            return Applied(self.recording, self.recording.put(self.recording.statistics(norm)))
        question = self._judged().question
        with self.recording.untouched():
            found = self.population(question, self.evaluable)
        return Applied(self.recording, self.recording.put(found))

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
        that are equally far apart. Where a bank took the place of every update, or layers had
        different updates, error budgets cannot be made of it; weights are not kept. The score
        `loss` is the loss, `accuracy` the accuracy; of others the first is the loss, or with
        `higher_is_better` the accuracy.

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
        from normexp.own.keep import Named, keep  # Hydra, which a loop need not wait for

        return keep(self, Path(directory), Named(model, data, seed, batch_size))

    def population(self, question: Question, model: nn.Module) -> Statistics:
        """Return statistics over a question's training data, and note them for error budgets."""
        self.recording.flush()
        train = () if question.train is None else question.train
        found = population(model, train, question.forward_fn, self.recording.still)
        if self.records(model):
            self.points.append((self.recording.updates, found))
        return found

    def remarks(self) -> list[str]:
        """Return what the record lacks, in a sentence each."""
        recovery, names = self.recording.recovery, list(self.recording.layers.modules)
        others = [name for name in batch_norms(self.recording.model) if name not in names]
        found = [f"{name} has track_running_stats=False: left out" for name in others]
        for counts, text in (
            (
                recovery.changed,
                "steps have no batch statistics: the buffers were changed before, or say nothing",
            ),
            (recovery.lost, "variances of a channel and step were too small to tell from 0"),
            (recovery.several, "steps had several updates, which are taken as equal"),
        ):
            told = self.recording.settings.checkpointed and counts is recovery.several
            if counts.any() and not told:
                most = names[int(counts.argmax())]
                found.append(f"{int(counts.amax())} {text} (at {most}, the most of all layers)")
        return found

    def _asked(self, question: Question) -> Evaluated:
        self.recording.flush()
        layers = tracked(question.model)
        if layers.sites != self.recording.layers.sites:
            raise UsageError(
                f"model= has other batch norms than the recorded {type(bare(self.evaluable))}",
                "give a copy of it with other weights, such as an average",
            )
        with self.recording.untouched():
            found = evaluated(self, question, layers)
        self._writes = _writes_into(question.model)
        if question.model is self.evaluable and question.train is not None:
            self.evaluations.append((self.recording.updates, found.thinned()))
        return found

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
