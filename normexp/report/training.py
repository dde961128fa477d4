"""How test loss, and accuracy of labels, came about: by epoch, an arm a line."""

from typing import TYPE_CHECKING

from normexp.console.words import number
from normexp.report.figure import Drawn, Figure, LeftOut, Table
from normexp.report.series import by_step, lines
from normexp.report.source import Source

if TYPE_CHECKING:
    import pandas as pd

INTERVAL = "Mean over seeds; the band is its 95 % interval (Student's t)."

TITLES = {"test_loss": "Test loss by epoch", "test_accuracy": "Test accuracy by epoch"}


def training(source: Source) -> Drawn:
    """Test loss by epoch; accuracy too, where there are labels."""
    metrics = source.frame("metrics")
    if metrics.empty:
        return [LeftOut(TITLES["test_loss"], "no run is complete")]
    if metrics["epoch"].nunique() < 2:  # noqa: PLR2004
        return [LeftOut(TITLES["test_loss"], "there is one evaluation point")]
    wanted = ["test_loss", *(["test_accuracy"] if source.on_labels else [])]
    return [_figure(source, metrics, metric) for metric in wanted]


def _figure(source: Source, metrics: "pd.DataFrame", metric: str) -> Figure:
    drawn = metrics[metrics["arm"].isin(source.palette.arms)]
    points = by_step(drawn, metric, ["arm", "epoch"])
    what = metric.replace("_", " ")
    return Figure(
        name=metric.replace("_", "-"),
        title=TITLES[metric],
        sentence=_sentence(points, metric),
        description=f"Line chart: {what} against epoch, one line for each of "
        f"{points['arm'].nunique()} arms, with 95 % intervals of the mean over seeds.",
        chart=lines(points, source.palette, x="epoch", title=what, log=metric == "test_loss"),
        table=_table(points, source.palette.arms),
        note=f"{INTERVAL} {source.thinned}".strip(),
    )


def _sentence(points: "pd.DataFrame", metric: str) -> str:
    last = points[points["epoch"] == points["epoch"].max()].set_index("arm")["mean"]
    order = last.sort_values(ascending=metric == "test_loss")
    best, worst = order.index[0], order.index[-1]
    what = metric.replace("_", " ")
    course = points[points["arm"] == best].set_index("epoch")["mean"]
    end = course.index[-1]
    if best == worst:
        return (
            f"{what.capitalize()} goes from {number(course.iloc[0])} to {number(course.iloc[-1])}."
        )
    return (
        f"After {end} epochs {best} is at {number(order.iloc[0])}, {worst} at "
        f"{number(order.iloc[-1])}; {best} began at {number(course.iloc[0])}."
    )


def _table(points: "pd.DataFrame", arms: tuple[str, ...]) -> Table:
    wide = points.pivot_table(index="epoch", columns="arm", values="mean", observed=True)
    present = [arm for arm in arms if arm in wide.columns]
    rows = tuple(
        (f"{epoch}", *(number(wide.loc[epoch, arm]) for arm in present)) for epoch in wide.index
    )
    return Table(("epoch", *present), rows)
