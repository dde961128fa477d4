"""How running statistics approach the population's, layer by layer, and how they should."""

from typing import TYPE_CHECKING

import numpy as np

from normexp.console.words import counted, number
from normexp.insight.thinning import evenly
from normexp.report.figure import Control, Drawn, Figure, LeftOut, Table
from normexp.report.said import percent, short
from normexp.report.sample import MOST_LAYERS, MOST_POINTS, Sample, sample, why_none
from normexp.report.small import THEORY_OF, Measure, multiples
from normexp.report.source import Source

if TYPE_CHECKING:
    import pandas as pd

KEY = ["arm", "step", "layer"]

TITLE = "Convergence of the running statistics"

MEASURES = (
    Measure("mean_error", "error", "Error of the running mean by step", "error in σ", log=True),
    Measure(
        "log_var_ratio", "ratio", "Error of the running variance by step",
        "ln(running / population)", log=False,
    ),
)  # fmt: skip


def convergence(source: Source) -> Drawn:
    """Error of the mean and log variance ratio, in small multiples over layers."""
    chosen = sample(source)
    if not chosen.rows:
        return [LeftOut(TITLE, why_none(source))]
    frame = source.frame_of(chosen.rows, "layers")
    if frame["step"].nunique() < 2:  # noqa: PLR2004
        return [LeftOut(TITLE, "there is one evaluation point")]
    frame = frame.astype({"layer": str, "arm": str})
    points = evenly(int(frame.groupby("arm")["step"].nunique().max()), MOST_POINTS)
    layers = list(dict.fromkeys(frame["layer"]))
    kept = [layers[i] for i in evenly(len(layers), MOST_LAYERS)]
    frame = frame[frame["layer"].isin(kept) & _is_shown(frame)]
    expected = _expected(chosen, points, kept)
    note, start = _layers_note(layers, kept), _start(frame, set(expected["arm"]))
    return [_figure(source, chosen, frame, expected, each, note, start) for each in MEASURES]


def _is_shown(frame: "pd.DataFrame") -> "pd.Series[bool]":
    """Which rows are of an evaluation point that is drawn: as many of every arm as theory has."""
    steps = {arm: sorted(set(part)) for arm, part in frame.groupby("arm")["step"]}
    kept = {
        (arm, every[i]) for arm, every in steps.items() for i in evenly(len(every), MOST_POINTS)
    }
    return frame[["arm", "step"]].apply(tuple, axis=1).isin(kept)


def _expected(chosen: Sample, points: list[int], kept: list[str]) -> "pd.DataFrame":
    """Theory's means over seeds and their variances; no rows where trainings are gone."""
    import pandas as pd

    from normexp.insight.course import courses

    names, parts = ("error", "error_variance", "ratio", "ratio_variance"), []
    for training in chosen.trainings():
        for each in courses(training, points):
            steps, layers = len(each.steps), len(each.layers)
            columns = {"step": np.repeat(each.steps, layers),
                       "layer": list(each.layers) * steps}  # fmt: skip
            columns |= {name: getattr(each, name).ravel() for name in names}
            parts += [pd.DataFrame({"arm": arm, **columns}) for arm in chosen.arms_of(each.run)]
    if not parts:
        nothing = pd.DataFrame({name: [] for name in names}, dtype=float)
        return nothing.assign(arm="", layer="", step=0)
    whole = pd.concat(parts, ignore_index=True)
    whole = whole[whole["layer"].isin(kept)]
    found = whole.groupby(KEY, sort=False).mean().reset_index()
    n = whole.groupby(KEY, sort=False)["error"].count().to_numpy()
    for name in ("error_variance", "ratio_variance"):
        found[name] /= n
    return found


def _band(expected: "pd.DataFrame", measure: Measure) -> "pd.DataFrame":
    """95 % of such means: of errors, which are positive, a gamma's with their mean and variance."""
    from scipy.stats import gamma, norm

    mean, variance = expected[measure.theory], expected[f"{measure.theory}_variance"]
    deviation = np.sqrt(variance)
    if measure.log:
        with np.errstate(all="ignore"):  # without noise there is no band
            shape, scale = mean**2 / variance, variance / mean
            low, high = (np.where(variance > mean**2 * 1e-12, gamma.ppf(q, shape, scale=scale),
                                  mean) for q in (0.025, 0.975))  # fmt: skip
    else:
        low, high = (mean + norm.ppf(q) * deviation for q in (0.025, 0.975))
    found: pd.DataFrame = expected[KEY].assign(expected=mean, low=low, high=high)
    return found.dropna()


def _figure(  # noqa: PLR0913, PLR0917  what it is made of
    source: Source,
    chosen: Sample,
    frame: "pd.DataFrame",
    expected: "pd.DataFrame",
    measure: Measure,
    note: str,
    start: str,
) -> Figure:
    means = frame.groupby(KEY, sort=False)[measure.column].mean().reset_index(name="value")
    means = means[np.isfinite(means["value"])]
    theory = _band(expected, measure)
    arms = [arm for arm in chosen.arms if arm in set(theory["arm"])]
    lives = _half_lives(chosen)
    layers = list(dict.fromkeys(frame["layer"]))
    controls = (
        Control(THEORY_OF, "Theory of", tuple(arms), tuple(arms), arms.index(start)),
    ) if len(arms) > 1 and start in arms else ()  # fmt: skip
    return Figure(
        name=measure.column.replace("_", "-"),
        title=measure.title,
        sentence=_sentence(means, theory, measure),
        description=f"{counted(len(layers), 'line chart')}, one a layer: {measure.title.lower()}, "
        f"one line for each of {counted(len(chosen.arms), 'arm')}, theory for one of them as a "
        "dashed line with its 95 % band; ticks on the step axis mark half-lives.",
        chart=multiples(means, theory, lives, source.palette, measure, layers, start),
        table=_table(means, theory, lives, chosen.arms),
        controls=controls,
        note=_note(measure, chosen, note, any_theory=bool(arms)),
    )


def _start(frame: "pd.DataFrame", theory: set[str]) -> str:
    """The arm whose theory shows first: that with the middle error at the end."""
    last = frame[frame["step"] == frame.groupby("arm")["step"].transform("max")]
    order = last.groupby("arm")["mean_error"].mean().sort_values().index
    there = [str(arm) for arm in order if arm in theory]
    return there[len(there) // 2] if there else ""


def _half_lives(chosen: Sample) -> dict[str, float]:
    """Steps, by arm; none of arms that forget in another way, or change their momentum."""
    from normexp.config.norm import WITHOUT_MOMENTUM

    return {
        row["arm"]: float(row["half_life_steps"])
        for row in chosen.rows
        if row["half_life_steps"] is not None and row["norm.estimator"] not in WITHOUT_MOMENTUM
    }


def _inside(means: "pd.DataFrame", theory: "pd.DataFrame") -> tuple[float, float]:
    """Share of measured points within the band, and how far they are from its middle, in median."""
    both = means[means["step"] > 0].merge(theory, on=KEY)
    if both.empty:
        return float("nan"), float("nan")
    slack = 1e-6 * both["value"].abs()  # of float32
    inside = (both["value"] >= both["low"] - slack) & (both["value"] <= both["high"] + slack)
    return float(inside.mean()), float((both["value"] - both["expected"]).abs().median())


def _sentence(means: "pd.DataFrame", theory: "pd.DataFrame", measure: Measure) -> str:
    last = means[means["step"] == means.groupby("arm")["step"].transform("max")]
    if last.empty:
        return "No layer has a finite error."
    by_arm = last.groupby("arm", sort=False)["value"].agg(lambda each: np.abs(each).mean())
    worst = last.iloc[int(last["value"].abs().to_numpy().argmax())]
    best, of = str(by_arm.idxmin()), "mean" if measure.log else "variance"
    size = abs(worst["value"])
    off = f"by {short(size)} σ" if measure.log else (
        f"at {short(np.exp(worst['value']))} times the population's"
    )  # fmt: skip
    text = f"The running {of} of {worst['layer']} ends farthest off, {off}, with {worst['arm']}"
    if len(by_arm) > 1:
        least = f"{short(by_arm[best])} σ" if measure.log else (
            f"a factor of {1 + np.expm1(by_arm[best]):.3f}"
        )  # fmt: skip
        text += f"; closest, on average over layers, is {best}, {least} off"
    share, _ = _inside(means, theory)
    if np.isfinite(share):
        text += f". {percent(share)} of the measured points lie within theory's 95 % band"
    return text + "."


def _table(
    means: "pd.DataFrame", theory: "pd.DataFrame", lives: dict[str, float], arms: tuple[str, ...]
) -> Table:
    """At the end, a row an arm and layer."""
    last = means[means["step"] == means.groupby("arm")["step"].transform("max")]
    both = last.merge(theory, on=KEY, how="left")
    rows = []
    for arm in arms:
        for _, each in both[both["arm"] == arm].iterrows():
            life = number(lives[arm]) if arm in lives else "–"
            band = "–" if np.isnan(each["low"]) else (
                f"{number(each['low'])} to {number(each['high'])}"
            )  # fmt: skip
            figures = (number(each["value"]), number(each["expected"]), band)
            rows.append((arm, life, each["layer"], f"{each['step']:,}", *figures))
    titles = ("arm", "half-life", "layer", "step", "measured", "theory", "its band")
    return Table(titles, tuple(rows))


def _layers_note(layers: list[str], kept: list[str]) -> str:
    return "" if len(kept) == len(layers) else f"{len(kept)} of {len(layers)} layers, evenly."


def _note(measure: Measure, chosen: Sample, layers: str, *, any_theory: bool) -> str:
    if not measure.log:
        what = (
            "Mean over channels of ln(running / population variance), and over seeds; 0 is right. "
            "Theory, marks and the step axis as above; the other axis is linear up to 0.1 and "
            "logarithmic beyond."
        )
        return " ".join(filter(None, [what, layers, chosen.note]))
    what = (
        "Root mean square over channels of (running − population mean) / σ, mean over seeds. Marks "
        "at the foot: half-lives. Steps are by square root, for room at the start."
    )
    theory = (
        "Dashed: theory of one arm, exact but for the noise of batches, which is what batches of "
        "such a spread are expected to have; band: 95 % of such means."
        if any_theory
        else "Without theory: the trainings are not there, or no arm is an average."
    )
    return " ".join(filter(None, [what, theory, layers, chosen.note]))
