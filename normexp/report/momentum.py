"""The momentum curve: what evaluation shows at each momentum, and what it was predicted to cost."""

from collections.abc import Sequence

from normexp.console.words import NOTHING, SKEWED_NOTE, interval
from normexp.insight.arms import Estimate
from normexp.report.cells import Cell, Point, cells, forecast
from normexp.report.curve import EXCESS, MOST_PANELS, curve
from normexp.report.figure import Drawn, Figure, LeftOut, Table
from normexp.report.momentum_words import PERCENT, brief, cost_sentence, keras, sentence
from normexp.report.source import Source
from normexp.report.style import Palette

TITLE = "Momentum curve"

COSTS = "What the momentum costs"

MOST_ROWS = 400
"""Of a table."""

NOTE = (
    f"Mean over seeds with its 95{PERCENT} interval (Student's t); a point looks as its arm does "
    f"in the legend, in ink where the arm is not drawn there. {SKEWED_NOTE}"
)

PREDICTED = (
    "Predicted: population plus what the loss on training data rises by in evaluation mode under "
    "each momentum (median of the first {which} of each panel); no test example is looked at. "
    "Below the population's, running statistics do better than its statistics."
)


def momentum(source: Source) -> Drawn:
    """Test loss, accuracy of labels and excess loss by momentum."""
    found = cells(source)
    if not found:
        return [LeftOut(TITLE, "no two runs differ in their momentum alone")]
    known = [each for each in found if each.measured("test_loss")]
    if not known:
        return [LeftOut(TITLE, "no run with a momentum has a finite test loss")]
    drawn, seeds, lost = forecast(source, _spread(known, MOST_PANELS))
    by_name = {each.name: each for each in drawn}
    whole = [by_name.get(each.name, each) for each in found]
    palette = source.palette
    made = [_level(whole, drawn, metric, seeds, palette) for metric in _metrics(source)]
    missing = [LeftOut("Predicted cost", each) for each in lost]
    if not any(each.measured(EXCESS) for each in drawn):
        return [*made, LeftOut(COSTS, "no excess loss is finite"), *missing]
    return [*made, *missing, _excess(whole, drawn, seeds, palette)]


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


def _level(
    whole: Sequence[Cell], drawn: Sequence[Cell], metric: str, seeds: int, palette: Palette
) -> Figure:
    what = metric.replace("_", " ")
    known = [each for each in drawn if each.measured(metric)]
    log = ", logarithmic," if metric == "test_loss" else ""
    return Figure(
        name="momentum-curve" if metric == "test_loss" else "momentum-accuracy",
        title=TITLE if metric == "test_loss" else "Momentum curve of accuracy",
        sentence=sentence(whole, metric),
        description=f"Line chart{_panels(drawn)}: {what}{log} against "
        "momentum on a logarithmic axis, in PyTorch's convention below and in Keras's above, with "
        f"95{PERCENT} intervals; horizontal lines for the population's statistics and for no norm; "
        "the best measured momentum ringed, the best predicted one a vertical line.",
        chart=curve(known, metric, palette),
        table=_table(whole, metric),
        note=_note(
            [each for each in whole if each.measured(metric)],
            known,
            seeds,
            predicted=metric == "test_loss",
        ),
    )


def _excess(whole: Sequence[Cell], drawn: Sequence[Cell], seeds: int, palette: Palette) -> Figure:
    known = [each for each in drawn if each.measured(EXCESS)]
    note = _note(whole, known, seeds, predicted=True)
    values = [each.value(EXCESS).mean for cell in known for each in cell.measured(EXCESS)]
    if min(values) <= 0 < max(values):
        note += " What is not above zero stands at the lower end of the axis."
    return Figure(
        name="momentum-excess",
        title=COSTS,
        sentence=cost_sentence(whole),
        description=f"Line chart{_panels(known)}: excess loss (test loss minus that under the "
        "population's statistics) against momentum, both axes logarithmic, with "
        f"95{PERCENT} intervals; dotted lines for the predicted cost.",
        chart=curve(known, EXCESS, palette),
        table=_table(whole, EXCESS),
        note=note,
    )


def _panels(drawn: Sequence[Cell]) -> str:
    return f", {len(drawn)} panels on one scale" if len(drawn) > 1 else ""


def _note(whole: Sequence[Cell], drawn: Sequence[Cell], seeds: int, *, predicted: bool) -> str:
    parts = [NOTE]
    if predicted and any(each.forecast for each in drawn):
        which = f"{seeds} seeds" if seeds > 1 else "seed"
        parts.append(PREDICTED.format(which=which))
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
            (f"{m.momentum:g}", keras(m.momentum), NOTHING, NOTHING, brief(m.cost),
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
    costs = {each.momentum: each.cost for each in made.tried} if made else {}
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
