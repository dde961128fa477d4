"""Fitted curves over the test points, by momentum and epoch (S1)."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from normexp.console.words import NOTHING, counted, field_value
from normexp.report.charts import HEIGHT, WIDTH, tooltips
from normexp.report.figure import Control, Drawn, Figure, LeftOut, epoch_slider, said, table
from normexp.report.naming import arm_name
from normexp.report.pictures import MOST_EPOCHS, Pictured, intervals, pictured
from normexp.report.source import MOMENTUM, Source, some
from normexp.report.style import ARM, SOFT, hidden, switchable, zoom
from normexp.report.words import PERCENT, keras, short

if TYPE_CHECKING:
    import altair as alt

    from normexp.engine.pictures import Curve
    from normexp.report.figure import Chart

TITLE = "Fitted curves"

MOST_CELLS, MOST_MOMENTA, MOST_CURVES = 6, 12, 48

MOST_POINTS = 200

MOST_NUMBERS = 45_000
"""Predictions in one figure, a megabyte of page."""

BEYOND = 0.35
"""How far the axis goes beyond the test points if curves do, in parts of their range."""

FLAT = 0.1
"""Spread of predictions, relative to that of the test points, below which a curve is flat."""


def fitted(source: Source) -> Drawn:
    """Prediction against x over the test points, where one number is predicted from one."""
    if not source.complete:
        return [LeftOut(TITLE, "no run is complete")]
    data = source.stored(source.complete[:1])[0].config.data
    if (data.shape, data.outputs) != ((1,), 1) or len(source.metrics) > 1:
        return [LeftOut(TITLE, "drawn where one number is predicted from one number")]
    cells, momenta = _arms(source)
    points = min(MOST_POINTS, getattr(data, "test_size", None) or MOST_POINTS)
    few = max(2, min(MOST_EPOCHS, MOST_NUMBERS // (points * max(1, len(cells)))))
    found = pictured(source, cells, few)
    curves = {
        arm: {epoch: picture.curve for epoch, picture in by_epoch.items() if picture.curve}
        for arm, by_epoch in found.pictures.items()
    }
    if not curves:
        return [LeftOut(TITLE, "; ".join(found.lost))]
    last = {arm: each[max(each)] for arm, each in curves.items()}
    errors = {arm: _rms(curve.prediction - curve.y) for arm, curve in last.items()}
    spreads = {arm: float(c.prediction.std()) / (float(c.y.std()) or 1) for arm, c in last.items()}
    controls = (*_momentum_slider(source, momenta, errors), *epoch_slider("epoch", found.epochs))
    tests = len(next(iter(last.values())).x)
    return [
        Figure(
            name="fitted-curves",
            title=TITLE,
            sentence=_sentence(source, found, errors, spreads),
            description="Curves of predictions against x over the test points, "
            f"{counted(len(curves), 'arm')}; the test points are dots.",
            chart=_chart(source, curves, cells, momenta, controls),
            table=table(
                ("arm", "seed", "RMS error", "spread of predictions / of test points"),
                [(arm, found.rows[arm]["seed"], errors[arm], spreads[arm]) for arm in curves],
            ),
            controls=controls,
            note=said(
                "Dots are the test points; curves are predictions under running statistics.",
                "Faint: the other momenta." if len(set(momenta.values())) > 1 else "",
                found.note,
                f"{MOST_POINTS} of {tests} test points are drawn." if tests > MOST_POINTS else "",
                f"{len(cells)} of {len(source.arms)} arms are drawn."
                if len(cells) < len(source.arms) else "",
            ),
        )
    ]  # fmt: skip


def _arms(source: Source) -> tuple[dict[str, str], dict[str, str]]:
    """The arms that are drawn, by chart and by momentum; as many as one can look at."""
    fields = [path for path in source.fields if not path.startswith("norm.")]
    cells, words = {}, {}
    for name, arm in source.arms.items():
        cell = arm_name({path: arm.values[path] for path in fields if path in arm.values}, fields)
        cells[name] = cell.replace(":,", ",").rstrip(":")
        word = field_value(MOMENTUM, arm.values, keras=False)
        words[name] = "" if word == NOTHING else word
    best = min(source.arms, key=lambda arm: (not words[arm], source.rank(arm)))
    kept_cells = some(list(dict.fromkeys(cells.values())), MOST_CELLS, cells[best])
    kept_words = ["", *some(_ordered(source, words), MOST_MOMENTA, words[best])]
    kept = [arm for arm in cells if cells[arm] in kept_cells and words[arm] in kept_words]
    if len(kept) > MOST_CURVES:
        kept = [arm for arm in kept if arm in source.palette.arms] or kept
    return {arm: cells[arm] for arm in kept}, {arm: words[arm] for arm in kept}


def _ordered(source: Source, words: Mapping[str, str]) -> list[str]:
    """Words of momenta by size, the cumulative mean last."""
    found = {word: source.arms[arm].values[MOMENTUM] for arm, word in words.items() if word}
    return sorted(found, key=lambda word: (found[word] is None, found[word] or 0))


def _momentum_slider(
    source: Source, words: Mapping[str, str], errors: Mapping[str, float]
) -> tuple[Control, ...]:
    """A slider over momenta that starts at the best curve's; none if there is one momentum."""
    momenta = _ordered(source, {arm: words[arm] for arm in errors})
    if len(momenta) < 2:  # noqa: PLR2004
        return ()
    with_one = {arm: error for arm, error in errors.items() if words[arm]}
    best = min(with_one, key=lambda arm: (math.isnan(with_one[arm]), with_one[arm]))
    told = [_told(source, [arm for arm in errors if words[arm] == word]) for word in momenta]
    start = momenta.index(words[best])
    return (Control("momentum", "Momentum", tuple(momenta), tuple(told), start),)


def _told(source: Source, arms: Sequence[str]) -> str:
    """`0.1 (Keras 0.9), half-life 6.6 steps`."""
    value = source.arms[arms[0]].values[MOMENTUM]
    if value is None:
        return "cumulative: the mean of all batches, never forgets"
    lives = sorted({life for arm in arms if (life := source.arms[arm].half_life_steps) is not None})
    both = f"{value:g} (Keras {keras(value)})"
    if not lives:
        return f"{both}, never halves"
    span = " to ".join(dict.fromkeys(f"{life:.3g}" for life in (lives[0], lives[-1])))
    return f"{both}, half-life {span} {'step' if span == '1' else 'steps'}"


def _sentence(
    source: Source, found: Pictured, errors: Mapping[str, float], spreads: Mapping[str, float]
) -> str:
    """The nearest and the farthest curve, and those that are flat without running statistics."""
    ranked = sorted((arm for arm in errors if math.isfinite(errors[arm])), key=errors.__getitem__)
    if not ranked:
        return "No arm's predictions are finite after the last epoch."
    best, worst = ranked[0], ranked[-1]
    text = f"{best} ends {short(errors[best])} from the test points (root mean square)"
    if best != worst:
        times = errors[worst] / errors[best] if errors[best] else math.inf
        text += f", {worst} {short(errors[worst])}, {short(times)} times as far"
        if len({found.rows[arm]["trajectory_id"] for arm in (best, worst)}) == 1:
            text += ", on the same weights: only the running statistics differ"
    flat = [a for a in ranked if spreads[a] < FLAT and not source.arms[a].has_statistics]
    if not flat:
        return f"{text}."
    most = f"{100 * max(spreads[arm] for arm in flat):.2g}{PERCENT}"
    return (
        f"{text}. {' and '.join(flat[:3])} {'is' if len(flat) == 1 else 'are'} flat: predictions "
        f"spread {most} as far as the test points."
    )


def _chart(
    source: Source,
    curves: "Mapping[str, Mapping[int, Curve]]",
    cells: Mapping[str, str],
    momenta: Mapping[str, str],
    controls: Sequence[Control],
) -> "Chart":
    """Test points as dots, the chosen momentum's curves strong, the other ones' faint."""
    import altair as alt

    firsts = {cells[arm]: arm for arm in reversed(list(curves))}
    rows = [
        {"kind": kind, "cell": cells[arm], "epoch": epoch, "from": epoch, "until": until,
         **({ARM: arm, "momentum": momenta[arm]} if kind == "curve" else {}),
         **_lists(curves[arm][epoch], "prediction" if kind == "curve" else "y")}
        for kind, arms in (("test", firsts.values()), ("curve", curves))
        for arm in arms
        for epoch, until in intervals(curves[arm]).items()
    ]  # fmt: skip
    alone = len(firsts) == 1
    layers = alt.layer(
        *_layers(source, list(curves), _domain(rows), {each.parameter for each in controls}),
        data=alt.InlineData(values=rows),
        width=WIDTH if alone else 320,
        height=HEIGHT if alone else 200,
    )
    words = " + ', ' + ".join(f"'{each.parameter} ' + {each.parameter}" for each in controls)
    title = alt.Title(alt.ExprRef(words)) if controls else alt.Undefined
    chosen: list[Any] = [alt.FlattenTransform(["x", "y"])]
    if any(each.parameter == "epoch" for each in controls):
        chosen.insert(0, alt.FilterTransform("datum.from <= epoch && epoch < datum.until"))
    header = alt.Header(title=None, labelLimit=320)
    facet = alt.Facet("cell:N", sort=list(cells.values()), header=header)
    whole = layers.properties(title=title) if alone else (
        layers.facet(facet=facet, columns=2, title=title)
    )  # fmt: skip
    whole.transform = chosen  # inside the facets, Vega-Lite 6.4 loses their data
    started = [alt.param(name=each.parameter, value=each.value) for each in controls]
    return whole.add_params(hidden(), *started)


def _layers(
    source: Source, arms: Sequence[str], domain: list[float], sliders: set[str]
) -> "list[alt.Chart]":
    import altair as alt

    x = alt.X("x:Q", title="x", scale=alt.Scale(nice=False, padding=6), axis=alt.Axis(grid=False))
    y = alt.Y("y:Q", title="y", scale=alt.Scale(domain=domain, nice=False))
    strong = "(datum.momentum === '' || datum.momentum === momentum)"
    strong = strong if "momentum" in sliders else "true"
    color = source.palette.encode("color", arms, "lines")
    dash = source.palette.encode("dash", arms, "lines")

    def curve(condition: str) -> "alt.Chart":
        chosen = alt.Chart().transform_filter(f"datum.kind === 'curve' && {condition}")
        return switchable(chosen).encode(x, y, color, detail=f"{ARM}:N")

    dots = alt.Chart().transform_filter("datum.kind === 'test'").encode(x, y)
    tips = {"arm:N": "arm", "epoch": "epoch", "x": "x", "y": "prediction"}
    return [
        dots.mark_circle(size=11, color=SOFT, opacity=0.45, clip=True),
        *([curve(f"!{strong}").mark_line(strokeWidth=1.2, opacity=0.4, clip=True)]
          if "momentum" in sliders else []),
        curve(strong).mark_line(strokeWidth=2.5, clip=True).encode(dash),
        curve(strong).mark_circle(size=90, opacity=0, clip=True)
        .encode(tooltip=tooltips(tips)).add_params(zoom()),
    ]  # fmt: skip


def _lists(curve: "Curve", column: str) -> dict[str, list[float | None]]:
    """The x and another column of a curve, by x; at most so many points, to five digits."""
    order = curve.x.argsort()
    places = order[some(range(len(order)), MOST_POINTS)]
    return {
        name: [float(f"{v:.5g}") if math.isfinite(v) else None for v in values[places].tolist()]
        for name, values in (("x", curve.x), ("y", getattr(curve, column)))
    }


def _domain(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """From the lowest to the highest of points and curves, but curves may not go far beyond."""
    points, curves = (
        np.array([y for row in rows if row["kind"] == kind for y in row["y"] if y is not None])
        for kind in ("test", "curve")
    )
    low, high = points.min(), points.max()
    span = (high - low) or 1.0
    bottom = max(min(low, curves.min(initial=low)), low - BEYOND * span)
    top = min(max(high, curves.max(initial=high)), high + BEYOND * span)
    return [float(bottom - 0.03 * span), float(top + 0.03 * span)]


def _rms(values: Any) -> float:  # noqa: ANN401  a tensor
    return float(values.square().mean().sqrt())
