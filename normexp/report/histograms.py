"""Histograms of what the layers give, without a norm and with one, by epoch (S1)."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from normexp.report.curves import FOREVER, color_of_arms, plain
from normexp.report.figure import Control, Drawn, Figure, LeftOut, Table
from normexp.report.pictured import Pictured, pictured
from normexp.report.said import percent
from normexp.report.source import Source
from normexp.report.style import ARM, INK, Palette, hidden, switchable
from normexp.report.typical import seeds_said, spread, typical
from normexp.store.stored import Row

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from normexp.report.figure import Chart

TITLE = "Histograms of the layers"

MOST_LAYERS = 10
WIDTH, HEIGHT = 68, 64

KINDS = {"pre_activation": "pre-activations", "activation": "activations"}
SATURATED = 0.8
"""Where the outermost of ten bins from −1 to 1 begin."""

LABELLED = (
    "datum.value % 5 === 0 || abs(datum.value) === 1 || abs(datum.value) === 4 ? datum.label : ''"
)
"""Ticks that have a number: 0, the ends of bins for layers, and fives for the input."""

NOTABLE = 0.01
"""A share of values beyond the bins that is worth a sentence."""


def histograms(source: Source) -> Drawn:
    """Pre-activations and activations over layers, of a network without a norm and the best one."""
    every = typical(source, source.arm_names)
    if not every:
        return [LeftOut(TITLE, "no run is complete")]
    arms = _chosen(source, every)
    pictures = pictured(source, {arm: every[arm] for arm in arms})
    arms = [arm for arm in arms if arm in pictures.pictures]
    if not arms:
        return [LeftOut(TITLE, pictures.why)]
    rows = {arm: every[arm] for arm in arms}
    whole = _shares(pictures)
    layers = spread(_layers(whole), MOST_LAYERS)
    epochs = sorted({int(epoch) for epoch in whole["epoch"].unique()})
    drawn = whole[whole["layer"].isin(layers)]
    control = _control(epochs)
    last = whole[whole["epoch"] == whole.groupby(ARM, observed=True)["epoch"].transform("max")]
    return [
        Figure(
            name="histograms",
            title=TITLE,
            sentence=_sentence(last, rows, _layers(whole)),
            description=f"Small histograms of {len(layers)} layers, one a column; rows are "
            f"pre-activations and activations of {' and '.join(arms)}. Bars are shares of all "
            "values over the test set and the layer's channels, on one axis from 0 to 100 %.",
            chart=_chart(drawn, arms, layers, control, source.palette),
            table=_table(last, arms, _layers(whole)),
            controls=(control,) if len(epochs) > 1 else (),
            note=_note(source, rows, (layers, _layers(whole)), (len(epochs), pictures)),
        )
    ]


def _chosen(source: Source, every: Mapping[str, Row]) -> list[str]:
    """One arm without a norm and the best with one, of like settings; else best and worst."""
    losses = {
        name: arm.estimates["test_loss"].mean
        for name, arm in zip(source.arm_names, source.arms, strict=True)
        if name in every
    }
    ranked = sorted(losses, key=lambda name: (math.isnan(losses[name]), losses[name]))
    without = [name for name in ranked if every[name]["norm.kind"] == "none"]
    with_one = [name for name in ranked if name not in without]
    if without and with_one:
        best = every[with_one[0]]
        like = [name for name in without if _alike(every[name], best, source.fields)]
        return [(like or without)[0], with_one[0]]
    return ranked if len(ranked) == 1 else [ranked[0], ranked[-1]]


def _alike(first: Row, second: Row, fields: Sequence[str]) -> bool:
    """Whether two runs differ in their norm alone."""
    return all(
        first.get(path) == second.get(path) for path in fields if not path.startswith("norm.")
    )


def _shares(pictures: Pictured) -> "pd.DataFrame":
    """Every bin's share of all values: arm, epoch, layer, values, bin, low, high, share."""
    import numpy as np
    import pandas as pd

    parts = []
    for arm, by_epoch in pictures.pictures.items():
        for epoch, picture in by_epoch.items():
            for (layer, values), each in picture.histograms.items():
                edges = np.linspace(each.low, each.high, len(each.counts) + 1)
                columns = {ARM: arm, "epoch": epoch, "layer": layer, "values": values,
                           "bin": range(len(each.counts)), "low": edges[:-1], "high": edges[1:],
                           "share": each.counts.numpy() / each.total}  # fmt: skip
                parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def _layers(frame: "pd.DataFrame") -> list[str]:
    return [str(layer) for layer in frame["layer"].unique()]


def _control(epochs: Sequence[int]) -> Control:
    words = tuple(f"{epoch} of {epochs[-1]}" for epoch in epochs)
    return Control("epoch", "Epoch", tuple(epochs), words, len(epochs) - 1)


def _chart(
    frame: "pd.DataFrame",
    arms: Sequence[str],
    layers: Sequence[str],
    control: Control,
    palette: Palette,
) -> "Chart":
    """Rows by kind of value and arm, columns by layer."""
    import altair as alt

    order = [_row(words, arm) for words in KINDS.values() for arm in arms]
    data = alt.InlineData(values=_lists(frame))
    chosen = switchable(alt.Chart(data, width=WIDTH, height=HEIGHT)).transform_filter(
        "datum.from <= epoch && epoch < datum.until"
    )
    bins = chosen.transform_flatten(["bin", "share"]).transform_calculate(
        left="datum.low + datum.bin * datum.width",
        right="datum.left + datum.width",
        percent="format(100 * datum.share, '.1f') + '\u00a0%'",
    )
    head: dict[str, Any] = {"title": None, "labelColor": INK, "labelFontSize": 11}
    bars = bins.mark_bar(binSpacing=1, clip=True).encode(
        _across("left"),
        alt.X2("right:Q"),
        alt.Y(
            "share:Q",
            title=None,
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(
                values=[0, 0.5, 1],
                labelExpr="100 * datum.value + '\u00a0%'",
                labelFontSize=10,
                labelOverlap=False,
            ),
        ),
        alt.Y2Datum(0),
        color_of_arms(arms, palette),
        tooltip=[
            alt.Tooltip(f"{ARM}:N", title="arm"),
            alt.Tooltip("layer:N"),
            alt.Tooltip("kind:N", title="values"),
            alt.Tooltip("left:Q", title="from", format=".3g"),
            alt.Tooltip("right:Q", title="to", format=".3g"),
            alt.Tooltip("percent:N", title="share"),
        ],
    )
    faceted: alt.FacetChart = (
        bars.facet(
            row=alt.Row("row:N", sort=order, header=alt.Header(
                **head, labelAngle=0, labelAlign="right", labelExpr="split(datum.value, '|')",
            )),
            column=alt.Column("layer:N", sort=list(layers), header=alt.Header(**head)),
            title=alt.Title(alt.ExprRef("'epoch ' + epoch")),
            bounds="flush",
            spacing={"row": 26, "column": 10},
        )
        .resolve_scale(x="independent")
        .add_params(hidden(), alt.param(name="epoch", value=control.value))
    )  # fmt: skip
    return faceted


def _row(kind: str, arm: str) -> str:
    """A row's name, a line a part."""
    return "|".join([kind, *arm.split(", ")])


def _across(field: str) -> "alt.X":
    import altair as alt

    return alt.X(
        f"{field}:Q",
        title=None,
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(
            grid=False,
            tickCount=3,
            format="~g",
            labelFontSize=10,
            labelFlush=True,
            labelExpr=LABELLED,
        ),
    )


def _lists(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """A row for each histogram, valid from its epoch until the arm's next."""
    found = []
    for key, part in frame.groupby([ARM, "values", "layer"], sort=False):
        arm, values, layer = (str(name) for name in key)
        own = sorted({int(epoch) for epoch in part["epoch"].unique()})
        until = dict(zip(own, [*own[1:], FOREVER], strict=True))
        for epoch in own:
            each = part[part["epoch"] == epoch]
            low, width = float(each["low"].min()), float((each["high"] - each["low"]).mean())
            found.append({
                ARM: arm, "row": _row(KINDS[values], arm), "kind": KINDS[values], "layer": layer,
                "from": epoch, "until": until[epoch],
                "low": float(f"{low:.6g}"), "width": float(f"{width:.6g}"),
                "bin": [int(number) for number in each["bin"]], "share": plain(each["share"]),
            })  # fmt: skip
    return found


def _table(last: "pd.DataFrame", arms: Sequence[str], layers: Sequence[str]) -> Table:
    """What each layer's histograms come to after the last epoch."""
    found = {arm: _figures(last[last[ARM] == arm]) for arm in arms}
    names = list(
        dict.fromkeys(name for of in found.values() for each in of.values() for name in each)
    )
    columns = [f"{name}, {arm}" for name in names for arm in arms]
    cells = tuple(
        (layer, *(percent(found[arm].get(layer, {}).get(name)) for name in names for arm in arms))
        for layer in layers
    )
    return Table(("layer", *columns), cells)


FULLEST, OUTSIDE, SATURATION = "fullest bin", "outside the bins", "saturated"


def _figures(frame: "pd.DataFrame") -> dict[str, dict[str, float]]:
    """By layer: shares of pre-activations in one bin and in none, and of saturated activations."""
    found = {}
    for layer, part in frame.groupby("layer", sort=False):
        before = part[part["values"] == "pre_activation"]["share"]
        after = part[part["values"] == "activation"]
        figures = {FULLEST: float(before.max()), OUTSIDE: max(0.0, 1 - float(before.sum()))}
        if (float(after["low"].min()), float(after["high"].max())) == (-1.0, 1.0):
            outer = after["bin"].isin((after["bin"].min(), after["bin"].max()))
            figures[SATURATION] = float(after[outer]["share"].sum())
        found[str(layer)] = figures
    return found


def _sentence(last: "pd.DataFrame", rows: Mapping[str, Row], layers: Sequence[str]) -> str:
    """What has become of the last layer: how much saturates, lies beyond the bins, or in one."""
    layer = layers[-1]
    found = {arm: _figures(last[last[ARM] == arm]).get(layer, {}) for arm in rows}

    def said(name: str, what: str) -> str:
        parts = [f"{percent(of[name])}{{}} ({arm})" for arm, of in found.items() if name in of]
        return " and ".join(parts).replace("{}", f" of {what}", 1).replace("{}", "")

    where = f"In {layer}, the last layer, after the last epoch"
    if any(SATURATION in of for of in found.values()):
        said_first = said(SATURATION, "activations")
        parts = [f"{where}, {said_first} are saturated, beyond ±{SATURATED}."]
    else:
        said_first = said(FULLEST, "pre-activations")
        parts = [f"{where}, the fullest of ten bins holds {said_first}."]
    if any(of.get(OUTSIDE, 0) >= NOTABLE for of in found.values()):
        parts.append(f"Beyond the bins lie {said(OUTSIDE, 'pre-activations')}.")
    return " ".join(parts)


def _note(
    source: Source,
    rows: Mapping[str, Row],
    layers: tuple[Sequence[str], Sequence[str]],
    epochs: tuple[int, Pictured],
) -> str:
    """Whose histograms these are, and what is not drawn."""
    arms = list(rows)
    bars = (
        "Bars: shares of all values over test set and channels, under running statistics; "
        "pre-activations come before the norm."
    )
    parts = [bars]
    if len(source.arm_names) > len(arms):
        plain_one = rows[arms[0]]["norm.kind"] == "none" and len(arms) > 1
        said = "one without a norm and the best with one" if plain_one else "the best and the worst"
        parts.append(f"{len(arms)} of {len(source.arm_names)} arms are drawn: {said} by test loss.")
    parts.append(seeds_said(rows))
    if len(layers[0]) < len(layers[1]):
        parts.append(f"{len(layers[0])} of {len(layers[1])} layers are drawn, evenly.")
    number, drawn = epochs
    if number < drawn.epochs:
        parts.append(f"{number} of {drawn.epochs} evaluation points are drawn, evenly.")
    parts += [drawn.note] if drawn.lost else []
    return " ".join(parts)
