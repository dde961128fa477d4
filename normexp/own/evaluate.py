"""One table for the weights of now: a row for every estimator of their running statistics."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from normexp.config.norm import BatchNorm
from normexp.errors import UsageError
from normexp.insight.arms import half_width
from normexp.nets.layout import Statistics
from normexp.own.history import Error
from normexp.own.layers import Forward, Layers, TooFewError, require_two, unchanged
from normexp.own.population import population
from normexp.own.recording import Recording

if TYPE_CHECKING:
    import pandas as pd

Score = Callable[[Any], Any]
"""Takes a model, returns a number, losses of examples, or a mapping of these by name."""

Array = np.ndarray[Any, Any]

MOMENTA = (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)

SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Of another data set's statistics in a mix."""

WINDOW = 16
"""Batches of the estimator `window`: so many are never pooled."""

EXACT = Error(0.0, 0.0)

BUFFERS = ("running_mean", "running_var")

NAME_OF_ONE = "value"
"""The column of a score that has no name."""

TAKEN = ("estimator", "momentum", "data", "share", "excess", "interval", *Error._fields)
"""The other columns."""

RETURNS = "return a number, a tensor with a loss for every example, or a mapping of these by name"


@dataclass(frozen=True)
class Question:
    """What to evaluate: the arguments of `Recorder.evaluate`."""

    score: Score
    train: Iterable[object] | None
    forward_fn: Forward | None
    data: Mapping[str, Iterable[object]]
    model: nn.Module
    momenta: Sequence[float]
    higher_is_better: bool | None


class Candidate(NamedTuple):
    """Running statistics to evaluate a model with."""

    estimator: str
    momentum: float | None = None
    statistics: Statistics | None = None  # None: its own, or each batch's
    error: Error = EXACT
    data: str | None = None
    share: float | None = None
    norm: BatchNorm | None = None  # of an average


Kept = dict[BatchNorm | str, tuple[list[torch.Tensor] | None, dict[str, float]]]
"""Statistics, two rows of [channels], and scores: by estimator, or the norm of an average."""


@dataclass(frozen=True)
class Evaluated:
    """A table, and what it was made from.

    Attributes:
        question: that was asked.
        step: of the training; None: it was not recorded.
        candidates: one a row.
        scores: by row and name; losses of examples, or one number.

    Raises:
        UsageError: scores have names that differ between rows.
    """

    question: Question
    step: int | None
    candidates: list[Candidate]
    scores: list[dict[str, Array]]

    def __post_init__(self) -> None:
        names = dict.fromkeys(tuple(sorted(row)) for row in self.scores)
        if len(names) > 1:
            told = " and ".join(map(", ".join, names))
            raise UsageError(f"fn returned scores of different names: {told}", RETURNS)

    @property
    def metric(self) -> str:
        """The score that is judged: the first."""
        return next(iter(self.scores[0]))

    @property
    def sign(self) -> int:
        """-1 if a higher score is better, else 1; a score called accuracy is, if nobody says."""
        asked = self.question.higher_is_better
        return -1 if (self.metric == "accuracy" if asked is None else asked) else 1

    def row(self, estimator: str) -> int | None:
        """The first row of an estimator, if there is one."""
        names = [each.estimator for each in self.candidates]
        return names.index(estimator) if estimator in names else None

    def losses(self, row: int) -> Array:
        """The judged score of a row, as a loss: lower is better."""
        return self.scores[row][self.metric] * self.sign

    def kept(self) -> Kept:
        """Return what a store needs of it: statistics in float32 and mean scores, without mixes."""
        found: Kept = {}
        for candidate, scores in zip(self.candidates, self.scores, strict=True):
            means = {name: float(values.mean()) for name, values in scores.items()}
            if means.keys().isdisjoint(("loss", "accuracy")):
                means["loss" if self.sign > 0 else "accuracy"] = means[self.metric]
            rows = candidate.statistics and [each.float() for each in candidate.statistics]
            if candidate.share is None:
                found[candidate.norm or candidate.estimator] = rows, means
        return found

    def frame(self) -> "pd.DataFrame":
        """Return the table."""
        import pandas as pd

        reference = self.row("population")
        rows = []
        for candidate, scores in zip(self.candidates, self.scores, strict=True):
            row: dict[str, Any] = {"estimator": candidate.estimator, "momentum": candidate.momentum}
            if any(each.share is not None for each in self.candidates):
                row |= {"data": candidate.data, "share": candidate.share}
            row |= {name: float(values.mean()) for name, values in scores.items()}
            if reference is not None:
                apart = difference(scores[self.metric], self.scores[reference][self.metric])
                row |= {"excess": apart[0], "interval": apart[1]}
            rows.append(row | candidate.error._asdict())
        return pd.DataFrame(rows)


def difference(one: Array, other: Array) -> tuple[float, float]:
    """Return the difference of two means, and half of its 95 % interval, paired by example.

    The interval is NaN where there is one number, or where the numbers of examples differ.
    """
    if len(one) != len(other) or len(one) == 1:
        return float(one.mean() - other.mean()), np.nan
    apart = one - other
    return float(apart.mean()), float(half_width(apart.std(ddof=1), len(apart)))


def evaluated(recording: Recording, question: Question, layers: Layers) -> Evaluated:
    """Return the scores of a model under every candidate; see `Recorder.evaluate`."""
    candidates = list(_candidates(recording, question, layers))
    moving = layers.modules.keys() - recording.still
    scores = [
        scored(question, layers, each.statistics, moving if each.estimator == "batch" else ())
        for each in candidates
    ]
    return Evaluated(question, recording.steps, candidates, scores)


def scored(
    question: Question,
    layers: Layers,
    statistics: Statistics | None,
    own_batch: Collection[str] = (),
) -> dict[str, Array]:
    """Return a model's scores under running statistics, those of examples or one number each.

    Args:
        question: with the model and the function that scores it.
        layers: of the model.
        statistics: two rows of [channels]; None: as they are.
        own_batch: layers that take each batch's statistics in evaluation mode; all scores are NaN
            where a batch has too few values for that.

    Raises:
        UsageError: the function returned something else.
    """
    model = question.model
    try:
        with unchanged(model), _without([layers.modules[name] for name in own_batch]):
            if statistics is not None:
                layers.write(statistics)
            model.train(mode=False)
            found = question.score(model)
    except TooFewError:
        return {name: np.full(1, np.nan) for name in scored(question, layers, statistics)}
    named = found if isinstance(found, Mapping) else {NAME_OF_ONE: found}
    if not named:
        raise UsageError("fn returned an empty mapping", RETURNS)
    if taken := [name for name in named if name in TAKEN]:
        raise UsageError(f"fn returned a score called {taken[0]}, as a column is", "rename it")
    return {name: _numbers(value) for name, value in named.items()}


def _numbers(value: object) -> Array:
    """Return losses of examples, or one number; other axes than the first are averaged."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().double().numpy()  # Apple's GPUs have no float64
    if not isinstance(value, (Real, np.ndarray)):
        raise UsageError(f"fn returned a score of type {type(value).__name__}", RETURNS)
    values = np.atleast_1d(np.asarray(value))
    if not values.size or values.dtype.kind not in "biuf":
        raise UsageError(f"fn returned {values.size} values of type {values.dtype}", RETURNS)
    losses: Array = values.astype(np.float64).reshape(len(values), -1).mean(1)
    return losses


@contextmanager
def _without(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Take running statistics away: in evaluation mode too a layer then takes the batch's own."""
    with ExitStack() as stack:
        for norm in norms:
            stack.enter_context(norm.register_forward_pre_hook(require_two))
            for name in BUFFERS:
                stack.callback(setattr, norm, name, getattr(norm, name))
                setattr(norm, name, None)
        if norms:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


def _candidates(recording: Recording, question: Question, layers: Layers) -> Iterator[Candidate]:
    """Yield the rows of a table in their order."""
    own = own_momentum(layers)
    yield Candidate("own", own)
    norms = [BatchNorm(momentum=momentum) for momentum in question.momenta]
    if own:
        norms.append(BatchNorm(momentum=own, estimator="debiased"))
    norms += [BatchNorm(momentum=None), BatchNorm(estimator="window", window=WINDOW)]
    for norm in norms:
        name: str = "cumulative" if norm.momentum is None else norm.estimator
        momentum = None if name == "window" else norm.momentum
        found, error = recording.statistics(norm), recording.history.error(norm)
        yield Candidate(name, momentum, found, error, norm=norm)
    base = None
    if question.train is not None:
        base = population(question.model, question.train, question.forward_fn, recording.still)
        yield Candidate("population", None, base)
    yield Candidate("batch")
    for name, loader in question.data.items():
        there = population(question.model, loader, question.forward_fn, recording.still)
        for share in SHARES:
            statistics = mixed(base or layers.read(), there, share)
            yield Candidate("mix", None, statistics, EXACT, name, share)


def own_momentum(layers: Layers) -> float | None:
    """The momentum of a model's layers; None where they differ, or take the cumulative mean."""
    found = {each.momentum for each in layers.modules.values()}
    return found.pop() if len(found) == 1 else None


def mixed(one: Statistics, other: Statistics, share: float) -> Statistics:
    """Return statistics of which this share is the other's."""
    pairs = zip(one, other, strict=True)
    return Statistics(*((1 - share) * old + share * new for old, new in pairs))
