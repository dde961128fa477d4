"""The course of a training: losses by epoch, and how running statistics approach the truth."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from normexp.config.norm_fields import REFERENCES, WITHOUT_MOMENTUM
from normexp.console.words import counted, number
from normexp.insight.thinning import evenly
from normexp.report.charts import Options, band_plot, count_axis, means, value_axis
from normexp.report.figure import Control, Drawn, Figure, LeftOut, said, table
from normexp.report.source import Source, some
from normexp.report.style import ARM, INK, PERCENT, SOFT, percent, switchable
from normexp.store.stored import Row

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

    from normexp.report.figure import Chart

WIDE = 5
"""The largest mean over the smallest from which on an axis is logarithmic."""

MOST_BANDS, FEWEST_SEEDS = 6, 3

MOST_SEEDS = 8
"""Of an arm, in figures that read whole trainings."""

MOST_LAYERS, MOST_POINTS = 9, 25

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
    title = f"{what.capitalize()} by epoch"
    points = means(frame, metric, [ARM, "epoch"])
    if points.empty:
        return LeftOut(title, "no mean is finite")
    bands = points[ARM].nunique() <= MOST_BANDS and points["n"].median() >= FEWEST_SEEDS
    low, high = points["mean"].min(), points["mean"].max()
    log = bool(metric == "test_loss" and low > 0 and high / low > WIDE)
    within = (0.0, 1.0) if metric == "test_accuracy" else (-math.inf, math.inf)
    ends = points.sort_values("epoch").groupby(ARM, sort=False)["mean"].last()
    arms = sorted(ends.index, key=lambda arm: ends[arm], reverse=metric != "test_loss")
    wide = points.pivot_table(index="epoch", columns=ARM, values="mean", observed=True)
    shown = [arm for arm in source.palette.arms if arm in wide]
    band = f"95{PERCENT} interval (Student's t)"
    return Figure(
        name=metric.replace("_", "-"),
        title=title,
        sentence=f"{arms[0]} ends at {number(ends[arms[0]], 3)}"
        f"{f', {arms[-1]} at {number(ends[arms[-1]], 3)}' if len(arms) > 1 else ''}.",
        chart=band_plot(
            points.rename(columns={"epoch": "x"}).assign(what="point"),
            source.palette,
            x=count_axis("epoch", points["epoch"]),
            y=value_axis(what, points if bands else points[["mean"]], log=log, within=within),
            tips={"arm:N": "arm", "x": "epoch", "mean": what, "low": f"95{PERCENT} from",
                  "high": "to", "n": "seeds"},
            bands=bands,
        ),
        table=table(("epoch", *shown), [(e, *row) for e, row in
                                        zip(wide.index, wide[shown].to_numpy(), strict=True)]),
        note=said(
            f"Mean over seeds; the band is its {band}." if bands
            else f"Mean over seeds; point at a mark to read its {band}." if points["n"].max() > 1
            else "One seed an arm: there are no intervals.",
            source.thinned,
        ),
    )  # fmt: skip


class Sample(NamedTuple):
    """Some runs with running statistics, for figures that read whole trainings.

    Attributes:
        rows: of the first seeds of every arm that is drawn and averages batches.
        note: how many seeds there are of how many, and which arms have no error; may be empty.
        why: why there is none.
    """

    rows: list[Row]
    note: str
    why: str


def sample(source: Source) -> Sample:
    """The first seeds of every arm that is drawn and has running statistics."""
    kept: dict[str, list[Row]] = {}
    exact: dict[str, None] = {}
    for row in sorted(source.complete, key=lambda row: row["seed"]):
        if row[ARM] not in source.palette.arms or "norm.estimator" not in row:
            continue
        if row["norm.estimator"] in REFERENCES:
            exact[row[ARM]] = None
        else:
            kept.setdefault(row[ARM], []).append(row)
    most = max(map(len, kept.values()), default=0)
    note = said(
        f"From {MOST_SEEDS} of {counted(most, 'seed')}." if most > MOST_SEEDS else "",
        f"Without {', '.join(exact)}, which average nothing." if exact else "",
        source.thinned,
    )
    why = (
        "every run diverged" if not source.complete
        else "no arm that is drawn has running statistics of its own"
        if any(arm.has_statistics for arm in source.arms.values())
        else "no run has running statistics"
    )  # fmt: skip
    ordered = [row for arm in source.arms for row in kept.get(arm, ())[:MOST_SEEDS]]
    return Sample(ordered, note, why)


class Measure(NamedTuple):
    """An error that is known by step and layer: its column, and how it is named and drawn."""

    column: str
    theory: str
    title: str
    axis: str
    log: bool


MEASURES = (
    Measure("mean_error", "error", "Error of the running mean by step", "error in σ", log=True),
    Measure("log_var_ratio", "ratio", "Error of the running variance by step",
            "ln(running / population)", log=False),
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
    steps = {
        (arm, step)
        for arm, part in frame.groupby(ARM)["step"]
        for step in some(sorted(set(part)), MOST_POINTS)
    }
    shown = frame["layer"].isin(kept) & frame[[ARM, "step"]].apply(tuple, axis=1).isin(steps)
    theory = _theory(source, chosen.rows, frame.groupby(ARM)["step"].nunique().max(), kept)
    few = f"{len(kept)} of {len(layers)} layers, evenly." if len(kept) < len(layers) else ""
    return [_converging(source, chosen, frame[shown], theory, measure, few) for measure in MEASURES]


def _theory(source: Source, rows: Sequence[Row], points: int, kept: list[str]) -> "pd.DataFrame":
    """Expected errors and their variances, means over seeds; no rows where trainings are gone."""
    import pandas as pd

    from normexp.insight.course import courses
    from normexp.insight.training import trainings_of

    arms = {row["run_id"]: row[ARM] for row in rows}
    names, parts = ("error", "error_variance", "ratio", "ratio_variance"), []
    for each in trainings_of(source.stored(rows)):
        for course in courses(each, evenly(int(points), MOST_POINTS)):
            steps, layers = len(course.steps), len(course.layers)
            columns = {ARM: arms[course.run.id], "step": np.repeat(course.steps, layers),
                       "layer": list(course.layers) * steps}  # fmt: skip
            columns |= {name: getattr(course, name).ravel() for name in names}
            parts.append(pd.DataFrame(columns))
    if not parts:
        return pd.DataFrame(columns=[*KEY, *names])
    whole = pd.concat(parts, ignore_index=True)
    grouped = whole[whole["layer"].isin(kept)].groupby(KEY, sort=False)
    found, n = grouped.mean().reset_index(), grouped["error"].count().to_numpy()
    for name in ("error_variance", "ratio_variance"):
        found[name] /= n
    return found


def _band(theory: "pd.DataFrame", measure: Measure) -> "pd.DataFrame":
    """95 % of such means: of errors, which are positive, a gamma's with their mean and variance."""
    from scipy.stats import gamma, norm

    mean = theory[measure.theory].astype(float)
    variance = theory[f"{measure.theory}_variance"].astype(float)
    if measure.log:
        with np.errstate(all="ignore"):  # without noise there is no band
            shape, scale = mean**2 / variance, variance / mean
            noisy = variance > mean**2 * 1e-12
            low, high = (np.where(noisy, gamma.ppf(q, shape, scale=scale), mean)
                         for q in (0.025, 0.975))  # fmt: skip
    else:
        low, high = ((mean + norm.ppf(q) * np.sqrt(variance)).to_numpy() for q in (0.025, 0.975))
    found: pd.DataFrame = theory[KEY].assign(mean=mean, low=low, high=high)
    return found.dropna()


def _converging(  # noqa: PLR0913, PLR0917  what it is made of
    source: Source,
    chosen: Sample,
    frame: "pd.DataFrame",
    theory: "pd.DataFrame",
    measure: Measure,
    few: str,
) -> Figure:
    points = frame.groupby(KEY, sort=False)[measure.column].mean().reset_index(name="mean")
    points = points[np.isfinite(points["mean"])]
    band = _band(theory, measure)
    both = points.merge(band, on=KEY, how="left", suffixes=("", "_expected"))
    ends = both[both["step"] == both.groupby(ARM)["step"].transform("max")]
    arms = [arm for arm in source.palette.arms if arm in set(band[ARM])]
    by_error = ends.groupby(ARM)["mean"].agg(lambda each: each.abs().mean()).sort_values()
    middle = [arm for arm in by_error.index if arm in arms]
    start = middle[len(middle) // 2] if middle else ""
    slider = Control("theory", "Theory of", tuple(arms), tuple(arms), arms.index(start)
                     if start else 0)  # fmt: skip
    what = (
        "Root mean square over channels of (running − population mean) / σ, mean over seeds; marks "
        "at the foot are half-lives, steps are by square root."
        if measure.log
        else "Mean over channels of ln(running / population variance), and over seeds; 0 is right."
    )
    dashed = (
        "Dashed: theory of one arm, exact but for the noise of batches, with 95 % of such means."
        if arms
        else "Without theory: the trainings are not there, or no arm is an average."
    )
    return Figure(
        name=measure.column.replace("_", "-"),
        title=measure.title,
        sentence=_closest(by_error, ends, both, measure),
        chart=_multiples(source, chosen.rows, points, band, measure, start),
        table=table(
            ("arm", "layer", "step", "measured", "theory", "its band from", "to"),
            ends[[*KEY[:1], "layer", "step", "mean", "mean_expected", "low", "high"]].to_numpy(),
        ),
        controls=(slider,) if len(arms) > 1 else (),
        note=said(what, dashed, few, chosen.note),
    )


def _closest(
    by_error: "pd.Series[float]", ends: "pd.DataFrame", both: "pd.DataFrame", measure: Measure
) -> str:
    """The arms that end closest and farthest, and how well theory knew."""
    if ends.empty:
        return "No layer has a finite error."
    worst = ends.iloc[int(ends["mean"].abs().to_numpy().argmax())]
    off = (
        f"{number(abs(worst['mean']), 3)} σ off" if measure.log
        else f"{number(math.exp(worst['mean']), 3)} times the population's"
    )  # fmt: skip
    text = (
        f"The running {'mean' if measure.log else 'variance'} of {worst['layer']} ends farthest, "
        f"{off}, with {worst[ARM]}"
    )
    if len(by_error) > 1:
        text += f"; closest on average is {by_error.index[0]}"
    known = both[(both["step"] > 0) & both["low"].notna()]
    if known.empty:
        return f"{text}."
    slack = 1e-6 * known["mean"].abs()  # of float32
    inside = known["mean"].between(known["low"] - slack, known["high"] + slack).mean()
    return f"{text}. {percent(inside)} of the points lie within theory's 95 % band."


def _multiples(  # noqa: PLR0913, PLR0917  what is drawn
    source: Source,
    rows: Sequence[Row],
    points: "pd.DataFrame",
    band: "pd.DataFrame",
    measure: Measure,
    start: str,
) -> "Chart":
    """A chart a layer: an arm a line, theory dashed over it, half-lives at the foot."""
    import altair as alt
    import pandas as pd

    lives = {
        row[ARM]: float(row["half_life_steps"])
        for row in rows
        if row["half_life_steps"] is not None and row["norm.estimator"] not in WITHOUT_MOMENTUM
    }
    layers = list(dict.fromkeys(points["layer"]))
    last = points["step"].max()
    feet = [{ARM: arm, "step": life, "layer": layer, "what": "foot"}
            for arm, life in lives.items() if life <= last for layer in layers]  # fmt: skip
    parts = [points.assign(what="point"), band.assign(what="theory"), pd.DataFrame(feet)]
    frame = pd.concat([each for each in parts if len(each)], ignore_index=True)
    if measure.log:  # zero has no place on it
        frame = frame[(frame["mean"] > 0) | frame["mean"].isna()]
        y = value_axis(measure.axis, points[points["mean"] > 0], log=True)
        floor = y["scale"]["domain"][0]
        frame = frame.assign(**{name: frame[name].clip(lower=floor) for name in ("mean", "low")
                                if name in frame})  # fmt: skip
    else:
        scale = alt.Scale(type="symlog", constant=0.1, nice=False, padding=5)
        y = {"title": measure.axis, "scale": scale, "axis": alt.Axis(values=RATIOS, format="~g")}
    steps = alt.Axis(grid=False, format=",d", tickCount=4, labelOverlap="greedy",
                     labelSeparation=8)  # fmt: skip
    x: Options = {"title": "step", "axis": steps,
                  "scale": alt.Scale(type="sqrt", nice=False, padding=6)}  # fmt: skip
    chart = band_plot(
        frame.rename(columns={"step": "x"}),
        source.palette,
        x=x,
        y=y,
        tips={"arm:N": "arm", "layer:N": "layer", "x": "step", "mean": measure.axis},
        bands=False,
        facet={"field": "layer", "sort": layers, "columns": 2 if len(layers) == 2 * 2 else 3},
        size=(190, 150),
        extra=lambda of: _theory_layers(
            of, source, x, y, list(dict.fromkeys(points[ARM])), measure
        ),
    )
    return chart.add_params(alt.param(name="theory", value=start))


def _theory_layers(  # noqa: PLR0913, PLR0917  what they are made of
    of: "Callable[[str], alt.Chart]",
    source: Source,
    x: Options,
    y: Options,
    arms: Sequence[str],
    measure: Measure,
) -> "tuple[list[alt.Chart], list[alt.Chart]]":
    """Zero under the points; theory of the chosen arm, and half-lives, over them."""
    import altair as alt

    at = alt.X("x:Q", **x)
    theory = switchable(of("theory")).transform_filter(f"datum.{ARM} === theory")
    above = [
        theory.mark_area(clip=True, opacity=0.22, color=INK)
        .encode(at, alt.Y("low:Q", **y), alt.Y2("high:Q")),
        theory.mark_line(clip=True, color=INK, strokeDash=[4, 3], strokeWidth=1.4)
        .encode(at, alt.Y("mean:Q", **y)),
    ]  # fmt: skip
    if arms:
        foot = switchable(of("foot")).encode(at, source.palette.encode("color", arms))
        life: Any = [alt.Tooltip(f"{ARM}:N"), alt.Tooltip("x:Q", title="half-life in steps",
                                                          format=".3g")]  # fmt: skip
        top = alt.value(138)
        above += [
            foot.mark_rule(strokeWidth=2).encode(y=alt.value(150), y2=top),
            foot.mark_point(opacity=1, size=36).encode(
                y=top, shape=source.palette.encode("shape", arms), tooltip=life
            ),
        ]
    if measure.log:
        return [], above
    zero = alt.YDatum(0, **y)
    return [alt.Chart().mark_rule(color=SOFT, strokeDash=[2, 2]).encode(zero)], above
