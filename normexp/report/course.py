"""The course of a training: losses by epoch, and how running statistics approach the truth."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from normexp.config.norm import REFERENCE_ESTIMATORS
from normexp.console.words import counted, evenly, number
from normexp.report.charts import (
    HEIGHT,
    SHOWN,
    WIDTH,
    curves,
    layer,
    means,
    on_axis,
    panels,
    quantity,
    value_axis,
)
from normexp.report.figure import Control, Drawn, Figure, LeftOut, Spec, sentences, table
from normexp.report.source import Source, some
from normexp.report.style import ARM, INK, PERCENT, SOFT, percent, sign

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from normexp.store.stored import Row

WIDE = 5
"""The largest mean over the smallest from which on an axis is logarithmic."""

HOLDS = 0.9
"""Share of the points within a band of 95 % from which on theory is said to hold."""

MOST_BANDS, FEWEST_SEEDS = 6, 3

MOST_SEEDS = 8
"""Of an arm, in figures that read whole trainings."""

MOST_LAYERS, MOST_POINTS = 9, 25

MOST_EPOCHS = 20
"""With a tick each."""

RATIOS = (-10, -5, -2, -1, -0.5, -0.2, 0, 0.2, 0.5, 1, 2, 5, 10)
"""Ticks of an axis that is linear about 0 and logarithmic beyond."""

KEY = [ARM, "step", "layer"]

CONVERGENCE = "Convergence of the running statistics"


def training(source: Source) -> Drawn:
    """Test loss by epoch; accuracy too, where there are labels."""
    title = "Test loss by epoch"
    if not source.complete:
        return [LeftOut(title, "every run has diverged")]
    frame = source.table(source.complete, "metrics")
    if frame["epoch"].nunique() < 2:  # noqa: PLR2004
        return [LeftOut(title, "there is one evaluation point")]
    frame = frame[frame[ARM].isin(source.palette.arms)]
    return [_by_epoch(source, frame, metric) for metric in source.metrics]


def _by_epoch(source: Source, frame: "pd.DataFrame", metric: str) -> Figure | LeftOut:
    what = metric.replace("_", " ")
    points = means(frame, metric, [ARM, "epoch"])
    if points.empty:
        return LeftOut(f"{what.capitalize()} by epoch", "no mean is finite")
    bands = bool(points[ARM].nunique() <= MOST_BANDS and points["n"].median() >= FEWEST_SEEDS)
    low, high = points["mean"].min(), points["mean"].max()
    log = bool(metric == "test_loss" and low > 0 and high / low > WIDE)
    wide = points.pivot_table(index="epoch", columns=ARM, values="mean", observed=True)
    wide = wide[[arm for arm in source.palette.arms if arm in wide]]
    ends = {str(arm): number(values.dropna().iloc[-1], 3) for arm, values in wide.items()}
    ranked = sorted(ends, key=lambda arm: source.rank(arm, metric))
    extremes = dict.fromkeys([ranked[0], ranked[-1]])
    band = f"95{PERCENT} interval (Student's t)"
    tips = {"arm:N": "arm", "x": "epoch", "mean": what, "low": f"95{PERCENT} from", "high": "to",
            "n": "seeds"}  # fmt: skip
    last = int(points["epoch"].max())
    every = {"values": list(range(last + 1))} if last <= MOST_EPOCHS else {}
    x = {"title": "epoch", "scale": {"nice": False, "padding": 8},
         "axis": {"grid": False, "format": ",d", "tickMinStep": 1, **every}}  # fmt: skip
    y = value_axis(what, points if bands else points[["mean"]], log=log)
    shown = on_axis(points.rename(columns={"epoch": "x"}).assign(what="point"), y)
    layers = curves(source.palette, list(ends), x=x, y=y, tips=tips, bands=bands)
    return Figure(
        name=metric.replace("_", "-"),
        title=f"{what.capitalize()} by epoch",
        sentence=f"At the end {' and '.join(f'{arm} is at {ends[arm]}' for arm in extremes)}.",
        chart=panels(layers, shown, (WIDTH, HEIGHT)),
        table=table(("epoch", *ends), wide.reset_index().itertuples(index=False)),
        key=(*source.palette.signs([*ends]), *[sign(band, "band", opacity=0.15)] * bands),
        note=sentences(
            f"Mean over seeds; {'bands are' if bands else 'point at a mark to read'} its {band}."
            if points["n"].max() > 1
            else "One seed an arm: there are no intervals.",
            source.thinned,
        ),
    )


class Sample(NamedTuple):
    """The first seeds of arms that are drawn and average batches; a note; why there is none."""

    rows: "list[Row]"
    note: str
    why: str


def sample(source: Source) -> Sample:
    """Some runs with running statistics, for figures that read whole trainings."""
    kept: dict[str, list[Row]] = {}
    exact: dict[str, None] = {}
    for row in sorted(source.complete, key=lambda row: row["seed"]):
        if row[ARM] in source.palette.arms and row.get("norm.estimator") in REFERENCE_ESTIMATORS:
            exact[row[ARM]] = None
        elif row[ARM] in source.palette.arms and "norm.estimator" in row:
            kept.setdefault(row[ARM], []).append(row)
    most = max(map(len, kept.values()), default=0)
    note = sentences(
        f"From {MOST_SEEDS} of {counted(most, 'seed')}." if most > MOST_SEEDS else "",
        f"Without {', '.join(exact)}, which average nothing." if exact else "",
        source.thinned,
    )
    tracked = any(arm.has_statistics for arm in source.arms.values())
    why = f"no {'arm that is drawn' if tracked else 'run'} has running statistics"
    ordered = [row for arm in source.arms for row in kept.get(arm, ())[:MOST_SEEDS]]
    return Sample(ordered, note, why if source.complete else "every run diverged")


class Measure(NamedTuple):
    """An error that is known by step and layer: its column, and how it is named and drawn."""

    column: str
    theory: str
    title: str
    axis: str
    log: bool
    note: str


MEASURES = (
    Measure("mean_error", "error", "Error of the running mean by step", "error in σ", log=True,
            note="Root mean square over channels of (running − population mean) / σ"),
    Measure("log_var_ratio", "ratio", "Error of the running variance by step",
            "ln(running / population)", log=False,
            note="Mean over channels of ln(running / population variance), where 0 is right"),
)  # fmt: skip


def convergence(source: Source) -> Drawn:
    """Error of the mean and log variance ratio, in small multiples over layers."""
    chosen = sample(source)
    if not chosen.rows:
        return [LeftOut(CONVERGENCE, chosen.why)]
    frame = source.table(chosen.rows, "layers").astype({"layer": str})
    if frame["step"].nunique() < 2:  # noqa: PLR2004
        return [LeftOut(CONVERGENCE, "there is one evaluation point")]
    layers = list(dict.fromkeys(frame["layer"]))
    kept = some(layers, MOST_LAYERS)
    points = evenly(int(frame.groupby(ARM)["step"].nunique().max()), MOST_POINTS)
    frame = frame[frame["layer"].isin(kept)]
    place = frame.groupby([ARM, "run_id", "layer"]).cumcount()  # of the evaluation point
    theory = _theory(source, chosen.rows, points, kept)
    few = f"{len(kept)} of {len(layers)} layers, evenly." if len(kept) < len(layers) else ""
    shown, note = frame[place.isin(points)], sentences(few, chosen.note)
    return [_converging(source, shown, theory, measure, note) for measure in MEASURES]


def _theory(
    source: Source, rows: "Sequence[Row]", points: list[int], kept: list[str]
) -> "pd.DataFrame":
    """Expected errors and their variances, means over seeds; no rows where trainings are gone."""
    from normexp.insight.course import courses

    whole = courses(source.trainings(rows), points)
    whole = whole[whole["layer"].isin(kept)]
    arms = whole.pop("run_id").map({row["run_id"]: row[ARM] for row in rows})
    grouped = whole.assign(**{ARM: arms}).groupby(KEY, sort=False)
    found, n = grouped.mean().reset_index(), grouped["error"].count().to_numpy()
    for name in ("error_variance", "ratio_variance"):
        found[name] /= n
    return found


def _band(theory: "pd.DataFrame", measure: Measure) -> "pd.DataFrame":
    """95 % of such means: of errors, which are positive, a gamma's with their mean and variance."""
    from scipy.special import gammaincinv, ndtri

    mean, variance = (theory[name].to_numpy(dtype=float)
                      for name in (measure.theory, f"{measure.theory}_variance"))  # fmt: skip
    with np.errstate(all="ignore"):  # without noise there is no band
        low, high = (
            gammaincinv(mean**2 / variance, q) * variance / mean
            if measure.log
            else mean + ndtri(q) * np.sqrt(variance)
            for q in (0.025, 0.975)
        )
    noisy = variance > mean**2 * 1e-12
    low, high = (np.where(noisy, each, mean) for each in (low, high))
    found: pd.DataFrame = theory[KEY].assign(mean=mean, low=low, high=high)
    return found.dropna()


def _converging(
    source: Source, frame: "pd.DataFrame", theory: "pd.DataFrame", measure: Measure, note: str
) -> Figure:
    points = frame.groupby(KEY, sort=False)[measure.column].mean().reset_index(name="mean")
    points = points[np.isfinite(points["mean"])]
    band = _band(theory, measure)
    both = points.merge(band, on=KEY, how="left", suffixes=("", "_expected"))
    ends = both[both["step"] == both.groupby(ARM)["step"].transform("max")]
    ranked = ends.groupby(ARM)["mean"].agg(lambda each: each.abs().mean()).sort_values().index
    arms = [arm for arm in source.palette.arms if arm in set(band[ARM])]
    middle = [arm for arm in ranked if arm in arms]
    start = middle[len(middle) // 2] if middle else ""
    names, place = tuple(arms), arms.index(start) if arms else 0
    slider = Control("theory", "Theory of", names, names, place)
    known = both[(both["step"] > 0) & both["low"].notna()]
    text = f"{ranked[0]} ends closest on average" if len(ranked) else "No layer has a finite error"
    text += f", {ranked[-1]} farthest" if len(ranked) > 1 else ""
    columns = [ARM, "layer", "step", "mean", "mean_expected", "low", "high"]
    return Figure(
        name=measure.column.replace("_", "-"),
        title=measure.title,
        sentence=sentences(
            f"{text}.",
            _verdict(known),
        ),
        chart=_multiples(source, points, band, measure, start),
        table=table(
            ("arm", "layer", "step", "measured", "theory", "its band from", "to"),
            ends[columns].itertuples(index=False),
        ),
        controls=(slider,) if len(arms) > 1 else (),
        key=(
            *source.palette.signs(list(ranked)),
            *(
                sign("theory of one arm", line=(4, 3)),
                sign(f"theory's 95{PERCENT} band", "band", opacity=0.22),
            )
            * bool(arms),
        ),
        note=sentences(
            f"{measure.note}, mean over seeds. Steps are by square root.",
            "Theory: the rest of the initial value, drift, and batches' noise as estimated."
            if arms
            else "Without theory: the trainings are not there, or no arm is an average.",
            note,
        ),
    )


def _verdict(points: "pd.DataFrame") -> str:
    """Return whether theory's band holds nearly as many points as it should, and where fewest."""
    if points.empty:
        return ""
    slack = 1e-6 * points["mean"].abs()  # of float32
    inside = points["mean"].between(points["low"] - slack, points["high"] + slack)
    if inside.mean() >= HOLDS:
        return f"Theory's 95 % band holds {percent(inside.mean())} of the measured points."
    fewest = [inside.groupby(points[name]).mean() for name in ("layer", ARM)]
    places = " and ".join(f"{percent(each.min())} of {each.idxmin()}" for each in fewest)
    return (
        f"Theory fails: its 95 % band holds {percent(inside.mean())} of the measured points, only "
        f"{places}."
    )


def _multiples(
    source: Source, points: "pd.DataFrame", band: "pd.DataFrame", measure: Measure, start: str
) -> Spec:
    """A chart a layer: an arm a line, theory dashed over it."""
    import pandas as pd

    layers = list(dict.fromkeys(points["layer"]))
    parts = [
        each for each in (points.assign(what="point"), band.assign(what="theory")) if len(each)
    ]
    frame = pd.concat(parts, ignore_index=True).rename(columns={"step": "x"})
    if measure.log:
        y = value_axis(measure.axis, points, log=True)
    else:
        scale = {"type": "symlog", "constant": 0.1, "nice": False, "padding": 5}
        y = {"title": measure.axis, "scale": scale, "axis": {"values": RATIOS, "format": "~g"}}
    steps = {"grid": False, "format": ",d", "tickCount": 4, "labelOverlap": "greedy",
             "labelSeparation": 8}  # fmt: skip
    x = {"title": "step", "axis": steps, "scale": {"type": "sqrt", "nice": False, "padding": 6}}
    tips = {"arm:N": "arm", "layer:N": "layer", "x": "step", "mean": measure.axis}
    arms = list(dict.fromkeys(points[ARM]))
    at, of_theory = {"x": quantity("x", x)}, ("datum.what === 'theory'", SHOWN,
                                              f"datum.{ARM} === theory")  # fmt: skip
    area = {**at, "y": quantity("low", y), "y2": {"field": "high"}}
    rule = layer("rule", {"y": {"datum": 0, **y}}, color=SOFT, strokeDash=[2, 2])
    zero = {**rule, "data": {"values": [{}]}}  # once, not for every row
    drawn = [
        *([] if measure.log else [zero]),
        *curves(source.palette, arms, x=x, y=y, tips=tips, size=22),
        layer("area", area, *of_theory, clip=measure.log, opacity=1, fillOpacity=0.22,
              color=INK),
        layer("line", {**at, "y": quantity("mean", y)}, *of_theory, clip=measure.log, color=INK,
              strokeDash=[4, 3], strokeWidth=1.4),
    ]  # fmt: skip
    facet = {"field": "layer", "sort": layers, "columns": 2 if len(layers) == 2 * 2 else 3}
    chart = panels(drawn, on_axis(frame, y), (190, 150), facet)
    chart["params"].append({"name": "theory", "value": start})
    if start:
        chart["title"] = {"text": {"expr": "'theory of ' + theory"}}
    return chart
