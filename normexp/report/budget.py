"""The error of running statistics by its parts: initial value, drift and noise, and their cost."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from normexp.console.words import evenly, number, ticks
from normexp.errors import UsageError
from normexp.insight.budget import ALL, PARTS, RunBudget, averaging, budgets_of
from normexp.insight.training import NO_NETWORK, readable
from normexp.report.charts import SHOWN, category, layer, panels, quantity, tooltips
from normexp.report.course import MOST_LAYERS, sample
from normexp.report.figure import Drawn, Figure, LeftOut, Spec, epoch_slider, sentences, table
from normexp.report.source import Source, some
from normexp.report.style import ARM, INK, sign, token

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Error budget of the running means"

KEY = [ARM, "epoch", "layer"]
COSTS = "What each part of the error costs"

MOST_EPOCHS = 17

FLOOR = 1e-4
"""σ, below which a part is not drawn."""

NAMES = {"initial": "initial value", "drift": "drift", "noise": "noise", "error": "whole error"}

CAUSES = {
    "initial value": ("diamond", token("cause0")),
    "drift": ("triangle-right", token("cause1")),
    "noise": ("circle", token("cause2")),
}
"""Shapes and colours, which are no arm's; each cause has a lane of its own in a layer's row."""

MOSTLY = 0.6
"""Share of the mean square error from which on one part is most of it."""

NOTE = (
    "Root mean squares over a layer's channels, in σ of the population, mean over seeds. In every "
    "channel initial value + drift + noise is the error; root mean squares do not add up. Below "
    f"{FLOOR:g} σ nothing is drawn."
)

COST_NOTE = (
    "Training loss in evaluation mode with statistics that differ from the population's by a part "
    "alone, or by all of it, minus that with the population's: medians over seeds, after training. "
    "Excess loss: the same of the test loss. Below 0, running statistics do better."
)


def error_budget(source: Source) -> Drawn:
    """By layer and arm, and what each part costs."""
    import pandas as pd

    chosen = sample(source)
    if not chosen.rows:
        return [LeftOut(TITLE, chosen.why)]
    trainings = averaging(source.trainings(chosen.rows))
    if not trainings:
        why = "the trainings are not there, or no arm is normalised by an average of its batches"
        return [LeftOut(TITLE, why)]
    try:
        kept, notes = readable(trainings, source.places)
    except UsageError as error:
        return [LeftOut(TITLE, f"{error.message}; {error.hint}")]
    arms = {row["run_id"]: row[ARM] for row in chosen.rows}
    found = list(budgets_of(kept))
    frame = pd.concat([_rows(arms[each.run.id], each) for each in found], ignore_index=True)
    frame = frame[np.isfinite(frame[list(ALL)].to_numpy()).all(axis=1)]
    if frame.empty:
        return [LeftOut(TITLE, "no layer has a finite error")]
    frame = frame.groupby(KEY, sort=False).mean().reset_index()
    last = frame[frame["epoch"] == frame.groupby(ARM)["epoch"].transform("max")]
    return [
        _figure(source, frame, last, chosen.note),
        _costs(source, arms, found, chosen.note),
        *(LeftOut(f"{TITLE} of some runs", note) for note in notes),
    ]


def _rows(arm: str, budget: RunBudget) -> "pd.DataFrame":
    """By epoch and layer: root mean squares by part, and each part's share of the mean square.

    A share is the mean over channels of part · error: these add up to the mean square error, half
    of each product to either as in `theory.budget.Budget.squares`.
    """
    import pandas as pd

    from normexp.engine.budget import means_over_living

    points = evenly(len(budget.steps), MOST_EPOCHS)

    def over(values: Any) -> Any:  # noqa: ANN401  arrays
        return means_over_living(budget.sites, budget.varies[points], values).ravel()

    parts = {part: budget.mean[part][points] for part in ALL}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        columns = {part: np.sqrt(over(np.square(parts[part]))) for part in ALL}
        columns |= {f"{p}_share": over(parts[p] * parts["error"]) for p in PARTS}
    index = pd.MultiIndex.from_product([[arm], points, [*budget.sites]], names=KEY)
    return pd.DataFrame(columns, index).reset_index()


def _figure(source: Source, frame: "pd.DataFrame", last: "pd.DataFrame", note: str) -> Figure:
    layers = list(dict.fromkeys(frame["layer"]))
    kept = some(layers, MOST_LAYERS)
    shown, ends = (each[each["layer"].isin(kept)] for each in (frame, last))
    epochs = sorted(int(each) for each in set(frame["epoch"]))
    few = f"{len(kept)} of {len(layers)} layers, evenly." if len(kept) < len(layers) else ""
    return Figure(
        name="error-budget",
        title=TITLE,
        sentence=_sentence(last),
        chart=_chart(source, shown, kept, epochs[-1]),
        table=table(
            ("arm", "layer", "error in σ", *(NAMES[part] for part in PARTS)),
            ends[[ARM, "layer", "error", *PARTS]].to_numpy(),
        ),
        key=(
            *(sign(cause, shape, color=color) for cause, (shape, color) in CAUSES.items()),
            sign(NAMES["error"], "upright"),
        ),
        controls=epoch_slider("budget_epoch", epochs),
        note=sentences(NOTE, few, note),
    )


def _chart(source: Source, frame: "pd.DataFrame", layers: Sequence[str], epoch: int) -> Spec:
    """A panel an arm, a row a layer, a mark a part."""
    data = frame.melt(KEY, list(ALL), "part", "value").replace({"part": NAMES})
    data = data[data["value"] >= FLOOR]
    arms = [arm for arm in source.arms if arm in set(data[ARM])]
    low, high = (data["value"].min(), data["value"].max()) if len(data) else (FLOOR, 1.0)
    scale = {"type": "log", "nice": False, "padding": 8, "domain": [low, high]}  # of all epochs
    axis = {"values": ticks(low, high), "format": "~g", "labelOverlap": "greedy"}
    shapes, colors = (
        {"domain": list(CAUSES), "range": list(looks)}
        for looks in zip(*CAUSES.values(), strict=True)
    )
    tips = {"arm:N": "arm", "layer:N": "layer", "epoch": "epoch", "part:N": "part",
            "value": "RMS in σ"}  # fmt: skip
    names = {"title": None, "sort": list(layers), "scale": {"domain": list(layers)},
             "axis": {"grid": True, "ticks": False}}  # fmt: skip
    at = {
        "x": quantity("value", {"title": "RMS in σ", "scale": scale, "axis": axis}),
        "y": category("layer", names),
        "tooltip": tooltips(tips),
    }
    causes = {
        **at,
        "yOffset": category("part", {"sort": list(CAUSES), "scale": {"domain": list(CAUSES)}}),
        "shape": category("part", {"scale": shapes, "legend": None}),
        "color": category("part", {"scale": colors, "legend": None}),
    }
    shown, whole = ("datum.epoch === budget_epoch", SHOWN), f"datum.part === '{NAMES['error']}'"
    drawn = [
        layer("tick", at, *shown, whole, color=INK, thickness=2, size=18),
        layer("point", causes, *shown, f"!({whole})", opacity=1, size=32),
    ]
    size, facet = (200, max(60, 21 * len(layers))), {"field": ARM, "sort": arms, "columns": 3}
    chart = panels(drawn, data, size, facet)
    chart["params"].append({"name": "budget_epoch", "value": epoch})
    chart["title"] = {"text": {"expr": "'epoch ' + budget_epoch"}}
    return chart


def _sentence(last: "pd.DataFrame") -> str:
    """The farthest layer of the arms that end farthest and closest, and its largest parts."""
    by_arm = last.groupby(ARM)["error"].mean()
    worst, best = by_arm.idxmax(), by_arm.idxmin()
    off = _of_arm(last[last[ARM] == worst])
    if best == worst:
        return f"With {worst}, {off}."
    closest = _of_arm(last[last[ARM] == best])
    return f"Farthest off on average is {worst}: {off}. Closest is {best}: {closest}."


def _of_arm(last: "pd.DataFrame") -> str:
    row = last.iloc[int(last["error"].to_numpy().argmax())]
    shares = {part: row[f"{part}_share"] for part in PARTS}
    first, second, _ = sorted(shares, key=lambda part: -shares[part])
    off = f"the running mean of {row['layer']} ends {number(row['error'], 3)} σ off"
    if not row["error"]:
        return off
    if shares[first] >= MOSTLY * sum(shares.values()):
        return f"{off}, mostly {NAMES[first]}"
    return f"{off}, by {NAMES[first]} and {NAMES[second]}"


def _costs(
    source: Source, arms: dict[str, str], found: Sequence[RunBudget], note: str
) -> Figure | LeftOut:
    """The cost of each part at the end: medians over seeds."""
    import pandas as pd

    found = [each for each in found if each.cost]
    if not found:
        return LeftOut(COSTS, NO_NETWORK)
    frame = pd.DataFrame(
        {ARM: arms[each.run.id], **each.cost, "excess": each.run.row["excess_loss"]}
        for each in found
    ).astype({"excess": float})
    grouped = frame.groupby(ARM)
    costs, n = grouped.median(), grouped.size()
    ordered = [arm for arm in source.arms if arm in costs.index]
    known = costs[np.isfinite(costs["error"])]
    text = "No arm's cost is finite."
    if len(known):
        worst, best = known["error"].idxmax(), known["error"].idxmin()
        most, least = (_most(known.loc[arm]) for arm in (worst, best))
        text = f"Running statistics raise the training loss most with {worst}, by {most}"
        text += f", and least with {best}, by {least}." if best != worst else "."
    titles = ("arm", "n", *(f"{NAMES[part]} alone" for part in PARTS), "all of it", "excess loss")
    columns = [*PARTS, "error", "excess"]
    return Figure(
        name="error-cost",
        title=COSTS,
        sentence=text,
        table=table(titles, [(arm, n[arm], *costs.loc[arm, columns]) for arm in ordered]),
        note=sentences(COST_NOTE, note),
        open=True,
    )


def _most(cost: "pd.Series[float]") -> str:
    most = max(PARTS, key=lambda part: cost[part])
    return f"{number(cost['error'], 3)} ({NAMES[most]} alone would do most)"
