"""One look for all charts: colours that follow light and dark, marks of arms, keys to marks."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from normexp.console.words import NOTHING
from normexp.report.figure import Sign, Spec

ARM = "arm"
"""The column that colours mean."""

LIGHT = {
    "ink": "#1b1f24", "soft": "#5d6773", "grid": "#dfe3e8", "paper": "#ffffff",
    "arm0": "#6b7480", "arm1": "#0072b2", "arm2": "#d55e00", "arm3": "#009e73",
    "arm4": "#b8568f", "arm5": "#b07c00", "arm6": "#1f8fc4", "arm7": "#7a3ff2",
    "arm8": "#8f1d3f", "cause0": "#7b3294", "cause1": "#c2185b", "cause2": "#5b6b2f",
}  # fmt: skip
"""Okabe and Ito's colours, which colour-blind people tell apart (2008), made dark enough for white
paper; arm0 is for what has no norm, arm8 where all of eight have one."""

DARK = {
    "ink": "#e8ebef", "soft": "#9aa5b1", "grid": "#353c45", "paper": "#14181d",
    "arm0": "#a3adb8", "arm1": "#4aa8e8", "arm2": "#f2823a", "arm3": "#2fc99a",
    "arm4": "#e08bb9", "arm5": "#e6b93d", "arm6": "#8bd3f7", "arm7": "#b79bff",
    "arm8": "#ffb3b8", "cause0": "#c79bea", "cause1": "#ff7fae", "cause2": "#b9cc7a",
}  # fmt: skip

PATHS = {
    "circle": "M17 3a4 4 0 1 0 .01 0z",
    "square": "M13.5 3.5h7v7h-7z",
    "triangle-up": "M17 2.5l4.5 8.5h-9z",
    "diamond": "M17 1.5l4 5.5-4 5.5-4-5.5z",
    "cross": "M15.5 2.5h3v3h3v3h-3v3h-3v-3h-3v-3h3z",
    "triangle-down": "M17 11.5l4.5-8.5h-9z",
    "triangle-right": "M13 2.5l8.5 4.5-8.5 4.5z",
    "triangle-left": "M21 2.5l-8.5 4.5 8.5 4.5z",
    "band": "M1 1.5h32v11h-32z",
    "bar": "M1 3.5h32v7h-32z",
    "dot": "M17 5a2 2 0 1 0 .01 0z",
    "ring": "M17 .5a6.5 6.5 0 1 0 .01 0zM17 2.5a4.5 4.5 0 1 1-.01 0z",
    "upright": "M16 0h2v14h-2z",
}
"""Marks as paths in 34 × 14 pixels, those that Vega has too first."""

SHAPES = tuple(PATHS)[:8]

SOLID = (1, 0)
DASHES = ((1, 0), (1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (10, 4), (4, 2), (1, 3))

TIGHT = "\u00a0"
"""A space that no line ends at."""

PERCENT = f"{TIGHT}%"

MOST_ARMS = len(SHAPES)
"""Arms that are drawn one by one: more cannot be told apart."""


def token(name: str) -> str:
    """A colour that the page sets, by light and dark; pictures have it light."""
    return f"var(--{name})"


INK, SOFT, GRID, PAPER = (token(name) for name in ("ink", "soft", "grid", "paper"))


def sign(  # noqa: PLR0913  the parts of a look
    words: str,
    shape: str = "",
    *,
    color: str = INK,
    line: Sequence[int] | None = None,
    opacity: float = 1.0,
    is_arm: bool = False,
) -> Sign:
    """Return an entry of a key that shows a mark, and perhaps a line with these dashes."""
    dashes = " ".join(map(str, line)) if line and line[1] else "none"
    stroke = f'<path d="M1 7H33" stroke="{color}" stroke-width="2" stroke-dasharray="{dashes}"/>'
    mark = f'<path d="{PATHS.get(shape, "")}" fill="{color}"/>'
    drawing = f'<g opacity="{opacity}">{stroke if line else ""}{mark if shape else ""}</g>'
    return Sign(words, drawing, is_arm)


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

    def signs(self, arms: Sequence[str], *, marks: bool = True) -> tuple[Sign, ...]:
        """Return the key of those arms that the palette has, lines with or without marks."""
        return tuple(
            sign(arm, look["shape"] if marks else "", color=look["color"],
                 line=look["strokeDash"], is_arm=True)
            for arm, look in self.looks.items() if arm in arms
        )  # fmt: skip

    def encode(self, arms: Sequence[str], *channels: str) -> Spec:
        """The encoding of arms.

        Args:
            arms: that are drawn; those that the palette has not are in ink.
            channels: `color`, `shape` or `strokeDash`.
        """
        other = {"color": INK, "shape": SHAPES[0], "strokeDash": DASHES[0]}
        known = [arm for arm in self.arms if arm in arms]
        ordered = [*known, *(arm for arm in arms if arm not in known)]
        return {
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
    "legend": {"labelColor": INK, "titleColor": SOFT, **SMALL, "titleFontWeight": "normal"},
    "title": {"color": INK, "fontSize": 13, "fontWeight": "normal", "anchor": "start"},
    "line": {"strokeWidth": 2},
    "point": {"size": 50, "filled": True},
    "text": {"fill": INK, "fontSize": 12},
    "rule": {"color": SOFT},
}  # fmt: skip
