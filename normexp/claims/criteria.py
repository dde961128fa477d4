"""A claim of a source, the kinds of criterion by which it is judged, and the verdict.

A criterion compares two sets of runs seed by seed, under one condition.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import pandas as pd

from normexp.claims.metrics import Run, gradient, over_epochs
from normexp.insight.comparison import FEWEST, Comparison, Scale, compare_paired

Verdict = Literal["holds", "fails", "holds only if", "undecided", "not checkable"]

Frames = Mapping[str, pd.DataFrame]
"""The stored runs of the studies by the studies' names, one row a run."""


@dataclass(frozen=True)
class Cell:
    """One condition, and whether the claim holds there.

    Attributes:
        where: the condition, in words; empty where there is but one.
        holds: by the criterion; None if undecided.
        comparison: the effect with its interval.
        run_ids: of the runs that it was measured on.
        note: such as pairs that were lost.
        posed: False where the condition does not pose the question: the cell then has no vote.
    """

    where: str
    holds: bool | None
    comparison: Comparison
    run_ids: tuple[str, ...] = ()
    note: str = ""
    posed: bool = True


Criterion = Callable[[Frames], Cell]
"""Judges one condition, see `normexp.claims.criteria`."""


@dataclass(frozen=True)
class Claim:
    """A source's sentence, and the criterion by which runs confirm or refute it.

    Attributes:
        id: such as `S1.3`.
        text: the claim, as the source puts it.
        criterion: when it holds and when it fails; `conditions` compute the same.
        measure: the effect, as the head of a table's column.
        studies: names in `normexp.claims.studies` that it needs.
        conditions: the most important one first.
        expected: the verdict by the project's reading of the sources; None if left open.
        because: the reason for that.
    """

    id: str
    text: str
    criterion: str
    measure: str
    studies: tuple[str, ...]
    conditions: tuple[Criterion, ...]
    expected: Verdict | None
    because: str


@dataclass(frozen=True)
class Settled:
    """A claim without a verdict by runs: an identity, or nothing that runs can check."""

    id: str
    text: str
    verdict: Verdict
    because: str


def verdict(cells: Sequence[Cell]) -> Verdict:
    """Return the verdict on a general statement.

    It holds if all cells do, holds only under conditions if some do and some fail, fails if some
    fail and none holds. If none fails and not all hold, it is undecided. Only cells that pose the
    question count.
    """
    found = {cell.holds for cell in cells if cell.posed}
    if False in found:
        return "holds only if" if True in found else "fails"
    return "holds" if found == {True} else "undecided"


Of = Mapping[str, Any]
"""Values of fields that choose runs, by dotted name; kinds by the name of their group."""

Metric = str | Callable[[Run], float]
"""A column of the runs' frame, or a function of a run."""

Series: TypeAlias = "pd.Series[float]"
"""Values by seed."""

Rule = Callable[[Comparison], bool | None]
"""Returns true if a claim holds by a comparison; None if that is undecided."""

MARGIN = 1.1
"""A ratio within it either way counts as no difference."""

NONE, BATCH, GROUP = ({"norm": name} for name in ("none", "batch", "group"))

LEARNT = {"quadratic": 340.0, "digits": math.log(10) / 2}
"""Half the test loss of the best constant prediction: var(y) = 685, ln 10."""

GRADIENT_SEEDS = 8


def below(found: Comparison, bound: float | None = None) -> bool | None:
    """Return true if the whole interval is below a bound; by default below no difference."""
    limit = found.nothing if bound is None else bound
    if min(found.n) < FEWEST or not found.low <= found.high:
        return None
    if found.high < limit:
        return True
    return False if found.low > limit else None


def above(found: Comparison, bound: float | None = None) -> bool | None:
    """Return true if the whole interval is above a bound; by default above no difference."""
    held = below(found, bound)
    return None if held is None else not held


def differs(found: Comparison) -> bool | None:
    """Return true if a ratio differs from 1; false if it surely lies within `MARGIN` of 1."""
    if found.decided:
        return True
    return False if below(found, MARGIN) and above(found, 1 / MARGIN) else None


def contrast(  # noqa: PLR0913, PLR0917  what is compared with what, and how
    where: str,
    study: str,
    of: Of,
    change: Of,
    metric: Metric = "test_loss",
    metric_of_other: Metric | None = None,
    *,
    scale: Scale = "ratio",
    rule: Rule = below,
) -> Criterion:
    """A metric of runs against that of the same runs with some values changed.

    Args:
        where: the condition, in words.
        study: the runs' study.
        of: which runs are the baseline.
        change: values of the others that differ.
        metric: of both.
        metric_of_other: where the others' is another one.
        scale: of the comparison.
        rule: by which the claim holds.
    """

    def judge(frames: Frames) -> Cell:
        before, after = (runs_of(frames[study], each) for each in (of, {**of, **change}))
        values = by_seed(before, metric), by_seed(after, metric_of_other or metric)
        return _cell(where, values, rule, scale, (before, after))

    return judge


excess = partial(contrast, metric="excess_loss", scale="difference")
"""Test loss minus that of the same weights by population statistics."""


def better_and_faster(where: str, study: str, of: Of, change: Of) -> Criterion:
    """The final test loss, and its geometric mean over the epochs: both must be below."""
    final, path = (contrast(where, study, of, change, m) for m in ("test_loss", over_epochs))

    def judge(frames: Frames) -> Cell:
        cell = final(frames)
        held = {cell.holds, path(frames).holds}
        return replace(cell, holds=False if False in held else None if None in held else True)

    return judge


def best_momentum(where: str, study: str, of: Of, momenta: Sequence[float]) -> Criterion:
    """The momentum of the least test loss, by seed: batches of 16 against 256."""

    def best(runs: pd.DataFrame) -> Series:
        losses = {a: by_seed(runs[runs["norm.momentum"] == a], "test_loss") for a in momenta}
        return pd.DataFrame(losses).dropna().idxmin(axis=1).astype(float)

    def judge(frames: Frames) -> Cell:
        sizes = [runs_of(frames[study], {**of, "train.batch_size": size}) for size in (256, 16)]
        return _cell(where, (best(sizes[0]), best(sizes[1])), below, "ratio", sizes)

    return judge


def highest_rate(where: str, study: str, rates: Sequence[float]) -> Criterion:
    """The place in the grid of the largest rate at which a seed learns; 0: at none."""

    def highest(runs: pd.DataFrame) -> Series:
        learns = {rate: _learnt(runs[runs["optim.lr"] == rate]) for rate in rates}
        places = {place: learns[rate] * place for place, rate in enumerate(sorted(rates), 1)}
        return pd.DataFrame(places).dropna().max(axis=1).astype(float)

    def judge(frames: Frames) -> Cell:
        runs = [runs_of(frames[study], norm) for norm in (NONE, BATCH)]
        values = highest(runs[0]), highest(runs[1])
        bounds = [
            f"norm={norm} learns at the largest rate with {count} seeds: a bound"
            for norm, each in zip(("none", "batch"), values, strict=True)
            if (count := int((each == len(rates)).sum()))
        ]
        return replace(_cell(where, values, above, "difference", runs), note="; ".join(bounds))

    return judge


def share_learnt(where: str, study: str) -> Criterion:
    """The share of a study's conditions under which a seed learns."""

    def judge(frames: Frames) -> Cell:
        runs = [runs_of(frames[study], norm) for norm in (NONE, BATCH)]
        none, batch = (_learnt(each).groupby(level=0).mean() for each in runs)
        return _cell(where, (none, batch), above, "difference", runs)

    return judge


def smaller_gap(where: str, study: str, of: Of) -> Criterion:
    """Test minus training loss, where the plain network surely overfits."""
    plain: dict[str, Any] = {**of, **NONE}
    fitted, tested = "train_loss_population", "test_loss_population"
    overfits = contrast(where, study, plain, {}, fitted, tested, rule=above)
    gap = contrast(
        where, study, plain, BATCH, lambda run: run[tested] - run[fitted], scale="difference"
    )
    note = "no overfitting to prevent; test : training loss without norm"

    def judge(frames: Frames) -> Cell:
        cell = overfits(frames)
        return gap(frames) if cell.holds else replace(cell, holds=None, note=note, posed=False)

    return judge


def smaller_growth(where: str, few: str, many: str) -> Criterion:
    """Growth of the test loss from large batches to small ones: group norm against batch norm."""

    def judge(frames: Frames) -> Cell:
        runs = [runs_of(frames[name], norm) for norm in (BATCH, GROUP) for name in (few, many)]
        losses = [by_seed(each, "test_loss") for each in runs]
        growth = (losses[0] / losses[1]).dropna(), (losses[2] / losses[3]).dropna()
        return _cell(where, growth, below, "ratio", runs)

    return judge


def smaller_gradient(where: str, place: int) -> Criterion:
    """A batch's gradient, see `metrics.gradient`: batches of 256 against 16."""

    def judge(_: Frames) -> Cell:
        small, large = (
            pd.Series([gradient(seed, size)[place] for seed in range(GRADIENT_SEEDS)])
            for size in (16, 256)
        )
        return _cell(where, (small, large), below, "ratio", ())

    return judge


def runs_of(frame: pd.DataFrame, of: Of) -> pd.DataFrame:
    """The runs with these values, diverged ones too."""
    kept = pd.Series(data=True, index=frame.index)
    for name, value in of.items():
        kept &= frame[name] == value
    return frame[kept]


def by_seed(runs: pd.DataFrame, metric: Metric) -> Series:
    """A metric of the complete runs, by seed."""
    complete = runs[runs["status"] == "complete"]
    if isinstance(metric, str):
        return complete.set_index("seed")[metric].astype(float)
    values = [metric({str(k): v for k, v in row.items()}) for row in complete.to_dict("records")]
    return pd.Series(values, index=complete["seed"], dtype=float)


def _cell(
    where: str,
    values: tuple[Series, Series],
    rule: Rule,
    scale: Scale,
    runs: Sequence[pd.DataFrame],
) -> Cell:
    """Two series compared by seed, the baseline's first; seeds that one of them lacks are left out.

    Of the runs behind them those that diverged are counted in the note.
    """
    both = pd.concat(values, axis=1, join="inner").sort_index()
    found = compare_paired(both.iloc[:, 0].tolist(), both.iloc[:, 1].tolist(), scale)
    ids = tuple(str(each) for frame in runs for each in frame["run_id"])
    lost = {seed for frame in runs for seed in frame["seed"][frame["status"] != "complete"]}
    note = f"{len(lost)} seeds left out: a run of theirs diverged" if lost else ""
    return Cell(where, rule(found), found, tuple(dict.fromkeys(ids)), note)


def _learnt(runs: pd.DataFrame) -> Series:
    """1 for seeds whose weights beat half of the best constant, else 0; diverged: 0."""
    bound = runs["data"].map(LEARNT)
    good = (runs["status"] == "complete") & (runs["test_loss_population"].astype(float) < bound)
    return pd.Series(good.to_numpy(dtype=float), index=runs["seed"])
