"""Predictions over the test points as data and as a chart, a curve an arm and epoch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normexp.report.figure import Control
from normexp.report.pictured import MOST_EPOCHS, Pictured
from normexp.report.series import HEIGHT, WIDTH
from normexp.report.style import (
    ARM,
    INK,
    MOST_ARMS,
    SOFT,
    Palette,
    hidden,
    switchable,
    token,
    zoom,
)
from normexp.report.typical import spread
from normexp.store.stored import Row

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from normexp.engine.pictures import Picture
    from normexp.report.figure import Chart

MOST_POINTS = 200
MOST_NUMBERS = 45_000
"""Predictions in one figure, a megabyte of page."""

FOREVER = 1e9
BEYOND = 0.35
"""How far the axis goes beyond the test points if curves do, in parts of their range."""

CELL_WIDTH, CELL_HEIGHT = 320, 200

Json = dict[str, Any]


@dataclass(frozen=True)
class Course:
    """The drawn curves.

    Attributes:
        rows: of the chart: test points and curves, each a row with lists of x and y.
        cells: the charts, in order.
        epochs: that are drawn.
        errors: root mean square of prediction − y after the last epoch, by arm, of all points.
        spreads: standard deviation of these predictions over that of y, by arm.
        plain: arms without a norm.
        domain: of y.
        thinned: what was left out, as a sentence.
    """

    rows: list[Json]
    cells: list[str]
    epochs: list[int]
    errors: dict[str, float]
    spreads: dict[str, float]
    plain: list[str]
    domain: tuple[float, float]
    thinned: str


def courses(drawn: Pictured, rows: Mapping[str, Row], cells: Mapping[str, str]) -> Course:
    """The curves of some runs.

    Args:
        drawn: their pictures, each with a curve.
        rows: of the arms that these are of.
        cells: by arm, which chart it is in.
    """
    parts = {arm: _sorted(drawn.pictures[arm]) for arm in rows}
    last = {arm: part[part["epoch"] == part["epoch"].max()] for arm, part in parts.items()}
    points = max(len(part) for part in last.values())
    kept = min(points, most_points(len(rows)))
    epochs = sorted({int(epoch) for part in parts.values() for epoch in part["epoch"].unique()})
    firsts = {cells[arm]: arm for arm in reversed(list(rows))}
    made = [
        *(
            {"kind": "test", "cell": cell, **each}
            for cell, arm in firsts.items()
            for each in _lists(parts[arm], "y", epochs, kept)
        ),
        *(
            {"kind": "curve", "cell": cells[arm], ARM: arm, **each}
            for arm, part in parts.items()
            for each in _lists(part, "prediction", epochs, kept)
        ),
    ]
    domain, cut = _domain(made)
    return Course(
        rows=made,
        cells=list(dict.fromkeys(cells.values())),
        epochs=epochs,
        errors={arm: _rms(part["prediction"] - part["y"]) for arm, part in last.items()},
        spreads={arm: _spread(part) for arm, part in last.items()},
        plain=[arm for arm, row in rows.items() if row["norm.kind"] == "none"],
        domain=domain,
        thinned=_thinned((kept, points), (len(epochs), drawn.epochs), cut=cut),
    )


def most_points(arms: int) -> int:
    """Test points that are drawn of each arm, where there are so many."""
    return MOST_POINTS if arms <= MOST_ARMS else MOST_POINTS // 2


def most_epochs(arms: int) -> int:
    """Evaluation points that are drawn of each arm, where there are so many."""
    return max(2, min(MOST_EPOCHS, MOST_NUMBERS // (most_points(arms) * max(1, arms))))


def _sorted(pictures: "Mapping[int, Picture]") -> "pd.DataFrame":
    """Columns epoch, x, y, prediction, by x."""
    import pandas as pd

    parts = [
        pd.DataFrame({"epoch": epoch, **{n: v.numpy() for n, v in each.curve._asdict().items()}})
        for epoch, each in pictures.items()
        if each.curve is not None
    ]
    return pd.concat(parts, ignore_index=True).sort_values("x", kind="stable")


def chart(
    found: Course, momenta: Mapping[str, str], palette: Palette, controls: Sequence[Control]
) -> "Chart":
    """Test points as dots, the chosen momentum's curves strong, the other ones' faint.

    Args:
        found: what is drawn.
        momenta: by arm; empty for those that are always strong.
        palette: of the arms.
        controls: `momentum` and `epoch`, or fewer, whose starts the chart shows.
    """
    import altair as alt

    alone = len(found.cells) == 1
    size = (WIDTH, HEIGHT) if alone else (CELL_WIDTH, CELL_HEIGHT)
    rows = [{**row, "momentum": momenta.get(row.get(ARM, ""), "")} for row in found.rows]
    layers = alt.layer(
        *_layers(found, palette, {each.parameter for each in controls}),
        data=alt.InlineData(values=rows),
        width=size[0],
        height=size[1],
    )
    title = alt.Title(_title(controls)) if controls else alt.Undefined
    started = [alt.param(name=control.parameter, value=control.value) for control in controls]
    chosen: list[alt.FilterTransform | alt.FlattenTransform] = [alt.FlattenTransform(["x", "y"])]
    if any(control.parameter == "epoch" for control in controls):
        chosen.insert(0, alt.FilterTransform("datum.from <= epoch && epoch < datum.until"))
    if alone:
        layers.transform = chosen
        return layers.properties(title=title).add_params(hidden(), *started)
    header = alt.Header(title=None, labelColor=INK, labelLimit=CELL_WIDTH)
    faceted = layers.facet(
        facet=alt.Facet("cell:N", sort=found.cells, header=header), columns=2, title=title
    )
    faceted.transform = chosen  # inside the facets, Vega-Lite 6.4 loses their data
    return faceted.add_params(hidden(), *started)


def _title(controls: Sequence[Control]) -> "alt.ExprRef":
    """What the sliders are at, which pictures need to say."""
    import altair as alt

    return alt.ExprRef(" + ', ' + ".join(f"'{c.parameter} ' + {c.parameter}" for c in controls))


def _layers(found: Course, palette: Palette, sliders: set[str]) -> "list[alt.Chart]":
    import altair as alt

    x = alt.X("x:Q", title="x", scale=alt.Scale(nice=False, padding=6),
              axis=alt.Axis(grid=False))  # fmt: skip
    y = alt.Y("y:Q", title="y", scale=alt.Scale(domain=list(found.domain), nice=False))
    strong = "datum.momentum === '' || datum.momentum === momentum"
    strong = strong if "momentum" in sliders else "true"

    def part(kind: str, condition: str) -> "alt.Chart":
        chosen = alt.Chart().transform_filter(f"datum.kind === '{kind}' && ({condition})")
        return switchable(chosen) if kind == "curve" else chosen

    legend = alt.Legend(
        title=None,
        orient="top",
        columns=palette.columns,
        symbolType="stroke",
        symbolOpacity=1,
        symbolSize=500,
        values=list(palette.arms),
    )
    color = color_of_arms(found.errors, palette, legend, found.plain)
    dots = part("test", "true").mark_circle(size=11, color=SOFT, opacity=0.45, clip=True)
    faint = part("curve", f"!({strong})").mark_line(strokeWidth=1.2, opacity=0.4, clip=True)
    line = part("curve", strong).mark_line(strokeWidth=2.5, clip=True)
    place = part("curve", strong).mark_circle(size=90, opacity=0, clip=True)
    tips = [
        alt.Tooltip(f"{ARM}:N", title="arm"),
        alt.Tooltip("epoch:Q"),
        alt.Tooltip("x:Q", format=".4g"),
        alt.Tooltip("y:Q", title="prediction", format=".4g"),
    ]
    detail = alt.Detail(f"{ARM}:N")
    return [
        dots.encode(x, y),
        *([faint.encode(x, y, color, detail)] if "momentum" in sliders else []),
        line.encode(x, y, color, palette.dash(), detail),
        place.encode(x, y, color, tooltip=tips).add_params(zoom()),
    ]


def color_of_arms(
    arms: Iterable[str],
    palette: Palette,
    legend: "alt.Legend | None" = None,
    grey: Sequence[str] = (),
) -> "alt.Color":
    """Arms by colour; those that the palette has none for in that of text, or in grey."""
    import altair as alt

    more = [arm for arm in arms if arm not in palette.arms]
    colors = [token("arm0") if arm in grey else INK for arm in more]
    scale = alt.Scale(
        domain=[*palette.arms, *more], range=[*map(palette.color_of, palette.arms), *colors]
    )
    return alt.Color(f"{ARM}:N", scale=scale, legend=legend)


def _lists(part: "pd.DataFrame", column: str, epochs: Sequence[int], kept: int) -> list[Json]:
    """A row an epoch, with lists of x and a column; valid from one slider value until the next."""
    own = sorted({int(epoch) for epoch in part["epoch"].unique()})
    last = {max(e for e in own if e <= epoch): epoch for epoch in reversed(epochs)}
    starts = sorted(last.items())
    ends = [start for _, start in starts[1:]] + [FOREVER]
    found = []
    for (epoch, start), until in zip(starts, ends, strict=True):
        each = part[part["epoch"] == epoch]
        places = spread(range(len(each)), kept)
        found.append({"epoch": epoch, "from": start, "until": until,
                      "x": plain(each["x"].to_numpy()[places]),
                      "y": plain(each[column].to_numpy()[places])})  # fmt: skip
    return found


def plain(values: Any) -> list[float | None]:  # noqa: ANN401  an array of any kind
    """Figures to five digits, None where there is no number."""
    return [float(f"{value:.5g}") if math.isfinite(value) else None for value in values]


def _domain(rows: Sequence[Json]) -> tuple[tuple[float, float], bool]:
    """From the lowest to the highest of points and curves, but curves may not go far beyond."""
    points = [y for row in rows if row["kind"] == "test" for y in row["y"] if y is not None]
    curves = [y for row in rows if row["kind"] == "curve" for y in row["y"] if y is not None]
    low, high = min(points, default=0.0), max(points, default=1.0)
    room = BEYOND * ((high - low) or 1.0)
    bottom, top = min([low, *curves]), max([high, *curves])
    cut = bottom < low - room or top > high + room
    margin = 0.03 * ((high - low) or 1.0)
    return (max(bottom, low - room) - margin, min(top, high + room) + margin), cut


def _rms(values: "pd.Series[float]") -> float:
    return float(np.sqrt(np.mean(np.square(values.to_numpy(dtype=float)))))


def _spread(part: "pd.DataFrame") -> float:
    whole = float(part["y"].astype(float).std(ddof=0))
    return float(part["prediction"].astype(float).std(ddof=0)) / whole if whole else math.nan


def _thinned(points: tuple[int, int], epochs: tuple[int, int], *, cut: bool) -> str:
    """What is not drawn, with its number."""
    parts = []
    if points[0] < points[1]:
        parts.append(f"{points[0]} of {points[1]} test points are drawn, evenly.")
    if epochs[0] < epochs[1]:
        parts.append(f"{epochs[0]} of {epochs[1]} evaluation points are drawn, evenly.")
    if cut:
        parts.append("Curves are cut off where they go far beyond the test points.")
    return " ".join(parts)
