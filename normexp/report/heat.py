"""Heat maps: a metric over the two axes of a study that say most, momentum first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from normexp.config.differences import in_order
from normexp.config.field import spell
from normexp.console.words import NOTHING, SKEWED_NOTE, counted, interval, number
from normexp.report.charts import Options, heat_map
from normexp.report.figure import Drawn, Figure, LeftOut, said, table
from normexp.report.naming import title_of
from normexp.report.source import MOMENTUM, SOURCE, Source

TITLE = "Heat map"

FIRST = (MOMENTUM, "train.batch_size", "optim.lr", "model.width", "model.depth", "train.epochs",
         "norm.kind", "norm.placement", "norm.estimator")  # fmt: skip
"""Axes in the order in which they are chosen; then the others as the schema has them."""

MOST_VALUES = 24
"""Of an axis: more could not be read."""

MOST_PANELS = 4
"""Values of a third axis that get a map each."""

FILLED = 0.5
"""Share of a map's cells that must have runs."""


@dataclass(frozen=True)
class Square:
    """A cell of a map: the best arm of those with its values; `arm` is empty if there is none."""

    values: tuple[Any, ...]
    arm: str = ""
    among: int = 0


def heat(source: Source) -> Drawn:
    """Test loss, and accuracy of labels, over two axes."""
    axes = _axes(source)
    if not axes:
        return [LeftOut(TITLE, "no two fields have two values each that go together")]
    return [_figure(source, axes, metric) for metric in source.metrics]


def _axes(source: Source) -> tuple[str, ...]:
    """Two fields whose values go together, and a third for panels; empty if there are none."""
    fields = [path for path in source.fields if path != SOURCE]
    ordered = sorted(fields, key=[*FIRST, *fields].index)
    for i, x in enumerate(ordered):
        for y in ordered[i + 1 :]:
            if _fill(source, (x, y), MOST_VALUES):
                others = [p for p in source.fields if p == SOURCE] + [
                    path for path in ordered if path not in (x, y)
                ]
                third = [path for path in others if _fill(source, (x, y, path), MOST_PANELS)]
                return (x, y, *third[:1])
    return ()


def _fill(source: Source, axes: tuple[str, ...], most: int) -> bool:
    """Whether these fields make a grid: enough of its cells, and not too many values."""
    two = [arm.values for arm in source.arms.values() if all(p in arm.values for p in axes[:2])]
    there = [values for values in two if axes[-1] in values]
    sizes = [len({repr(values[path]) for values in there}) for path in axes]
    cells = {repr([values[path] for path in axes]) for values in there}
    fits = len(there) == len(two) and 2 <= sizes[-1] <= most  # noqa: PLR2004
    fits = fits and all(2 <= size <= MOST_VALUES for size in sizes)  # noqa: PLR2004
    return fits and len(cells) >= FILLED * math.prod(sizes)


def _squares(source: Source, axes: tuple[str, ...], metric: str) -> list[Square]:
    """All cells, panel by panel, each with its best arm."""
    grouped: dict[str, list[str]] = {}
    kept = {name: arm for name, arm in source.arms.items() if all(p in arm.values for p in axes)}
    for name, arm in kept.items():
        grouped.setdefault(repr([arm.values[path] for path in axes]), []).append(name)
    ordered = [in_order(path, [arm.values[path] for arm in kept.values()]) for path in axes]
    panels = [(each,) for each in ordered[2]] if len(axes) > 2 else [()]  # noqa: PLR2004
    found = []
    for values in ((x, y, *panel) for panel in panels for y in ordered[1] for x in ordered[0]):
        names = grouped.get(repr([*values]), [])
        best = min(names, key=lambda arm: source.rank(arm, metric), default="")
        found.append(Square(values, best, len(names)))
    return found


def _figure(source: Source, axes: tuple[str, ...], metric: str) -> Figure | LeftOut:
    squares, what = _squares(source, axes, metric), metric.replace("_", " ")
    known = [each for each in squares if each.arm and math.isfinite(source.rank(each.arm, metric))]
    if not known:
        return LeftOut(TITLE, f"no run has a finite {what}")
    ranked = sorted(known, key=lambda each: source.rank(each.arm, metric))
    best = ranked[0]
    several = any(each.among > 1 for each in squares)
    titles = [title_of(path) for path in axes]
    len({repr(each.values[2:]) for each in squares})
    diverged = sum(bool(each.arm) and not source.arms[each.arm].n for each in squares)
    return Figure(
        name="heat-map" if metric == "test_loss" else "heat-map-accuracy",
        title=f"{what.capitalize()} by {titles[0]} and {titles[1]}",
        sentence=_sentence(source, axes, best, ranked[-1], metric),
        chart=_chart(source, axes, squares, best, metric),
        table=table(
            (*titles, what, "seeds", *["best of"] * several, ""),
            [
                (*map(_spelled, axes, each.values), _value(source, each, metric),
                 source.arms[each.arm].n, *[f"{each.among}: {each.arm}"] * several,
                 "best" if each is best else "")
                for each in squares if each.arm
            ],
        ),
        note=said(
            "Means over seeds; a dash is a cell without a run.",
            "Colours are on a logarithmic scale." if metric == "test_loss" else "",
            SKEWED_NOTE,
            "Of arms that differ in other fields a cell shows the best." if several else "",
            f"In {counted(diverged, 'cell')} every run diverged." if diverged else "",
            "With each momentum stands Keras's, 1 − a; 1/t is the cumulative mean."
            if MOMENTUM in axes else "",
        ),
    )  # fmt: skip


def _sentence(
    source: Source, axes: tuple[str, ...], best: Square, worst: Square, metric: str
) -> str:
    def place(square: Square) -> str:
        spelled = map(_spelled, axes, square.values)
        return ", ".join(f"{title_of(path)} {v}" for path, v in zip(axes, spelled, strict=True))

    what = metric.replace("_", " ")
    text = f"Best is {place(best)}: {what} {interval(source.estimate(best.arm, metric))}"
    if worst is best:
        return f"{text}."
    low, high = (source.estimate(each.arm, metric).mean for each in (best, worst))
    if metric == "test_loss" and low > 0:
        return f"{text}. Worst is {place(worst)}, {number(high / low)} times as high."
    return f"{text}. Worst is {place(worst)}: {number(high)}."


def _spelled(path: str, value: Any) -> str:  # noqa: ANN401
    if path == MOMENTUM:
        return "cumulative" if value is None else f"{value:g}"
    return NOTHING if value is None else spell(value)


def _label(path: str, value: Any) -> str:  # noqa: ANN401
    """A value on an axis; a momentum with Keras's."""
    if path != MOMENTUM:
        return _spelled(path, value)
    return "1/t" if value is None else f"{value:g}|{1 - value:.6g}"


def _value(source: Source, square: Square, metric: str) -> str:
    arm = source.arms[square.arm]
    return interval(source.estimate(square.arm, metric)) if arm.n else "diverged"


def _chart(
    source: Source, axes: tuple[str, ...], squares: Sequence[Square], best: Square, metric: str
) -> Any:  # noqa: ANN401  a chart
    import pandas as pd

    rows = []
    for each in squares:
        labels = [_label(path, value) for path, value in zip(axes, each.values, strict=True)]
        panel = f"{title_of(axes[2])} {labels[2]}" if labels[2:] else ""
        row = {"x": labels[0], "y": labels[1], "panel": panel, "text": NOTHING, "said": NOTHING,
               "best": each is best}  # fmt: skip
        if each.arm:
            mean = source.estimate(each.arm, metric).mean
            shown = math.isfinite(mean) and (mean > 0 or metric != "test_loss")
            row |= {"arm": each.arm, "n": source.arms[each.arm].n, "value": mean if shown else None,
                    "said": _value(source, each, metric)}  # fmt: skip
            row["text"] = number(mean, 3) if shown else "div."
        rows.append(row)
    frame = pd.DataFrame(rows)
    tips = {"x:N": title_of(axes[0]), "y:N": title_of(axes[1]), "said:N": metric.replace("_", " "),
            "n": "seeds", "arm:N": "arm"}  # fmt: skip
    panels = list(dict.fromkeys(frame["panel"]))
    return heat_map(
        frame,
        x=_axis(axes[0], list(dict.fromkeys(frame["x"])), split=True),
        y=_axis(axes[1], list(dict.fromkeys(frame["y"]))[::-1], split=False),
        title=metric.replace("_", " "),
        log=metric == "test_loss",
        tips=tips,
        facet={"field": "panel", "sort": panels, "columns": 2} if len(panels) > 1 else None,
    )


def _axis(path: str, labels: Sequence[str], *, split: bool) -> Options:
    """An axis of labels; of momenta with Keras's beside or, if `split`, below."""
    import altair as alt

    keras = " (below it Keras's)" if split else " · Keras's"
    return {
        "sort": list(labels),
        "title": title_of(path) + (keras if path == MOMENTUM else ""),
        "scale": alt.Scale(paddingInner=0.04, paddingOuter=0),
        "axis": alt.Axis(
            labelExpr="split(datum.label, '|')" if split else "replace(datum.label, '|', ' · ')",
            labelAngle=0, labelOverlap=len(labels) > 12, ticks=False, domain=False, grid=False,  # noqa: PLR2004
        ),
    }  # fmt: skip
