"""One look for all charts: colours that follow light and dark, and the marks of arms."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from normexp.console.words import NOTHING
from normexp.report.figure import Spec

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

LEGENDS: Spec = {
    "points": {"symbolSize": 70, "symbolStrokeWidth": 0},
    "lines": {"symbolSize": 500, "symbolType": "stroke"},
}
"""Marks of a picture's legend."""


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
        """Color, shape and strokeDash of each arm."""
        colored = [arm for arm in self.arms if arm not in self.plain]
        numbers = {arm: 1 + colored.index(arm) if arm in colored else 0 for arm in self.arms}
        return {
            arm: {"color": token(f"arm{n}"), "shape": SHAPES[n % MOST_ARMS],
                  "strokeDash": DASHES[n % MOST_ARMS]}
            for arm, n in numbers.items()
        }  # fmt: skip

    def encode(self, arms: Sequence[str], *channels: str, legend: str = "") -> Spec:
        """The encoding of arms.

        Args:
            arms: that are drawn; those that the palette has not are in ink, without a legend.
            channels: `color`, `shape` or `strokeDash`.
            legend: marks of a picture's, `points` or `lines`; the page has its own for all figures.
        """
        other = {"color": INK, "shape": SHAPES[0], "strokeDash": DASHES[0]}
        known = [arm for arm in self.arms if arm in arms]
        ordered = [*known, *(arm for arm in arms if arm not in known)]
        found: Spec = {
            channel: {
                "field": ARM,
                "type": "nominal",
                "legend": None,
                "scale": {
                    "domain": ordered,
                    "range": [self.looks.get(arm, other)[channel] for arm in ordered],
                },
            }
            for channel in channels
        }
        if legend and known:
            columns = max(1, min(4, LEGEND_WIDTH // (7 * max(map(len, known)) + 30)))
            found["color"]["legend"] = {
                "title": None,
                "orient": "top",
                "columns": columns,
                "values": known,
                "symbolOpacity": 1,
                **LEGENDS[legend],
            }
        return found


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


def for_picture(chart: Spec) -> str:
    """A chart as JSON, in the colours of light paper."""
    text = json.dumps({**chart, "config": CONFIG, "background": PAPER})
    for name, value in LIGHT.items():
        text = text.replace(token(name), value)
    return text


def for_page(chart: Spec) -> Spec:
    """A chart as wide as there is room, with the page's own legend, clipped where it can zoom."""
    zooms = any(each["name"] == "zoom" for each in chart["params"])
    spec: Spec = {**_of_page(chart, zooms=zooms), "config": CONFIG}
    if "width" in spec:
        spec |= {"width": "container", "autosize": {"type": "fit-x", "contains": "padding"}}
    return spec


def _of_page(node: Any, *, zooms: bool) -> Any:  # noqa: ANN401  of JSON
    if isinstance(node, list):
        return [_of_page(each, zooms=zooms) for each in node]
    if not isinstance(node, dict):
        return node
    if node.get("field") == ARM and "legend" in node:
        node = {**node, "legend": None}
    if zooms and "mark" in node and node["mark"]["type"] != "text":
        node = {**node, "mark": {"clip": True, **node["mark"]}}
    return {
        key: each if key in ("datasets", "data") else _of_page(each, zooms=zooms)
        for key, each in node.items()
    }
