"""Heat maps: a metric over the two axes of a study that say most, momentum first."""

import math
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

from normexp.config.field import spell
from normexp.config.identity import in_order
from normexp.console.words import NOTHING, SKEWED_NOTE, interval, keras, number, title_of
from normexp.report.charts import WIDTH, category, layer, panels, quantity, tooltips
from normexp.report.figure import Drawn, Figure, LeftOut, Spec, sentences, table
from normexp.report.source import MOMENTUM, SOURCE, UNKNOWN, Source
from normexp.report.style import GRID, INK, SOFT

if TYPE_CHECKING:
    import pandas as pd

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

BRIGHT, DARK_INK = "#ffffff", "#10151a"
"""Words on dark and on bright cells, by light and dark alike: cells keep their colours."""


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
            if _fits(source, (x, y), MOST_VALUES):
                others = [SOURCE, *(path for path in ordered if path not in (x, y))]
                third = [path for path in others if _fits(source, (x, y, path), MOST_PANELS)]
                return (x, y, *third[:1])
    return ()


def _fits(source: Source, axes: tuple[str, ...], most: int) -> bool:
    """True if these fields make a grid: enough of its cells, and not too many values."""
    every = [source.values(arm) for arm in source.arms]
    two = [values for values in every if all(path in values for path in axes[:2])]
    there = [values for values in two if axes[-1] in values]
    sizes = [len({repr(values[path]) for values in there}) for path in axes]
    cells = {repr([values[path] for path in axes]) for values in there}
    fits = len(there) == len(two) and min(sizes) > 1 and sizes[-1] <= most
    return fits and max(sizes) <= MOST_VALUES and len(cells) >= FILLED * math.prod(sizes)


def _cells(source: Source, axes: tuple[str, ...], metric: str) -> "pd.DataFrame":
    """A row a cell of the grid, panel by panel, each with its best arm."""
    import pandas as pd

    kept = [arm for arm in source.arms if all(path in source.values(arm) for path in axes)]
    values = {arm: tuple(source.values(arm)[path] for path in axes) for arm in kept}
    ordered = [in_order(path, [values[arm][i] for arm in kept]) for i, path in enumerate(axes)]
    rows = []
    for place in (each[::-1] for each in product(*reversed(ordered))):
        names = [arm for arm in kept if values[arm] == place]
        best = min(names, key=lambda arm: source.rank(arm, metric), default="")
        estimate = source.estimate(best, metric) if best else UNKNOWN
        known = math.isfinite(estimate.mean) and (estimate.mean > 0 or metric != "test_loss")
        third = zip(axes[2:], place[2:], strict=True)
        rows.append({
            "x": _label(axes[0], place[0]), "y": _label(axes[1], place[1]), "arm": best,
            "panel": "".join(f"{title_of(path)} {_spelled(path, value)}" for path, value in third),
            "n": estimate.n, "among": len(names), "value": estimate.mean if known else math.nan,
            "text": number(estimate.mean, 3) if known else "div." if best else NOTHING,
            "estimate": interval(estimate) if known else NOTHING,
            "rank": source.rank(best, metric) if known else math.inf,
        })  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.assign(best=frame["rank"] == frame["rank"].min()).drop(columns="rank")


def _figure(source: Source, axes: tuple[str, ...], metric: str) -> Figure | LeftOut:
    what = metric.replace("_", " ")
    frame = _cells(source, axes, metric)
    if frame["value"].isna().all():
        return LeftOut(TITLE, f"no run has a finite {what}")
    across, up = (title_of(path) for path in axes[:2])
    best = frame[frame["best"]].iloc[0]
    columns = ["x", "y", "panel", "estimate", "n", "among", "arm"]
    shown = frame[frame["arm"] != ""][columns].replace({"x": {r"\|": ", Keras "}}, regex=True)
    return Figure(
        name="heat-map" if metric == "test_loss" else "heat-map-accuracy",
        title=f"{what.capitalize()} by {across} and {up}",
        sentence=f"Best is {best['arm']}: {what} {best['estimate']}.",
        chart=_chart(frame, axes, what),
        table=table(
            (across, up, "panel", what, "seeds", "arms", "best of these"),
            shown.itertuples(index=False),
        ),
        note=sentences(
            "Means over seeds; a dash is a cell without a run, div. one whose runs diverged.",
            "Colours are on a logarithmic scale." if metric == "test_loss" else "",
            SKEWED_NOTE,
            "Of arms that differ in other fields a cell shows the best."
            if frame["among"].max() > 1 else "",
            "With each momentum stands Keras's, 1 − a; 1/t is the cumulative mean."
            if MOMENTUM in axes else "",
        ),
    )  # fmt: skip


def _spelled(path: str, value: Any) -> str:  # noqa: ANN401
    if path == MOMENTUM:
        return "cumulative" if value is None else f"{value:g}"
    return NOTHING if value is None else spell(value)


def _label(path: str, value: Any) -> str:  # noqa: ANN401
    """A value on an axis; a momentum with Keras's."""
    if path != MOMENTUM:
        return _spelled(path, value)
    return "1/t" if value is None else f"{value:g}|{keras(value)}"


def _chart(frame: "pd.DataFrame", axes: tuple[str, ...], what: str) -> Spec:
    """A cell a pair of values, the better the brighter; the best with a frame."""
    names, log = list(dict.fromkeys(frame["panel"])), what == "test loss"
    facet = {"field": "panel", "sort": names, "columns": 2} if len(names) > 1 else None
    known = frame["value"].dropna()
    low, high = float(known.min()), float(known.max())
    high = max(min(high, low * 1e3), low * 1.0001) if log else high
    middle = math.sqrt(low * high) if log else (low + high) / 2
    scale = {"type": "log" if log else "linear", "domain": [low, high], "scheme": "viridis",
             "reverse": log, "clamp": True}  # fmt: skip
    legend = {"title": what, "orient": "top", "gradientLength": 200, "format": ",.3~r",
              "tickCount": 3}  # fmt: skip
    need = frame["text"].map(len).max() * 7.2 * frame["x"].nunique()
    width = "child_width" if facet else "width"  # as Vega-Lite calls a panel's
    fits = {"expr": f"{width} >= {need:.0f} ? 1 : 0"}  # a page's chart may be narrow
    bright = f"datum.value {'<' if log else '>'} {middle}"
    cells = {
        "x": _axis(axes[0], list(dict.fromkeys(frame["x"])), "x"),
        "y": _axis(axes[1], list(dict.fromkeys(frame["y"]))[::-1], "y"),
        "tooltip": tooltips({"arm:N": "arm", "estimate:N": what, "n": "seeds"}),
    }
    words = {**cells, "text": category("text")}
    fill = {"condition": {"test": bright, "value": DARK_INK}, "value": BRIGHT}
    there, none, best = "isValid(datum.value)", "!isValid(datum.value)", "datum.best"
    layers = [
        layer("rect", {**cells, "color": quantity("value", {"scale": scale, "legend": legend})},
              there),
        layer("rect", cells, none, fill="transparent", stroke=GRID, strokeDash=[3, 3]),
        layer("text", words, none, fill=SOFT),
        layer("rect", cells, best, filled=False, stroke=INK, strokeWidth=5),
        layer("rect", cells, best, filled=False, stroke=DARK_INK, strokeWidth=3),
        layer("text", {**words, "fill": fill}, there, opacity=fits),
    ]  # fmt: skip
    return panels(layers, frame, (270 if facet else WIDTH, 34 * frame["y"].nunique()), facet)


def _axis(path: str, labels: Sequence[str], channel: str) -> Spec:
    """An axis of labels; of momenta with Keras's below or beside."""
    below = channel == "x"
    convention = " (below it Keras's)" if below else " · Keras's"
    return category(channel, {
        "sort": list(labels),
        "title": title_of(path) + (convention if path == MOMENTUM else ""),
        "scale": {"paddingInner": 0.04, "paddingOuter": 0},
        "axis": {
            "labelExpr": "split(datum.label, '|')" if below else "replace(datum.label, '|', ' · ')",
            "labelAngle": 0, "labelOverlap": len(labels) > 8, "ticks": False, "domain": False,  # noqa: PLR2004
            "grid": False,
        },
    })  # fmt: skip
