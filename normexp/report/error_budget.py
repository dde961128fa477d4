"""What the error of running statistics is made of: initial value, drift and noise."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from normexp.console.words import number
from normexp.errors import UsageError
from normexp.insight.budget import ALL, PARTS, Array, RunBudget, averaging, budgets_of, loss
from normexp.insight.thinning import evenly
from normexp.insight.training import with_data
from normexp.report.figure import Control, Drawn, Figure, LeftOut, Table
from normexp.report.said import short
from normexp.report.sample import MOST_LAYERS, Sample, sample, why_none
from normexp.report.source import Source
from normexp.report.style import ARM, INK, Palette, hidden, switchable

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from normexp.report.figure import Chart

TITLE = "Error budget of the running means"

EPOCH = "budget_epoch"
"""The parameter with the epoch that is shown."""

MOST_EPOCHS = 17

FLOOR = 1e-4
"""σ, below which a part is not drawn."""

DECADES, FEW_DECADES = range(-4, 9), 2

NAMES = {"initial": "initial value", "drift": "drift", "noise": "noise", "error": "whole error"}

MARKS = {
    "initial value": "M0,-1L1,0L0,1L-1,0Z",
    "drift": "M-1,-.35H.1V-.9L1.1,0L.1,.9V.35H-1Z",
    "noise": "M-1.2,.6L-.7,-.7L-.2,.6L.3,-.7L.8,.6L1.2,-.4",
    "whole error": "M0,-1.5V1.5",
}
"""A diamond, an arrow, a zigzag and a bar: not the shapes of arms, whose colours they have."""

COST_NOTE = (
    "What the training loss rises by in evaluation mode if statistics differ from the population's "
    "by a part alone, and by all of it: medians over seeds, after training. Excess loss: what the "
    "test loss rises by. Below 0, running statistics do better than the population's."
)

MOSTLY = 0.6
"""Of the mean square error, what one part must have to be most of it."""


def error_budget(source: Source) -> Drawn:
    """By layer and arm, and what each part costs."""
    chosen = sample(source)
    if not chosen.rows:
        return [LeftOut(TITLE, why_none(source))]
    known = averaging(chosen.trainings())
    if not known:
        why = "the trainings are not there, or no arm is normalised by an average of its batches"
        return [LeftOut(TITLE, why)]
    try:
        kept, notes = with_data(known, source.places)
    except UsageError as error:
        return [LeftOut(TITLE, f"{error.message}; {error.hint}")]
    found = list(budgets_of(kept))
    frame = _frame(chosen, found)
    if frame.empty:
        return [LeftOut(TITLE, "no layer has a finite error")]
    arms = tuple(arm for arm in chosen.arms if arm in set(frame[ARM]))
    missing = [LeftOut(f"{TITLE} of some runs", note) for note in notes]
    return [_figure(source, chosen, frame, arms), _costs(chosen, found, arms), *missing]


def _frame(chosen: Sample, found: Sequence[RunBudget]) -> "pd.DataFrame":
    """Arm, epoch, layer; means over seeds of RMS by part, and of each part's share of the square.

    A part's share is the mean over channels of part · error: these add up to the mean square error,
    half of each product to either as in `theory.budget.Budget.squares`.
    """
    import pandas as pd

    rows = []
    for each in found:
        start, epochs = 0, len(each.steps)
        for layer, width in each.sites.items():
            channels = slice(start, start + width)
            start += width
            for epoch in evenly(epochs, MOST_EPOCHS):
                alive = each.varies[epoch, channels]
                parts = {part: each.mean[part][epoch, channels][alive] for part in ALL}
                numbers = (epoch, layer, *_rms(parts), *_shares(parts))
                rows += [(arm, *numbers) for arm in chosen.arms_of(each.run)]
    columns = [ARM, "epoch", "layer", *ALL, *(f"{part}_share" for part in PARTS)]
    frame = pd.DataFrame(rows, columns=columns)
    finite = np.isfinite(frame[list(ALL)].to_numpy()).all(axis=1)
    means: pd.DataFrame = (
        frame.loc[finite].groupby([ARM, "epoch", "layer"], sort=False).mean().reset_index()
    )
    return means


def _rms(parts: dict[str, Array]) -> list[float]:
    if not parts["error"].size:
        return [float("nan")] * len(ALL)
    with np.errstate(over="ignore"):
        return [float(np.sqrt(np.square(parts[part]).mean())) for part in ALL]


def _shares(parts: dict[str, Array]) -> list[float]:
    if not parts["error"].size:
        return [float("nan")] * len(PARTS)
    with np.errstate(over="ignore"):
        return [float((parts[part] * parts["error"]).mean()) for part in PARTS]


def _figure(source: Source, chosen: Sample, frame: "pd.DataFrame", arms: tuple[str, ...]) -> Figure:
    layers = list(dict.fromkeys(frame["layer"]))
    kept = [layers[i] for i in evenly(len(layers), MOST_LAYERS)]
    epochs = sorted(int(each) for each in set(frame["epoch"]))
    words = tuple(f"{each} of {epochs[-1]}" for each in epochs)
    thinned = "" if len(kept) == len(layers) else f"{len(kept)} of {len(layers)} layers, evenly."
    note = (
        "Root mean squares over a layer's channels, in σ of the population, mean over seeds. In "
        "every channel initial value + drift + noise is the error; root mean squares do not add "
        f"up. Below {FLOOR:g} σ nothing is drawn."
    )
    return Figure(
        name="error-budget",
        title=TITLE,
        sentence=_sentence(frame, arms),
        description=f"Dot charts, one for each of {len(arms)} arms: a row for each of {len(kept)} "
        "layers, on it a diamond for what is left of the initial value, an arrow for drift, a "
        "zigzag for noise and a bar for the whole error, along a logarithmic axis in σ.",
        chart=_chart(frame[frame["layer"].isin(kept)], source.palette, arms, kept, epochs[-1]),
        table=_table(frame[frame["layer"].isin(kept)], arms),
        controls=(
            Control(EPOCH, "Epoch", tuple(epochs), words, len(epochs) - 1),
        ) if len(epochs) > 1 else (),
        note=" ".join(filter(None, [note, thinned, chosen.note])),
    )  # fmt: skip


def _chart(
    frame: "pd.DataFrame", palette: Palette, arms: Sequence[str], layers: Sequence[str], epoch: int
) -> "Chart":
    import altair as alt

    names = list(MARKS)
    data = frame.melt([ARM, "epoch", "layer"], list(ALL), "part", "value")
    data = data[data["value"] >= FLOOR].assign(
        part=lambda each: each["part"].map(NAMES),
        value=lambda each: each["value"].map(lambda value: float(f"{value:.3g}")),
    )
    shape = alt.Shape(
        "part:N",
        scale=alt.Scale(domain=names, range=list(MARKS.values())),
        legend=alt.Legend(title=None, orient="top", symbolStrokeColor=INK, symbolFillColor=None),
    )
    points = switchable(alt.Chart().transform_filter(f"datum.epoch === {EPOCH}"))
    drawn = points.mark_point(filled=False, opacity=1, size=46, strokeWidth=1.7).encode(
        x=alt.X("value:Q", title="RMS in σ",
                scale=alt.Scale(type="log", nice=False, padding=8, domain=_span(data["value"])),
                axis=alt.Axis(values=_ticks(data["value"]), format="~g", labelOverlap="greedy")),
        y=alt.Y("layer:N", title=None, sort=list(layers),
                scale=alt.Scale(domain=list(layers)), axis=alt.Axis(grid=True, ticks=False)),
        shape=shape, color=palette.color(legend=None), tooltip=_tips(),
    )  # fmt: skip
    layer = alt.layer(drawn, data=data).properties(width=200, height=max(60, 21 * len(layers)))
    lines = alt.Header(
        labelExpr="split(replace(datum.label, ': ', ':, '), ', ')", labelPadding=4, labelLimit=150
    )
    facet = alt.Facet(f"{ARM}:N", title=None, sort=list(arms), header=lines)
    return layer.facet(facet=facet, columns=3).add_params(
        hidden(), alt.param(name=EPOCH, value=epoch)
    )


def _span(values: "pd.Series[float]") -> list[float]:
    """The axis' ends, the same at every epoch: the slider moves marks, not the axis."""
    return [float(values.min()), float(values.max())] if len(values) else [FLOOR, 1.0]


def _ticks(values: "pd.Series[float]") -> list[float]:
    """Every decade; where these are few, 2 and 5 of each too."""
    few = len(values) and values.max() / values.min() < 10**FEW_DECADES
    digits = (1, 2, 5) if few else (1,)
    return [float(f"{digit}e{power}") for power in DECADES for digit in digits]


def _tips() -> "list[alt.Tooltip]":
    import altair as alt

    return [
        alt.Tooltip(f"{ARM}:N", title="arm"),
        alt.Tooltip("layer:N"),
        alt.Tooltip("epoch:Q"),
        alt.Tooltip("part:N"),
        alt.Tooltip("value:Q", title="RMS in σ", format=".3g"),
    ]


def _last(frame: "pd.DataFrame") -> "pd.DataFrame":
    return frame[frame["epoch"] == frame.groupby(ARM)["epoch"].transform("max")]


def _sentence(frame: "pd.DataFrame", arms: Sequence[str]) -> str:
    """The farthest layer of the arms that end farthest and closest, and what it is of."""
    last = _last(frame)
    by_arm = last.groupby(ARM)["error"].mean()
    worst, best = by_arm.idxmax(), by_arm.idxmin()
    off = _of_arm(last[last[ARM] == worst])
    if len(arms) == 1 or best == worst:
        return f"With {worst}, {off}."
    return (
        f"Farthest off on average is {worst}: {off}. Closest is {best}: "
        f"{_of_arm(last[last[ARM] == best])}."
    )


def _of_arm(last: "pd.DataFrame") -> str:
    row = last.iloc[int(last["error"].to_numpy().argmax())]
    shares = {part: row[f"{part}_share"] for part in PARTS}
    total, most = sum(shares.values()), max(shares, key=lambda part: shares[part])
    off = f"the running mean of {row['layer']} ends {short(row['error'])} σ off"
    if not total:
        return off
    if shares[most] / total >= MOSTLY:
        return f"{off}, mostly {_word(most)}"
    second = max((part for part in PARTS if part != most), key=lambda part: shares[part])
    return f"{off}, by {_word(most)} and {_word(second)}"


def _word(part: str) -> str:
    return {"initial": "what is left of the initial value"}.get(part, part)


def _table(frame: "pd.DataFrame", arms: Sequence[str]) -> Table:
    """At the end."""
    last = _last(frame)
    rows = [
        (arm, str(row["layer"]), *(number(row[part]) for part in ("error", *PARTS)))
        for arm in arms
        for _, row in last[last[ARM] == arm].iterrows()
    ]
    titles = ("arm", "layer", "error in σ", *(NAMES[part] for part in PARTS))
    return Table(titles, tuple(rows))


def _costs(chosen: Sample, found: Sequence[RunBudget], arms: Sequence[str]) -> Figure:
    """What each part raises the training loss by, at the end: medians over seeds."""
    rows, costs = [], {}
    for arm in arms:
        mine = [each for each in found if arm in chosen.arms_of(each.run)]
        cost = {part: float(np.median([each.cost[part] for each in mine])) for part in ALL}
        excess = float(np.median([loss(each.run.row, "excess_loss") for each in mine]))
        figures = [cost[part] for part in PARTS] + [cost["error"], excess]
        rows.append((arm, str(len(mine)), *map(number, figures)))
        costs[arm] = cost
    titles = ("arm", "n", *(f"{NAMES[part]} alone" for part in PARTS), "all of it", "excess loss")
    return Figure(
        name="error-cost",
        title="What each part of the error costs",
        sentence=_cost_sentence(costs),
        description="Table: what initial value, drift and noise add to the training loss, by arm.",
        table=Table(titles, tuple(rows)),
        note=" ".join(filter(None, [
COST_NOTE, chosen.note        ])),
        open=True,
    )  # fmt: skip


def _cost_sentence(costs: dict[str, dict[str, float]]) -> str:
    known = {arm: cost for arm, cost in costs.items() if np.isfinite(cost["error"])}
    if not known:
        return "No arm's cost is finite."
    worst = max(known, key=lambda arm: known[arm]["error"])
    best = min(known, key=lambda arm: known[arm]["error"])
    text = f"Running statistics raise the training loss most with {worst}, by {_most(known[worst])}"
    if best != worst:
        text += f", and least with {best}, by {_most(known[best])}"
    return f"{text}."


def _most(cost: dict[str, float]) -> str:
    most = max(PARTS, key=lambda part: cost[part])
    return f"{short(cost['error'])} ({_word(most)} alone would do most)"
