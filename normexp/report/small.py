"""Small multiples over layers: an arm a line, theory dashed over it, half-lives at the foot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from normexp.report.style import ARM, INK, SOFT, Palette, hidden, switchable, zoom

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from normexp.report.figure import Chart

WIDTH, HEIGHT, COLUMNS = 190, 150, 3

DIGITS = 4
"""Significant ones of what is drawn."""

RATIOS = (-10, -5, -2, -1, -0.5, -0.2, 0, 0.2, 0.5, 1, 2, 5, 10)
"""Ticks of an axis that is linear about 0 and logarithmic beyond."""

THEORY_OF = "theory"
"""The parameter with the arm whose theory is drawn."""


@dataclass(frozen=True)
class Measure:
    """Something that is known by step and layer.

    Attributes:
        column: of the table `layers`.
        theory: the attribute of a course that says what it should be.
        title: of its figure.
        axis: its name and unit.
        log: whether its axis is logarithmic.
    """

    column: str
    theory: str
    title: str
    axis: str
    log: bool


def multiples(  # noqa: PLR0913, PLR0917  what is drawn
    means: "pd.DataFrame",
    theory: "pd.DataFrame",
    lives: Mapping[str, float],
    palette: Palette,
    measure: Measure,
    layers: Sequence[str],
    start: str,
) -> "Chart":
    """A chart a layer.

    Args:
        means: `arm`, `step`, `layer`, value.
        theory: `arm`, `step`, `layer`, expected, low, high.
        lives: half-lives in steps, by arm.
        palette: of the arms.
        measure: what it is.
        layers: in order.
        start: the arm whose theory shows first.
    """
    import altair as alt

    data = _rows(means, theory, lives, layers, log=measure.log)
    base = alt.Chart()
    scale: dict[str, Any] = {"type": "log"} if measure.log else {"type": "symlog", "constant": 0.1}
    y = alt.Scale(**scale, nice=False, padding=5)
    ticks: dict[str, Any] = {"tickCount": 4} if measure.log else {"values": RATIOS, "format": "~g"}
    step = alt.X(
        "step:Q",
        axis=alt.Axis(
            grid=False, format=",d", tickCount=4, labelOverlap="greedy", labelSeparation=8
        ),
        scale=alt.Scale(type="sqrt", nice=False, padding=6),
    )
    value = alt.Y("value:Q", title=measure.axis, scale=y, axis=alt.Axis(**ticks))
    lines = switchable(base.transform_filter("datum.kind === 'm'"))
    line = lines.mark_line(clip=True, strokeWidth=1.6).encode(
        step, value, palette.color(), palette.dash()
    )
    point = lines.mark_point(clip=True, opacity=1, size=22).encode(
        step, value, palette.color(), palette.shape(), tooltip=_tips(measure)
    )
    parts = [line, point.add_params(zoom()), *_theory(base, step, measure, y, ticks)]
    if lives:
        foot = switchable(base.transform_filter("datum.kind === 'h'"))
        parts += _half_lives(foot, step, palette)
    if not measure.log:
        zero = alt.YDatum(0, title=measure.axis, scale=y, axis=alt.Axis(**ticks))
        parts.insert(0, base.mark_rule(color=SOFT, strokeDash=[2, 2]).encode(zero))
    facet = alt.Facet("layer:N", title=None, sort=list(layers), header=alt.Header(labelPadding=2))
    chart = alt.layer(*parts, data=data).properties(width=WIDTH, height=HEIGHT)
    columns = 2 if len(layers) == 2 * 2 else COLUMNS  # no row of one
    return chart.facet(facet=facet, columns=columns).add_params(
        hidden(), alt.param(name=THEORY_OF, value=start)
    )


def _theory(
    base: "alt.Chart", x: "alt.X", measure: Measure, y: "alt.Scale", ticks: dict[str, Any]
) -> "list[alt.Chart]":
    import altair as alt

    chosen = switchable(base.transform_filter(f"datum.kind === 't' && datum.{ARM} === {THEORY_OF}"))
    low = alt.Y("low:Q", title=measure.axis, scale=y, axis=alt.Axis(**ticks))
    middle = alt.Y("value:Q", title=measure.axis, scale=y, axis=alt.Axis(**ticks))
    return [
        chosen.mark_area(clip=True, opacity=0.22, color=INK).encode(x, low, alt.Y2("high:Q")),
        chosen.mark_line(clip=True, color=INK, strokeDash=[4, 3], strokeWidth=1.4).encode(
            x, middle
        ),
    ]


def _half_lives(base: "alt.Chart", x: "alt.X", palette: Palette) -> "list[alt.Chart]":
    """A stem from the foot of the chart with the arm's point on it."""
    import altair as alt

    tips = [alt.Tooltip(f"{ARM}:N", title="arm"),
            alt.Tooltip("step:Q", title="half-life in steps", format=".3g")]  # fmt: skip
    stem = base.mark_rule(strokeWidth=2).encode(
        x, y=alt.value(HEIGHT), y2=alt.value(HEIGHT - 12), color=palette.color()
    )
    head = base.mark_point(opacity=1, size=36).encode(
        x, palette.color(), palette.shape(), tooltip=tips, y=alt.value(HEIGHT - 12)
    )
    return [stem, head]


def _tips(measure: Measure) -> "list[alt.Tooltip]":
    import altair as alt

    return [
        alt.Tooltip(f"{ARM}:N", title="arm"),
        alt.Tooltip("layer:N"),
        alt.Tooltip("step:Q", format=",d"),
        alt.Tooltip("value:Q", title=measure.axis, format=".3g"),
        alt.Tooltip("expected:Q", title="theory", format=".3g"),
        alt.Tooltip("low:Q", title="its band from", format=".3g"),
        alt.Tooltip("high:Q", title="to", format=".3g"),
    ]


def _rows(
    means: "pd.DataFrame",
    theory: "pd.DataFrame",
    lives: Mapping[str, float],
    layers: Sequence[str],
    *,
    log: bool,
) -> "pd.DataFrame":
    """Measured points, theory and half-lives one below the other: facets have one set of data."""
    import pandas as pd

    measured = means.merge(theory, on=["arm", "step", "layer"], how="left").assign(kind="m")
    drawn = theory.rename(columns={"expected": "value"}).assign(kind="t")
    ends = means["step"].max()
    feet = pd.DataFrame(
        [(arm, life, layer, "h") for arm, life in lives.items() if life <= ends
         for layer in layers], columns=["arm", "step", "layer", "kind"]
    )  # fmt: skip
    if log:  # which zero has no place on
        measured = measured[measured["value"] > 0]
        drawn = drawn[drawn["value"] > 0]
        floor = measured["value"].min() / 2 if len(measured) else 1e-12
        drawn = drawn.assign(**{name: drawn[name].clip(lower=floor)
                                for name in ("value", "low", "high")})  # fmt: skip
    whole = pd.concat([each for each in (measured, drawn, feet) if len(each)], ignore_index=True)
    for name in ("step", "value", "expected", "low", "high"):
        if name in whole:
            whole[name] = whole[name].map(lambda each: float(f"{each:.{DIGITS}g}"))
    return whole
