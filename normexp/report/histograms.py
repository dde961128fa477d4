"""Histograms of the layers, without a norm and with one, by epoch (S1)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from normexp.report.charts import tooltips
from normexp.report.figure import Drawn, Figure, LeftOut, epoch_slider, sentences, table
from normexp.report.pictures import Pictured, intervals, pictured
from normexp.report.source import Source, some
from normexp.report.style import ARM, INK, TIGHT, hidden, percent, switchable

if TYPE_CHECKING:
    from normexp.engine.pictures import Picture
    from normexp.report.figure import Chart

TITLE = "Histograms of the layers"

MOST_LAYERS = 10

KINDS = {"pre_activation": "pre-activations", "activation": "activations"}

LABELLED = (
    "datum.value % 5 === 0 || abs(datum.value) === 1 || abs(datum.value) === 4 ? datum.label : ''"
)
"""Ticks that have a number: 0, the ends of bins for layers, and fives for the input."""

SATURATED = "activations beyond ±0.8"
FULLEST, OUTSIDE = "pre-activations in the fullest bin", "pre-activations outside the bins"


def histograms(source: Source) -> Drawn:
    """Pre-activations and activations over layers, of a network without a norm and the best one."""
    if not source.complete:
        return [LeftOut(TITLE, "no run is complete")]
    arms = _chosen(source)
    found = pictured(source, arms)
    if not found.pictures:
        return [LeftOut(TITLE, "; ".join(found.lost))]
    last = {arm: each[max(each)] for arm, each in found.pictures.items()}
    shares = {
        arm: {layer: _shares(each, layer) for layer, _ in each.histograms}
        for arm, each in last.items()
    }
    layers = list(dict.fromkeys(layer for each in shares.values() for layer in each))
    columns = [(name, arm) for arm, each in shares.items() for name in [*each.values()][-1]]
    kept = some(layers, MOST_LAYERS)
    ends = [
        f"{arm} ({layer}) has {', '.join(f'{percent(v)} of its {name}' for name, v in end.items())}"
        for arm, each in shares.items()
        for layer, end in [[*each.items()][-1]]
    ]
    return [
        Figure(
            name="histograms",
            title=TITLE,
            sentence=f"In the last layer, after the last epoch, {'; '.join(ends)}.",
            chart=_chart(source, found, kept),
            table=table(
                ("layer", *(f"{name}, {arm}" for name, arm in columns)),
                [(layer, *(percent(shares[arm].get(layer, {}).get(name)) for name, arm in columns))
                 for layer in layers],
            ),
            controls=epoch_slider("epoch", found.epochs),
            note=sentences(
                "Bars: shares of all values over test set and channels, under running statistics; "
                "pre-activations come before the norm.",
                f"{len(arms)} of {len(source.arms)} arms are drawn: the best with a norm by test "
                "loss, and one without a norm or else the worst."
                if len(arms) < len(source.arms) else "",
                found.note,
                f"{len(kept)} of {len(layers)} layers." if len(kept) < len(layers) else "",
            ),
        )
    ]  # fmt: skip


def _chosen(source: Source) -> list[str]:
    """One arm without a norm and the best with one, of like settings; else best and worst."""
    ranked = sorted({row[ARM]: row for row in source.complete}, key=source.rank)
    values = {arm: source.values(arm) for arm in ranked}
    rest = [path for path in source.fields if not path.startswith("norm.")]
    without = [arm for arm in ranked if values[arm].get("norm.kind") == "none"]
    with_one = [arm for arm in ranked if arm not in without]
    if not without or not with_one:
        return list(dict.fromkeys([ranked[0], ranked[-1]]))
    best = [values[with_one[0]].get(path) for path in rest]
    like = [arm for arm in without if [values[arm].get(path) for path in rest] == best]
    return [(like or without)[0], with_one[0]]


def _shares(picture: "Picture", layer: str) -> dict[str, float]:
    """Shares of a layer's pre-activations in one bin and in none, and of saturated activations."""
    before = picture.histograms[layer, "pre_activation"]
    after = picture.histograms[layer, "activation"]
    shares = before.counts.numpy() / before.total
    found = {FULLEST: float(shares.max()), OUTSIDE: max(0.0, 1 - float(shares.sum()))}
    if (after.low, after.high) == (-1.0, 1.0):
        found[SATURATED] = float(after.counts[[0, -1]].sum()) / after.total
    return found


def _chart(source: Source, found: Pictured, layers: Sequence[str]) -> "Chart":
    """Rows by kind of value and arm, columns by layer."""
    import altair as alt

    arms = list(found.pictures)
    rows = [
        {ARM: arm, "row": _row(KINDS[values], arm), "kind": KINDS[values], "layer": layer,
         "from": epoch, "until": until, "low": each.low,
         "width": (each.high - each.low) / len(each.counts), "bin": list(range(len(each.counts))),
         "share": [float(f"{share:.4g}") for share in each.counts.numpy() / each.total]}
        for arm, by_epoch in found.pictures.items()
        for epoch, until in intervals(by_epoch).items()
        for (layer, values), each in by_epoch[epoch].histograms.items()
        if layer in layers
    ]  # fmt: skip
    bins = (
        switchable(alt.Chart(alt.InlineData(values=rows), width=68, height=64))
        .transform_filter("datum.from <= epoch && epoch < datum.until")
        .transform_flatten(["bin", "share"])
        .transform_calculate(
            left="datum.low + datum.bin * datum.width",
            right="datum.left + datum.width",
            percent=f"format(100 * datum.share, '.1f') + '{TIGHT}%'",
        )
    )
    across = alt.Axis(grid=False, tickCount=3, format="~g", labelFontSize=10, labelFlush=True,
                      labelExpr=LABELLED)  # fmt: skip
    up = alt.Axis(values=[0, 0.5, 1], labelExpr=f"100 * datum.value + '{TIGHT}%'",
                  labelFontSize=10, labelOverlap=False)  # fmt: skip
    tips = {"arm:N": "arm", "layer:N": "layer", "kind:N": "values", "left": "from", "right": "to",
            "percent:N": "share"}  # fmt: skip
    bars = bins.mark_bar(binSpacing=1, clip=True).encode(
        alt.X("left:Q", title=None, axis=across, scale=alt.Scale(nice=False, zero=False)),
        alt.X2("right:Q"),
        alt.Y("share:Q", title=None, axis=up, scale=alt.Scale(domain=[0, 1])),
        alt.Y2Datum(0),
        source.palette.encode("color", arms),
        tooltip=tooltips(tips),
    )
    head: dict[str, Any] = {"title": None, "labelColor": INK, "labelFontSize": 11}
    lines = alt.Header(
        **head, labelAngle=0, labelAlign="right", labelExpr="split(datum.value, '|')"
    )
    order = [_row(words, arm) for words in KINDS.values() for arm in arms]
    faceted: Chart = bars.facet(
        row=alt.Row("row:N", sort=order, header=lines),
        column=alt.Column("layer:N", sort=list(layers), header=alt.Header(**head)),
        title=alt.Title(alt.ExprRef("'epoch ' + epoch")),
        bounds="flush",
        spacing={"row": 26, "column": 10},
    ).resolve_scale(x="independent")
    return faceted.add_params(hidden(), alt.param(name="epoch", value=found.epochs[-1]))


def _row(kind: str, arm: str) -> str:
    """A row's name, a line a part."""
    return "|".join([kind, *arm.split(", ")])
