"""What `predict` shows of stored trainings: a row a cell, or one cell's momenta and layers."""

import math
from collections.abc import Sequence
from itertools import pairwise

from rich.console import Console

from normexp.console.columns import table_of
from normexp.console.named import named_table
from normexp.console.plot import curve
from normexp.console.streams import stdout
from normexp.console.words import NOTHING, counted, number
from normexp.errors import UsageError
from normexp.insight.budget import PARTS
from normexp.insight.forecast import Forecast, Tried
from normexp.theory.budget import best_momentum
from normexp.theory.setting import Setting

SHOWN = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9, 1.0)
"""Momenta of a table, beside the best and those of stored runs."""

WIDEST_PLOT = 72

BETWEEN = 12
"""Points of a curve from one momentum that was tried to the next."""

NOTE = (
    "Medians over trainings, where sweep's tables have means. Training loss: of the training "
    "examples in evaluation mode, with each momentum's running statistics; no test example is "
    "looked at."
)

PARTS_NOTE = (
    "initial, drift, noise: what the training loss would rise by if the statistics were off from "
    "the population's by that alone; where a net fits badly, some errors lower the loss."
)


def print_forecasts(forecasts: Sequence[Forecast]) -> None:
    """A single cell whole, of several what is best in each."""
    console = stdout()
    if len(forecasts) == 1:
        _print_cell(console, forecasts[0])
    else:
        _print_cells(console, forecasts)


def _print_cells(console: Console, forecasts: Sequence[Forecast]) -> None:
    fields = list(dict.fromkeys(path for each in forecasts for path in each.values))
    titles = ("n", "best", "keras", "training\nloss", "test\nloss", "best\nmeasured",
              "its test\nloss", "population")  # fmt: skip
    lines = []
    for each in forecasts:
        best, measured = each.best, each.best_measured
        figures = (
            str(each.n),
            f"{best.momentum:g}",
            _keras(best.momentum),
            number(best.training_loss),
            NOTHING if best.measured is None else number(best.measured),
            NOTHING if measured is None else f"{measured.momentum:g}",
            NOTHING if measured is None else number(measured.measured or 0.0),
            number(each.population),
        )
        lines.append((each.values, figures))
    console.print(named_table(console, fields, titles, lines))
    console.print(
        f"best: the momentum with the least training loss; test loss: of stored runs there. {NOTE}",
        style="dim",
    )


def _print_cell(console: Console, forecast: Forecast) -> None:
    best, measured = forecast.best, forecast.best_measured
    table = table_of(right=("momentum ", "keras", "training\nloss", *PARTS, "test\nloss", "n"))
    for each in forecast.tried:
        if each.momentum in SHOWN or each.measured is not None or each is best:
            table.add_row(
                *_cells(each, is_best=each is best), style="bold" if each is best else None
            )
    console.print(table)
    console.print(f"{NOTE} {PARTS_NOTE}", style="dim")
    console.print(
        f"best momentum {best.momentum:g}, keras {_keras(best.momentum)}: training loss "
        f"{number(best.training_loss)}, under the population's statistics "
        f"{number(best.training_loss - best.cost)}; the population's median test loss is "
        f"{number(forecast.population)} ({counted(forecast.n, 'training')})",
        style="bold",
        soft_wrap=True,
    )
    if measured is not None and measured.measured is not None:
        console.print(
            f"best measured: {measured.momentum:g}, median test loss {number(measured.measured)}",
            soft_wrap=True,
        )
    tried = [
        each for each in forecast.tried if each.momentum > 0 and math.isfinite(each.training_loss)
    ]
    best = min(tried, key=lambda each: each.training_loss)
    points, mark = _filled(tried), (best.momentum, best.training_loss)
    width = min(WIDEST_PLOT, console.width)
    plot = curve(points, mark, width=width, ascii_only=console.options.ascii_only)
    if plot:
        console.print("\ntraining loss by momentum; both axes logarithmic")
    for line in plot:
        console.print(line, soft_wrap=True)
    _print_layers(console, forecast.layers)


def _filled(tried: Sequence[Tried]) -> list[tuple[float, float]]:
    """The curve through what was tried, straight between two points on logarithmic axes."""
    found = []
    for one, other in pairwise(tried):
        for i in range(BETWEEN):
            share = i / BETWEEN
            found.append(
                (
                    one.momentum ** (1 - share) * other.momentum**share,
                    one.training_loss ** (1 - share) * other.training_loss**share,
                )
            )
    return [*found, (tried[-1].momentum, tried[-1].training_loss)]


def _print_layers(console: Console, layers: dict[str, Setting]) -> None:
    """What theory makes of each layer alone."""
    if not layers:
        console.print(
            "too few batches in the last quarter to tell noise from drift, layer by layer"
        )
        return
    table = table_of(
        "layer",
        right=(
            "drift\na step",
            "random\nstep",
            "noise of\na batch",
            "of σ/√B",
            "best\nmomentum",
            "keras",
        ),
    )
    for name, setting in layers.items():
        noise = setting.noise_scale**0.5
        try:
            momentum = round(best_momentum(setting), 3)
        except UsageError:  # batches of one have no variance
            continue
        table.add_row(
            name,
            f"{setting.drift_per_step:.4f}",
            f"{setting.walk_per_step:.4f}",
            f"{noise / setting.batch_size**0.5:.4f}",
            f"{noise:.0%}",
            f"{momentum:g}",
            _keras(momentum),
        )
    console.print(table)
    console.print(
        "each layer's means at the end of the training, in σ, and the momentum that is best for "
        "them alone by theory. Noise far below σ/√B is no slip: where the layers below are "
        "normalised by the batch, its mean hardly scatters.",
        style="dim",
    )


def _cells(each: Tried, *, is_best: bool) -> list[str]:
    return [
        f"{each.momentum:g}" + " *"[is_best],
        _keras(each.momentum),
        number(each.training_loss),
        *(number(each.parts[part]) for part in PARTS),
        NOTHING if each.measured is None else number(each.measured),
        str(each.n) if each.n else NOTHING,
    ]


def _keras(momentum: float) -> str:
    return f"{1 - momentum:.10g}"
