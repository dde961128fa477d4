"""How test loss, and accuracy of labels, came about: by epoch, an arm a line."""

import math
from typing import TYPE_CHECKING

from normexp.console.words import counted, number
from normexp.report.figure import Drawn, Figure, LeftOut, Table
from normexp.report.said import short
from normexp.report.series import by_step, has_bands, lines
from normexp.report.source import Source

if TYPE_CHECKING:
    import pandas as pd

INTERVAL = (
    "Mean over seeds; the band is its 95 % interval (Student's t), too short above where seeds are "
    "skewed."
)

WIDE = 5
"""The largest mean over the smallest from which on an axis is logarithmic."""

POINTED = (
    "Mean over seeds. Its 95 % intervals (Student's t) would cover one another: point at a mark to "
    "read its own."
)

SINGLE = "One seed an arm: there are no intervals."

TITLES = {"test_loss": "Test loss by epoch", "test_accuracy": "Test accuracy by epoch"}


def training(source: Source) -> Drawn:
    """Test loss by epoch; accuracy too, where there are labels."""
    metrics = source.frame("metrics")
    if metrics.empty:
        return [LeftOut(TITLES["test_loss"], "every run has diverged")]
    if metrics["epoch"].nunique() < 2:  # noqa: PLR2004
        return [LeftOut(TITLES["test_loss"], "there is one evaluation point")]
    wanted = ["test_loss", *(["test_accuracy"] if source.on_labels else [])]
    return [_figure(source, metrics, metric) for metric in wanted]


def _figure(source: Source, metrics: "pd.DataFrame", metric: str) -> Figure | LeftOut:
    drawn = metrics[metrics["arm"].isin(source.palette.arms)]
    points = by_step(drawn, metric, ["arm", "epoch"])
    if points.empty:
        return LeftOut(TITLES[metric], "no mean is finite")
    what = metric.replace("_", " ")
    log = metric == "test_loss" and _wide(points)
    scale = ", logarithmic," if log else ""
    return Figure(
        name=metric.replace("_", "-"),
        title=TITLES[metric],
        sentence=_sentence(points, metric),
        description=f"Line chart: {what}{scale} against epoch, one line for each of "
        f"{counted(points['arm'].nunique(), 'arm')}, "
        f"means over seeds{' with 95 % intervals' if has_bands(points) else ''}.",
        chart=lines(
            points, source.palette, x="epoch", title=what, log=log, within=_possible(metric)
        ),
        table=_table(points, source.palette.arms),
        note=f"{_interval(points)} {source.thinned}".strip(),
    )


def _interval(points: "pd.DataFrame") -> str:
    if has_bands(points):
        return INTERVAL
    return POINTED if points["n"].max() > 1 else SINGLE


def _possible(metric: str) -> tuple[float, float]:
    """The values that a metric can have."""
    return (0.0, 1.0) if metric == "test_accuracy" else (-math.inf, math.inf)


def _wide(points: "pd.DataFrame") -> bool:
    """Whether losses differ by so much that a linear axis would show the largest only."""
    low, high = points["mean"].min(), points["mean"].max()
    return bool(low > 0 and high / low > WIDE)


def _sentence(points: "pd.DataFrame", metric: str) -> str:
    last = points.sort_values("epoch").groupby("arm", observed=True)["mean"].last()
    order = last.sort_values(ascending=metric == "test_loss")
    best, worst = order.index[0], order.index[-1]
    what = metric.replace("_", " ")
    course = points[points["arm"] == best].set_index("epoch")["mean"]
    end = course.index[-1]
    if best == worst:
        return f"{what.capitalize()} goes from {short(course.iloc[0])} to {short(course.iloc[-1])}."
    ends = points.groupby("arm", observed=True)["epoch"].max()
    after = (
        f"After {counted(int(end), 'epoch')}"
        if ends.min() == ends.max()
        else "After its last epoch"
    )
    return (
        f"{after} {best} is at {short(order.iloc[0])}, {worst} at "
        f"{short(order.iloc[-1])}; {best} began at {short(course.iloc[0])}."
    )


def _table(points: "pd.DataFrame", arms: tuple[str, ...]) -> Table:
    wide = points.pivot_table(index="epoch", columns="arm", values="mean", observed=True)
    present = [arm for arm in arms if arm in wide.columns]
    rows = tuple(
        (f"{epoch}", *(number(wide.loc[epoch, arm]) for arm in present)) for epoch in wide.index
    )
    return Table(("epoch", *present), rows)
