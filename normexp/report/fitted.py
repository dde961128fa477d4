"""Fitted curves over the test points, by momentum and epoch (S1)."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from normexp.config.network import Own
from normexp.console.words import NOTHING, field_value, keras, number
from normexp.insight.training import NO_NETWORK
from normexp.report.charts import (
    HEIGHT,
    SHOWN,
    WIDTH,
    ZOOMED,
    category,
    layer,
    panels,
    quantity,
    tooltips,
)
from normexp.report.figure import (
    Control,
    Drawn,
    Figure,
    LeftOut,
    Spec,
    epoch_slider,
    sentences,
    table,
)
from normexp.report.naming import arm_name
from normexp.report.pictures import VALID, intervals, pictured
from normexp.report.source import MOMENTUM, Source, some
from normexp.report.style import ARM, SOFT, SOLID, sign

if TYPE_CHECKING:
    from normexp.engine.pictures import Curve

    Curves = dict[str, dict[int, Curve]]

TITLE = "Fitted curves"

MOST_CELLS, MOST_CURVES = 6, 48
"""Of more, only the arms of the legend are drawn."""

MOST_POINTS = 200

MOST_NUMBERS = 45_000
"""Predictions in one figure, a megabyte of page."""

BEYOND = 0.35
"""Room above and below the test points, in parts of their range."""


def fitted(source: Source) -> Drawn:
    """Prediction against x over the test points, where one number is predicted from one."""
    if not source.complete:
        return [LeftOut(TITLE, "no run is complete")]
    config = source.stored(source.complete[:1])[0].config
    if isinstance(config.model, Own):
        return [LeftOut(TITLE, NO_NETWORK)]
    data = config.data
    if (data.shape, data.outputs) != ((1,), 1) or len(source.metrics) > 1:
        return [LeftOut(TITLE, "drawn where one number is predicted from one number")]
    cells = _cells(source)
    most = max(2, MOST_NUMBERS // (MOST_POINTS * len(cells)))
    found = pictured(source, cells, most, curves_only=True)
    curves = {
        arm: {epoch: picture.curve for epoch, picture in by_epoch.items() if picture.curve}
        for arm, by_epoch in found.pictures.items()
    }
    if not curves:
        return [LeftOut(TITLE, "; ".join(found.lost))]
    last = {arm: each[max(each)] for arm, each in curves.items()}
    errors = {arm: _rms(curve) for arm, curve in last.items()}
    controls = (*_momentum_slider(source, errors), *epoch_slider("epoch", found.epochs))
    ranked = sorted((arm for arm in errors if math.isfinite(errors[arm])), key=errors.__getitem__)
    text = "No arm's predictions are finite after the last epoch."
    if ranked:
        best, worst = ranked[0], ranked[-1]
        text = f"{best} ends {number(errors[best], 3)} from the test points (root mean square)"
        text += f", {worst} {number(errors[worst], 3)}" if best != worst else ""
        trainings = [found.rows[arm]["trajectory_id"] for arm in (best, worst)]
        same = best != worst and trainings[0] == trainings[1]
        text += ", on the same weights: only the running statistics differ." if same else "."
    tests = len(next(iter(last.values())).x)
    return [
        Figure(
            name="fitted-curves",
            title=TITLE,
            sentence=text,
            chart=_chart(source, curves, {arm: cells[arm] for arm in curves}, controls),
            table=table(
                ("arm", "seed", "RMS error"),
                [(arm, found.rows[arm]["seed"], errors[arm]) for arm in curves],
            ),
            key=(
                *source.palette.signs(list(curves), marks=False),
                *[sign("other arms", line=SOLID)] * bool({*curves} - {*source.palette.arms}),
                *[sign("another momentum than the chosen one", line=SOLID, opacity=0.4)]
                * any(each.parameter == "momentum" for each in controls),
                sign("test points", "dot", color=SOFT),
            ),
            controls=controls,
            note=sentences(
                "Curves are predictions under running statistics.",
                found.note,
                f"{MOST_POINTS} of {tests} test points are drawn." if tests > MOST_POINTS else "",
                source.thinned if len(cells) < len(source.arms) else "",
            ),
        )
    ]


def _cells(source: Source) -> dict[str, str]:
    """The arms that are drawn, each with the name of its chart: its fields that are no norm's."""
    fields = [path for path in source.fields if not path.startswith("norm.")]
    cells = {}
    for name, arm in source.arms.items():
        cell = arm_name({path: arm.values[path] for path in fields if path in arm.values}, fields)
        cells[name] = cell.replace(":,", ",").rstrip(":")
    if not source.wanted and len(cells) <= MOST_CURVES and len({*cells.values()}) <= MOST_CELLS:
        return cells
    return {arm: cells[arm] for arm in source.palette.arms}


def _word(source: Source, arm: str) -> str:
    """An arm's momentum as text; empty if it has none."""
    word = field_value(MOMENTUM, source.values(arm))
    return "" if word == NOTHING else word


def _momentum_slider(source: Source, errors: Mapping[str, float]) -> tuple[Control, ...]:
    """A slider over momenta that starts at the best curve's; none if there is one momentum."""
    arms = [arm for arm in errors if _word(source, arm)]
    values = {_word(source, arm): source.values(arm)[MOMENTUM] for arm in arms}
    momenta = sorted(values, key=lambda word: (values[word] is None, values[word] or 0))
    if len(momenta) < 2:  # noqa: PLR2004
        return ()
    words = [
        "cumulative: the mean of all batches"
        if values[word] is None
        else f"{word} (Keras {keras(values[word])})"
        for word in momenta
    ]
    best = min(arms, key=lambda arm: (math.isnan(errors[arm]), errors[arm]))
    start = momenta.index(_word(source, best))
    return (Control("momentum", "Momentum", tuple(momenta), tuple(words), start),)


def _chart(
    source: Source, curves: "Curves", cells: Mapping[str, str], controls: Sequence[Control]
) -> Spec:
    """Test points as dots, the chosen momentum's curves strong, the other ones' faint."""
    import pandas as pd

    firsts = {cells[arm]: arm for arm in reversed(curves)}
    rows: list[dict[str, Any]] = [
        {"kind": kind, "cell": cells[arm], "epoch": epoch, "from": epoch, "until": until,
         **({ARM: arm, "momentum": _word(source, arm)} if kind == "prediction" else {}),
         **_lists(curves[arm][epoch], kind)}
        for kind, arms in (("y", firsts.values()), ("prediction", curves))
        for arm in arms
        for epoch, until in intervals(curves[arm]).items()
    ]  # fmt: skip
    ys = np.array([y for row in rows if row["kind"] == "y" for y in row["y"]])
    room = BEYOND * (ys.max() - ys.min())
    domain = [float(ys.min() - room), float(ys.max() + room)]
    alone = len(firsts) == 1
    sliders = [each.parameter for each in controls]
    chart = panels(
        _layers(source, list(curves), domain, sliders),
        pd.DataFrame(rows),
        (WIDTH, HEIGHT) if alone else (320, 200),
        None if alone else {"field": "cell", "sort": list(cells.values()), "columns": 2},
    )
    # in the facets Vega-Lite 6.4 loses the data of these
    chart["transform"] = [*([{"filter": VALID}] * ("epoch" in sliders)), {"flatten": ["x", "y"]}]
    if controls:
        words = " + ', ' + ".join(f"'{each} ' + {each}" for each in sliders)
        chart["title"] = {"text": {"expr": words}}
    chart["params"] += [{"name": each.parameter, "value": each.value} for each in controls]
    return chart


def _layers(
    source: Source, arms: Sequence[str], domain: list[float], sliders: Sequence[str]
) -> list[Spec]:
    x = {"title": "x", "scale": {"nice": False, "padding": 6}, "axis": {"grid": False}}
    y = {"title": "y", "scale": {"domain": domain, "nice": False}}
    at = {"x": quantity("x", x), "y": quantity("y", y)}
    strong = "(datum.momentum === '' || datum.momentum === momentum)"
    strong = strong if "momentum" in sliders else "true"
    drawn = "datum.kind === 'prediction' && "
    color, dash = (source.palette.encode(arms, channel) for channel in ("color", "strokeDash"))
    curve = {**at, **color, **dash, "detail": category(ARM)}
    tips = tooltips({"arm:N": "arm", "epoch": "epoch", "x": "x", "y": "prediction"})
    faint = layer("line", curve, f"{drawn}!{strong}", SHOWN, strokeWidth=1.2,
                  strokeOpacity=0.4, clip=True)  # fmt: skip
    return [
        layer("circle", at, "datum.kind === 'y'", size=11, color=SOFT, opacity=1,
              fillOpacity=0.45),
        *([faint] if "momentum" in sliders else []),
        layer("line", curve, drawn + strong, SHOWN, strokeWidth=2.5, clip=True),
        layer("circle", {**at, **color, "tooltip": tips}, drawn + strong, SHOWN, name=ZOOMED,
              size=90, opacity=0),
    ]  # fmt: skip


def _lists(curve: "Curve", column: str) -> dict[str, list[float | None]]:
    """The x and another column of a curve, by x; at most so many points, to five digits."""
    places = curve.x.argsort()[some(range(len(curve.x)), MOST_POINTS)]
    return {
        name: [float(f"{v:.5g}") if math.isfinite(v) else None for v in values[places].tolist()]
        for name, values in (("x", curve.x), ("y", getattr(curve, column)))
    }


def _rms(curve: "Curve") -> float:
    return float((curve.prediction - curve.y).square().mean().sqrt())
