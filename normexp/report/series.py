"""Means over seeds along an axis, with intervals, and the lines that show them."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from normexp.insight.arms import half_width
from normexp.report.style import ARM, Palette, hidden, switchable, zoom

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from normexp.report.figure import Chart

WIDTH, HEIGHT = 680, 320
"""Of a chart by itself, in pixels."""

MOST_BANDS, FEWEST_SEEDS = 6, 3

ROOM = 2.0
"""How far bands may widen an axis: this factor on a logarithmic one, span/this on a linear one."""


def by_step(frame: "pd.DataFrame", value: str, by: Sequence[str]) -> "pd.DataFrame":
    """Mean over seeds and its 95 % interval (Student's t; NaN of one seed).

    Returns:
        the columns `by`, and mean, low, high, n; groups without a finite value left out.
    """
    import numpy as np

    finite = frame[np.isfinite(frame[value].astype(float))]
    grouped = finite.groupby(list(by), observed=True, sort=False)[value]
    found = grouped.agg(["mean", "std", "count"]).reset_index()
    n = found["count"]
    half = half_width(found["std"], n)
    return found.assign(low=found["mean"] - half, high=found["mean"] + half, n=n).drop(
        columns=["std", "count"]
    )


def lines(  # noqa: PLR0913  the parts of a chart
    points: "pd.DataFrame",
    palette: Palette,
    *,
    x: str,
    title: str,
    log: bool,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> "Chart":
    """A line an arm with its band.

    Args:
        points: `arm`, x, mean, low, high, n.
        palette: of the arms.
        x: the column along the axis.
        title: of the other axis.
        log: whether that is logarithmic.
        within: what values there can be, such as 0 to 1 of a share.
    """
    import altair as alt

    means = points.assign(low=points["mean"], high=points["mean"])
    low, high = _domain(points if has_bands(points) else means, log=log)
    low, high = max(low, within[0]), min(high, within[1])
    shown = points.assign(bottom=points["low"].clip(low, high), top=points["high"].clip(low, high))
    base = switchable(alt.Chart(_plain(shown), width=WIDTH, height=HEIGHT))
    kind: dict[str, Any] = {
        "type": "log" if log else "linear",
        "nice": False,
        "domain": [low, high],
    }
    at = _along(points[x], x)
    value = alt.Y(
        "mean:Q", title=title, scale=alt.Scale(**kind), axis=alt.Axis(**_round(low, high, log=log))
    )
    band = base.mark_area(opacity=0.09, clip=True).encode(
        at,
        alt.Y("bottom:Q", title=title, scale=alt.Scale(**kind)),
        alt.Y2("top:Q"),
        palette.color(),
    )
    line = base.mark_line(clip=True).encode(at, value, palette.color(), palette.dash())
    point = base.mark_point(clip=True, opacity=1).encode(
        at, value, palette.color(), palette.shape(), tooltip=_tips(x, title)
    )
    bands = [band] if has_bands(points) else []
    return alt.layer(*bands, line, point.add_params(zoom())).add_params(hidden())


def _along(values: "pd.Series[float]", x: str) -> "alt.X":
    """The axis of epochs or steps."""
    import altair as alt

    return alt.X(
        f"{x}:Q",
        title=x.replace("_", " "),
        axis=alt.Axis(grid=False, format=",d", tickMinStep=1, **_whole(values)),
        scale=alt.Scale(nice=False, padding=8),
    )


def _tips(x: str, title: str) -> "list[alt.Tooltip]":
    """What a point says under the mouse."""
    import altair as alt

    return [
        alt.Tooltip(f"{ARM}:N", title="arm"),
        alt.Tooltip(f"{x}:Q"),
        alt.Tooltip("mean:Q", title=title, format=".4g"),
        alt.Tooltip("low:Q", title="95 % from", format=".4g"),
        alt.Tooltip("high:Q", title="to", format=".4g"),
        alt.Tooltip("n:Q", title="seeds"),
    ]


def has_bands(points: "pd.DataFrame") -> bool:
    """Whether intervals are drawn: of many arms, or of two seeds, they cover all there is."""
    return points[ARM].nunique() <= MOST_BANDS and points["n"].median() >= FEWEST_SEEDS


def _whole(values: "pd.Series[float]") -> dict[str, Any]:
    """Every whole number where there are few: a short axis would have halves, rounded."""
    top = int(values.max())
    return {"values": list(range(top + 1))} if top <= 20 else {}  # noqa: PLR2004


def _round(low: float, high: float, *, log: bool) -> dict[str, Any]:
    """Ticks of a logarithmic axis: 1, 2, 5 of every decade, fewer or more as it spans."""
    if not log:
        return {"tickCount": 6}
    decades = math.log10(high / low)
    digits = (1, 1.5, 2, 3, 4, 5, 7) if decades < 1 else (1, 2, 5) if decades < 4 else (1,)  # noqa: PLR2004
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [float(f"{digit}e{exponent}") for exponent in exponents for digit in digits]
    return {"values": [value for value in every if low <= value <= high], "format": ",~r"}


def _domain(points: "pd.DataFrame", *, log: bool) -> tuple[float, float]:
    """The axis: all means, and as much of the bands as does not dwarf the means."""
    means = points["mean"]
    if log:
        means = means[means > 0]
        bottom = max(means.min() / ROOM, min(means.min(), _least(points["low"])) / 1.05)
        return float(bottom), 1.05 * min(
            means.max() * ROOM, max(means.max(), points["high"].fillna(0).max())
        )
    span = means.max() - means.min() or abs(means.max()) or 1.0
    low, high = points["low"].fillna(means).min(), points["high"].fillna(means).max()
    bottom, top = max(low, means.min() - span / ROOM), min(high, means.max() + span / ROOM)
    return float(bottom - 0.03 * span), float(top + 0.03 * span)


def _least(values: "pd.Series[float]") -> float:
    """The least positive one; 0 where there is one that is not: nothing bounds it on this axis."""
    known = values.dropna()
    return 0.0 if (known <= 0).any() else float(known.min()) if len(known) else math.inf


def _plain(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Categories as texts and figures to six digits, which is what a chart shows."""
    import pandas as pd

    columns = {str(name): column for name, column in frame.items()}
    return frame.assign(
        **{
            name: column.astype(str)
            for name, column in columns.items()
            if isinstance(column.dtype, pd.CategoricalDtype)
        },
        **{
            name: column.map(lambda value: float(f"{value:.6g}"))
            for name, column in columns.items()
            if pd.api.types.is_float_dtype(column)
        },
    )
