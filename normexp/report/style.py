"""One look for all charts: colours that follow light and dark, and the marks of arms."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from normexp.console.words import NOTHING

if TYPE_CHECKING:
    import altair as alt

ARM = "arm"
"""The column that colours mean."""

LIGHT = {
    "ink": "#1b1f24", "soft": "#5d6773", "grid": "#dfe3e8", "paper": "#ffffff",
    "arm0": "#6b7480", "arm1": "#0072b2", "arm2": "#d55e00", "arm3": "#009e73",
    "arm4": "#b8568f", "arm5": "#b07c00", "arm6": "#1f8fc4", "arm7": "#7a3ff2",
    "arm8": "#8f1d3f",
}  # fmt: skip
"""Okabe and Ito's colours, which colour-blind people tell apart (2008), made dark enough for white
paper; arm0 is for what has no norm, arm8 where all of eight have one."""

DARK = {
    "ink": "#e8ebef", "soft": "#9aa5b1", "grid": "#353c45", "paper": "#14181d",
    "arm0": "#a3adb8", "arm1": "#4aa8e8", "arm2": "#f2823a", "arm3": "#2fc99a",
    "arm4": "#e08bb9", "arm5": "#e6b93d", "arm6": "#8bd3f7", "arm7": "#b79bff",
    "arm8": "#ffb3b8",
}  # fmt: skip

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right",
          "triangle-left")  # fmt: skip
DASHES = ((1, 0), (1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (10, 4), (4, 2), (1, 3))

TIGHT = "\u00a0"
"""A space that no line ends at."""

PERCENT = f"{TIGHT}%"

MOST_ARMS = len(SHAPES)
"""Arms that are drawn one by one: more cannot be told apart."""

LEGEND_WIDTH = 680


def token(name: str) -> str:
    """A colour that the page sets, by light and dark; pictures have it light."""
    return f"var(--{name})"


INK, SOFT, GRID, PAPER = (token(name) for name in ("ink", "soft", "grid", "paper"))


@dataclass(frozen=True)
class Palette:
    """Looks by arm: colour, shape and dashes together, so that none must be told by colour alone.

    Attributes:
        arms: at most `MOST_ARMS`, in the order of legends.
        plain: those without a norm, in grey.
    """

    arms: tuple[str, ...]
    plain: frozenset[str] = frozenset()

    @cached_property
    def looks(self) -> dict[str, dict[str, Any]]:
        """Colour, shape and dashes of each arm."""
        colored = [arm for arm in self.arms if arm not in self.plain]
        numbers = {arm: 1 + colored.index(arm) if arm in colored else 0 for arm in self.arms}
        return {
            arm: {"color": token(f"arm{n}"), "shape": SHAPES[n % MOST_ARMS],
                  "dash": DASHES[n % MOST_ARMS]}
            for arm, n in numbers.items()
        }  # fmt: skip

    def encode(self, what: str, arms: Sequence[str], legend: str = "") -> Any:  # noqa: ANN401
        """The encoding of arms by `color`, `shape` or `dash`.

        Args:
            what: one of these.
            arms: that are drawn; those that the palette has not are in ink, without a legend.
            legend: marks of a picture's, `points` or `lines`; the page has its own for all figures.
        """
        import altair as alt

        other = {"color": INK, "shape": SHAPES[0], "dash": DASHES[0]}
        ordered = [*(arm for arm in self.arms if arm in arms),
                   *(arm for arm in arms if arm not in self.arms)]  # fmt: skip
        scale = alt.Scale(
            domain=ordered, range=[self.looks.get(arm, other)[what] for arm in ordered]
        )
        kind = {"color": alt.Color, "shape": alt.Shape, "dash": alt.StrokeDash}[what]
        known = [arm for arm in ordered if arm in self.arms]
        if not legend or not known:
            return kind(f"{ARM}:N", scale=scale, legend=None)
        columns = max(1, min(4, LEGEND_WIDTH // (7 * max(map(len, known)) + 30)))
        looks: dict[str, dict[str, Any]] = {
            "points": {"symbolSize": 70, "symbolStrokeWidth": 0},
            "lines": {"symbolSize": 500, "symbolType": "stroke"},
        }
        return kind(
            f"{ARM}:N",
            scale=scale,
            legend=alt.Legend(
                title=None,
                orient="top",
                columns=columns,
                values=known,
                symbolOpacity=1,
                **looks[legend],
            ),
        )


def percent(share: float | None) -> str:
    """`12 %`; a share that is not all or nothing is not rounded to it."""
    if share is None or math.isnan(share):
        return NOTHING
    if 0 < share < 0.01:  # noqa: PLR2004
        return f"under 1{PERCENT}"
    if 0.99 < share < 1:  # noqa: PLR2004
        return f"over 99{PERCENT}"
    return f"{100 * share:.0f}{PERCENT}"


def tight(text: str) -> str:
    """A text whose numbers stay with their units."""
    return re.sub(r"(?<=\d) (?=[%σ±])|(?<=±) (?=\d)", TIGHT, text)


def switchable(chart: "alt.Chart") -> "alt.Chart":
    """A chart without the rows of the arms that are switched off.

    The chart that holds it needs `hidden()` among its parameters, once.
    """
    return chart.transform_filter(f"indexof(hidden, datum.{ARM}) < 0")


def hidden() -> "alt.Parameter":
    """The parameter of switched-off arms."""
    import altair as alt

    return alt.param(name="hidden", value=[])


def zoom() -> "alt.Parameter":
    """Zoom by shift and wheel, move by dragging with a mouse; a double click ends it.

    Without shift a wheel scrolls the page, a finger always does.
    """
    import altair as alt

    mouse = "event.pointerType !== 'touch'"
    return alt.selection_interval(
        name="zoom",
        bind="scales",
        encodings=["x", "y"],
        zoom="wheel![event.shiftKey]",
        translate=f"[pointerdown[{mouse}], window:pointerup] > window:pointermove!",
        clear="dblclick",
    )


SMALL: dict[str, Any] = {"labelFontSize": 12, "titleFontSize": 12}

CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": SOFT, "titleColor": SOFT, "tickColor": GRID, "domainColor": GRID,
        "gridColor": GRID, **SMALL, "titleFontWeight": "normal",
        "titlePadding": 8, "labelOverlap": True,
    },
    "header": {"labelColor": INK, "titleColor": SOFT, **SMALL},
    "legend": {"labelColor": INK, "titleColor": SOFT, **SMALL, "titleFontWeight": "normal",
               "labelLimit": LEGEND_WIDTH, "symbolStrokeWidth": 2},
    "title": {"color": INK, "fontSize": 13, "fontWeight": "normal", "anchor": "start"},
    "line": {"strokeWidth": 2},
    "point": {"size": 50, "filled": True},
    "text": {"fill": INK, "fontSize": 12},
    "rule": {"color": SOFT},
}  # fmt: skip


def specification(chart: Mapping[str, Any], *, page: bool) -> dict[str, Any]:
    """A chart in this look.

    Args:
        chart: of a figure, as Vega-Lite.
        page: for the page, as wide as there is room and with the page's own legend; else for
            pictures, in the colours of light paper.
    """
    spec: dict[str, Any] = deepcopy({**chart, "config": CONFIG})
    if page:
        for node in _nodes(spec):
            if node.get("field") == ARM and "legend" in node:
                node["legend"] = None
        if "width" in spec and ("mark" in spec or "layer" in spec):
            spec["width"] = "container"
            spec["autosize"] = {"type": "fit-x", "contains": "padding"}
        return spec
    text = json.dumps({**spec, "background": PAPER})
    for name, value in LIGHT.items():
        text = text.replace(token(name), value)
    found: dict[str, Any] = json.loads(text)
    return found


def _nodes(node: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401
    """All objects of a specification, its data aside."""
    if isinstance(node, list):
        for each in node:
            yield from _nodes(each)
    elif isinstance(node, dict):
        yield node
        for key, each in node.items():
            if key not in ("datasets", "data"):
                yield from _nodes(each)
