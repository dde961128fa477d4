"""Means over seeds along an axis, with intervals, and the lines that show them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from normexp.report.style import ARM, Palette, hidden, switchable, zoom

if TYPE_CHECKING:
    import pandas as pd

    from normexp.report.figure import Chart

WIDTH, HEIGHT = 680, 320
"""Of a chart by itself, in pixels."""


def by_step(frame: "pd.DataFrame", value: str, by: Sequence[str]) -> "pd.DataFrame":
    """Mean over seeds and its 95 % interval (Student's t; NaN of one seed).

    Returns:
        the columns `by`, and mean, low, high, n; groups without a finite value left out.
    """
    import numpy as np
    from scipy.special import stdtrit

    finite = frame[np.isfinite(frame[value].astype(float))]
    grouped = finite.groupby(list(by), observed=True, sort=False)[value]
    found = grouped.agg(["mean", "std", "count"]).reset_index()
    n = found["count"]
    half = stdtrit(np.maximum(n - 1, 1), 0.975) * found["std"] / np.sqrt(n)
    return found.assign(low=found["mean"] - half, high=found["mean"] + half, n=n).drop(
        columns=["std", "count"]
    )


def lines(points: "pd.DataFrame", palette: Palette, *, x: str, title: str, log: bool) -> "Chart":
    """A line an arm with its band.

    Args:
        points: `arm`, x, mean, low, high, n.
        palette: of the arms.
        x: the column along the axis.
        title: of the other axis.
        log: whether that is logarithmic.
    """
    import altair as alt

    floor = float(points["mean"][points["mean"] > 0].min()) if (points["mean"] > 0).any() else 1.0
    shown = points.assign(
        bottom=points["low"].clip(lower=floor / 3) if log else points["low"], top=points["high"]
    )
    base = switchable(alt.Chart(_plain(shown), width=WIDTH, height=HEIGHT))
    kind: dict[str, Any] = {"type": "log", "nice": False} if log else {"zero": False}
    at = alt.X(
        f"{x}:Q",
        title=x.replace("_", " "),
        axis=alt.Axis(grid=False, format=",d", tickMinStep=1),
        scale=alt.Scale(nice=False, padding=8),
    )
    value = alt.Y("mean:Q", title=title, scale=alt.Scale(**kind))
    tips = [
        alt.Tooltip(f"{ARM}:N", title="arm"),
        alt.Tooltip(f"{x}:Q"),
        alt.Tooltip("mean:Q", title=title, format=".4g"),
        alt.Tooltip("low:Q", title="95 % from", format=".4g"),
        alt.Tooltip("high:Q", title="to", format=".4g"),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    band = base.mark_area(opacity=0.12, clip=True).encode(
        at,
        alt.Y("bottom:Q", title=title, scale=alt.Scale(**kind)),
        alt.Y2("top:Q"),
        palette.color(),
    )
    line = base.mark_line(clip=True).encode(at, value, palette.color(), palette.dash())
    point = base.mark_point(clip=True, opacity=1).encode(
        at, value, palette.color(), palette.shape(), tooltip=tips
    )
    return alt.layer(band, line, point.add_params(zoom())).add_params(hidden())


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
