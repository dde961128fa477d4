"""Fitted curves over the test points, by momentum and epoch (S1)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normexp.config.tree import nest
from normexp.console.words import NOTHING, counted, field_value, number
from normexp.insight.arms import Arm
from normexp.report.curves import Course, chart, courses, most_epochs
from normexp.report.figure import Control, Drawn, Figure, LeftOut, Table
from normexp.report.naming import arm_name
from normexp.report.pictured import pictured
from normexp.report.said import TIGHT, short
from normexp.report.source import MOMENTUM, Source
from normexp.report.typical import seeds_said, spread, typical
from normexp.store.places import understood
from normexp.store.stored import Row

TITLE = "Fitted curves"

MOST_CELLS, MOST_MOMENTA, MOST_CURVES = 6, 12, 48

FLAT = 0.1
"""Spread of predictions, relative to that of the test points, below which a curve is flat."""


@dataclass(frozen=True)
class Series:
    """An arm as a curve.

    Attributes:
        cell: which chart it is in: its fields that are no norm's.
        momentum: its word, such as `0.1` or `cumulative`; empty if it has none.
        arm: what is drawn.
    """

    cell: str
    momentum: str
    arm: Arm


def fitted(source: Source) -> Drawn:
    """Prediction against x over the test points, where one number is predicted from one."""
    if not source.complete:
        return [LeftOut(TITLE, "no run is complete")]
    if not _is_curve(source.complete[0]):
        return [LeftOut(TITLE, "drawn where one number is predicted from one number")]
    every = _series(source)
    rows = typical(source, every)
    shown = _kept(source, {name: every[name] for name in rows})
    rows = {name: rows[name] for name in shown}
    drawn = pictured(source, rows, most_epochs(len(rows)))
    rows = {name: rows[name] for name in drawn.pictures}
    if not rows:
        return [LeftOut(TITLE, drawn.why)]
    shown = {name: shown[name] for name in rows}
    found = courses(drawn, rows, {name: each.cell for name, each in shown.items()})
    momenta = _momenta(shown)
    slides = len(momenta) > 1
    controls = _controls(shown, momenta, found) if slides else ()
    controls += _epochs(found)
    keys = {name: each.momentum if slides else "" for name, each in shown.items()}
    notes = (
        seeds_said(rows),
        _how(slides=slides),
        found.thinned,
        _less(every, shown, source),
        drawn.note,
    )
    return [
        Figure(
            name="fitted-curves",
            title=TITLE,
            sentence=_sentence(found, shown, rows),
            description=_description(found, momenta, slides=slides),
            chart=chart(found, keys, source.palette, controls),
            table=_table(found, rows),
            controls=controls,
            note=" ".join(each for each in notes if each),
        )
    ]


def _is_curve(row: Row) -> bool:
    """Whether a run predicts one number from one."""
    config = understood(nest({path: value for path, value in row.items() if "." in path}))
    one = (config.data.shape, config.data.outputs) == ((1,), 1)
    return one and "test_accuracy" not in row


def _series(source: Source) -> dict[str, Series]:
    """All arms by name."""
    fields = [path for path in source.fields if not path.startswith("norm.")]
    found = {}
    for name, arm in zip(source.arm_names, source.arms, strict=True):
        cell = arm_name({path: arm.values[path] for path in fields if path in arm.values}, fields)
        word = field_value(MOMENTUM, arm.values, keras=False)
        found[name] = Series(
            cell.replace(":,", ",").rstrip(":"), "" if word == NOTHING else word, arm
        )
    return found


def _kept(source: Source, every: Mapping[str, Series]) -> dict[str, Series]:
    """As many cells and momenta as one can look at, the best arm's among them."""
    best = every[_best(every)]
    cells = spread(list({each.cell: None for each in every.values()}), MOST_CELLS, best.cell)
    momenta = [*spread(_momenta(every), MOST_MOMENTA, best.momentum), ""]
    kept = {n: s for n, s in every.items() if s.cell in cells and s.momentum in momenta}
    if len(kept) <= MOST_CURVES:
        return kept
    return {name: each for name, each in kept.items() if name in source.palette.arms} or kept


def _best(every: Mapping[str, Series]) -> str:
    def loss(name: str) -> float:
        mean = every[name].arm.estimates["test_loss"].mean
        return mean if math.isfinite(mean) else math.inf

    return min(every, key=lambda name: (not every[name].momentum, loss(name)))


def _momenta(series: Mapping[str, Series]) -> list[str]:
    """Words of the momenta, by size, the cumulative mean last."""
    found = {s.momentum: s.arm.values[MOMENTUM] for s in series.values() if s.momentum}
    return sorted(found, key=lambda word: (found[word] is None, found[word] or 0))


def _controls(
    shown: Mapping[str, Series], momenta: Sequence[str], found: Course
) -> tuple[Control, ...]:
    """The slider over momenta, at that of the best curve."""
    with_one = {name: error for name, error in found.errors.items() if shown[name].momentum}
    best = min(with_one, key=lambda name: (math.isnan(with_one[name]), with_one[name]))
    return (
        Control(
            "momentum",
            "Momentum",
            tuple(momenta),
            tuple(_words(word, shown) for word in momenta),
            momenta.index(shown[best].momentum),
        ),
    )


def _words(momentum: str, shown: Mapping[str, Series]) -> str:
    """`0.1 (Keras 0.9), half-life 6.6 steps`."""
    arms = [each.arm for each in shown.values() if each.momentum == momentum]
    value = arms[0].values[MOMENTUM]
    if value is None:
        return "cumulative: the mean of all batches, never forgets"
    lives = sorted({arm.half_life_steps for arm in arms if arm.half_life_steps is not None})
    both = f"{value:g} (Keras {1 - value:g})"
    if not lives:
        return f"{both}, never halves"
    span = " to ".join(dict.fromkeys(f"{life:.3g}" for life in (lives[0], lives[-1])))
    return f"{both}, half-life {span} {'step' if span == '1' else 'steps'}"


def _epochs(found: Course) -> tuple[Control, ...]:
    epochs = found.epochs
    if len(epochs) < 2:  # noqa: PLR2004
        return ()
    words = tuple(f"{epoch} of {epochs[-1]}" for epoch in epochs)
    return (Control("epoch", "Epoch", tuple(epochs), words, len(epochs) - 1),)


def _sentence(found: Course, shown: Mapping[str, Series], rows: Mapping[str, Any]) -> str:
    finite = {name: e for name, e in found.errors.items() if math.isfinite(e)}
    if not finite:
        return "No arm's predictions are finite after the last epoch."
    ranked = sorted(finite, key=lambda name: finite[name])
    best, worst = ranked[0], ranked[-1]
    first = f"{best} ends {short(finite[best])} from the test points (root mean square)"
    if len(ranked) > 1:
        times = finite[worst] / finite[best] if finite[best] else math.inf
        first += f", {worst} {short(finite[worst])}, {short(times)} times as far"
        if rows[best]["trajectory_id"] == rows[worst]["trajectory_id"]:
            first += ", on the same weights: only the running statistics differ"
    flat = [n for n in ranked if found.spreads[n] < FLAT and not shown[n].arm.has_statistics]
    if not flat:
        return f"{first}."
    spread = max(found.spreads[name] for name in flat)
    who = "It" if len(ranked) == 1 else " and ".join(flat[:3])
    return (
        f"{first}. {who} {'is' if len(flat) == 1 else 'are'} flat: "
        f"predictions spread {_percent(spread)} as far as the test points."
    )


def _percent(share: float) -> str:
    return f"under 0.1{TIGHT}%" if share < 1e-3 else f"{100 * share:.2g}{TIGHT}%"  # noqa: PLR2004


def _description(found: Course, momenta: Sequence[str], *, slides: bool) -> str:
    faint = (
        f" The curves of one of {len(momenta)} momenta are strong, those of the others faint."
        if slides
        else ""
    )
    cells = f", one chart for each of {len(found.cells)} settings" if len(found.cells) > 1 else ""
    return (
        "Curves of predictions against x over the test points, "
        f"{counted(len(found.errors), 'arm')}{cells}; the test points are dots.{faint}"
    )


def _how(*, slides: bool) -> str:
    said = "Dots are the test points; curves are predictions under running statistics."
    return said + (" Faint: the other momenta." if slides else "")


def _less(every: Mapping[str, Series], shown: Mapping[str, Series], source: Source) -> str:
    parts = []
    if len(shown) < len(every):
        parts.append(f"{len(shown)} of {len(every)} arms are drawn.")
    if set(shown) - set(source.palette.arms):
        parts.append("Curves in the colour of text are arms that the legend has not.")
    return " ".join(parts)


def _table(found: Course, rows: Mapping[str, Any]) -> Table:
    return Table(
        ("arm", "seed", "RMS error", "spread of predictions / of test points"),
        tuple(
            (name, str(rows[name]["seed"]), number(error), number(found.spreads[name]))
            for name, error in found.errors.items()
        ),
    )
