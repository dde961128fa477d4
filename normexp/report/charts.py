"""The parts that charts are made of: axes, layers of marks, and panels of one set of rows.

Charts are Vega-Lite's own, as dictionaries. A row's `what` says which layers it is for, since all
panels of a faceted chart share one set of rows; `mean`, `low`, `high` and `n` are over seeds.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from normexp.console.words import ticks
from normexp.insight.arms import half_width
from normexp.report.figure import Spec
from normexp.report.style import ARM, PAPER, Palette

if TYPE_CHECKING:
    import pandas as pd

WIDTH, HEIGHT = 680, 320
"""Of a chart by itself, in pixels."""

FAR = 2.0
"""Intervals widen an axis by at most this factor, or span/this on a linear axis."""

TINY = 1e-300
"""Zero and less on a logarithmic axis."""

SHOWN = f"indexof(hidden, datum.{ARM}) < 0"
"""A filter: without the arms that the reader has switched off."""

HIDDEN: Spec = {"name": "hidden", "value": []}

ZOOMED = "zoomed"
"""The name of the layer that zooms by shift and wheel and moves by dragging with a mouse."""

ZOOM: Spec = {
    "name": "zoom",
    "views": [ZOOMED],
    "bind": "scales",
    "select": {
        "type": "interval",
        "encodings": ["x", "y"],
        "clear": "dblclick",
        "zoom": "wheel![event.shiftKey]",  # without shift a wheel scrolls the page
        "translate": "[pointerdown[event.pointerType !== 'touch'], window:pointerup] > "
        "window:pointermove!",
    },
}


def means(frame: "pd.DataFrame", value: str, by: Sequence[str]) -> "pd.DataFrame":
    """Mean, low, high and n over seeds of a column, by others; 95 % intervals by Student's t.

    Groups without a finite value are left out; of one value there is no interval. That of an
    accuracy ends at 0 and 1.
    """
    import numpy as np

    finite = frame[np.isfinite(frame[value].astype(float))]
    found = finite.groupby(list(by), observed=True, sort=False)[value].agg(["mean", "std", "count"])
    half = half_width(found["std"], found["count"])
    found = found.assign(low=found["mean"] - half, high=found["mean"] + half)
    if "accuracy" in value:
        found = found.assign(low=found["low"].clip(lower=0.0), high=found["high"].clip(upper=1.0))
    return found.rename(columns={"count": "n"}).drop(columns="std").reset_index()


def value_axis(
    title: str,
    frame: "pd.DataFrame",
    *,
    log: bool,
    room: float = 0.04,
) -> Spec:
    """Title, scale and ticks of an axis that shows all means, and intervals as far as sensible.

    Args:
        title: of the axis; an accuracy's shows all of the intervals and ends at 0 and 1.
        frame: mean, and perhaps low and high, and `reference`, another mean.
        log: whether it is logarithmic; a mean that is not above zero is not shown then.
        room: share of the axis kept free at either end.
    """
    import numpy as np

    def scaled(*columns: str) -> Any:  # noqa: ANN401  an array
        there = [name for name in columns if name in frame]
        values = frame[there].to_numpy(dtype=float).ravel()
        return np.log(np.maximum(values, TINY)) if log else values

    middle = scaled("mean", "reference")
    middle = middle[np.isfinite(middle) & (not log or middle > math.log(TINY))]
    bottom, top = middle.min(), middle.max()
    far = math.log(FAR) if log else ((top - bottom) or 1.0) / FAR
    far = math.inf if "accuracy" in title else far
    lowest, highest = np.nanmin([bottom, *scaled("low")]), np.nanmax([top, *scaled("high")])
    bottom, top = max(lowest, bottom - far), min(highest, top + far)
    margin = room * ((top - bottom) or 1.0)
    low, high = (math.exp(end) if log else float(end) for end in (bottom - margin, top + margin))
    if "accuracy" in title:
        low, high = max(low, 0.0), min(high, 1.0)
    round_ones = ticks(low, high) if log else []
    axis: Spec = {"values": round_ones} if len(round_ones) > 2 else {"tickCount": 5}  # noqa: PLR2004
    kind: Spec = {"type": "log"} if log else {"zero": False}
    return {
        "title": title,
        "scale": {"nice": False, "domain": [low, high], **kind},
        "axis": {"format": ",~r", **axis},
    }


def on_axis(frame: "pd.DataFrame", axis: Spec) -> "pd.DataFrame":
    """The frame with values below a logarithmic axis, such as zero, at its lower end."""
    if axis["scale"].get("type") != "log":
        return frame
    names = [name for name in ("mean", "low", "reference") if name in frame]
    floor = axis["scale"]["domain"][0]
    return frame.assign(**{name: frame[name].clip(lower=floor) for name in names})


def quantity(field: str, options: Mapping[str, Any] = {}) -> Spec:
    """The encoding of a column of numbers."""
    return {"field": field, "type": "quantitative", **options}


def category(field: str, options: Mapping[str, Any] = {}) -> Spec:
    """The encoding of a column of names."""
    return {"field": field, "type": "nominal", **options}


def layer(mark: str, encoding: Spec, *filters: str, name: str = "", **look: Any) -> Spec:  # noqa: ANN401
    """Marks of one kind, of the rows that all filters let through.

    `clip` is for those that may leave the axes; where a page can zoom, all are clipped.
    """
    return {
        **({"name": name} if name else {}),
        "mark": {"type": mark, **look},
        "transform": [{"filter": each} for each in filters],
        "encoding": encoding,
    }


def labels(encoding: Spec, *filters: str, **look: Any) -> list[Spec]:  # noqa: ANN401
    """The column `label` as text over a rim of paper, so that no line crosses it."""
    encoding = {**encoding, "text": category("label")}
    rim = {**look, "stroke": PAPER, "strokeWidth": 4, "fill": PAPER}
    return [layer("text", encoding, *filters, **each) for each in (rim, look)]


def tooltips(tips: Mapping[str, str]) -> list[Spec]:
    """Columns by their titles; names end in `:N`, the others are numbers."""
    return [
        category(name[:-2], {"title": title})
        if name.endswith(":N")
        else quantity(name, {"title": title, "format": ".4~g"})
        for name, title in tips.items()
    ]


def curves(  # noqa: PLR0913  the parts of a chart
    palette: Palette,
    arms: Sequence[str],
    *,
    x: Spec,
    y: Spec,
    tips: Mapping[str, str],
    bands: bool = False,
    size: int = 50,
) -> list[Spec]:
    """Layers of the rows that are a `point`: an arm a line with marks, and perhaps a band."""
    at, filters = {"x": quantity("x", x)}, ("datum.what === 'point'", SHOWN)
    value = {**at, "y": quantity("mean", y)}
    color = palette.encode(arms, "color")
    ends = {**at, "y": quantity("low", y), "y2": {"field": "high"}, **color}
    marks = {**value, **color, **palette.encode(arms, "shape"), "tooltip": tooltips(tips)}
    band = layer(
        "area", ends, *filters, "isValid(datum.high)", opacity=1, fillOpacity=0.09, clip=True
    )
    return [
        *([band] if bands else []),
        layer("line", {**value, **color, **palette.encode(arms, "strokeDash")}, *filters),
        layer("point", marks, *filters, name=ZOOMED, opacity=1, size=size),
    ]  # fmt: skip


def panels(
    layers: Sequence[Spec],
    frame: "pd.DataFrame",
    size: tuple[int, int],
    facet: Spec | None = None,
    *,
    axes: str = "shared",
) -> Spec:
    """Layers as one chart of these rows, or as a panel a value of a field.

    `facet` has the field, its values in order, and how many panels are side by side; `axes` says
    whether layers and panels share their x axis. Panels do not where a place is empty, under which
    an axis would stand.
    """
    whole: Spec = {"layer": list(layers), "width": size[0], "height": size[1], **_axes(axes)}
    if facet is not None:
        lines = "split(replace(datum.label, ': ', ':, '), ', ')"
        header = {"labelExpr": lines, "labelPadding": 4, "labelLimit": size[0]}
        of = category(facet["field"], {"title": None, "sort": facet["sort"], "header": header})
        is_full = len(facet["sort"]) % facet["columns"] == 0
        outer = _axes(axes if is_full else "independent")
        whole = {"facet": of, "columns": facet["columns"], "spec": whole, **outer}
    zoom = [ZOOM] if any(each.get("name") == ZOOMED for each in layers) else []
    return {**with_rows(plain(frame)), **whole, "params": [*zoom, HIDDEN]}


def _axes(x: str) -> Spec:
    return {"resolve": {"axis": {"x": x}}}


def with_rows(rows: Sequence[Mapping[str, Any]]) -> Spec:
    """The rows that a chart is drawn from."""
    return {"datasets": {"rows": rows}, "data": {"name": "rows"}}


def plain(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as JSON has them: numbers to six digits, nothing where there is none."""
    return [
        {str(name): each for name, value in row.items() if (each := _plain(value)) is not None}
        for row in frame.to_dict("records")
    ]


def _plain(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
