"""One look for all charts: what an arm looks like, and colours that follow light and dark."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import altair as alt

ARM = "arm"
"""The column that colours mean."""

HIDDEN = "hidden"
"""The parameter with the arms that the reader has switched off."""

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
DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (10, 4),
                                      (4, 2), (1, 3))  # fmt: skip

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

    def _number(self, arm: str) -> int:
        """Which look: grey for what has no norm, then the others in order."""
        if arm in self.plain:
            return 0
        others = [each for each in self.arms if each not in self.plain]
        return 1 + others.index(arm)

    def color_of(self, arm: str) -> str:
        """The colour of an arm."""
        return token(f"arm{self._number(arm)}")

    @property
    def columns(self) -> int:
        """Of a picture's legend."""
        return columns(self.arms)

    def looks(self) -> dict[str, dict[str, Any]]:
        """By arm, for the page's legend."""
        return {
            arm: {"color": self.color_of(arm), "shape": SHAPES[self._number(arm) % len(SHAPES)],
                  "dash": DASHES[self._number(arm) % len(DASHES)]}
            for arm in self.arms
        }  # fmt: skip

    def color(self, **options: Any) -> "alt.Color":  # noqa: ANN401
        """The encoding of arms by colour; the page drops its legend for one of its own."""
        import altair as alt

        colors = [self.color_of(arm) for arm in self.arms]
        options.setdefault(
            "legend",
            alt.Legend(
                title=None,
                orient="top",
                columns=self.columns,
                symbolOpacity=1,
                symbolStrokeWidth=0,
                symbolSize=70,
            ),
        )
        return alt.Color(
            f"{ARM}:N", scale=alt.Scale(domain=list(self.arms), range=colors), **options
        )

    def dash(self) -> "alt.StrokeDash":
        """The encoding of arms by dashes."""
        import altair as alt

        dashes = [list(DASHES[self._number(arm) % len(DASHES)]) for arm in self.arms]
        return alt.StrokeDash(
            f"{ARM}:N", scale=alt.Scale(domain=list(self.arms), range=dashes), legend=None
        )

    def shape(self) -> "alt.Shape":
        """The encoding of arms by the shape of points."""
        import altair as alt

        shapes = [SHAPES[self._number(arm) % len(SHAPES)] for arm in self.arms]
        return alt.Shape(
            f"{ARM}:N", scale=alt.Scale(domain=list(self.arms), range=shapes), legend=None
        )


def columns(arms: Sequence[str]) -> int:
    """Of a picture's legend: as many as names of this length leave room for."""
    longest = max(map(len, arms), default=0)
    return max(1, min(4, LEGEND_WIDTH // (7 * longest + 30)))


def switchable(chart: "alt.Chart") -> "alt.Chart":
    """A chart without the rows of the arms that are switched off.

    The chart that holds it needs `hidden()` among its parameters, once.
    """
    return chart.transform_filter(f"indexof({HIDDEN}, datum.{ARM}) < 0")


def hidden() -> "alt.Parameter":
    """The parameter of switched-off arms."""
    import altair as alt

    return alt.param(name=HIDDEN, value=[])


def zoom(name: str = "zoom", encodings: Sequence[str] = ("x", "y")) -> "alt.Parameter":
    """Zoom by shift and wheel, move by dragging with a mouse; a double click ends it.

    Without shift a wheel scrolls the page, a finger always does.
    """
    import altair as alt

    mouse = "event.pointerType !== 'touch'"
    return alt.selection_interval(
        name=name,
        bind="scales",
        encodings=list(encodings),  # type: ignore[arg-type]
        zoom="wheel![event.shiftKey]",
        translate=f"[pointerdown[{mouse}], window:pointerup] > window:pointermove!",
        clear="dblclick",
    )


CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": SOFT, "titleColor": SOFT, "tickColor": GRID, "domainColor": GRID,
        "gridColor": GRID, "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal",
        "titlePadding": 8, "labelOverlap": True,
    },
    "header": {"labelColor": SOFT, "titleColor": SOFT, "labelFontSize": 12, "titleFontSize": 12},
    "legend": {"labelColor": INK, "titleColor": SOFT, "labelFontSize": 12, "titleFontSize": 12,
               "titleFontWeight": "normal", "labelLimit": LEGEND_WIDTH,
               "symbolStrokeWidth": 2},
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
        _drop_arm_legends(spec)
        if "width" in spec and ("mark" in spec or "layer" in spec):
            spec["width"] = "container"
            spec["autosize"] = {"type": "fit-x", "contains": "padding"}
        return spec
    _trim_arm_legends(spec, _arms_in(spec))
    spec["background"] = LIGHT["paper"]
    return _in_light(spec)


def _in_light(spec: Mapping[str, Any]) -> dict[str, Any]:
    text = json.dumps(spec)
    for name, value in LIGHT.items():
        text = text.replace(token(name), value)
    found: dict[str, Any] = json.loads(text)
    return found


def _drop_arm_legends(node: Any) -> None:  # noqa: ANN401
    """Every legend of arms in a specification: the page has one for all charts."""
    if isinstance(node, list):
        for each in node:
            _drop_arm_legends(each)
    elif isinstance(node, dict):
        if node.get("field") == ARM and "legend" in node:
            node["legend"] = None
        for key, each in node.items():
            if key not in ("datasets", "data"):
                _drop_arm_legends(each)


def _arms_in(node: Any) -> set[str]:  # noqa: ANN401
    """The arms that a specification has data of."""
    if isinstance(node, list):
        return set().union(*map(_arms_in, node))
    if not isinstance(node, dict):
        return set()
    own = {node[ARM]} if isinstance(node.get(ARM), str) else set()
    return own.union(*map(_arms_in, node.values()))


def _trim_arm_legends(node: Any, drawn: set[str]) -> None:  # noqa: ANN401
    """Legends of arms list those that are drawn, in as many columns as their names leave."""
    if isinstance(node, list):
        for each in node:
            _trim_arm_legends(each, drawn)
    elif isinstance(node, dict):
        if node.get("field") == ARM and node.get("legend"):
            legend, known = node["legend"], node.get("scale", {}).get("domain", [])
            values = [arm for arm in known if arm in drawn and arm in legend.get("values", known)]
            node["legend"] = {**legend, "values": values, "columns": columns(values)}
        for key, each in node.items():
            if key not in ("datasets", "data"):
                _trim_arm_legends(each, drawn)
