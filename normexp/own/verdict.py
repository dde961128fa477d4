"""The verdict on a network's loss: its weights, or its running statistics, and which of them."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite, isnan
from typing import Any

from normexp.nets.layout import Statistics
from normexp.own.budget import LayerBudget
from normexp.own.evaluate import Evaluated, difference, scored
from normexp.own.layers import tracked

SMALL = 0.01
"""Share of the score below which running statistics are no problem."""

SHOWN = 5
"""Layers in a printed verdict."""


@dataclass(frozen=True)
class Verdict:
    """A score of the weights of now, and the part of it that the running statistics cost.

    Attributes:
        step: of the training; None: it was not recorded.
        metric: the score that is judged.
        value: under the model's own running statistics; `weights` + `statistics`.
        weights: the score under the population's statistics.
        statistics: what the running statistics add to it.
        interval: half of its 95 % interval over examples; NaN where `fn` gave one number.
        to_blame: whether the running statistics cost more than 1 %, and than the interval.
        finding: a sentence that says so, or why nothing can be said.
        momentum: the best of those tried, with its score, `value`; `alike` are those that are not
            worse beyond the interval.
        layers: what each layer's statistics cost: how far the score improves when they alone are
            set right. The most costly first; empty if that was not asked for.
        budget: of each layer; empty for a model that was not recorded, such as an average.
        notes: what is left out.
        todo: what to type next.
    """

    step: int | None
    metric: str
    value: float
    weights: float
    statistics: float
    interval: float
    to_blame: bool
    finding: str
    momentum: dict[str, Any]
    layers: list[dict[str, Any]]
    budget: list[LayerBudget]
    notes: list[str]
    todo: str

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as data."""
        return asdict(self)

    def __str__(self) -> str:
        margin = "" if isnan(self.interval) else f" ± {self.interval:.2g}"
        parts = f"weights {self.weights:.4g} + statistics {self.statistics:.4g}{margin}"
        place = "" if self.step is None else f"step {self.step}: "
        lines = [f"{place}{self.metric} {self.value:.4g} = {parts}", self.finding]
        if self.layers and self.to_blame:
            lines += ["set right alone, a layer improves it by:", *self._layer_lines()]
        lines += [*self._momentum_line(), *self.notes, f"next: {self.todo}"]
        return "\n".join(lines)

    def _layer_lines(self) -> list[str]:
        parts = {each.layer: each for each in self.budget}
        width = max(len(each["layer"]) for each in self.layers[:SHOWN])
        lines = []
        for each in self.layers[:SHOWN]:
            line = f"  {each['layer']:{width}} {each['cost']:8.3g}"
            if (budget := parts.get(each["layer"])) is not None:
                terms = ", ".join(f"{name} {size:.2g}" for name, size in budget.mean.items())
                line += f"  means are off by {budget.mean_error:.2g} σ ({terms})"
            lines.append(line)
        left = len(self.layers) - SHOWN
        return [*lines, f"  and {left} other layers"] if left > 0 else lines

    def _momentum_line(self) -> list[str]:
        best, alike = self.momentum, self.momentum.get("alike", [])
        if not best:
            return []
        line = f"best momentum of those tried: {best['momentum']:g} ({self.metric} "
        line += f"{best['value']:.4g})"
        if len(alike) > 1:
            line += f"; not worse beyond the interval: {min(alike):g} to {max(alike):g}"
        return [line]


def judge(  # noqa: PLR0913
    found: Evaluated,
    mend: str,
    *,
    blame: bool = True,
    frozen: Collection[str] = (),
    tolerance: float | None = None,
    budget: Sequence[LayerBudget] = (),
    notes: Sequence[str] = (),
) -> Verdict:
    """Return the verdict on an evaluation.

    Args:
        found: its first row is the model's own statistics, and it has a population.
        mend: what to type where statistics are to blame.
        blame: evaluate each layer with its statistics alone set right.
        frozen: layers that are left out of that.
        tolerance: what statistics may cost; default: 1 % of the score, or its interval if larger.
        budget: error budgets by layer.
        notes: what is left out.
    """
    own, reference = 0, found.row("population")
    assert reference is not None  # noqa: S101  the caller has asked for it
    losses, metric = found.losses(own), found.metric
    value, weights = (float(found.scores[row][metric].mean()) for row in (own, reference))
    apart, interval = difference(losses, found.losses(reference))
    margin = 0 if isnan(interval) else interval
    small = SMALL * abs(weights) if tolerance is None else tolerance
    least = max(small, margin) if tolerance is None else tolerance
    to_blame = isfinite(weights) and not apart <= least  # a loss of NaN is no small one
    finding, todo = "the running statistics are not to blame", "nothing has to be done"
    if to_blame:
        finding, todo = "the running statistics are to blame", mend
    elif not isfinite(weights):
        finding = "the score is not finite: nothing can be said"
        todo = "look for what is not finite in the weights, the data and what fn returns"
    elif apart < -(margin or small):
        finding = "the running statistics make the score better"
    elif apart + margin > small:
        finding = f"the part of the running statistics cannot be told from {len(losses)} examples"
        todo = "evaluate on more examples"
    elif tolerance is None:
        finding += ": the score is that of the weights"
    return Verdict(
        step=found.step,
        metric=metric,
        value=value,
        weights=weights,
        statistics=found.sign * apart,
        interval=interval,
        to_blame=to_blame,
        finding=finding,
        momentum=_best(found),
        layers=_blame(found, reference, frozen) if blame else [],
        budget=[*budget],
        notes=[*notes],
        todo=todo,
    )


def _best(found: Evaluated) -> dict[str, Any]:
    rows = [row for row, each in enumerate(found.candidates) if each.estimator == "ema"]
    losses = {row: float(found.losses(row).mean()) for row in rows}
    finite = [row for row in rows if isfinite(losses[row])]
    if not finite:
        return {}
    best = min(finite, key=losses.__getitem__)
    alike = []
    for row in finite:
        apart, interval = difference(found.losses(row), found.losses(best))
        if row == best or apart <= interval:
            alike.append(found.candidates[row].momentum)
    value = float(found.scores[best][found.metric].mean())
    return {"momentum": found.candidates[best].momentum, "value": value, "alike": alike}


def _blame(found: Evaluated, reference: int, frozen: Collection[str]) -> list[dict[str, Any]]:
    """Return what each layer's statistics cost, the most costly first."""
    layers, truth = tracked(found.question.model), found.candidates[reference].statistics
    assert truth is not None  # noqa: S101  a population has statistics
    own, names = layers.read(), [name for name in layers.modules if name not in frozen]
    scores = []
    for name in names:
        mended = Statistics(*(each.clone() for each in own))
        for values, right in zip(mended, truth, strict=True):
            values[layers.spans[name]] = right[layers.spans[name]]
        scores.append(scored(found.question, layers, mended))
    alone, costs = replace(found, scores=[*found.scores, *scores]), []
    for row, name in enumerate(names, start=len(found.scores)):
        apart, interval = difference(found.losses(0), alone.losses(row))
        costs.append({"layer": name, "cost": apart, "interval": interval})
    return sorted(costs, key=lambda each: -each["cost"])
