"""The momentum curve: what evaluation shows at each momentum, and what it was predicted to cost."""

from collections.abc import Sequence

from normexp.analysis import Estimate
from normexp.console.words import NOTHING, interval
from normexp.report.cells import Cell, Point, cells, forecast
from normexp.report.costs import MOST_INTERVALS, costs
from normexp.report.curve import MOST_LINES, MOST_PANELS, curve
from normexp.report.figure import Drawn, Figure, LeftOut, Table
from normexp.report.momentum_words import brief, cost_sentence, keras, sentence
from normexp.report.source import Source

TITLE = "Momentum curve"

COSTS = "What the momentum costs"

MOST_ROWS = 400
"""Of a table."""

EXCESS = "excess_loss"

NOTE = "Mean over seeds with its 95 % interval (Student's t)."

PREDICTED = (
    "Predicted: population plus what the drift and noise of the first {seeds} seeds of each panel "
    "are predicted to cost (medians), by how far predictions on training inputs move; no label and "
    "no test point is looked at."
)


def momentum(source: Source) -> Drawn:
    """Test loss, accuracy of labels and excess loss by momentum."""
    found = cells(source)
    if not found:
        return [LeftOut(TITLE, "no two runs differ in their momentum alone")]
    known = [each for each in found if each.measured("test_loss")]
    if not known:
        return [LeftOut(TITLE, "no run with a momentum has a finite test loss")]
    drawn, seeds = forecast(source, _spread(known, MOST_PANELS))
    by_name = {each.name: each for each in drawn}
    whole = [by_name.get(each.name, each) for each in found]
    made = [_level(whole, drawn, metric, seeds) for metric in _metrics(source)]
    if not any(each.measured(EXCESS) for each in drawn):
        return [*made, LeftOut(COSTS, "no excess loss is finite")]
    return [*made, _excess(whole, drawn, seeds)]


def _metrics(source: Source) -> list[str]:
    return ["test_loss", *(["test_accuracy"] if source.on_labels else [])]


def _spread(found: Sequence[Cell], most: int) -> list[Cell]:
    """As many as are drawn, from the best to the worst, evenly by rank."""
    if len(found) <= most:
        return list(found)

    def loss(cell: Cell) -> float:
        best = cell.best("test_loss")
        return best.value("test_loss").mean if best else float("inf")

    ranked = sorted(found, key=loss)
    kept = {ranked[round(i * (len(ranked) - 1) / (most - 1))].name for i in range(most)}
    return [each for each in found if each.name in kept]


def _level(whole: Sequence[Cell], drawn: Sequence[Cell], metric: str, seeds: int) -> Figure:
    what = metric.replace("_", " ")
    several = len(drawn) > 1
    return Figure(
        name="momentum-curve" if metric == "test_loss" else "momentum-accuracy",
        title=TITLE if metric == "test_loss" else "Momentum curve of accuracy",
        sentence=sentence(whole, metric),
        description=f"Line chart{f', {len(drawn)} panels' if several else ''}: {what} against "
        "momentum on a logarithmic axis, in PyTorch's convention below and in Keras's above, with "
        "95 % intervals; horizontal lines for the population's statistics and for no norm; the "
        "best measured momentum ringed, the best predicted one a vertical line.",
        chart=curve(drawn, metric),
        table=_table(whole, metric),
        note=_note(whole, drawn, seeds, predicted=metric == "test_loss", panels=True),
    )


def _excess(whole: Sequence[Cell], drawn: Sequence[Cell], seeds: int) -> Figure:
    lines = _spread(drawn, MOST_LINES)
    return Figure(
        name="momentum-excess",
        title=COSTS,
        sentence=cost_sentence(whole),
        description="Line chart: excess loss (test loss minus that under the population's "
        f"statistics) against momentum, both axes logarithmic, {len(lines)} lines with 95 % "
        "intervals; dashed lines for the predicted cost.",
        chart=costs(lines),
        table=_table(whole, EXCESS),
        note=_note(whole, lines, seeds, predicted=True, panels=False)
        + " What is not above zero stands at the lower end of the axis; of more than "
        f"{MOST_INTERVALS} lines the table alone has the intervals.",
    )


def _note(
    whole: Sequence[Cell], drawn: Sequence[Cell], seeds: int, *, predicted: bool, panels: bool
) -> str:
    parts = [NOTE, *(["Each panel has its own axis."] if panels and len(drawn) > 1 else [])]
    if predicted and any(each.forecast for each in drawn):
        parts.append(PREDICTED.format(seeds=seeds).replace("first 1 seeds", "first seed"))
    if predicted and not seeds:
        parts.append("Nothing is predicted, which would take long here: normexp predict does.")
    if any(each.momentum is None for cell in drawn for each in cell.points):
        parts.append("The cumulative mean has no momentum and stands at the left edge.")
    if len(drawn) < len(whole):
        parts.append(
            f"{len(drawn)} of {len(whole)} combinations are drawn, from the best to the worst, "
            "evenly by rank; the table has all."
        )
    if sum(len(each.points) for each in whole) > MOST_ROWS:
        parts.append(f"The table has the first {MOST_ROWS} rows; summary.parquet has all.")
    return " ".join(parts)


def _table(whole: Sequence[Cell], metric: str) -> Table:
    """Every momentum of every cell, and the levels under it."""
    named = len(whole) > 1
    head = ("where",) if named else ()
    rows = [
        (*((cell.name,) if named else ()), *row) for cell in whole for row in _rows(cell, metric)
    ]
    titles = ("momentum", "Keras", "seeds", metric.replace("_", " "), "predicted cost", "best")
    return Table((*head, *titles), tuple(rows[:MOST_ROWS]))


def _rows(cell: Cell, metric: str) -> list[tuple[str, ...]]:
    best = cell.best(metric)
    rows = [_row(cell, each, metric, is_best=each is best) for each in cell.points]
    made = cell.forecast
    if made and made.best.momentum not in {each.momentum for each in cell.points}:
        m = made.best
        rows.append(
            (f"{m.momentum:g}", keras(m.momentum), NOTHING, NOTHING, brief(m.predicted),
             "predicted")
        )  # fmt: skip
    levels = {
        "population": cell.population(metric),
        "no norm": cell.plain and cell.plain.estimates.get(metric),
    }
    if metric != EXCESS:
        rows += [
            (name, NOTHING, f"{level.n}", interval(level), NOTHING, "")
            for name, level in levels.items()
            if level
        ]
    return rows


def _row(cell: Cell, point: Point, metric: str, *, is_best: bool) -> tuple[str, ...]:
    made = cell.forecast
    costs = {each.momentum: each.predicted for each in made.tried} if made else {}
    cost = costs.get(point.momentum) if point.momentum is not None else None
    is_predicted = made is not None and made.best.momentum == point.momentum
    words = [word for word, true in (("measured", is_best), ("predicted", is_predicted)) if true]
    return (
        point.words,
        NOTHING if point.momentum is None else keras(point.momentum),
        f"{point.arm.n}",
        _said(point.value(metric), point.arm.diverged),
        NOTHING if cost is None else brief(cost),
        " and ".join(words),
    )


def _said(value: Estimate, diverged: int) -> str:
    if not value.n and diverged:
        return "diverged"
    return interval(value)
