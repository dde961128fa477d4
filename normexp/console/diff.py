"""Where two runs differ, as a person reads it."""

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from typing import Any

from rich.console import Console

from normexp.console.columns import Column, filled, fits, table_of
from normexp.console.streams import stdout
from normexp.console.sweeps import ROUNDING
from normexp.console.tables import one_line
from normexp.console.words import NOTHING, counted, field_value, number

Report = Mapping[str, Any]

TITLES = {
    "train_loss": "train loss",
    "test_loss": "test loss",
    "test_loss_population": "population",
    "excess_loss": "excess",
    "test_accuracy": "accuracy",
    "test_accuracy_population": "accuracy by population",
}

SHARED = {
    "weights": "same training: the same weights at every step, observed in two ways",
    "seed": "same seed: the same random numbers for data and initial weights",
    "nothing": "no pair: other seeds, other data or layers of other shapes",
}

MOST_LAYERS = 12
"""That are shown; of more, those that are furthest off."""


def print_diff(report: Report) -> None:
    """What two runs are, share, came to, and were made by, as far as that differs."""
    console, left, right = stdout(), report["left"], report["right"]
    if report["same_directory"]:
        console.print(f"the same run: {left['label']}  {left['run_id']}", soft_wrap=True)
        return
    for name, side in (("first", left), ("second", right)):
        state = "" if side["status"] == "complete" else f", {side['status']}"
        console.print(
            f"{name:6}  {side['label']}  {side['run_id']}  of {side['study']}{state}",
            soft_wrap=True,
        )
    if report["same_run"]:
        console.print("the same run, stored twice", soft_wrap=True)
    else:
        console.print(SHARED[report["shared"]], soft_wrap=True)
    _print_fields(console, report)
    _print_results(console, report)
    _print_layers(console, report["layers"])
    _print_provenance(console, report["provenance"])


def _print_fields(console: Console, report: Report) -> None:
    rows, values = report["differences"], report["values"]
    if not rows:
        return
    table = table_of("field", "first", "second")
    for row in rows:
        cells = (_field(row["key"], side in row, values[side]) for side in ("left", "right"))
        table.add_row(row["key"], *cells)
    console.print(table)


def _field(path: str, has: bool, values: Report) -> str:  # noqa: FBT001
    return one_line(field_value(path, values)) if has else NOTHING


def _print_results(console: Console, report: Report) -> None:
    """Losses to four digits; equal ones are said to be."""
    rows, steps = report["results"], [report[side]["step"] for side in ("left", "right")]
    at = f"at step {steps[0]:,}" + (f" and {steps[1]:,}" if steps[0] != steps[1] else "")
    if all(row["left"] == row["right"] for row in rows):
        console.print(f"the same results {at}, to the last digit")
        return
    shown = [row | _without_rounding(row, rows, report["values"]) for row in rows]
    columns: list[Column[Report]] = [
        Column(at, lambda row: TITLES[row["metric"]], is_figure=False),
        Column("first", lambda row: _number(row["left"])),
        Column("second", lambda row: _number(row["right"])),
        Column("difference", lambda row: _signed(row["difference"])),
        Column("ratio", _ratio),
    ]
    if not report["same_data"]:
        console.print(filled(columns[:-2], shown))
        console.print("losses on different data are not compared", style="dim")
        return
    table = filled(columns, shown)
    console.print(table if fits(console, table) else filled(columns[:-2], shown))


def _without_rounding(row: Report, rows: Sequence[Report], values: Report) -> dict[str, Any]:
    """Of an excess: 0 where it is rounding, nothing where there are no running statistics."""
    if row["metric"] != "excess_loss":
        return {}
    losses = next(each for each in rows if each["metric"] == "test_loss_population")
    found = {side: _excess(row[side], losses[side]) for side in ("left", "right")}
    for side in found:
        if "norm.momentum" not in values[side]:
            return {side: None, "difference": None, "ratio": None}
    return found


def _excess(value: float | None, population: float | None) -> float | None:
    is_rounding = value is not None and abs(value) < ROUNDING * abs(population or 0.0)
    return 0.0 if is_rounding else value


def _number(value: float | None) -> str:
    if value is None:
        return NOTHING
    return "0" if value == 0 else number(float(value))


def _signed(value: float | None) -> str:
    sign = "+" if value is not None and value > 0 else ""
    return sign + _number(value)


def _ratio(row: Report) -> str:
    """How many times the first the second is, where both are above zero."""
    if row["ratio"] is None or not (row["left"] and row["right"]) or row["ratio"] < 0:
        return NOTHING
    return f"{row['ratio']:.3g}"


def _print_layers(console: Console, layers: Sequence[Report]) -> None:
    """How far the running statistics are off, the layers in their order."""
    if not layers or all(layer.get("left") == layer.get("right") for layer in layers):
        return
    most = sorted(layers, key=_furthest, reverse=True)[:MOST_LAYERS]
    shown = [layer for layer in layers if layer in most]
    columns: list[Column[Report]] = [Column("layer", _layer_name, is_figure=False)]
    for title, name in (("mean error, σ", "mean_error"), ("ln variance ratio", "log_var_ratio")):
        for side, word in (("left", "first"), ("right", "second")):
            columns.append(Column(f"{title}\n{word}", _of(side, name)))
    table = filled(columns, shown)
    if not fits(console, table):
        table = filled(columns[:3], shown)
    console.print(table)
    if len(shown) < len(layers):
        others = counted(len(layers) - len(shown), "layer").replace(" ", " more ")
        console.print(f"… {others}, not as far off: --json", style="dim")


def _layer_name(row: Report) -> str:
    return one_line(row["layer"])


def _of(side: str, name: str) -> Callable[[Report], str]:
    return lambda row: _number(row.get(side, {}).get(name))


def _furthest(layer: Report) -> float:
    """The largest error of either run."""
    errors = (layer.get(side, {}).values() for side in ("left", "right"))
    found = [abs(value) for each in errors for value in each if value is not None]
    return max((value for value in found if not isnan(value)), default=0.0)


def _print_provenance(console: Console, rows: Sequence[Report]) -> None:
    if not rows:
        console.print("made by the same code, versions and machine")
        return
    table = table_of("made by", "first", "second")
    for row in rows:
        name = row["name"] + " *" * row["deciding"]
        table.add_row(name, *(_entry(row, side) for side in ("left", "right")))
    console.print(table)
    if any(row["deciding"] for row in rows):
        console.print("* numbers may depend on it", style="dim")


def _entry(row: Report, side: str) -> str:
    """A list in one cell; a dash for what is not recorded or was not set."""
    value = row.get(side)
    if isinstance(value, Mapping):
        value = [f"{name}={each}" for name, each in value.items() if each is not None]
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return one_line(str(value)) if value not in (None, "") else NOTHING
